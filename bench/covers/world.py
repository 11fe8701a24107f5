"""The world that all queues are copies of: authors, and jobs that are paid for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.covers.plan import CREDITS, STAR_JOBS, Plan
from bench.database import Database
from bench.purchase.arena import build_product_world
from bench.purchase.plan import Plan as PurchasePlan
from bench.server import BenchServer, run_script

HERE = Path(__file__).parent
AT_A_TIME = 2_000


def build_world(
    server: BenchServer, name: str, plan: Plan, advance: Callable[[int], None]
) -> Database:
    """Deploy the product, and set the credits aside of all jobs that will ever wait."""
    people = replace(
        PurchasePlan(), readers=0, creators=plan.authors - 1, star_chapters=0, other_chapters=0
    )
    build_product_world(server, name, people)
    run_script(server.postgres, name, HERE / "world.sql", authors=plan.authors, credits=CREDITS)
    database = Database(server, name)
    database.execute(f"select bench.prepare({-STAR_JOBS}, {STAR_JOBS})")
    for first in range(0, plan.reserve, AT_A_TIME):
        jobs = min(AT_A_TIME, plan.reserve - first)
        database.execute(f"select bench.prepare({first}, {jobs})")
        advance(jobs)
    database.execute(f"select bench.fill(0, {plan.made_before})")
    database.execute(f"select bench.live({plan.made_before})")
    database.execute("vacuum (analyze)")
    return database
