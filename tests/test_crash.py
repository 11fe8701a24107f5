"""The server killed (`kill -9`) under sixteen buyers: nothing acknowledged is lost or doubled.

Each buyer numbers its calls with idempotency keys and writes down what was acknowledged before
making the next one. Which calls the crash hits is left to chance; when it comes is not left to a
clock but to the number of acknowledged calls.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from uuid import UUID

import psycopg
import pytest

from api import deploy
from api.config import DATABASE_NAME
from api.stack.postgres import EmbeddedPostgres
from tests.market import EARNED, FREE_CHAPTERS, PRICE, Market, open_market, publish_story, value

BUYERS = 16
CHAPTERS = 150
CREDITS = CHAPTERS * PRICE
# How many calls are acknowledged before the crash of each round; a fold and a seal run meanwhile.
ROUNDS = (1, 40, 100, 160, 250, 320)


@dataclass
class Buyer:
    """Somebody who buys one chapter after the other, and what came of each call."""

    reader: UUID
    acknowledged: dict[str, UUID | None] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    def next_call(self) -> tuple[str, int]:
        """The key and the chapter of a call not made before."""
        chapter = FREE_CHAPTERS + 1 + len(self.asked)
        assert chapter <= CHAPTERS, "the story is too short for this test"
        key = f"chapter {chapter}"
        self.asked[key] = chapter
        return key, chapter


class Acknowledgements:
    """Counts the answers of all buyers; the crash waits for a number of them."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = Condition()

    def add(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._count >= number, timeout=120)


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="infinite-pages-crash-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        yield server
        server.stop()


def test_every_acknowledged_purchase_survives_every_crash_once(server: EmbeddedPostgres) -> None:
    url = server.url(DATABASE_NAME)
    server.create_database(DATABASE_NAME)
    deploy.migrate(url)
    story = publish_story(url, CHAPTERS)
    with open_market(url, story) as market:
        assert value(market.owner, "show fsync") == "on"
        assert value(market.owner, "show synchronous_commit") == "on"
        buyers = [Buyer(market.reader(CREDITS)) for _ in range(BUYERS)]
    for acknowledgements in ROUNDS:
        crash_under_buyers(server, market, buyers, acknowledgements)
        server.start()
        with open_market(url, story) as market:
            settle_books(market, buyers)
    with open_market(url, story) as market:
        old_keys_answer_as_before(market, buyers)


def crash_under_buyers(
    server: EmbeddedPostgres, market: Market, buyers: list[Buyer], acknowledgements: int
) -> None:
    """Everybody buys, folds and seals run, and the server is killed in the middle of it."""
    counter = Acknowledgements()
    with ThreadPoolExecutor(BUYERS + 2) as threads:
        running = [threads.submit(buy_until_the_crash, market, each, counter) for each in buyers]
        running += [
            threads.submit(repeat_until_the_crash, market, statement)
            for statement in ("select ledger.fold()", "select ledger.seal(50)")
        ]
        counter.wait_for(acknowledgements)
        server.kill()
        for each in running:
            each.result()


def buy_until_the_crash(market: Market, buyer: Buyer, counter: Acknowledgements) -> None:
    try:
        with market.connect() as connection:
            while True:
                key, chapter = buyer.next_call()
                answer = market.purchase(connection, buyer.reader, [chapter], key)
                buyer.acknowledged[key] = answer.purchase_id
                counter.add()
    except psycopg.OperationalError:
        return


def repeat_until_the_crash(market: Market, statement: str) -> None:
    try:
        with market.connect_as_owner() as connection:
            while True:
                connection.execute(statement.encode())
    except psycopg.OperationalError:
        return


def settle_books(market: Market, buyers: list[Buyer]) -> None:
    """After recovery: what was acknowledged is there, what was not can be asked for again."""
    assert market.violations() == []
    for buyer in buyers:
        found = purchases_by_chapter(market, buyer)
        unacknowledged = buyer.asked.keys() - buyer.acknowledged.keys()
        assert len(unacknowledged) <= 1  # a buyer makes one call at a time
        for key, purchase_id in buyer.acknowledged.items():
            assert found[buyer.asked[key]] == purchase_id
        assert found.keys() <= set(buyer.asked.values())
        with market.connect() as connection:
            for key in unacknowledged:
                answer = market.purchase(connection, buyer.reader, [buyer.asked[key]], key)
                assert found.get(buyer.asked[key], answer.purchase_id) == answer.purchase_id
                buyer.acknowledged[key] = answer.purchase_id
        assert len(purchases_by_chapter(market, buyer)) == len(buyer.asked)
        assert market.balance(buyer.reader) == CREDITS - PRICE * len(buyer.asked)
    sold = sum(len(buyer.asked) for buyer in buyers)
    assert market.earned() == sold * EARNED
    market.fold()
    assert market.earned() == sold * EARNED
    assert market.seal() == market.movements()
    assert market.violations() == []


def old_keys_answer_as_before(market: Market, buyers: list[Buyer]) -> None:
    """A key answers after six crashes as it did before the first."""
    before = market.movements()
    with market.connect() as connection:
        for buyer in buyers:
            for key, purchase_id in buyer.acknowledged.items():
                again = market.purchase(connection, buyer.reader, [buyer.asked[key]], key)
                assert again.purchase_id == purchase_id
    assert market.movements() == before


def purchases_by_chapter(market: Market, buyer: Buyer) -> dict[int, UUID]:
    """What a buyer bought; a chapter that was sold twice fails."""
    rows = market.owner.execute(
        "select chapters_unlocked[1], id from app.story_purchases where user_id = %s",
        (buyer.reader,),
    ).fetchall()
    found = dict(rows)
    assert len(found) == len(rows)
    return found
