"""A story on sale and the people who buy it: what the tests of money act on.

Calls are made the way PostgREST makes them: logged in as `authenticator`, one transaction a call,
the role and the claims set for that transaction only.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row

from api.config import with_login
from api.stack.wait import wait_until

Connection = psycopg.Connection[Any]
Answer = TypeVar("Answer")

FREE_CHAPTERS = 2
PRICE = 5
EARNED = 175_000  # of one chapter: 70 % of 5 credits at $0.05, in micro-dollars
WAIT_SECONDS = 60.0
LOCK_WALLET = "select ledger.lock_wallet(%s)"


@dataclass(frozen=True)
class Purchase:
    """What `purchase_story` answers."""

    purchase_id: UUID | None
    credits_spent: int
    balance: int
    chapters_unlocked: list[int]
    already_owned: bool
    message: str


@dataclass(frozen=True)
class Story:
    """What is on sale, and who earns by it."""

    id: UUID
    creator: UUID


class Market:
    """One story of one creator, in one database."""

    def __init__(self, url: str, owner: Connection, story: Story) -> None:
        self.url = url
        self.owner = owner
        self.story = story.id
        self.creator = story.creator

    def connect(self) -> Connection:
        """A connection of PostgREST's login; each statement its own transaction."""
        return psycopg.connect(with_login(self.url, "authenticator", None), autocommit=True)

    def connect_as_owner(self) -> Connection:
        """A further connection for what the worker does, for use in a thread."""
        return psycopg.connect(self.url, autocommit=True)

    # What people do

    def reader(self, credits: int = 0) -> UUID:
        """Somebody new, with so many credits."""
        reader = uuid4()
        if credits:
            self.give(reader, credits)
        return reader

    def give(self, reader: UUID, credits: int) -> None:
        self.owner.execute("select app.grant_credits(%s, %s, 'for a test')", (reader, credits))

    def purchase(
        self, connection: Connection, reader: UUID, chapters: list[int], key: str | None = None
    ) -> Purchase:
        """Buy chapters in one transaction, or in a savepoint of the one that is open."""
        with acting_as(connection, reader), connection.cursor(row_factory=class_row(Purchase)) as c:
            c.execute(
                "select * from api.purchase_story(%s, 'chapter', %s, idempotency_key => %s)",
                (self.story, chapters, key),
            )
            answer = c.fetchone()
        assert answer is not None
        return answer

    def buyer(
        self, reader: UUID, chapters: list[int], key: str | None = None
    ) -> Callable[[], Purchase]:
        """The same as a call for a thread, over a connection of its own."""

        def call() -> Purchase:
            with self.connect() as connection:
                return self.purchase(connection, reader, chapters, key)

        return call

    def refunder(
        self, reader: UUID, purchase: UUID | None, credits: int | None = None
    ) -> Callable[[], int]:
        """A call for a thread: an operator gives credits back; the balance after."""

        def call() -> int:
            with self.connect() as connection, acting_as(connection, uuid4(), "service_role"):
                balance: int = value(
                    connection,
                    "select balance_after from api.refund_story_purchase(%s, %s, 'a test', %s)",
                    reader,
                    purchase,
                    credits,
                )
                return balance

        return call

    # What the figures are

    def balance(self, reader: UUID) -> int:
        return int(value(self.owner, "select ledger.balance(%s, 'wallet')", reader))

    def earned(self) -> int:
        """The creator's balance as the ledger states it, in micro-dollars."""
        return int(value(self.owner, "select ledger.balance(%s, 'earnings')", self.creator))

    def purchases(self, reader: UUID) -> int:
        return int(
            value(self.owner, "select count(*) from app.story_purchases where user_id = %s", reader)
        )

    def fold(self) -> None:
        self.owner.execute("select ledger.fold()")

    def seal(self) -> int:
        """Seal what is final; the number of movements sealed so far."""
        self.owner.execute("select ledger.seal()")
        return int(value(self.owner, "select coalesce(sum(transfers), 0) from ledger.seals"))

    def movements(self) -> int:
        return int(value(self.owner, "select count(*) from ledger.transfers"))

    def folded_position(self) -> int:
        return int(value(self.owner, "select position from ledger.fold_state"))

    def violations(self) -> list[tuple[str, str, str]]:
        return self.owner.execute("select * from ledger.verify()").fetchall()

    # How they meet

    def wait_for_queue(self, length: int) -> None:
        """Wait until so many sessions of this database wait for a lock."""
        waiting = (
            "select count(*) from pg_stat_activity "
            "where datname = current_database() and wait_event_type = 'Lock'"
        )
        assert wait_until(lambda: value(self.owner, waiting) == length, seconds=WAIT_SECONDS)

    @contextmanager
    def gate(self, queue_length: int, statement: str, *arguments: object) -> Iterator[None]:
        """Hold a lock until so many calls, which the block starts, wait for it."""
        with self.connect_as_owner() as holder, holder.transaction():
            holder.execute(statement.encode(), arguments)
            yield
            self.wait_for_queue(queue_length)

    def at_one_wallet(
        self, reader: UUID, calls: Sequence[Callable[[], Answer]]
    ) -> list[Answer | psycopg.Error]:
        """Let calls of one person start together: all queue for the wallet before one gets it."""
        with ThreadPoolExecutor(len(calls)) as threads:
            with self.gate(len(calls), LOCK_WALLET, reader):
                outcomes = [threads.submit(outcome_of, call) for call in calls]
            return [outcome.result() for outcome in outcomes]


@contextmanager
def open_market(url: str, story: Story | None = None) -> Iterator[Market]:
    """Trade in a migrated database; at the end the ledger must still be right."""
    with psycopg.connect(url, autocommit=True) as owner:
        market = Market(url, owner, story or publish_story(url))
        yield market
        assert market.violations() == []


def publish_story(url: str, chapters: int = 12) -> Story:
    """A story of somebody new, on sale at the default prices."""
    creator = uuid4()
    with psycopg.connect(url, autocommit=True) as connection, acting_as(connection, creator):
        story: UUID = value(connection, "select api.create_story('A story for tests')")
        connection.cursor().executemany(
            "select api.save_chapter(%s, %s, 'A chapter', 'Some words.')",
            [(story, number) for number in range(1, chapters + 1)],
        )
        connection.execute("select api.publish_story(%s)", (story,))
    return Story(story, creator)


@contextmanager
def acting_as(connection: Connection, user: UUID, role: str = "authenticated") -> Iterator[None]:
    """One transaction as somebody."""
    claims = json.dumps({"sub": str(user), "role": role})
    with connection.transaction():
        connection.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            (role, claims),
        )
        yield


def in_parallel(calls: Sequence[Callable[[], Answer]]) -> list[Answer | psycopg.Error]:
    """Run calls in threads of their own; the answers, or how the database refused."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(outcome_of, calls))


def outcome_of(call: Callable[[], Answer]) -> Answer | psycopg.Error:
    try:
        return call()
    except psycopg.Error as refusal:
        return refusal


def answers(outcomes: Sequence[Answer | psycopg.Error]) -> list[Answer]:
    """The outcomes that are no errors."""
    return [each for each in outcomes if not isinstance(each, psycopg.Error)]


def refusals(outcomes: Sequence[object]) -> list[tuple[str | None, str | None]]:
    """SQLSTATE and hint of the outcomes that are errors."""
    return [
        (each.sqlstate, each.diag.message_hint)
        for each in outcomes
        if isinstance(each, psycopg.Error)
    ]


def value(connection: Connection, statement: str, *arguments: object) -> Any:
    """The one value that a query answers."""
    row = connection.execute(statement.encode(), arguments).fetchone()
    assert row is not None
    return row[0]
