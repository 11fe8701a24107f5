"""One stream of lines for a person, each with the name of the part that said it."""

import threading
from collections.abc import Callable

import click

LogLine = Callable[[str, str], None]
"""Takes the name of a part and one line of it."""

WIDTH = 9
COLOURS = {"postgres": "blue", "migrate": "yellow", "demo": "yellow", "postgrest": "green"}
COLOURS |= {"edge": "magenta", "worker": "cyan", "stack": "white"}


class TerminalLog:
    """Writes to standard output, and goes quiet when nobody is left to read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone = False

    def __call__(self, part: str, line: str) -> None:
        prefix = click.style(f"{part:<{WIDTH}} |", fg=COLOURS.get(part))
        self.write(f"{prefix} {line}")

    def write(self, text: str) -> None:
        """Text as it is, without a prefix."""
        with self._lock:
            if self._gone:
                return
            try:
                click.echo(text)
            except OSError:  # the terminal was closed; the children still have to be stopped
                self._gone = True


def no_log(part: str, line: str) -> None:
    """For tests and throwaway stacks."""
