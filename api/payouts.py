"""Closing a month: everybody who earns is paid or skipped, in steps.

What a step does is in the database. Here is only that one follows another, each in a transaction of
its own: no lock is held for long however many creators there are, and whoever is stopped half-way
leaves the rest to the next.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg.rows import class_row

from api.money import dollars
from api.sessions import only_session, short_transaction
from api.worker import Task

CREATORS_A_STEP = 500
LOOK_EVERY_SECONDS = 60


@dataclass(frozen=True)
class Step:
    """How far a month's batch is, as `app.continue_monthly_payouts` tells it."""

    is_closed: bool
    creators_done: int
    creators_total: int
    payouts: int
    skipped: int
    total_cents: int

    def __str__(self) -> str:
        return f"{self.payouts} payouts, {dollars(self.total_cents)}; {self.skipped} skipped"


def payout_timetables(stop: threading.Event) -> list[Sequence[Task]]:
    """A timetable for a thread of its own: a month of many creators takes its time."""

    def close(connection: psycopg.Connection[Any]) -> str | None:
        return close_due_month(connection, stop)

    return [[Task("month closed", LOOK_EVERY_SECONDS, close)]]


def close_due_month(connection: psycopg.Connection[Any], stop: threading.Event) -> str | None:
    """Close the month that is due, and say what came of it; None when nothing is to be said.

    The connection is in autocommit. Of several workers one does it, and only that one speaks.
    """
    with only_session(connection, "monthly payouts") as is_ours:
        month = due_month(connection) if is_ours else None
        if month is None:
            return None
        for step in steps(connection, month):
            if step.is_closed:
                return f"{month:%Y-%m}: {step}"
            if stop.is_set():
                break
    return None


def due_month(connection: psycopg.Connection[Any]) -> date | None:
    """The month that the worker should have closed by now and has not."""
    row = connection.execute("select app.due_payout_month()").fetchone()
    return None if row is None else row[0]


def steps(
    connection: psycopg.Connection[Any], month: date, *, early: bool = False
) -> Iterator[Step]:
    """Go on with the month until it is closed; each step is committed when it is told of.

    Inside a transaction of the caller's nothing is committed before that ends.
    """
    while True:
        with short_transaction(connection):
            step = _take_step(connection, month, early=early)
        yield step
        if step.is_closed:
            return


def _take_step(connection: psycopg.Connection[Any], month: date, *, early: bool) -> Step:
    cursor = connection.cursor(row_factory=class_row(Step))
    cursor.execute(
        "select * from app.continue_monthly_payouts(%s, %s, %s)", (month, CREATORS_A_STEP, early)
    )
    step = cursor.fetchone()
    assert step is not None
    return step
