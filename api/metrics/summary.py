"""The database's summary, asked for at most every few seconds, and never in anybody's way."""

import threading
import time
from collections.abc import Mapping
from typing import Any

import psycopg
from flask import current_app

from api.db import Database

Summary = Mapping[str, Any]
KEPT_SECONDS = 5.0


class SummaryReader:
    """What the database last said, or that it said nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._summary: Summary | None = None

    def read(self, database: Database) -> Summary | None:
        """The summary; None while the database cannot be asked.

        Of several who ask at once one asks the database, and the others wait for its answer.
        """
        with self._lock:
            if self._asked_at is None or time.monotonic() - self._asked_at > KEPT_SECONDS:
                self._summary = _ask(database)
                self._asked_at = time.monotonic()
            return self._summary


def _ask(database: Database) -> Summary | None:
    try:
        with database.connection() as connection:
            row = connection.execute("select app.operations_summary()").fetchone()
    except psycopg.Error as error:
        current_app.logger.warning("no figures from the database: %s", error)
        return None
    return None if row is None else row[0]
