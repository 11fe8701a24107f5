"""What a person reads, and the same as JSON."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from rich.console import Console

from bench.aims import Aim, at_least, at_most
from bench.cache.finding import KINDS, Recall
from bench.cache.plan import Plan
from bench.cache.world import World
from bench.reading import Reading, Touched
from bench.report.single import Report, readings_table, table
from bench.spread import Spread

RECALL = 0.95
QUICK_MILLISECONDS = 50.0
SAME_BUFFERS = 2.0  # exact: a B-tree is a level deeper
DEEPER = 3.0  # HNSW: for ten times the meanings it looks at more neighbours


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    little: World
    large: World
    recall: dict[str, list[Recall]]
    lookups: dict[str, dict[str, Touched]]


@dataclass(frozen=True)
class CacheReport(Report):
    """How well and how fast the cache finds."""

    name: ClassVar[str] = "cache"
    truth: ClassVar[str] = "verify() found nothing."

    plan: Plan
    results: Results

    def show_figures(self, console: Console) -> None:
        worlds = (self.results.little, self.results.large)
        rows = table("Two caches", ["", "little", "large"])
        rows.add_row("entries", *(f"{each.entries:,}" for each in worlds))
        rows.add_row("with a meaning", *(f"{each.meanings:,}" for each in worlds))
        rows.add_row("gigabytes", *(f"{each.gigabytes:.2f}" for each in worlds))
        rows.add_row("HNSW index, megabytes", *(f"{each.index_megabytes:.0f}" for each in worlds))
        rows.add_row("HNSW build, seconds", *(f"{each.build_seconds:.1f}" for each in worlds))
        console.print(rows)
        rows = table(
            "Near-duplicates",
            ["cosine", "asked", "near enough", "found", "recall", "the nearest", "false hits"],
        )
        for name, recalls in self.results.recall.items():
            for each in recalls:
                rows.add_row(
                    f"{each.cosine} in the {name} cache",
                    str(each.asked),
                    str(each.near_enough),
                    str(each.found),
                    f"{each.found / max(each.near_enough, 1):.3f}",
                    str(each.nearest),
                    str(each.false_hits),
                )
        console.print(rows)
        kinds = [Reading(kind, "", "") for kind in KINDS]
        console.print(readings_table(kinds, self.results.lookups))

    def figures(self) -> dict[str, Any]:
        return {"plan": asdict(self.plan), "results": asdict(self.results)}


def judge(results: Results) -> list[Aim]:
    """Put every aim beside its figure."""
    aims = []
    for name, recalls in results.recall.items():
        shares = [each.found / each.near_enough for each in recalls if each.near_enough]
        least = Spread.of([min(shares)]) if shares else None
        aims.append(at_least(RECALL, f"recall in the {name} cache, the least", least))
        false = Spread.of([float(sum(each.false_hits for each in recalls))])
        aims.append(at_most(0, f"false hits in the {name} cache", false))
    for kind in KINDS:
        less, more = (results.lookups[name][kind] for name in ("little", "large"))
        aims.append(
            at_most(QUICK_MILLISECONDS, f"{kind}: milliseconds", Spread.of([more.milliseconds]))
        )
        limit = DEEPER if kind in ("the same meaning", "nothing like it") else SAME_BUFFERS
        growth = Spread.of([more.buffers / less.buffers])
        aims.append(at_most(limit, f"{kind}: buffers, large / little", growth))
    return aims
