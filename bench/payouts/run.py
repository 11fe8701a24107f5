"""The whole benchmark, from an empty server to a report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress

from bench import machine
from bench.database import Database
from bench.payouts.batch import Backend, Batch, close_in_steps, close_whole, take_steps
from bench.payouts.beside import Readers, Round, buy_beside
from bench.payouts.plan import Plan
from bench.payouts.report import PayoutsReport
from bench.payouts.results import Closings, Results, StepSize, compare_sizes, judge
from bench.payouts.world import build_past, must_agree, sold
from bench.progress import Bar
from bench.purchase.arena import Arena
from bench.server import BenchServer, running_server

SMALL = "small"
LARGE = "large"


def measure(plan: Plan, folder: Path, progress: Progress, *, is_quick: bool) -> PayoutsReport:
    """Measure everything that the plan asks for."""
    facts = machine.describe(folder)
    with running_server(plan, folder) as server:
        runs = _Runs(server, plan, progress)
        results = runs.all()
        return PayoutsReport(
            is_quick=is_quick,
            machine=facts,
            settings=server.settings(),
            violations=runs.violations,
            aims=judge(results),
            plan=plan,
            results=results,
        )


class _Runs:
    """One thing after the other, each in a fresh copy of a world."""

    def __init__(self, server: BenchServer, plan: Plan, progress: Progress) -> None:
        self._server = server
        self._plan = plan
        self._progress = progress
        self.violations: list[str] = []

    def all(self) -> Results:
        plan, server = self._plan, self._server
        living = Bar(self._progress, "loading a past", 2 * plan.evenings)
        small = build_past(server, SMALL, plan.small, plan, living.advance)
        large = build_past(server, LARGE, plan.large, plan, living.advance)
        closing = Bar(self._progress, "closing the month", 2 * (plan.repeats + 1))
        steps = self._closings(
            f"steps of {plan.step}", lambda database: close_in_steps(database, plan.step), closing
        )
        whole = self._closings("one transaction", close_whole, closing)
        sizes = self._sizes()
        readers = self._readers(steps.large.milliseconds_each)
        return Results(small, large, whole, steps, sizes, readers)

    def _closings(self, name: str, close: Callable[[Database], Batch], bar: Bar) -> Closings:
        """Small ones before and after the large one: the machine may change meanwhile."""
        earlier = (self._plan.repeats + 1) // 2
        before = [self._close(name, SMALL, close, bar) for _ in range(earlier)]
        large = self._close(name, LARGE, close, bar)
        after = [
            self._close(name, SMALL, close, bar, verify=number == 0)
            for number in range(self._plan.repeats - earlier)
        ]
        return Closings(before + after, large)

    def _close(
        self,
        name: str,
        world: str,
        close: Callable[[Database], Batch],
        bar: Bar,
        *,
        verify: bool = False,
    ) -> Batch:
        with _copy(self._server, world) as database:
            batch = close(database)
            must_agree(database)
            if verify:
                self.violations += database.violations()
        bar.say(f"{name}, {world}: {batch.creators:,} creators in {batch.seconds:.1f} s")
        return batch

    def _sizes(self) -> list[StepSize]:
        with _copy(self._server, LARGE) as database:
            with Backend.open(database) as backend:
                steps = list(take_steps(backend.connection, self._plan.steps))
            must_agree(database)
        return compare_sizes(steps)

    def _readers(self, milliseconds_each: float) -> Readers:
        plan = self._plan
        bar = Bar(self._progress, "buying beside a batch", plan.rounds)

        def report(done: Round) -> None:
            bar.say(
                f"round {done.number}: {done.alone.per_second:,.0f} purchases a second alone, "
                f"{done.beside.per_second:,.0f} beside {done.creators:,} creators"
            )

        with _copy(self._server, LARGE) as database:
            arena = Arena(self._server, database.name, plan.large.world, sold(plan.large))
            readers = buy_beside(arena, plan, milliseconds_each, report)
            must_agree(database, only_paid=True)
            database.execute("select ledger.fold()")
            self._progress.console.print("verify() reads everything")
            self.violations += database.violations()
        return readers


@contextmanager
def _copy(server: BenchServer, world: str) -> Iterator[Database]:
    """A fresh copy of a world, gone afterwards."""
    database = Database(server, f"copy_of_{world}")
    server.create_database(database.name, world)
    try:
        yield database
    finally:
        server.drop_database(database.name)
