"""Prints a story step by step, and keeps count of the figures that are off."""

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from rich.console import Console
from rich.markup import escape

Value = TypeVar("Value")

WIDTH = 36


class Checklist:
    """Steps with figures below them; each figure stands beside what it must be."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._figures = 0
        self._off = 0

    def step(self, sentence: str) -> None:
        """What happens next, in words."""
        self._print(f"[bold]{escape(sentence)}[/bold]")

    def figure(
        self, what: str, found: Value, expected: Value, shown: Callable[[Value], str] = str
    ) -> None:
        """One figure of the step: found, and what it must be."""
        self._figures += 1
        line = f"{escape(f'{what:<{WIDTH}}')} {escape(shown(found))}"
        if found == expected:
            self._print(f"  [green]ok[/green]   {line}")
        else:
            self._off += 1
            self._print(f"  [red]OFF  {line}, expected {escape(shown(expected))}[/red]")

    def broke_off(self, reason: str) -> None:
        """The story could not be told to its end."""
        self._off += 1
        self._print(f"  [red]OFF  {escape(reason)}[/red]")

    def close(self) -> bool:
        """Sum up; whether every figure was right."""
        if self._off:
            self._print(f"[bold red]{self._off} of the figures are off.[/bold red]")
        else:
            self._print(f"[bold green]All {self._figures} figures are right.[/bold green]")
        return self._off == 0

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def credits(amount: int) -> str:
    """An amount of credits."""
    return f"{amount:,} credits"


def cents(amount: int) -> str:
    """An amount of money as it is charged."""
    sign = "-" if amount < 0 else ""
    return f"{sign}${Decimal(abs(amount)).scaleb(-2):,.2f}"


def money(microdollars: int) -> str:
    """An amount of money, rounded for the eye and exact as the ledger has it."""
    sign = "-" if microdollars < 0 else ""
    dollars = Decimal(abs(microdollars)).scaleb(-6)
    return f"{sign}${dollars:.3f} ({microdollars:,} micro-dollars)"
