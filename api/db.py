"""The edge's pooled connections."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from flask import Flask, current_app
from psycopg_pool import ConnectionPool

WAIT_SECONDS = 5.0  # a request waits this long for a connection, then answers 503

# Nobody waits for ever: what does not come in time is answered with 503, and asked for again.
STATEMENT_TIMEOUT = "15s"
LOCK_TIMEOUT = "5s"

# Per transaction, not per connection, so that a pooler between may share connections.
BEGIN = """
    select
        set_config('statement_timeout', %s, true),
        set_config('lock_timeout', %s, true),
        set_config('request.jwt.claims', %s, true)
"""


class Database:
    """A pool that is opened by its first use: after gunicorn's fork, and not at import."""

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool(
            url,
            open=False,
            min_size=1,
            max_size=10,
            timeout=WAIT_SECONDS,
            check=ConnectionPool.check_connection,
            kwargs={"application_name": "infinite-pages-edge"},
        )

    @contextmanager
    def connection(self, claims: Mapping[str, Any] | None = None) -> Iterator[psycopg.Connection]:
        """A connection in a transaction that commits unless the block raises.

        With `claims` the database knows whose call this is.
        """
        self._pool.open()
        with self._pool.connection() as connection:
            caller = "" if claims is None else json.dumps(claims)
            connection.execute(BEGIN, (STATEMENT_TIMEOUT, LOCK_TIMEOUT, caller))
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self._pool.close()


def register_database(app: Flask, url: str) -> None:
    """Attach the app's database."""
    app.extensions["database"] = Database(url)


def database() -> Database:
    """The database of the app that serves this request."""
    found: Database = current_app.extensions["database"]
    return found
