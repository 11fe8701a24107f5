"""What does not swing: WAL bytes, pages touched and CPU time of one purchase.

Each is counted for a short and for a longer run of one client, and the difference divided by the
difference in purchases: what a session needs to get going is in both and drops out.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench.errors import BenchError
from bench.pgbench import Load
from bench.purchase.arena import Arena
from bench.purchase.plan import Plan, Scenario, Variant
from bench.server import Used
from bench.spread import Spread

SHORT = 100


@dataclass(frozen=True)
class Cost:
    """One purchase of a variant."""

    wal_bytes: Spread
    buffers: Spread
    processor_microseconds: Spread


def count_costs(arena: Arena, plan: Plan, report: Callable[[Variant], None]) -> dict[Variant, Cost]:
    """Count for every variant in turn, several times."""
    counts: dict[Variant, list[tuple[float, float, float]]] = {each: [] for each in Variant}
    with arena.server.in_silence():
        for _ in range(plan.counted_repeats):
            for variant in Variant:
                counts[variant].append(_each(arena, variant, plan.counted_purchases))
                report(variant)
    return {
        variant: Cost(*(Spread.of(values) for values in zip(*repeats, strict=True)))
        for variant, repeats in counts.items()
    }


def _each(arena: Arena, variant: Variant, purchases: int) -> tuple[float, float, float]:
    """WAL bytes, buffers and CPU microseconds of one more purchase."""
    short = _used(arena, variant, SHORT)
    longer = _used(arena, variant, SHORT + purchases)
    if short.full_page_images or longer.full_page_images:
        raise BenchError("whole pages were written to the WAL although they were switched off")
    more = longer.since(short)
    return (
        more.wal_bytes / purchases,
        more.buffers / purchases,
        more.processor_seconds * 1_000_000 / purchases,
    )


def _used(arena: Arena, variant: Variant, purchases: int) -> Used:
    # Commits do not wait for the disk: the CPU time shall be that of the work, not of the waiting.
    load = Load(1, turns=purchases, waits_for_disk=False)
    return arena.run(variant, Scenario.ONE, load).used
