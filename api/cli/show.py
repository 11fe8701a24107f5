"""What the commands show: tables, amounts, ages, and a bar where somebody waits."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200
AGES = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))

Watch = Callable[[int, int], None]
"""Is told how many are done, and of how many."""


@contextmanager
def counting_lines(what: str) -> Iterator[Callable[[int], None]]:
    """A bar that moves with every page, where somebody is there to see it."""
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} lines"))
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda lines: bar.advance(task, lines)


@contextmanager
def counting_to_the_end(what: str) -> Iterator[Watch]:
    """A bar that fills, with the time that is left, where somebody is there to see it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table that never cuts an id short; a pipe gets whole lines."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(highlight=False, markup=False, width=width).print(table)


def _text(value: Any) -> str:
    if isinstance(value, timedelta):
        return _age(value)
    return "" if value is None else str(value)


def _age(age: timedelta) -> str:
    for unit, name in AGES:
        if age >= unit:
            return f"{age // unit} {name}"
    return f"{int(age.total_seconds())} s"
