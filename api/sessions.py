"""What work on a connection in autocommit shares: short transactions, and one session at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

LOCK_TIMEOUT = "5s"


@contextmanager
def short_transaction(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that does not queue for long behind somebody's lock."""
    with connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
        yield connection


@contextmanager
def only_session(connection: psycopg.Connection[Any], name: str) -> Iterator[bool]:
    """Whether no other session does the work of this name; it is ours until the block ends.

    The lock belongs to the session, for work in many transactions, or with none open while
    somebody outside is asked.
    """
    lock = (f"infinite pages: {name}",)
    row = connection.execute(
        "select pg_try_advisory_lock(hashtextextended(%s, 0))", lock
    ).fetchone()
    is_ours = row == (True,)
    try:
        yield is_ours
    finally:
        if is_ours and not connection.broken:
            connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", lock)
