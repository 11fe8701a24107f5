"""What a person reads, and the same as JSON."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from bench.payouts.batch import Batch
from bench.payouts.plan import Plan
from bench.payouts.results import Results
from bench.payouts.world import READINGS, Past
from bench.report.single import Report, readings_table, spread_text, table


@dataclass(frozen=True)
class PayoutsReport(Report):
    """What it costs to pay everybody."""

    name: ClassVar[str] = "payouts"
    unmeasured: ClassVar[str] = "not measured: the batch was over too soon"
    truth: ClassVar[str] = (
        "Every batch paid exactly what the movements say, and verify() found nothing."
    )

    plan: Plan
    results: Results

    def show_figures(self, console: Console) -> None:
        results = self.results
        console.print(self._worlds())
        console.print(self._closings())
        console.print(self._sizes())
        console.print(self._readers())
        console.print(
            readings_table(
                READINGS, {"small": results.small.reading, "large": results.large.reading}
            )
        )

    def figures(self) -> dict[str, Any]:
        return {"plan": asdict(self.plan), "results": asdict(self.results)}

    def _worlds(self) -> Table:
        rows = table("Two worlds", ["", "small", "large"])
        pasts = (self.results.small, self.results.large)

        def add(name: str, *values: str) -> None:
            rows.add_row(name, *values)

        add("creators", *(f"{past.size.creators:,}" for past in pasts))
        add("earnings", *(f"{past.earnings:,}" for past in pasts))
        add("movements", *(f"{past.movements:,}" for past in pasts))
        add("gigabytes", *(f"{past.gigabytes:.1f}" for past in pasts))
        add("fold of all of it, seconds", *(f"{past.fold_seconds:.1f}" for past in pasts))
        outcomes = sorted({outcome for past in pasts for outcome in past.due.creators})
        for outcome in outcomes:
            add(f"to be {outcome}", *(_creators(past, outcome) for past in pasts))
        add("to be paid, dollars", *(f"{past.due.cents / 100:,.2f}" for past in pasts))
        return rows

    def _closings(self) -> Table:
        rows = table(
            "Closing the month",
            ["", "seconds", "creators a second", "ms each", "CPU ms each", "MB before", "MB peak"],
        )
        results = self.results
        for name, closings in (
            (f"in steps of {self.plan.step}", results.steps),
            ("in one transaction", results.whole),
        ):
            for each in closings.small:
                rows.add_row(f"{name}, small", *_closing(each))
            rows.add_row(f"{name}, large", *_closing(closings.large))
            rows.add_section()
        return rows

    def _sizes(self) -> Table:
        rows = table(
            "Steps of several sizes in turn, in the large world",
            ["creators at a time", "ms each", "a step, median ms", "longest ms"],
        )
        for size in self.results.sizes:
            rows.add_row(
                str(size.asked),
                f"{size.milliseconds_each:.3f}",
                f"{size.step_milliseconds:.0f}",
                f"{size.longest_milliseconds:.0f}",
            )
        return rows

    def _readers(self) -> Table:
        readers = self.results.readers
        rows = table(
            f"Readers, {self.plan.clients} clients, {readers.seconds} s a run: purchases a second",
            ["round", "alone", "99 % ms", "beside", "99 % ms", "ratio", "creators", "running"],
        )
        for each in readers.rounds:
            rows.add_row(
                str(each.number),
                f"{each.alone.per_second:,.0f}",
                f"{each.alone.p99_milliseconds:.1f}",
                f"{each.beside.per_second:,.0f}",
                f"{each.beside.p99_milliseconds:.1f}",
                f"{each.ratio:.2f}",
                f"{each.creators:,}",
                f"{each.running:.0%}",
            )
        if readers.ratio is not None:
            rows.add_section()
            rows.add_row("median", *[""] * 4, spread_text(readers.ratio, "{:.2f}"), "", "")
        return rows


def _creators(past: Past, outcome: str) -> str:
    return f"{past.due.creators.get(outcome, 0):,}"


def _closing(batch: Batch) -> list[str]:
    return [
        f"{batch.seconds:.2f}",
        f"{batch.creators / batch.seconds:,.0f}",
        f"{batch.milliseconds_each:.3f}",
        f"{batch.processor_milliseconds_each:.3f}",
        f"{batch.memory.before:.1f}",
        f"{batch.memory.peak:.1f}",
    ]
