"""What every report has: where it was measured, the aims, and whether the books agree."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.aims import Aim
from bench.machine import Machine
from bench.reading import Reading, Touched
from bench.spread import Spread

WIDTH = 110


@dataclass(frozen=True)
class Report(ABC):
    """Everything that was found: for a person, and as JSON."""

    name: ClassVar[str]
    unmeasured: ClassVar[str] = "not measured"
    truth: ClassVar[str]

    is_quick: bool
    machine: Machine
    settings: dict[str, str]
    violations: list[str]
    aims: list[Aim]

    @abstractmethod
    def show_figures(self, console: Console) -> None:
        """Print what was measured."""

    @abstractmethod
    def figures(self) -> dict[str, Any]:
        """The same, for programs."""

    def show(self, console: Console) -> None:
        """Print it all."""
        self._show_circumstances(console)
        self.show_figures(console)
        console.print(self._aims())
        self._show_truth(console)

    def as_dict(self) -> dict[str, Any]:
        """The same, for programs."""
        return {
            "quick": self.is_quick,
            "machine": asdict(self.machine) | {"warnings": self.machine.warnings},
            "settings": self.settings,
            **self.figures(),
            "violations": self.violations,
            "aims": [asdict(aim) for aim in self.aims],
        }

    def write(self, folder: Path) -> None:
        """Keep both forms in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(self.as_dict(), indent=1) + "\n")
        with (folder / f"{self.name}.txt").open("w") as file:
            self.show(Console(file=file, width=WIDTH, no_color=True))

    def _show_circumstances(self, console: Console) -> None:
        machine = self.machine
        if self.is_quick:
            console.print("[bold red]A quick run: it shows that all works. No figure counts.[/]")
        console.print(
            f"{machine.measured_at}, commit {machine.commit}\n"
            f"{machine.cores} cores of {escape(machine.processor)}, {machine.memory_gigabytes} GB, "
            f"{machine.system}, data on {machine.file_system}"
        )
        console.print(", ".join(f"{name} = {value}" for name, value in self.settings.items()))
        for warning in machine.warnings:
            console.print(f"[yellow]Beware: {escape(warning)}.[/]")

    def _aims(self) -> Table:
        aims = table("The aims", ["", "aim", "figure", ""])
        for aim in self.aims:
            if aim.figure is None or aim.is_met is None:
                aims.add_row(aim.name, aim.bound, "", self.unmeasured)
            else:
                verdict = "[green]met[/]" if aim.is_met else "[red]not met[/]"
                aims.add_row(aim.name, aim.bound, spread_text(aim.figure, "{:.2f}"), verdict)
        return aims

    def _show_truth(self, console: Console) -> None:
        if self.violations:
            console.print("[bold red]The ledger is not sound:[/]")
            for violation in self.violations:
                console.print(escape(violation))
        else:
            console.print(self.truth)


def table(title: str, columns: list[str]) -> Table:
    """A table whose first column names what the others count."""
    made = Table(title=title, title_justify="left", title_style="bold")
    made.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        made.add_column(column, justify="right")
    return made


def readings_table(readings: Sequence[Reading], touched: dict[str, dict[str, Touched]]) -> Table:
    """What readings took in a little world and in a large one."""
    little, large = touched
    rows = table(
        "Reading: buffers touched (milliseconds)", ["", little, large, f"{large} / {little}"]
    )
    for reading in readings:
        less, more = touched[little][reading.name], touched[large][reading.name]
        rows.add_row(
            reading.name + ("" if reading.has_aim else " (no aim)"),
            f"{less.buffers:,} ({less.milliseconds:.2f})",
            f"{more.buffers:,} ({more.milliseconds:.2f})",
            quotient(more.buffers, less.buffers),
        )
    return rows


def spread_text(spread: Spread, shape: str) -> str:
    """The median, and the rest where there is any."""
    middle = shape.format(spread.median)
    if spread.least == spread.greatest:
        return middle
    return f"{middle} ({shape.format(spread.least)}-{shape.format(spread.greatest)})"


def quotient(one: float, other: float) -> str:
    """A ratio; counted too coarsely, as in a quick run, there is none."""
    return f"{one / other:.2f}" if other > 0 else "-"
