"""The requests: every reader with a token of their own, and nothing bought twice."""

import json
from collections.abc import Iterator
from enum import StrEnum
from itertools import cycle
from random import Random
from uuid import UUID

import psycopg

from api.tokens import sign_token
from bench.database import Database
from bench.errors import BenchError
from bench.purchase.plan import FREE_CHAPTERS
from bench.purchase.plan import Plan as World

TOKEN_HOURS = 12.0


class Call(StrEnum):
    """What is called."""

    PURCHASE = "purchase"
    NOTHING = "nothing"


STATUS = {Call.PURCHASE: 200, Call.NOTHING: 204}


class Callers:
    """The readers of the world, who come in an order that is shuffled for each chapter."""

    def __init__(self, database: Database, world: World, jwt_secret: str) -> None:
        with psycopg.connect(database.url) as connection:
            found = connection.execute(
                "select bench.reader(n) from generate_series(0, %s) as n", (world.readers - 1,)
            )
            readers = [row[0] for row in found]
            story = connection.execute("select bench.story(0)").fetchone()
        assert story is not None
        self._heads = [_head(jwt_secret, reader) for reader in readers]
        self._story = str(story[0])
        self._chapters = range(FREE_CHAPTERS + 1, world.star_chapters + 1)
        self.requests = {Call.PURCHASE: self._purchases(), Call.NOTHING: self._nothings()}

    def _purchases(self) -> Iterator[bytes]:
        """Every reader buys the star's next chapter, then the one after it."""
        for chapter in self._chapters:
            for reader in self._shuffled(chapter):
                body = json.dumps(
                    {
                        "story_id": self._story,
                        "purchase_type": "chapter",
                        "chapters": [chapter],
                        "idempotency_key": f"bench, reader {reader}, chapter {chapter}",
                    }
                )
                yield _post("purchase_story", self._heads[reader], body)
        raise BenchError("all chapters are bought by now: measure fewer seconds or rounds")

    def _nothings(self) -> Iterator[bytes]:
        for turn in cycle(self._chapters):
            for reader in self._shuffled(turn):
                yield _post("do_nothing", self._heads[reader], "{}")

    def _shuffled(self, turn: int) -> list[int]:
        readers = list(range(len(self._heads)))
        Random(turn).shuffle(readers)
        return readers


def _head(jwt_secret: str, reader: UUID) -> str:
    token = sign_token(jwt_secret, subject=reader, role="authenticated", hours=TOKEN_HOURS)
    return f"Host: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"


def _post(function: str, head: str, body: str) -> bytes:
    return (
        f"POST /rpc/{function} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
