"""Restoring databases as a DBA does: by dumps, and by a base backup with the log of what followed.

The commands are those of `docs/operations/restore.md`.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from api.config import DATABASE_NAME
from api.stack.postgres import SYSTEM_USER, EmbeddedPostgres
from api.stack.wait import wait_until
from tests.market import value

WAIT_SECONDS = 60.0
COMMAND_SECONDS = 300.0


@contextmanager
def new_cluster() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="infinite-pages-restore-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def run(server: EmbeddedPostgres, program: str, *options: str, given: bytes = b"") -> bytes:
    """Run one of the server's client programs; what it printed."""
    code, printed, told = try_to_run(server, program, *options, given=given)
    assert code == 0, told
    return printed


def try_to_run(
    server: EmbeddedPostgres, program: str, *options: str, given: bytes = b""
) -> tuple[int, bytes, str]:
    """The same where not everything need go well: exit code, output, complaints."""
    command = [str(server.bin_folder / program), *options]
    done = subprocess.run(
        command, input=given, capture_output=True, check=False, timeout=COMMAND_SECONDS
    )
    return done.returncode, done.stdout, done.stderr.decode()


def copy(source: EmbeddedPostgres, target: EmbeddedPostgres) -> None:
    """Dump and restore as an administrator does: the roles first, then the database."""
    copy_roles(source, target)
    dump = run(source, "pg_dump", "--format", "custom", "--dbname", source.url())
    target.create_database(DATABASE_NAME)
    run(target, "pg_restore", "--exit-on-error", "--dbname", target.url(), given=dump)


def copy_roles(source: EmbeddedPostgres, target: EmbeddedPostgres) -> None:
    roles = run(source, "pg_dumpall", "--roles-only", "--dbname", source.url("postgres"))
    # The new cluster has its first superuser already.
    roles = roles.replace(b"CREATE ROLE postgres;\n", b"")
    run(target, "psql", "--set", "ON_ERROR_STOP=1", "--dbname", target.url("postgres"), given=roles)


class ArchivedCluster:
    """A server whose log is kept, with a base backup: it can go back to any moment since."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedPostgres(folder / "postgres")
        self._archive = folder / "archive"
        self._base = folder / "base"
        self._archive.mkdir()
        self._lost = 0

    def start(self) -> None:
        self.server.start()
        self._belongs_to_server(self._archive)
        target = self._archive
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute("alter system set archive_mode = on")
            connection.execute(
                f"alter system set archive_command = "
                f"'test ! -f {target}/%f && cp %p {target}/%f'".encode()
            )
        self.server.stop()
        self.server.start()

    def back_up(self) -> None:
        """What runs every night."""
        options = ("--checkpoint", "fast", "--dbname", self.server.url("postgres"))
        run(self.server, "pg_basebackup", "--pgdata", str(self._base), *options)

    def finish_segment(self) -> None:
        """Have everything so far in the archive; otherwise it is there after archive_timeout."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            last = value(connection, "select pg_walfile_name(pg_switch_wal())")
            archived = "select coalesce(last_archived_wal >= %s, false) from pg_stat_archiver"
            assert wait_until(lambda: value(connection, archived, last), seconds=WAIT_SECONDS)

    def lose(self) -> None:
        """The machine is gone, without a last word."""
        self.server.kill()
        self._lost += 1
        data = self.server.data_folder
        data.rename(data.with_name(f"lost-{self._lost}"))

    def restore(self, **target: str) -> None:
        """Go back to `recovery_target_time`, `recovery_target_lsn` or another such setting."""
        data = self.server.data_folder
        shutil.copytree(self._base, data)
        settings = {
            "restore_command": f"cp {self._archive}/%f %p",
            "recovery_target_action": "promote",
            **target,
        }
        with (data / "postgresql.auto.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{text}'\n" for name, text in settings.items())
        (data / "recovery.signal").touch()
        self._belongs_to_server(data)
        data.chmod(0o700)
        self.server.start()
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            promoted = "select not pg_is_in_recovery()"
            assert wait_until(lambda: value(connection, promoted), seconds=WAIT_SECONDS)

    @staticmethod
    def _belongs_to_server(folder: Path) -> None:
        """Run by root, the server is another user."""
        if os.geteuid() == 0:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, SYSTEM_USER, SYSTEM_USER)


@contextmanager
def archived_cluster() -> Iterator[ArchivedCluster]:
    # The copies are as large as the server's data: a tenth of a gigabyte.
    with tempfile.TemporaryDirectory(prefix="infinite-pages-archive-") as folder:
        cluster = ArchivedCluster(Path(folder))
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.server.stop()
