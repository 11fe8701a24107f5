"""The whole benchmark, from an empty server to a report."""

from collections.abc import Callable
from pathlib import Path

from rich.progress import Progress

from bench import machine
from bench.progress import Bar
from bench.purchase.aims import contestant_name, judge
from bench.purchase.arena import Arena, build_world
from bench.purchase.costs import count_costs
from bench.purchase.growth import Growth, compare
from bench.purchase.plan import CREDITS, Plan, Scenario, Variant
from bench.purchase.report import PurchaseReport
from bench.purchase.rounds import Contestant, Run, race
from bench.server import BenchServer, running_server

WORLD = "world"
LOST = f"""
    select coalesce(sum(credits_spent_total), 0) - coalesce(sum({CREDITS} - credits_balance), 0)
    from seed.profiles
    where not is_creator
"""


def measure(
    plan: Plan, folder: Path, progress: Progress, *, is_quick: bool, is_large: bool
) -> PurchaseReport:
    """Measure everything that the plan asks for."""
    facts = machine.describe(folder)
    with running_server(plan, folder) as server:
        progress.console.print(f"building a world of {plan.readers:,} readers")
        settings = server.settings()
        build_world(server, WORLD, plan)
        server.create_database("race", WORLD)
        arena = Arena(server, "race", plan)
        contestants = [
            Contestant(contestant_name(variant, scenario), arena, variant, scenario)
            for scenario in Scenario
            for variant in Variant
        ]
        racing = Bar(progress, "racing", plan.rounds * len(plan.clients) * len(contestants))
        results = race(contestants, plan, plan.clients, _report_to(racing))
        counting = Bar(progress, "counting", plan.counted_repeats * len(Variant))
        costs = count_costs(arena, plan, lambda _: counting.advance())
        arena.execute("select ledger.fold()")
        violations = arena.violations()
        growth = _grow(server, plan, progress) if is_large else None
        return PurchaseReport(
            is_quick=is_quick,
            machine=facts,
            settings=settings,
            plan=plan,
            results=results,
            costs=costs,
            growth=growth,
            seed_credits_lost=int(arena.value(LOST)),
            violations=violations + (growth.violations if growth else []),
            aims=judge(results, costs, growth, plan),
        )


def _grow(server: BenchServer, plan: Plan, progress: Progress) -> Growth:
    living = Bar(progress, "loading a past", plan.little_evenings + plan.large_evenings)
    racing = Bar(progress, "racing with a past", plan.rounds * 2)
    return compare(server, WORLD, plan, living.advance, _report_to(racing))


def _report_to(bar: Bar) -> Callable[[Run], None]:
    def report(run: Run) -> None:
        bar.say(
            f"round {run.round}, {run.clients:>2} clients, {run.contestant}: "
            f"{run.outcome.timing.per_second:,.0f} purchases a second"
        )

    return report
