"""What a person reads, and the same as JSON."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from bench.covers.looking import CLAIM, GROWN, LATE, SIZED
from bench.covers.plan import Plan, Queue, Task
from bench.covers.results import Results
from bench.reading import Touched
from bench.report.single import Report, quotient, spread_text, table


@dataclass(frozen=True)
class CoversReport(Report):
    """How the queue of covers does when it is long."""

    name: ClassVar[str] = "covers"
    truth: ClassVar[str] = (
        "Nobody was passed over, every queue was as long afterwards as before, and verify() found "
        "nothing."
    )

    plan: Plan
    results: Results

    def show_figures(self, console: Console) -> None:
        console.print(self._throughput())
        console.print(self._ratios())
        console.print(self._sizes())
        console.print(self._circumstances())

    def figures(self) -> dict[str, Any]:
        results = self.results
        return {
            "plan": asdict(self.plan),
            "runs": [asdict(run) for run in results.race.runs],
            "looks": {
                queue.name: {name: asdict(touched) for name, touched in looks.items()}
                for queue, looks in results.looks.items()
            },
            "grown": {"short": asdict(results.short), "long": asdict(results.grown)},
        }

    def _throughput(self) -> Table:
        plan, race = self.plan, self.results.race
        rows = table(
            f"{plan.clients} clients at once: median of {plan.rounds} rounds; CPU, pages: of each",
            ["waiting", "a second", "median ms", "99 % ms", "CPU ms", "full pages"],
        )
        for task, queue in plan.contestants:
            rows.add_row(
                f"{task}, {queue.name}",
                spread_text(race.per_second(task, queue), "{:,.0f}"),
                f"{race.median_milliseconds(task, queue).median:.2f}",
                f"{race.p99_milliseconds(task, queue).median:.2f}",
                f"{race.processor_milliseconds(task, queue).median:.2f}",
                f"{race.images_each(task, queue):.3f}",
            )
        return rows

    def _ratios(self) -> Table:
        plan, race = self.plan, self.results.race
        rows = table(
            "Ratios, taken within each round: median (least-greatest)",
            ["", "a second", "CPU ms each"],
        )

        def add(title: str, one: tuple[Task, Queue], other: tuple[Task, Queue]) -> None:
            rows.add_row(
                title,
                spread_text(race.ratio(one, other), "{:.2f}"),
                spread_text(race.processor_ratio(one, other), "{:.2f}"),
            )

        little, middle, large = plan.little, plan.middle, plan.large
        for task in (Task.CLAIM, Task.FINISH):
            for queue in (middle, large):
                add(f"{task}, {queue.name} / {little.name}", (task, queue), (task, little))
        for task in (Task.REQUEST, Task.PLAIN):
            add(f"{task}, {large.name} / {little.name}", (task, large), (task, little))
        for queue in (plan.behind_unserved, plan.behind_postponed):
            add(f"{Task.CLAIM}, {queue.name} / alone", (Task.CLAIM, queue), (Task.CLAIM, middle))
        for queue in (little, large):
            add(
                f"{Task.CLAIM} / {Task.PLAIN}, {queue.name}",
                (Task.CLAIM, queue),
                (Task.PLAIN, queue),
            )
        return rows

    def _sizes(self) -> Table:
        plan, looks = self.plan, self.results.looks
        sizes = (plan.little, plan.middle, plan.large)
        rows = table(
            "One call, one client: buffers touched (milliseconds)",
            ["", *(queue.name for queue in sizes), f"{plan.large.name} / {plan.little.name}"],
        )
        for name in SIZED:
            less, more = looks[plan.little][name], looks[plan.large][name]
            rows.add_row(
                name,
                *(_touched(looks[queue][name]) for queue in sizes),
                quotient(more.buffers, less.buffers),
            )
        return rows

    def _circumstances(self) -> Table:
        plan, results = self.plan, self.results
        rows = table(
            "A claim in other circumstances: buffers touched (milliseconds)",
            ["", "buffers", "against", "ratio"],
        )
        looks = results.looks

        def add(title: str, here: Touched, there: Touched) -> None:
            rows.add_row(
                title, _touched(here), _touched(there), quotient(here.buffers, there.buffers)
            )

        for queue in (plan.behind_unserved, plan.behind_postponed):
            add(f"{CLAIM}, {queue.name}", looks[queue][CLAIM], looks[plan.middle][CLAIM])
        add(f"{GROWN}: {plan.large.name} now", results.grown, results.short)
        claims = plan.clients * plan.claims
        large = looks[plan.large]
        add(f"{LATE}, {claims:,} claims later", large[LATE], large[CLAIM])
        return rows


def _touched(touched: Touched) -> str:
    return f"{touched.buffers:,} ({touched.milliseconds:.2f})"
