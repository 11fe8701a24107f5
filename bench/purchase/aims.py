"""What the figures ought to be, and whether they are."""

from bench.aims import Aim, at_least, at_most
from bench.purchase.costs import Cost
from bench.purchase.growth import LARGE, LITTLE, Growth
from bench.purchase.plan import Plan, Scenario, Variant
from bench.purchase.reading import READINGS
from bench.purchase.rounds import Results
from bench.spread import Spread

SAME = 2.0  # a few more levels of an index are not growth; in proportion, it would be hundreds


def contestant_name(variant: Variant, scenario: Scenario) -> str:
    """How a contestant of the race is known."""
    return f"{variant}, {scenario}"


def judge(
    results: Results, costs: dict[Variant, Cost], growth: Growth | None, plan: Plan
) -> list[Aim]:
    """Put every aim beside its figure."""
    clients = plan.most_clients
    ours = contestant_name(Variant.OURS, Scenario.ONE)

    def times_as_fast(other: str) -> Spread:
        return results.ratio(ours, other, clients)

    wal = costs[Variant.OURS].wal_bytes.median / costs[Variant.ROWS].wal_bytes.median
    return [
        at_least(
            6.0,
            f"ours / (a) seed, one creator, {clients} clients",
            times_as_fast(contestant_name(Variant.SEED, Scenario.ONE)),
        ),
        at_least(
            0.7,
            f"ours / (b) rows, one creator, {clients} clients",
            times_as_fast(contestant_name(Variant.ROWS, Scenario.ONE)),
        ),
        at_least(
            0.95,
            f"ours, one creator / many creators, {clients} clients",
            times_as_fast(contestant_name(Variant.OURS, Scenario.MANY)),
        ),
        at_most(1.5, "WAL bytes, ours / (b) rows", Spread.of([wal])),
        *_aims_of_growth(growth, clients),
    ]


def _aims_of_growth(growth: Growth | None, clients: int) -> list[Aim]:
    slower = growth.results.ratio(LITTLE, LARGE, clients) if growth else None
    aims = [at_most(1.2, f"ours, little / large ledger, {clients} clients", slower)]
    for reading in READINGS:
        if reading.has_aim:
            more = None
            if growth:
                large = growth.large.reading[reading.name].buffers
                more = Spread.of([large / growth.little.reading[reading.name].buffers])
            aims.append(at_most(SAME, f"{reading.name}: buffers, large / little", more))
    return aims
