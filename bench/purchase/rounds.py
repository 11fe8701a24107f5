"""Throughput: all contestants again and again, side by side, in an order that moves on.

Timings of a shared machine swing. So nothing is compared across minutes: a ratio is taken within
one round, and what counts is the median of these ratios, shown with the least and the greatest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.pgbench import Load
from bench.purchase.arena import Arena, Outcome
from bench.purchase.plan import Plan, Scenario, Variant
from bench.spread import Spread

SETTLING_CLIENTS = 8


@dataclass(frozen=True)
class Contestant:
    """What is run in every round."""

    name: str
    arena: Arena
    variant: Variant
    scenario: Scenario


@dataclass(frozen=True)
class Run:
    """One contestant's turn in one round."""

    contestant: str
    clients: int
    round: int
    outcome: Outcome


class Results:
    """All runs, and what follows from them."""

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs

    def per_second(self, contestant: str, clients: int) -> Spread:
        """Purchases a second."""
        return Spread.of([run.outcome.timing.per_second for run in self._of(contestant, clients)])

    def median_milliseconds(self, contestant: str, clients: int) -> Spread:
        """How long a purchase took."""
        return Spread.of(
            [run.outcome.timing.median_milliseconds for run in self._of(contestant, clients)]
        )

    def p95_milliseconds(self, contestant: str, clients: int) -> Spread:
        """How long one in twenty took, or longer."""
        return Spread.of(
            [run.outcome.timing.p95_milliseconds for run in self._of(contestant, clients)]
        )

    def p99_milliseconds(self, contestant: str, clients: int) -> Spread:
        """How long one in a hundred took, or longer."""
        return Spread.of(
            [run.outcome.timing.p99_milliseconds for run in self._of(contestant, clients)]
        )

    def images_each(self, contestant: str, clients: int) -> float:
        """Whole pages in the WAL for each purchase."""
        runs = self._of(contestant, clients)
        purchases = sum(run.outcome.timing.transactions for run in runs)
        return sum(run.outcome.used.full_page_images for run in runs) / purchases

    def ratio(self, contestant: str, other: str, clients: int) -> Spread:
        """How much faster one is than another, round by round."""
        pairs = zip(self._of(contestant, clients), self._of(other, clients), strict=True)
        return Spread.of(
            [one.outcome.timing.per_second / two.outcome.timing.per_second for one, two in pairs]
        )

    def _of(self, contestant: str, clients: int) -> list[Run]:
        return [run for run in self.runs if run.contestant == contestant and run.clients == clients]


def race(
    contestants: Sequence[Contestant],
    plan: Plan,
    clients: Sequence[int],
    report: Callable[[Run], None],
) -> Results:
    """Run every contestant in every round, and each time another one first."""
    runs: list[Run] = []
    for number in range(plan.rounds):
        first = number % len(contestants)
        order = [*contestants[first:], *contestants[:first]]
        for count in clients:
            _settle(contestants, plan)
            for contestant in order:
                run = _turn(contestant, count, number, plan)
                runs.append(run)
                report(run)
    return Results(runs)


def _settle(contestants: Sequence[Contestant], plan: Plan) -> None:
    """Put the checkpoint, and the whole pages that the WAL takes after it, outside of the runs."""
    contestants[0].arena.server.checkpoint()
    for arena, variant in dict.fromkeys((each.arena, each.variant) for each in contestants):
        arena.run(variant, Scenario.ONE, Load(SETTLING_CLIENTS, seconds=plan.settle))


def _turn(contestant: Contestant, clients: int, number: int, plan: Plan) -> Run:
    outcome = contestant.arena.run(
        contestant.variant,
        contestant.scenario,
        Load(clients, seconds=plan.seconds, warm_up=plan.warm_up),
    )
    return Run(contestant.name, clients, number + 1, outcome)
