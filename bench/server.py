"""A throwaway PostgreSQL with settings of a small production server, all of them on record."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
import psycopg
from psycopg import sql

from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from bench.errors import BenchError

Connection = psycopg.Connection[Any]

# What the figures depend on; the report prints what the server says of each.
SETTINGS_ON_RECORD = (
    "server_version",
    "shared_buffers",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
    "io_method",
    "jit",
)
LEAVE_SECONDS = 60.0


@dataclass(frozen=True)
class Used:
    """What was used, by all of the server but for the buffers, which are those of one database."""

    wal_bytes: int
    full_page_images: int
    buffers: int
    processor_seconds: float

    def since(self, before: "Used") -> "Used":
        """What was used in between."""
        return Used(
            self.wal_bytes - before.wal_bytes,
            self.full_page_images - before.full_page_images,
            self.buffers - before.buffers,
            self.processor_seconds - before.processor_seconds,
        )


class Sized(Protocol):
    """A plan that says how large the server is."""

    @property
    def shared_buffers(self) -> str: ...

    @property
    def max_wal_size(self) -> str: ...


class BenchServer:
    """The running server, seen by a session that stays out of the measured databases."""

    def __init__(self, postgres: EmbeddedPostgres, monitor: Connection) -> None:
        self.postgres = postgres
        self._monitor = monitor

    def value(self, query: str, *arguments: object) -> Any:
        """The single value of a query about the server."""
        row = self._monitor.execute(query, arguments).fetchone()
        assert row is not None
        return row[0]

    def settings(self) -> dict[str, str]:
        """The settings that the figures depend on, as the server has them."""
        query = "select current_setting(%s)"
        return {name: str(self.value(query, name)) for name in SETTINGS_ON_RECORD}

    def create_database(self, name: str, template: str = "template0") -> None:
        """Make a database, empty or as a copy."""
        self._monitor.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )

    def drop_database(self, name: str) -> None:
        """Remove a database and whoever is in it."""
        self._monitor.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def checkpoint(self) -> None:
        """Begin the next stretch of WAL."""
        self._monitor.execute("checkpoint")

    def used(self, database: str) -> "Used":
        """What the server has used since it started, buffers for one database."""
        query = """
            select pg_current_wal_insert_lsn() - '0/0'::pg_lsn, w.wal_fpi, d.blks_hit + d.blks_read
            from pg_stat_wal as w, pg_stat_database as d
            where d.datname = %s
        """
        row = self._monitor.execute(query, (database,)).fetchone()
        assert row is not None
        return Used(int(row[0]), int(row[1]), int(row[2]), self._processor_seconds())

    def sessions(self) -> set[int]:
        """The server's processes by pid, without autovacuum's, which come and go as they like."""
        return {each.pid for each in self._postmaster().children() if not _is_autovacuum(each)}

    def wait_for_departure(self, present_before: set[int]) -> None:
        """Wait until the sessions that came since are gone: then all they used is accounted for."""
        if not wait_until(lambda: self.sessions() <= present_before, seconds=LEAVE_SECONDS):
            raise BenchError("sessions linger in the server: run the benchmark again")

    @contextmanager
    def in_silence(self) -> Iterator[None]:
        """Count without what comes by chance: no whole pages in the WAL, no autovacuum."""
        names = ("full_page_writes", "autovacuum")
        for name in names:
            self._monitor.execute(sql.SQL("alter system set {} = off").format(sql.Identifier(name)))
        self._reload()
        if not wait_until(lambda: not self._vacuums(), seconds=LEAVE_SECONDS):
            raise BenchError("autovacuum does not come to rest: run the benchmark again")
        yield
        for name in names:
            self._monitor.execute(sql.SQL("alter system reset {}").format(sql.Identifier(name)))
        self._reload()

    def _reload(self) -> None:
        self._monitor.execute("select pg_reload_conf()")
        self.checkpoint()  # the checkpointer, whom full_page_writes concerns, reads it first

    def _vacuums(self) -> bool:
        query = (
            "select exists (select from pg_stat_activity where backend_type like 'autovacuum%%')"
        )
        return bool(self.value(query))

    def _processor_seconds(self) -> float:
        """CPU time of every process the server ever had; those that ended count in its own."""
        while True:
            try:
                return self._sum_of_processor_seconds()
            except psutil.NoSuchProcess:  # it ended meanwhile: now it is in the server's own
                continue

    def _sum_of_processor_seconds(self) -> float:
        postmaster = self._postmaster()
        children = postmaster.children()
        own = postmaster.cpu_times()
        seconds = own.user + own.system + own.children_user + own.children_system
        for process in children:
            times = process.cpu_times()
            seconds += times.user + times.system
        return float(seconds)

    def _postmaster(self) -> psutil.Process:
        pid = self.postgres.pid
        if pid is None:
            raise BenchError(f"PostgreSQL is gone: its log is {self.postgres.log_path}")
        return psutil.Process(pid)


@contextmanager
def running_server(plan: Sized, parent: Path) -> Iterator[BenchServer]:
    """Make a server in a temporary folder below `parent`; stop it and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="infinite-pages-bench-", dir=parent) as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            postgres.start()
            _configure(postgres, plan)
            postgres.stop()
            postgres.start()
            with psycopg.connect(postgres.url("postgres"), autocommit=True) as monitor:
                yield BenchServer(postgres, monitor)
        finally:
            postgres.stop()


def _configure(postgres: EmbeddedPostgres, plan: Sized) -> None:
    settings = {
        "shared_buffers": plan.shared_buffers,
        "max_wal_size": plan.max_wal_size,
        "checkpoint_timeout": "1h",  # the benchmark says when
        "synchronous_commit": "on",
        "autovacuum": "on",
    }
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(
                sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )


def run_script(postgres: EmbeddedPostgres, database: str, path: Path, **variables: int) -> None:
    """Run an SQL file whole, or not at all."""
    command = [
        str(postgres.bin_folder / "psql"),
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
        *(f"--set={name}={value}" for name, value in variables.items()),
        f"--file={path}",
        f"--dbname={postgres.url(database)}",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"{path.name} failed: {' '.join(done.stderr.split())}")


def _is_autovacuum(process: psutil.Process) -> bool:
    try:
        return "autovacuum" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended, and is still to be accounted for
        return False
