"""The benchmark of the queue is honest: a run that is not what it claims to be is no figure."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from api.stack.postgres import EmbeddedPostgres
from bench.covers.arena import Arena, Outcome
from bench.covers.looking import CLAIMING, LATE, SIZED
from bench.covers.plan import Plan, Queue, Task
from bench.covers.race import Race, Run
from bench.covers.results import Results, judge
from bench.covers.world import build_world
from bench.errors import BenchError
from bench.reading import Touched
from bench.server import BenchServer, Used
from bench.timing import Timing

PROJECT = Path(__file__).resolve().parents[1]
PLAN = replace(Plan().shrunk(), authors=20, waiting=(60, 60, 60), unserved=10, postponed=10)
WORLD = "bench_covers"
QUEUE = Queue("a queue", waiting=60, unserved=10, postponed=10)


@pytest.fixture(scope="module")
def server(postgres_server: EmbeddedPostgres) -> Iterator[BenchServer]:
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as monitor:
        server = BenchServer(postgres_server, monitor)
        build_world(server, WORLD, PLAN, lambda _: None)
        yield server
        server.drop_database(WORLD)


@pytest.fixture
def arena(server: BenchServer) -> Iterator[Arena]:
    """A queue that nobody has worked on."""
    arena = Arena(server, "bench_queue", QUEUE, PLAN)
    arena.build(WORLD)
    yield arena
    server.drop_database(arena.name)


def test_every_task_leaves_the_queue_and_the_books_in_order(arena: Arena) -> None:
    everybody = PLAN.clients * 10
    for task in Task:
        assert arena.run(task, 10).timing.transactions == everybody
        assert arena.value("select count(*) from app.cover_jobs where state = 'pending'") == 80
        assert arena.value("select count(*) from bench.plain_jobs where state = 'pending'") == 60
    assert arena.value("select count(*) from app.cover_jobs where state = 'generating'") == 0
    completed = "select count(*) from app.cover_jobs where state = 'completed'"
    assert arena.value(completed) == PLAN.made_before + everybody
    assert any("cover_sale_without_job" in each for each in arena.violations())
    arena.bring_back()
    assert arena.violations() == []
    # Every job was paid for before it was in the queue, and nothing was given back.
    paid = "select count(*) from app.cover_jobs where transaction_id is not null"
    assert arena.value(paid) == PLAN.reserve + 10 + everybody
    assert arena.value("select sum(credits) from ledger.reservations") == 5 * arena.value(paid)


def test_a_claim_that_finds_nothing_is_not_a_fast_one(arena: Arena) -> None:
    arena.execute("update app.cover_jobs set model = 'nobody_has_it'")
    arena.execute("update bench.reserve set job.model = 'nobody_has_it'")
    with pytest.raises(BenchError, match="expected one row, got 0"):
        arena.run(Task.CLAIM, 10)


def test_a_finish_that_leaves_no_cover_is_noticed(arena: Arena) -> None:
    arena.execute(
        "create or replace function app.finish_cover(job_id uuid, lease_token uuid, image jsonb)"
        " returns uuid language sql return job_id"
    )
    with pytest.raises(BenchError, match=r"the tables of bench_queue say 0"):
        arena.run(Task.FINISH, 10)


@pytest.mark.parametrize(
    ("change", "is_passed_over"),
    [
        ("model = 'deliberate_v2'", True),
        ("model = 'nobody_has_it'", False),
        ("run_at = now() + interval '1 hour'", False),
    ],
)
def test_who_waits_longer_than_one_that_was_claimed_was_passed_over(
    arena: Arena, change: str, is_passed_over: bool
) -> None:
    passed_over = "select bench.was_anybody_passed_over()"
    assert arena.value(CLAIMING) is not None
    assert arena.value(passed_over) is False
    arena.execute(
        f"update app.cover_jobs set turn_at = '-infinity', {change}"
        " where id = (select max(id::text)::uuid from app.cover_jobs where state = 'pending')"
    )
    assert arena.value(passed_over) is is_passed_over


def test_jobs_that_are_used_up_are_an_error(arena: Arena) -> None:
    with pytest.raises(BenchError, match="measure fewer rounds"):
        arena.fill(PLAN.reserve)


def test_what_grows_with_the_queue_meets_no_aim() -> None:
    plan = Plan()
    flat = _results(plan, times=1.0, more=1)
    assert all(aim.is_met for aim in judge(flat, plan))
    growing = _results(plan, times=0.4, more=20)
    assert not any(aim.is_met for aim in judge(growing, plan))


def test_a_quick_run_of_the_queue_reports_everything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.covers", "--quick", "--output", str(tmp_path)],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "covers.json").read_text())
    plan = Plan().shrunk()
    assert found["quick"] is True
    assert found["violations"] == []
    assert len(found["runs"]) == len(plan.contestants) * plan.rounds
    for run in found["runs"]:
        turns = plan.turns(Task(run["task"]))
        assert run["outcome"]["timing"]["transactions"] == plan.clients * turns
    assert found["looks"].keys() == {queue.name for queue in plan.queues}
    assert all(looks.keys() >= set(SIZED) for looks in found["looks"].values())
    assert found["looks"][plan.large.name][LATE]["buffers"] > 0
    text = (tmp_path / "covers.txt").read_text()
    assert "No figure counts" in text
    for aim in found["aims"]:
        assert aim["figure"] is not None
        assert aim["name"] in text


def _results(plan: Plan, times: float, more: int) -> Results:
    """With each step from a short queue to a long one or behind others: so many times as fast."""
    steps = dict.fromkeys(plan.queues, 2) | {plan.little: 0, plan.middle: 1}
    runs = [_run(task, queue, 100.0 * times ** steps[queue]) for task, queue in plan.contestants]
    looks = {
        queue: {name: Touched(10 * more**step, 1.0 * more**step) for name in (*SIZED, LATE)}
        for queue, step in steps.items()
    }
    return Results(Race(runs), looks, Touched(100, 1.0), Touched(100 * more, 1.0))


def _run(task: Task, queue: Queue, per_second: float) -> Run:
    timing = Timing(1, per_second, 1.0, 1.0, 1.0, 1)
    return Run(task, queue.name, 1, Outcome(timing, Used(0, 0, 0, 1.0)))
