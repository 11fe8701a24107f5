"""The edge's pooled connections."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from flask import Flask, current_app
from psycopg_pool import ConnectionPool

WAIT_SECONDS = 5.0  # a request waits this long for a connection, then answers 503


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
    def connection(self) -> Iterator[psycopg.Connection]:
        """A connection in a transaction that commits unless the block raises."""
        self._pool.open()
        with self._pool.connection() as connection:
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
