"""What reading touches: a reader's and a creator's own pages, with a short past and a long one."""

from dataclasses import dataclass
from statistics import median
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from bench.purchase.arena import Arena

REPEATS = 5


@dataclass(frozen=True)
class Reading:
    """One thing that somebody looks at."""

    name: str
    query: str
    person: str
    role: str = "authenticated"
    has_aim: bool = True


READINGS = (
    Reading("a reader's balance", "select * from api.credit_balance()", "bench.reader(0)"),
    Reading(
        "a reader's first statement page",
        "select * from api.credit_transactions order by id desc limit 50",
        "bench.reader(0)",
    ),
    Reading(
        "the star's balance",
        "select ledger.balance(bench.creator(0), 'earnings')",
        "bench.creator(0)",
        role="app_owner",
    ),
    Reading(
        "the star's first page of earnings",
        "select * from api.creator_earnings order by id desc limit 50",
        "bench.creator(0)",
    ),
    Reading(
        "the star's earnings by story and month",
        "select * from api.earnings_summary()",
        "bench.creator(0)",
        has_aim=False,
    ),
)


@dataclass(frozen=True)
class Touched:
    """What a reading took, with everything it needs in memory."""

    buffers: int
    milliseconds: float


def look(arena: Arena) -> dict[str, Touched]:
    """Take every reading, each in a session of its own."""
    return {reading.name: _look(arena, reading) for reading in READINGS}


def _look(arena: Arena, reading: Reading) -> Touched:
    with psycopg.connect(arena.url, autocommit=True) as connection:
        found = connection.execute(f"select {reading.person}").fetchone()
        assert found is not None
        claims = Jsonb({"role": "authenticated", "sub": str(found[0])})
        connection.execute("select set_config('request.jwt.claims', %s::text, false)", (claims,))
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(reading.role)))
        plans = [_explain(connection, reading.query) for _ in range(REPEATS)]
    top = plans[-1]["Plan"]
    return Touched(
        buffers=int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"]),
        milliseconds=median(float(plan["Execution Time"]) for plan in plans),
    )


def _explain(connection: psycopg.Connection[Any], query: str) -> dict[str, Any]:
    row = connection.execute(f"explain (analyze, buffers, timing off, format json) {query}")
    found = row.fetchone()
    assert found is not None
    plan: dict[str, Any] = found[0][0]
    return plan
