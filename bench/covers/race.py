"""Throughput: every task in every queue, again and again, in an order that moves on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.covers.arena import Arena, Outcome
from bench.covers.plan import Plan, Queue, Task
from bench.spread import Spread

Contestant = tuple[Task, Queue]


@dataclass(frozen=True)
class Run:
    """One contestant's turn in one round."""

    task: Task
    queue: str
    round: int
    outcome: Outcome


class Race:
    """All runs, and what follows from them."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)

    def per_second(self, task: Task, queue: Queue) -> Spread:
        """What all clients did in a second."""
        return Spread.of([each.outcome.timing.per_second for each in self._of(task, queue)])

    def median_milliseconds(self, task: Task, queue: Queue) -> Spread:
        """How long one took."""
        return Spread.of(
            [each.outcome.timing.median_milliseconds for each in self._of(task, queue)]
        )

    def p99_milliseconds(self, task: Task, queue: Queue) -> Spread:
        """How long one in a hundred took, or longer."""
        return Spread.of([each.outcome.timing.p99_milliseconds for each in self._of(task, queue)])

    def processor_milliseconds(self, task: Task, queue: Queue) -> Spread:
        """CPU time of the server for each; it swings less than the clock."""
        return Spread.of(self._processor_milliseconds(task, queue))

    def images_each(self, task: Task, queue: Queue) -> float:
        """Whole pages in the WAL for each."""
        runs = self._of(task, queue)
        done = sum(each.outcome.timing.transactions for each in runs)
        return sum(each.outcome.used.full_page_images for each in runs) / done

    def ratio(self, one: Contestant, other: Contestant) -> Spread:
        """How much faster one is than another, round by round."""
        pairs = zip(self._of(*one), self._of(*other), strict=True)
        return Spread.of(
            [a.outcome.timing.per_second / b.outcome.timing.per_second for a, b in pairs]
        )

    def processor_ratio(self, one: Contestant, other: Contestant) -> Spread:
        """How much more CPU time one takes than another, round by round."""
        pairs = zip(
            self._processor_milliseconds(*one), self._processor_milliseconds(*other), strict=True
        )
        # A quick run is counted too coarsely.
        return Spread.of([a / b if b > 0 else 1.0 for a, b in pairs])

    def _processor_milliseconds(self, task: Task, queue: Queue) -> list[float]:
        return [
            each.outcome.used.processor_seconds * 1000 / each.outcome.timing.transactions
            for each in self._of(task, queue)
        ]

    def _of(self, task: Task, queue: Queue) -> list[Run]:
        return [each for each in self.runs if (each.task, each.queue) == (task, queue.name)]


def race(arenas: Mapping[Queue, Arena], plan: Plan, report: Callable[[Run], None]) -> Race:
    """Run every contestant in every round, and each time another one first."""
    runs: list[Run] = []
    contestants = plan.contestants
    for number in range(plan.rounds):
        if plan.settling:
            _settle(arenas, plan)
        first = number % len(contestants)
        for task, queue in (*contestants[first:], *contestants[:first]):
            outcome = arenas[queue].run(task, plan.turns(task))
            runs.append(Run(task, queue.name, number + 1, outcome))
            report(runs[-1])
    return Race(runs)


def _settle(arenas: Mapping[Queue, Arena], plan: Plan) -> None:
    """Put the checkpoint, and the whole pages that the WAL takes after it, outside of the runs."""
    next(iter(arenas.values())).server.checkpoint()
    for task, queue in plan.contestants:
        arenas[queue].run(task, plan.settling)
