"""One database of the benchmark's server."""

import time
from typing import Any

import psycopg

from bench.server import BenchServer


class Database:
    """A database by its name; every call has a session of its own."""

    def __init__(self, server: BenchServer, name: str) -> None:
        self.server = server
        self.name = name

    @property
    def url(self) -> str:
        return self.server.postgres.url(self.name)

    def value(self, query: str) -> Any:
        """The single value of a query in this database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]

    def execute(self, statement: str) -> None:
        """Run one statement in this database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def timed(self, statement: str) -> float:
        """Run one statement; the seconds it took."""
        began = time.monotonic()
        self.execute(statement)
        return time.monotonic() - began

    def violations(self) -> list[str]:
        """What ledger.verify() finds; nothing, if all is well."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute("select check_name, subject, detail from ledger.verify()")
            return [": ".join(row) for row in found]
