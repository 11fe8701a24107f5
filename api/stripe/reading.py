"""What reading Stripe's lists has in common: how far we are, and one reader at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg

# Objects can appear in a list a little later than their time says.
OVERLAP = timedelta(hours=1)
LOCK_TIMEOUT = "5s"

Progress = Callable[[int], None]
"""Is told how many more lines were read."""


def no_progress(lines: int) -> None:
    """For when nobody watches."""


def cursor(connection: psycopg.Connection[Any], name: str) -> datetime:
    """How far a list was read; long ago if it never was."""
    row = connection.execute("select app.stripe_cursor(%s)", (name,)).fetchone()
    assert row is not None
    moved_to: datetime = row[0]
    return moved_to


def move_cursor(connection: psycopg.Connection[Any], name: str, to: datetime) -> None:
    """The list was read so far."""
    connection.execute("select app.move_stripe_cursor(%s, %s)", (name, to))


@contextmanager
def short_transaction(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that does not queue for long behind somebody's lock."""
    with connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
        yield connection


@contextmanager
def only_reader(connection: psycopg.Connection[Any], name: str) -> Iterator[bool]:
    """Whether nobody else reads this list now; it is ours until the block ends.

    The lock belongs to the session, for no transaction may be open while Stripe is asked.
    """
    lock = (f"infinite pages: stripe {name}",)
    row = connection.execute(
        "select pg_try_advisory_lock(hashtextextended(%s, 0))", lock
    ).fetchone()
    is_ours = row == (True,)
    try:
        yield is_ours
    finally:
        if is_ours and not connection.broken:
            connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", lock)
