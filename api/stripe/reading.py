"""What reading Stripe's lists has in common: how far we are, and one reader at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg

from api.sessions import only_session

# Objects can appear in a list a little later than their time says.
OVERLAP = timedelta(hours=1)

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
def only_reader(connection: psycopg.Connection[Any], name: str) -> Iterator[bool]:
    """Whether nobody else reads this list now; it is ours until the block ends."""
    with only_session(connection, f"stripe {name}") as is_ours:
        yield is_ours
