"""The worker's part of downloads: what was asked for is made, one file after the other."""

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from api.downloads.making import MadeFile, UnmakableError, make_file
from api.downloads.manuscript import Manuscript
from api.sessions import short_transaction
from api.worker import Task

MAKE_EVERY_SECONDS = 2
PASSING = (psycopg.OperationalError, psycopg.InterfaceError)
"""The database is away, or somebody holds what we need: after its claim it is tried again."""

REFUSED = "PT"
"""How the error codes begin with which the database says no."""

logger = logging.getLogger(__name__)


def download_timetables(stop: threading.Event) -> list[Sequence[Task]]:
    """One timetable, for a thread of its own: a long book delays nothing but other books."""
    return [[Task("downloads made", MAKE_EVERY_SECONDS, partial(make_due_exports, stop=stop))]]


def make_due_exports(connection: psycopg.Connection[Any], stop: threading.Event) -> int:
    """Make what is waited for until nothing is; returns how many files there are more.

    No transaction is open while a file is packed. Several workers share the work; should one be
    taken for dead that is only slow, whoever is done first has made the file.
    """
    made = 0
    while not stop.is_set():
        claim = _claim(connection)
        if claim is None:
            break
        made += _make(connection, *claim)
    return made


def _make(connection: psycopg.Connection[Any], export_id: UUID, format_name: str) -> bool:
    """Whether it was made, and by us."""
    about = {"export": str(export_id)}
    try:
        words = _read(connection, export_id)
        if words is None:
            logger.info("download not made", extra={**about, "error": "It is not waited for."})
            return False
        file = make_file(format_name, Manuscript.from_row(words), datetime.now(UTC))
        is_ours = _finish(connection, export_id, file)
    except PASSING:
        raise
    except UnmakableError as error:
        state = _fail(connection, export_id, str(error), is_permanent=True)
        logger.warning("download not made", extra={**about, "error": str(error), "state": state})
        return False
    except Exception as error:  # whatever it is, the reader's credits do not stay set aside
        # Its text might hold some of the story.
        sentence = f"The file could not be packed: {type(error).__name__}."
        state = _fail(connection, export_id, sentence, is_permanent=False)
        logger.warning("download not made", extra={**about, "error": sentence, "state": state})
        return False
    logger.info("download made", extra={**about, "bytes": len(file.content), "by_us": is_ours})
    return is_ours


def _claim(connection: psycopg.Connection[Any]) -> tuple[UUID, str] | None:
    """The next one, and its format. That it was tried stays, whatever comes then."""
    with short_transaction(connection) as transaction:
        return transaction.execute("select export_id, format from app.claim_export()").fetchone()


def _read(connection: psycopg.Connection[Any], export_id: UUID) -> Mapping[str, Any] | None:
    try:
        with short_transaction(connection) as transaction:
            cursor = transaction.cursor(row_factory=dict_row)
            return cursor.execute("select * from app.export_content(%s)", (export_id,)).fetchone()
    except psycopg.Error as error:
        if error.sqlstate is not None and error.sqlstate.startswith(REFUSED):
            # The sentence is the database's own, and trying again would not change it.
            raise UnmakableError(
                f"{error.diag.message_primary} {error.diag.message_detail}"
            ) from error
        raise


def _finish(connection: psycopg.Connection[Any], export_id: UUID, file: MadeFile) -> bool:
    with short_transaction(connection) as transaction:
        row = transaction.execute(
            "select app.finish_export(%s, %s, %s, %b, %s)",
            (export_id, file.name, file.media_type, file.content, file.chapters),
        ).fetchone()
    return row == (True,)


def _fail(
    connection: psycopg.Connection[Any], export_id: UUID, message: str, *, is_permanent: bool
) -> str:
    """The export's new state."""
    with short_transaction(connection) as transaction:
        row = transaction.execute(
            "select app.fail_export(%s, %s, %s)", (export_id, message, is_permanent)
        ).fetchone()
    assert row is not None
    return str(row[0])
