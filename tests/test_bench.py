"""The benchmark is honest: its baselines write what they claim, and what went wrong is noticed."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from api.stack.postgres import EmbeddedPostgres
from bench.cache.finding import KINDS, measure_recall
from bench.cache.meanings import NEAR, Entries
from bench.cache.plan import Plan as CachePlan
from bench.cache.world import build_world as build_cache
from bench.database import Database
from bench.errors import BenchError
from bench.library.calls import STATEMENTS as LIBRARY_CALLS
from bench.library.calls import Visitors
from bench.library.plan import Plan as LibraryPlan
from bench.library.world import READINGS as LIBRARY_READINGS
from bench.library.world import build_world as build_library
from bench.payouts.batch import Backend, Batch, Memory, Watch, close_in_steps, close_whole
from bench.payouts.beside import Readers, Round
from bench.payouts.plan import Plan as PayoutsPlan
from bench.payouts.plan import Size
from bench.payouts.results import Closings, Results, judge
from bench.payouts.world import READINGS as PAYOUT_READINGS
from bench.payouts.world import Past, build_past, must_agree
from bench.pgbench import Load
from bench.purchase.arena import Arena, build_world
from bench.purchase.plan import CREDITS, PRICE, Plan, Scenario, Variant
from bench.purchase.reading import READINGS
from bench.reading import Touched
from bench.server import BenchServer
from bench.timing import Timing, read_log

PROJECT = Path(__file__).resolve().parents[1]
TINY = replace(Plan().shrunk(), readers=20, creators=3, star_chapters=4)
PURCHASES = 5
EARNED = 4 * 0.05  # seed 000 rounds 70 % of 5 credits to 4, at $0.05

# Who sold less than three chapters of $0.175 is below the minimum.
MONTH = replace(PayoutsPlan().shrunk(), minimum_cents=50)
PAID_WORLD = Size(creators=60, earnings=600, evenings=10)

# Every table that a purchase writes, and what is new with every purchase of the same thing.
WRITTEN = {
    "ledger.accounts": "owner_id, kind",
    "ledger.lots": "book_id",
    "ledger.draws": "book_id",
    "ledger.transfers": "book_id, id",
    "ledger.requests": "book_id, key",
    "app.story_purchases": "user_id, id",
    "app.story_entitlements": "user_id, story_id, chapter_number",
}
NEW_EACH_TIME = {
    "id",
    "transaction_id",
    "purchase_id",
    "position",
    "created_at",
    "fingerprint",
}


@pytest.fixture(scope="module")
def server(postgres_server: EmbeddedPostgres) -> Iterator[BenchServer]:
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as monitor:
        yield BenchServer(postgres_server, monitor)


@pytest.fixture(scope="module")
def world(server: BenchServer) -> Iterator[str]:
    build_world(server, "bench_world", TINY)
    yield "bench_world"
    server.drop_database("bench_world")


@pytest.fixture
def arenas(server: BenchServer, world: str) -> Iterator[dict[Variant, Arena]]:
    """For each variant the same world, and the same walk through it."""
    names = {variant: f"bench_{variant}" for variant in Variant}
    for name in names.values():
        server.create_database(name, world)
    yield {variant: Arena(server, name, TINY) for variant, name in names.items()}
    for name in names.values():
        server.drop_database(name)


@pytest.fixture(scope="module")
def past(server: BenchServer) -> Iterator[Past]:
    yield build_past(server, "bench_past", PAID_WORLD, MONTH, lambda: None)
    server.drop_database("bench_past")


@pytest.fixture
def month(server: BenchServer, past: Past) -> Iterator[Database]:
    """A fresh copy of a world in which nobody was paid yet."""
    server.create_database("bench_month", "bench_past")
    yield Database(server, "bench_month")
    server.drop_database("bench_month")


@pytest.mark.parametrize("scenario", Scenario)
def test_the_rows_of_the_baseline_are_those_of_a_purchase(
    arenas: dict[Variant, Arena], scenario: Scenario
) -> None:
    for variant in (Variant.ROWS, Variant.OURS):
        outcome = arenas[variant].run(variant, scenario, Load(1, turns=PURCHASES))
        assert outcome.timing.transactions == PURCHASES
    for table in WRITTEN:
        rows = _rows(arenas[Variant.ROWS], table)
        assert rows == _rows(arenas[Variant.OURS], table), table
        assert len(rows) >= PURCHASES
    for variant in (Variant.ROWS, Variant.OURS):
        assert arenas[variant].violations() == []


def test_the_seed_does_what_its_plan_says(arenas: dict[Variant, Arena]) -> None:
    arena = arenas[Variant.SEED]
    arena.run(Variant.SEED, Scenario.ONE, Load(1, turns=PURCHASES))
    for table in ("story_purchases", "credit_transactions", "creator_earnings"):
        assert arena.value(f"select count(*) from seed.{table}") == PURCHASES
    assert arena.value("select count(*) from seed.cache_rewards") == 0
    paid = f"select sum({CREDITS} - credits_balance) from seed.profiles where not is_creator"
    assert arena.value(paid) == PURCHASES * PRICE
    earned = "select pending_payout_usd from seed.profiles where id = bench.creator(0)"
    assert float(arena.value(earned)) == pytest.approx(PURCHASES * EARNED)
    of_its_purchase = """
        select count(*)
        from seed.creator_earnings as e
        inner join seed.credit_transactions as t
            on t.id = e.transaction_id and t.user_id = e.reader_id and t.amount = -5
    """
    assert arena.value(of_its_purchase) == PURCHASES


def test_a_past_leaves_the_books_in_order(arenas: dict[Variant, Arena]) -> None:
    arena = arenas[Variant.OURS]
    movements = arena.value("select count(*) from ledger.transfers")
    arena.execute("select bench.pass_evening(n, 20) from generate_series(0, 1) as n")
    assert arena.value("select count(*) from ledger.transfers") == movements + 2 * 2 * 20
    arena.execute("select ledger.fold()")
    assert arena.violations() == []


def test_nothing_is_bought_twice_until_everything_is_bought(
    arenas: dict[Variant, Arena],
) -> None:
    arena = arenas[Variant.OURS]
    everything = TINY.readers * 2  # of four chapters two are free
    for _ in range(2):
        arena.run(Variant.OURS, Scenario.ONE, Load(2, turns=everything // 4))
    assert arena.value("select count(*) from app.story_purchases") == everything
    with pytest.raises(BenchError, match="measure fewer seconds or rounds"):
        arena.run(Variant.OURS, Scenario.ONE, Load(1, turns=1))


def test_a_failing_purchase_is_not_a_fast_one(arenas: dict[Variant, Arena]) -> None:
    arena = arenas[Variant.OURS]
    arena.execute("update app.stories set status = 'archived'")
    with pytest.raises(BenchError, match="There is no such story on sale"):
        arena.run(Variant.OURS, Scenario.ONE, Load(1, turns=1))


def test_rates_are_those_after_the_warm_up(tmp_path: Path) -> None:
    """One client: ten purchases in the first second, then two in two seconds."""
    ends = [divmod(turn + 1, 10) for turn in range(10)]
    lines = [
        f"0 {turn} 100000 0 {1000 + second} {tenth}00000"
        for turn, (second, tenth) in enumerate(ends, start=1)
    ]
    lines += ["0 11 500000 0 1001 500000", "0 12 900000 0 1002 400000"]
    (tmp_path / "log.1").write_text("\n".join(lines) + "\n")
    timing = read_log(tmp_path, warm_up=1, seconds=2)
    assert timing.transactions == 12
    assert timing.most_turns == 12
    assert timing.per_second == pytest.approx(1.0)
    assert timing.median_milliseconds == pytest.approx(700)
    assert timing.p95_milliseconds == pytest.approx(900)
    assert timing.p99_milliseconds == pytest.approx(900)


def test_a_quick_run_reports_everything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.purchase", "--quick", "--large", "--output", str(tmp_path)],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "purchase.json").read_text())
    plan = Plan().shrunk()
    assert found["quick"] is True
    assert found["violations"] == []
    assert found["settings"]["fsync"] == "on"
    assert found["settings"]["synchronous_commit"] == "on"
    assert found["settings"]["full_page_writes"] == "on"
    assert len(found["runs"]) == len(Variant) * len(Scenario) * len(plan.clients) * plan.rounds
    assert all(run["outcome"]["timing"]["transactions"] > 0 for run in found["runs"])
    for cost in found["costs"].values():
        assert cost["wal_bytes"]["median"] > 0
        assert cost["buffers"]["median"] > 0
    assert found["growth"]["large"]["movements"] > 10 * found["growth"]["little"]["movements"]
    assert set(found["growth"]["large"]["reading"]) == {reading.name for reading in READINGS}
    assert all(aim["figure"] is not None for aim in found["aims"])
    text = (tmp_path / "purchase.txt").read_text()
    assert "No figure counts" in text
    for aim in found["aims"]:
        assert ("met" if aim["is_met"] else "not met") in text


@pytest.mark.parametrize(
    ("close", "steps"), [(close_whole, 1), (lambda month: close_in_steps(month, 7), 9)]
)
def test_a_month_is_paid_as_its_movements_say(
    month: Database, past: Past, close: Callable[[Database], Batch], steps: int
) -> None:
    assert past.earnings == PAID_WORLD.earnings
    assert {"paid", "not_verified", "below_minimum", "negative"} <= past.due.creators.keys()
    batch = close(month)
    must_agree(month)
    assert (batch.creators, batch.steps) == (sum(past.due.creators.values()), steps)
    assert month.value("select sum(amount_cents) from app.payouts") == past.due.cents > 0
    assert month.value("select count(*) from app.payouts") == past.due.creators["paid"]
    assert month.violations() == []


@pytest.mark.parametrize(
    "mistake",
    [
        "update app.payouts as p set amount_cents = p.amount_cents - 1"
        " where p.creator_id = bench.creator(0)",
        "update bench.expected_payouts set outcome = 'paused' where outcome = 'not_verified'",
        "delete from bench.expected_payouts where creator_id = bench.creator(0)",
        "insert into bench.expected_payouts values (bench.reader(0), 'paid', 1)",
    ],
)
def test_a_payout_that_the_movements_do_not_say_is_noticed(month: Database, mistake: str) -> None:
    close_whole(month)
    month.execute(mistake)
    with pytest.raises(BenchError, match="are not what the movements say"):
        must_agree(month)


def test_memory_is_what_a_backend_has_of_its_own(month: Database) -> None:
    with Backend.open(month) as backend:
        with Watch(backend) as little:
            backend.connection.execute("select count(*) from ledger.transfers")
        with Watch(backend) as much:
            backend.connection.execute(
                "select cardinality(array_agg(repeat('x', 1000) || n))"
                " from generate_series(1, 100000) as n"
            )
    assert little.memory.peak - little.memory.before < 20
    assert much.memory.peak - much.memory.before > 90


def test_what_grows_too_fast_meets_no_aim(past: Past) -> None:
    small = _batch(seconds=10, megabytes=10)
    same = _results(
        _read(past, buffers=200, milliseconds=100),
        [small],
        _batch(seconds=120, megabytes=15),
        [_round(alone=100, beside=90, running=1.0), _round(alone=100, beside=70, running=0.9)],
    )
    assert all(aim.is_met for aim in judge(same))
    worse = _results(
        _read(past, buffers=201, milliseconds=101),
        [small],
        _batch(seconds=121, megabytes=16),
        [_round(alone=100, beside=79, running=1.0)],
    )
    assert not any(aim.is_met for aim in judge(worse))


def test_a_batch_that_was_over_too_soon_says_nothing_of_readers(past: Past) -> None:
    batch = _batch(seconds=1, megabytes=1)
    soon = _round(alone=100, beside=100, running=0.5)
    aims = judge(_results(past, [batch], batch, [_round(100, 100, running=1.0), soon]))
    assert [aim.name for aim in aims if aim.is_met is None] == [
        "purchases beside a batch / without"
    ]


def test_a_quick_month_reports_everything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.payouts", "--quick", "--output", str(tmp_path)],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "payouts.json").read_text())
    plan = PayoutsPlan().shrunk()
    results = found["results"]
    assert found["quick"] is True
    assert found["violations"] == []
    assert results["large"]["earnings"] == plan.earnings
    assert results["small"]["earnings"] == plan.small.earnings
    for way in ("whole", "steps"):
        assert results[way]["large"]["creators"] > 9 * results[way]["small"][0]["creators"]
        assert results[way]["large"]["memory"]["peak"] > results[way]["large"]["memory"]["before"]
    assert {size["asked"] for size in results["sizes"]} == set(plan.steps)
    assert all(each["creators"] > 0 for each in results["readers"]["rounds"])
    text = (tmp_path / "payouts.txt").read_text()
    assert "No figure counts" in text
    for aim in found["aims"]:
        assert aim["name"] in text
    for reading in PAYOUT_READINGS:
        assert reading.name in text


def test_a_quick_library_reports_everything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.library", "--quick", "--output", str(tmp_path)],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "library.json").read_text())
    plan = LibraryPlan().shrunk()
    results = found["results"]
    assert found["quick"] is True
    assert found["violations"] == []
    assert results["large"]["progress_rows"] > plan.large.progress_rows
    assert results["small"]["progress_rows"] < results["large"]["progress_rows"] / 10
    for reading in LIBRARY_READINGS:
        assert results["large"]["reading"][reading.name]["buffers"] > 0
    assert len(results["rounds"]) == plan.rounds
    assert all(each["large"].keys() == set(LIBRARY_CALLS) for each in results["rounds"])
    assert all(aim["figure"] is not None for aim in found["aims"])
    text = (tmp_path / "library.txt").read_text()
    assert "No figure counts" in text
    for aim in found["aims"]:
        assert aim["name"] in text


def test_a_save_that_is_not_kept_is_noticed(server: BenchServer) -> None:
    plan = replace(LibraryPlan().shrunk(), readers=100)
    build_library(server, "bench_library", plan.small, plan)
    database = Database(server, "bench_library")
    visitors = Visitors(database, plan.small, seed=1)
    visitors.come(3)
    visitors.must_have_saved()
    database.execute("update app.reading_progress set reading_seconds = reading_seconds + 1")
    with pytest.raises(BenchError, match="seconds, and"):
        visitors.must_have_saved()
    server.drop_database("bench_library")


def test_too_few_readers_are_refused() -> None:
    with pytest.raises(BenchError, match="are too few"):
        LibraryPlan().with_readers(99)


def test_near_duplicates_are_as_near_as_they_say() -> None:
    entries = Entries(genres=8, topic=10)
    one = entries.meaning(15)
    for cosine in NEAR:
        assert _cosine(one, entries.near(15, cosine)) == pytest.approx(cosine, abs=0.01)
    assert _cosine(one, entries.meaning(16)) == pytest.approx(0.81, abs=0.05)
    assert _cosine(one, entries.meaning(25)) == pytest.approx(0, abs=0.2)
    assert entries.meaning(15) == one


def test_what_the_index_does_not_find_is_noticed(server: BenchServer) -> None:
    plan = replace(CachePlan().shrunk(), near=10)
    build_cache(server, "bench_cache", (60, 50), plan, lambda _: None)
    database = Database(server, "bench_cache")
    for found in measure_recall(database, plan):
        assert (found.asked, found.near_enough, found.found) == (10, 10, 10)
        assert (found.nearest, found.false_hits) == (10, 0)
    database.execute("update app.economy set cache_similarity_basis_points = 10000")
    assert [found.found for found in measure_recall(database, plan)] == [0, 0, 0]
    assert database.violations() == []
    server.drop_database("bench_cache")


def test_a_quick_cache_reports_everything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.cache", "--quick", "--output", str(tmp_path)],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "cache.json").read_text())
    plan = CachePlan().shrunk()
    results = found["results"]
    assert found["quick"] is True
    assert found["violations"] == []
    sizes = {
        name: (results[name]["entries"], results[name]["meanings"]) for name in ("little", "large")
    }
    assert sizes == {"little": (plan.little, plan.little), "large": (plan.words, plan.large)}
    for name in sizes:
        assert set(results["lookups"][name]) == set(KINDS)
        assert [each["asked"] for each in results["recall"][name]] == [plan.near] * len(NEAR)
    text = (tmp_path / "cache.txt").read_text()
    assert "No figure counts" in text
    for aim in found["aims"]:
        assert aim["figure"] is not None
        assert aim["name"] in text


def test_a_cache_too_small_to_tell_is_refused() -> None:
    with pytest.raises(BenchError, match="are too few"):
        CachePlan().with_sizes(10, None)


@pytest.mark.parametrize("sizes", [(100, 5_000_000), (100_000, 100)])
def test_a_world_too_small_to_tell_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(BenchError, match="are too few"):
        PayoutsPlan().with_sizes(*sizes)


def _cosine(one: list[float], other: list[float]) -> float:
    """Of two vectors of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def _batch(seconds: float, megabytes: float) -> Batch:
    return Batch(100, 1, seconds, seconds, Memory(1.0, megabytes))


def _round(alone: float, beside: float, running: float) -> Round:
    before, during = (Timing(1, each, 1.0, 1.0, 1.0, 1) for each in (alone, beside))
    return Round(number=1, alone=before, beside=during, creators=1, running=running)


def _read(past: Past, buffers: int, milliseconds: float) -> Past:
    return replace(past, reading={name: Touched(buffers, milliseconds) for name in past.reading})


def _results(past: Past, small: list[Batch], large: Batch, rounds: list[Round]) -> Results:
    closings = Closings(small, large)
    little = _read(past, buffers=100, milliseconds=1)
    return Results(little, past, closings, closings, [], Readers(1, rounds))


def _rows(arena: Arena, table: str) -> list[dict[str, Any]]:
    """The rows of a table in order, without what is new each time."""
    query = sql.SQL("select * from {} order by {}").format(sql.SQL(table), sql.SQL(WRITTEN[table]))
    with psycopg.connect(arena.url, row_factory=dict_row) as connection:
        return [_without_new(row) for row in connection.execute(query)]


def _without_new(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_new(value) if isinstance(value, dict) else value
        for name, value in row.items()
        if name not in NEW_EACH_TIME
    }
