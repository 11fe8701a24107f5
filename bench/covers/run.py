"""The whole benchmark, from an empty server to a report."""

from pathlib import Path

from rich.progress import Progress

from bench import machine
from bench.covers.arena import Arena
from bench.covers.looking import look_at, look_while_it_grows
from bench.covers.plan import Plan, Queue
from bench.covers.race import Run, race
from bench.covers.report import CoversReport
from bench.covers.results import Results, judge
from bench.covers.world import build_world
from bench.progress import Bar
from bench.server import BenchServer, running_server

WORLD = "world"


def measure(plan: Plan, folder: Path, progress: Progress, *, is_quick: bool) -> CoversReport:
    """Measure everything that the plan asks for."""
    facts = machine.describe(folder)
    with running_server(plan, folder) as server:
        preparing = Bar(progress, "setting credits aside", plan.reserve)
        build_world(server, WORLD, plan, preparing.advance)
        short, grown = look_while_it_grows(Arena(server, "growing", plan.little, plan), WORLD, plan)
        server.drop_database("growing")
        arenas = _build_queues(server, plan, progress)
        looking = Bar(progress, "looking", len(arenas))
        looks = {}
        for queue, arena in arenas.items():
            looks[queue] = look_at(arena, plan)
            looking.advance()
        racing = Bar(progress, "racing", plan.rounds * len(plan.contestants))
        results = Results(race(arenas, plan, lambda run: _say(racing, run)), looks, short, grown)
        progress.console.print("verify() reads everything")
        violations = []
        for arena in arenas.values():
            arena.bring_back()
            violations += arena.violations()
        return CoversReport(
            is_quick=is_quick,
            machine=facts,
            settings=server.settings(),
            violations=violations,
            aims=judge(results, plan),
            plan=plan,
            results=results,
        )


def _build_queues(server: BenchServer, plan: Plan, progress: Progress) -> dict[Queue, Arena]:
    filling = Bar(progress, "filling the queues", len(plan.queues))
    arenas = {}
    for number, queue in enumerate(plan.queues):
        arenas[queue] = Arena(server, f"queue_{number}", queue, plan)
        arenas[queue].build(WORLD)
        filling.advance()
    return arenas


def _say(bar: Bar, run: Run) -> None:
    bar.say(
        f"round {run.round}, {run.queue}: {run.outcome.timing.per_second:,.0f} {run.task} a second"
    )
