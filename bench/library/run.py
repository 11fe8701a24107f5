"""The whole benchmark, from an empty server to a report."""

from pathlib import Path

from rich.progress import Progress

from bench import machine
from bench.database import Database
from bench.library.calls import Visitors, visit
from bench.library.plan import Plan
from bench.library.report import LibraryReport, Results, judge
from bench.library.world import build_world
from bench.progress import Bar
from bench.server import running_server

SMALL = "small"
LARGE = "large"


def measure(plan: Plan, folder: Path, progress: Progress, *, is_quick: bool) -> LibraryReport:
    """Measure everything that the plan asks for."""
    facts = machine.describe(folder)
    with running_server(plan, folder) as server:
        filling = Bar(progress, "filling the libraries", 2)
        worlds = {}
        for name, size in ((SMALL, plan.small), (LARGE, plan.large)):
            worlds[name] = build_world(server, name, size, plan)
            filling.say(f"{name}: {worlds[name].progress_rows:,} rows of progress")
        databases = {name: Database(server, name) for name in worlds}
        server.checkpoint()
        small, large = (
            Visitors(databases[name], worlds[name].size, seed=1) for name in (SMALL, LARGE)
        )
        reading = Bar(progress, "reading", plan.rounds)
        results = Results(worlds[SMALL], worlds[LARGE], visit(small, large, plan, reading.say))
        return LibraryReport(
            is_quick=is_quick,
            machine=facts,
            settings=server.settings(),
            violations=[each for database in databases.values() for each in database.violations()],
            aims=list(judge(results)),
            plan=plan,
            results=results,
        )
