"""The same with millions of movements behind it: is it as fast, and does reading stay as cheap?"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.purchase.arena import Arena
from bench.purchase.plan import Plan, Scenario, Variant
from bench.purchase.reading import READINGS
from bench.purchase.rounds import Contestant, Results, Run, race
from bench.reading import Touched, look
from bench.server import BenchServer

LITTLE = "little ledger"
LARGE = "large ledger"


@dataclass(frozen=True)
class Past:
    """A ledger with a past: how much of it, and what it took to fold and to seal."""

    movements: int
    fold_seconds: float
    seal_seconds: float
    reading: dict[str, Touched]


@dataclass(frozen=True)
class Growth:
    """Two ledgers, little and large, and how they compare."""

    little: Past
    large: Past
    results: Results
    verify_seconds: float
    violations: list[str]


def compare(
    server: BenchServer,
    template: str,
    plan: Plan,
    evening: Callable[[], None],
    report: Callable[[Run], None],
) -> Growth:
    """Give two copies of the world a past, read in both, then let them race."""
    sold = {Scenario.ONE: plan.large_evenings}
    little = Arena(server, "little", plan, sold)
    large = Arena(server, "large", plan, sold)
    for arena in (little, large):  # the walk leaves out the same chapters in both
        server.create_database(arena.name, template)
    _live(little, plan.little_evenings, plan.little_readers, evening)
    _live(large, plan.large_evenings, plan.readers, evening)
    pasts = [_settle(arena) for arena in (little, large)]
    contestants = [
        Contestant(name, arena, Variant.OURS, Scenario.ONE)
        for name, arena in ((LITTLE, little), (LARGE, large))
    ]
    results = race(contestants, plan, [plan.most_clients], report)
    large.execute("select ledger.fold()")
    large.execute("select ledger.seal()")
    began = time.monotonic()
    violations = large.violations()
    seconds = time.monotonic() - began
    return Growth(pasts[0], pasts[1], results, seconds, violations + little.violations())


def _live(arena: Arena, evenings: int, readers: int, evening: Callable[[], None]) -> None:
    for number in range(evenings):
        arena.execute(f"select bench.pass_evening({number}, {readers})")
        evening()


def _settle(arena: Arena) -> Past:
    """Do what the worker and autovacuum would have done by now, then look."""
    arena.execute("vacuum (analyze)")
    fold_seconds = arena.timed("select ledger.fold()")
    seal_seconds = arena.timed("select ledger.seal()")
    movements = int(arena.value("select count(*) from ledger.transfers"))
    return Past(movements, fold_seconds, seal_seconds, look(arena, READINGS))
