"""The benchmark is honest: its baselines write what they claim, and what went wrong is noticed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from api.stack.postgres import EmbeddedPostgres
from bench.purchase.arena import Arena, Load, build_world
from bench.purchase.errors import BenchError
from bench.purchase.plan import CREDITS, PRICE, Plan, Scenario, Variant
from bench.purchase.reading import READINGS
from bench.purchase.server import BenchServer
from bench.purchase.timing import read_log

PROJECT = Path(__file__).resolve().parents[1]
TINY = replace(Plan().shrunk(), readers=20, creators=3, star_chapters=4)
PURCHASES = 5
EARNED = 4 * 0.05  # seed 000 rounds 70 % of 5 credits to 4, at $0.05

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
    _drop(server, "bench_world")


@pytest.fixture
def arenas(server: BenchServer, world: str) -> Iterator[dict[Variant, Arena]]:
    """For each variant the same world, and the same walk through it."""
    names = {variant: f"bench_{variant}" for variant in Variant}
    for name in names.values():
        server.create_database(name, world)
    yield {variant: Arena(server, name, TINY) for variant, name in names.items()}
    for name in names.values():
        _drop(server, name)


@pytest.mark.parametrize("scenario", Scenario)
def test_the_rows_of_the_baseline_are_those_of_a_purchase(
    arenas: dict[Variant, Arena], scenario: Scenario
) -> None:
    for variant in (Variant.ROWS, Variant.OURS):
        outcome = arenas[variant].run(variant, scenario, Load(1, purchases=PURCHASES))
        assert outcome.timing.transactions == PURCHASES
    for table in WRITTEN:
        rows = _rows(arenas[Variant.ROWS], table)
        assert rows == _rows(arenas[Variant.OURS], table), table
        assert len(rows) >= PURCHASES
    for variant in (Variant.ROWS, Variant.OURS):
        assert arenas[variant].violations() == []


def test_the_seed_does_what_its_plan_says(arenas: dict[Variant, Arena]) -> None:
    arena = arenas[Variant.SEED]
    arena.run(Variant.SEED, Scenario.ONE, Load(1, purchases=PURCHASES))
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
        arena.run(Variant.OURS, Scenario.ONE, Load(2, purchases=everything // 4))
    assert arena.value("select count(*) from app.story_purchases") == everything
    with pytest.raises(BenchError, match="measure fewer seconds or rounds"):
        arena.run(Variant.OURS, Scenario.ONE, Load(1, purchases=1))


def test_a_failing_purchase_is_not_a_fast_one(arenas: dict[Variant, Arena]) -> None:
    arena = arenas[Variant.OURS]
    arena.execute("update app.stories set status = 'archived'")
    with pytest.raises(BenchError, match="There is no such story on sale"):
        arena.run(Variant.OURS, Scenario.ONE, Load(1, purchases=1))


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
    assert timing.slow_milliseconds == pytest.approx(900)


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


def _drop(server: BenchServer, database: str) -> None:
    with psycopg.connect(server.postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("drop database {} with (force)").format(sql.Identifier(database))
        )
