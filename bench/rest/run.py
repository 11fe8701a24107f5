"""The whole benchmark, from an empty server to a report."""

from pathlib import Path
from secrets import token_hex

import psycopg
from rich.progress import Progress

from bench import machine
from bench.database import Database
from bench.progress import Bar
from bench.purchase.arena import build_product_world
from bench.purchase.rounds import Run
from bench.rest.calls import Call, Callers
from bench.rest.gate import open_gate
from bench.rest.plan import Plan
from bench.rest.race import Racecourse, race
from bench.rest.report import RestReport, judge
from bench.server import BenchServer, run_script, running_server

WORLD = "world"


def measure(plan: Plan, folder: Path, progress: Progress, *, is_quick: bool) -> RestReport:
    """Measure everything that the plan asks for."""
    facts = machine.describe(folder)
    with running_server(plan, folder) as server:
        progress.console.print(f"building a world of {plan.world.readers:,} readers")
        database = build_world(server, WORLD, plan)
        racing = Bar(progress, "racing", plan.rounds * len(plan.clients) * len(Call))

        def report(run: Run) -> None:
            racing.say(
                f"round {run.round}, {run.clients:>2} clients, {run.contestant}: "
                f"{run.outcome.timing.per_second:,.0f} calls a second"
            )

        secret = token_hex(32)
        with open_gate(database, secret) as gate:
            course = Racecourse(database, gate, Callers(database, plan.world, secret))
            results = race(course, plan, report)
        database.execute("select ledger.fold()")
        return RestReport(
            is_quick=is_quick,
            machine=facts,
            settings=server.settings(),
            violations=database.violations(),
            aims=judge(results, plan),
            plan=plan,
            results=results,
            postgrest=gate.version,
        )


def build_world(server: BenchServer, name: str, plan: Plan) -> Database:
    """Deploy the product into a new database, with a function beside it that does nothing."""
    build_product_world(server, name, plan.world)
    run_script(server.postgres, name, Path(__file__).parent / "nothing.sql")
    with psycopg.connect(server.postgres.url(name), autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
    return Database(server, name)
