"""The worker's part of notices: those that are due go out by mail."""

import logging
import threading
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import class_row

from api.config import SmtpSettings
from api.notices.letters import Notice
from api.notices.smtp import AwayError, DeliveryError, MailServer, RefusedError
from api.sessions import short_transaction
from api.worker import Task

logger = logging.getLogger(__name__)

SEND_EVERY_SECONDS = 5


def notice_timetables(settings: SmtpSettings, stop: threading.Event) -> list[Sequence[Task]]:
    """One timetable, for a thread of its own: a slow mail server delays nothing but mail."""
    work = partial(send_due_notices, settings=settings, stop=stop)
    return [[Task("notices sent", SEND_EVERY_SECONDS, work)]]


def send_due_notices(
    connection: psycopg.Connection[Any], settings: SmtpSettings, stop: threading.Event
) -> int:
    """Mail what is due until nothing is or the server is away; returns how many went out.

    One is taken at a time, for each is ours for a minute only; the server's connection is kept.
    Whoever dies between the server's word and ours leaves a notice that is mailed again, with the
    same `Message-ID`.
    """
    sent = 0
    with closing(MailServer(settings)) as server:
        while not stop.is_set():
            notice = _claim(connection)
            if notice is None:
                break
            about = {"notice": str(notice.id), "attempt": notice.attempt}
            try:
                server.send(notice)
            except DeliveryError as error:
                is_permanent = isinstance(error, RefusedError)
                _record_failure(connection, notice, error, is_permanent=is_permanent)
                logger.warning("notice not mailed", extra={**about, "error": str(error)})
                if isinstance(error, AwayError):
                    break
            else:
                _record_sent(connection, notice)
                sent += 1
    return sent


def _claim(connection: psycopg.Connection[Any]) -> Notice | None:
    with short_transaction(connection) as transaction:
        cursor = transaction.cursor(row_factory=class_row(Notice))
        return cursor.execute("select * from app.claim_notices(1)").fetchone()


def _record_sent(connection: psycopg.Connection[Any], notice: Notice) -> None:
    with short_transaction(connection) as transaction:
        transaction.execute("select app.record_notice_sent(%s)", (notice.id,))


def _record_failure(
    connection: psycopg.Connection[Any], notice: Notice, error: DeliveryError, *, is_permanent: bool
) -> None:
    with short_transaction(connection) as transaction:
        transaction.execute(
            "select app.record_notice_failure(%s, %s, %s, %s)",
            (notice.id, notice.attempt, error.in_full, is_permanent),
        )
