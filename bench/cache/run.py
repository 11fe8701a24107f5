"""The whole benchmark, from an empty server to a report."""

from pathlib import Path

from rich.progress import Progress

from bench import machine
from bench.cache.finding import measure_lookups, measure_recall
from bench.cache.plan import Plan
from bench.cache.report import CacheReport, Results, judge
from bench.cache.world import build_world
from bench.database import Database
from bench.progress import Bar
from bench.server import running_server

LITTLE = "little"
LARGE = "large"


def measure(plan: Plan, folder: Path, progress: Progress, *, is_quick: bool) -> CacheReport:
    """Measure everything that the plan asks for."""
    facts = machine.describe(folder)
    sizes = {LITTLE: (plan.little, plan.little), LARGE: (plan.words, plan.large)}
    with running_server(plan, folder) as server:
        filling = Bar(progress, "filling the caches", plan.little + plan.words)
        worlds = {
            name: build_world(server, name, size, plan, filling.advance)
            for name, size in sizes.items()
        }
        databases = {name: Database(server, name) for name in sizes}
        looking = Bar(progress, "looking things up", 2 * len(databases))
        lookups, recall = {}, {}
        for name, database in databases.items():
            lookups[name] = measure_lookups(database, plan)
            looking.say(f"lookups in the {name} cache are timed")
            recall[name] = measure_recall(database, plan)
            looking.say(f"recall in the {name} cache is measured")
        results = Results(worlds[LITTLE], worlds[LARGE], recall, lookups)
        return CacheReport(
            is_quick=is_quick,
            machine=facts,
            settings=server.settings(),
            violations=[each for one in databases.values() for each in one.violations()],
            aims=judge(results),
            plan=plan,
            results=results,
        )
