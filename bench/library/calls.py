"""Readers who come one after the other, in both worlds by turns: how long each call takes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles
from time import perf_counter
from typing import Any
from uuid import UUID

import psycopg

from bench.database import Database
from bench.errors import BenchError
from bench.library.plan import CHAPTERS_EACH, STORIES_EACH, Plan, Size
from bench.spread import Spread

Connection = psycopg.Connection[Any]

SAVE = "save_progress"
STATE = "reading_state of one story"
GO_ON = "what to go on with"
SECONDS_READ = 30
STATEMENTS = {
    SAVE: "select * from api.save_progress(%(story)s, %(chapter)s, %(percent)s, %(seconds)s)",
    STATE: "select * from api.reading_state where story_id = %(story)s",
    GO_ON: (
        "select * from api.reading_state where status = 'reading' and last_read_at is not null"
        " order by last_read_at desc limit 5"
    ),
}


@dataclass(frozen=True)
class Timed:
    """Calls of one kind in one world and round, in milliseconds."""

    median: float
    slow: float  # only one in a hundred takes longer

    @classmethod
    def of(cls, milliseconds: list[float]) -> "Timed":
        return cls(median(milliseconds), quantiles(milliseconds, n=100, method="inclusive")[-1])


@dataclass(frozen=True)
class Round:
    """The same calls in the small world and in the large one."""

    number: int
    small: dict[str, Timed]
    large: dict[str, Timed]


def ratio(rounds: list[Round], kind: str) -> Spread:
    """The medians of the large world to those of the small one, each within its round."""
    return Spread.of([each.large[kind].median / each.small[kind].median for each in rounds])


class Visitors:
    """Readers of one world, over one connection in their role."""

    def __init__(self, database: Database, size: Size, seed: int) -> None:
        self._database = database
        self._size = size
        self._random = Random(seed)
        self._saved = 0
        self._seconds_before = self._seconds()

    def come(self, calls: int) -> dict[str, Timed]:
        """So many calls of each kind, each of another reader."""
        with self._connection() as connection:
            return {
                kind: Timed.of([self._call(connection, kind) for _ in range(calls)])
                for kind in STATEMENTS
            }

    def must_have_saved(self) -> None:
        """Refuse figures of calls that were not kept."""
        kept = self._seconds() - self._seconds_before
        if kept != self._saved * SECONDS_READ:
            raise BenchError(
                f"{self._saved} calls in {self._database.name} were to keep "
                f"{self._saved * SECONDS_READ} seconds, and {kept} are kept"
            )

    def _call(self, connection: Connection, kind: str) -> float:
        reader = self._random.randrange(self._size.readers)
        place = self._random.randrange(STORIES_EACH)
        row = connection.execute(
            "select bench.reader(%s), bench.library_story(%s, %s, %s)",
            (reader, reader, place, self._size.stories),
        ).fetchone()
        assert row is not None
        arguments = {
            "story": row[1],
            "chapter": self._random.randint(1, CHAPTERS_EACH),
            "percent": self._random.randint(0, 100),
            "seconds": SECONDS_READ,
        }
        _sign_in(connection, row[0])
        began = perf_counter()
        found = connection.execute(STATEMENTS[kind].encode(), arguments).fetchall()
        milliseconds = (perf_counter() - began) * 1000
        if not found:
            raise BenchError(f"{kind} found nothing in {self._database.name}")
        self._saved += kind == SAVE
        return milliseconds

    def _seconds(self) -> int:
        return int(
            self._database.value("select sum(reading_seconds)::bigint from app.reading_progress")
        )

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with psycopg.connect(
            self._database.url, autocommit=True, prepare_threshold=1
        ) as connection:
            connection.execute("set role authenticated")
            yield connection


def visit(small: Visitors, large: Visitors, plan: Plan, say: Callable[[str], None]) -> list[Round]:
    """Alternate, and each time begin with the other."""
    rounds = []
    for visitors in (small, large):
        visitors.come(plan.calls)  # so that everything is in memory
    for number in range(1, plan.rounds + 1):
        timed = {}
        for is_large in (number % 2 == 0, number % 2 == 1):
            timed[is_large] = (large if is_large else small).come(plan.calls)
        rounds.append(Round(number, timed[False], timed[True]))
        say(
            f"round {number}: a save takes {timed[False][SAVE].median:.2f} ms in the small world, "
            f"{timed[True][SAVE].median:.2f} ms in the large one"
        )
    for visitors in (small, large):
        visitors.must_have_saved()
    return rounds


def _sign_in(connection: Connection, reader: UUID) -> None:
    claims = json.dumps({"sub": str(reader), "role": "authenticated"})
    connection.execute("select set_config('request.jwt.claims', %s, false)", (claims,))
