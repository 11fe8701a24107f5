"""Progress on stderr: a bar for whoever watches, lines for logs."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed


def progress_bars() -> Progress:
    """Bars that are gone at the end; what is printed on their console stays."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Elapsed())
    return Progress(*columns, console=Console(stderr=True, highlight=False), transient=True)


class Bar:
    """One line of progress; what is said leaves a line behind, for logs."""

    def __init__(self, progress: Progress, description: str, total: int) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(description, total=total)

    def advance(self, steps: int = 1) -> None:
        """So much is done."""
        self._progress.advance(self._task, steps)

    def say(self, line: str) -> None:
        """One thing is done, and this came of it."""
        self._progress.console.print(line)
        self.advance()
