"""What a person reads, and the same as JSON; and whether it is what it ought to be."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from bench.aims import Aim, at_most
from bench.library.calls import STATEMENTS, Round, ratio
from bench.library.plan import Plan
from bench.library.world import READINGS, World
from bench.report.single import Report, readings_table, spread_text, table
from bench.spread import Spread

SAME = 2.0  # deeper indexes are allowed for, reading more rows is not
QUICK_MILLISECONDS = 50.0


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    small: World
    large: World
    rounds: list[Round]


def judge(results: Results) -> Iterator[Aim]:
    """Put every aim beside its figure."""
    for reading in READINGS:
        less, more = results.small.reading[reading.name], results.large.reading[reading.name]
        if reading.has_aim:
            growth = Spread.of([more.buffers / less.buffers])
            yield at_most(SAME, f"{reading.name}: buffers, large / small", growth)
            milliseconds = Spread.of([more.milliseconds])
            yield at_most(QUICK_MILLISECONDS, f"{reading.name}: milliseconds", milliseconds)
    for kind in STATEMENTS:
        growth = ratio(results.rounds, kind)
        yield at_most(SAME, f"{kind}: median time, large / small", growth)


@dataclass(frozen=True)
class LibraryReport(Report):
    """What it costs to keep reading."""

    name: ClassVar[str] = "library"
    truth: ClassVar[str] = "Every second that was saved is kept, and verify() found nothing."

    plan: Plan
    results: Results

    def show_figures(self, console: Console) -> None:
        results = self.results
        console.print(self._worlds())
        console.print(
            readings_table(
                READINGS, {"small": results.small.reading, "large": results.large.reading}
            )
        )
        console.print(self._calls())

    def figures(self) -> dict[str, Any]:
        return {"plan": asdict(self.plan), "results": asdict(self.results)}

    def _worlds(self) -> Table:
        rows = table("Two worlds", ["", "small", "large"])
        worlds = (self.results.small, self.results.large)
        rows.add_row("readers", *(f"{world.size.readers:,}" for world in worlds))
        rows.add_row("stories", *(f"{world.size.stories + 1:,}" for world in worlds))
        rows.add_row("rows of progress", *(f"{world.progress_rows:,}" for world in worlds))
        rows.add_row("rows of the library", *(f"{world.library_rows:,}" for world in worlds))
        rows.add_row("megabytes", *(f"{world.megabytes:,.0f}" for world in worlds))
        return rows

    def _calls(self) -> Table:
        plan = self.plan
        rows = table(
            f"Calls of random readers, {plan.calls} a round: milliseconds",
            ["", "small", "99 %", "large", "99 %", "ratio of the medians"],
        )
        rounds = self.results.rounds
        for kind in STATEMENTS:
            figures = [
                Spread.of([getattr(getattr(each, world)[kind], figure) for each in rounds])
                for world in ("small", "large")
                for figure in ("median", "slow")
            ]
            growth = spread_text(ratio(rounds, kind), "{:.2f}")
            rows.add_row(kind, *(f"{figure.median:.2f}" for figure in figures), growth)
        return rows
