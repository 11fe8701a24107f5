"""What reading touches: pages and milliseconds of something that somebody looks at."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, median_low
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from bench.database import Database

REPEATS = 5


@dataclass(frozen=True)
class Reading:
    """One thing that somebody looks at."""

    name: str
    query: str
    person: str
    role: str = "authenticated"
    has_aim: bool = True
    repeats: int = REPEATS


@dataclass(frozen=True)
class Touched:
    """What a reading took, with everything it needs in memory."""

    buffers: int
    milliseconds: float


def look(database: Database, readings: Iterable[Reading]) -> dict[str, Touched]:
    """Take every reading, each in a session of its own."""
    return {reading.name: _look(database, reading) for reading in readings}


def _look(database: Database, reading: Reading) -> Touched:
    with psycopg.connect(database.url, autocommit=True) as connection:
        found = connection.execute(f"select {reading.person}").fetchone()
        assert found is not None
        claims = Jsonb({"role": "authenticated", "sub": str(found[0])})
        connection.execute("select set_config('request.jwt.claims', %s::text, false)", (claims,))
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(reading.role)))
        return explain(connection, reading.query, reading.repeats)


def explain(connection: psycopg.Connection[Any], query: str, repeats: int = REPEATS) -> Touched:
    """What a statement takes in this session, by the later half: the first fill its caches."""
    plans = [_explain(connection, query) for _ in range(repeats)][repeats // 2 :]
    return Touched(
        buffers=median_low(
            int(plan["Plan"]["Shared Hit Blocks"]) + int(plan["Plan"]["Shared Read Blocks"])
            for plan in plans
        ),
        milliseconds=median(float(plan["Execution Time"]) for plan in plans),
    )


def _explain(connection: psycopg.Connection[Any], query: str) -> dict[str, Any]:
    row = connection.execute(f"explain (analyze, buffers, timing off, format json) {query}")
    found = row.fetchone()
    assert found is not None
    plan: dict[str, Any] = found[0][0]
    return plan
