"""A throwaway PostgreSQL 15 from Debian's packages.

The embedded server of the project has neither plpgsql_check nor version 15, the oldest version
the SQL supports. Debian has both, so the checks that need them run here.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import click
import psycopg
from psycopg import sql

BIN_FOLDER = Path("/usr/lib/postgresql/15/bin")
EXTENSION_FOLDER = Path("/usr/share/postgresql/15/extension")
SYSTEM_USER = "postgres"
START_TIMEOUT_SECONDS = "60"


class DebianPostgres:
    """A PostgreSQL 15 server that lives as long as its `with` block.

    It listens on a Unix socket inside its own temporary folder and nowhere else. PostgreSQL
    refuses to run as root, so root starts it as the system user that Debian made for it.
    """

    bin_folder = BIN_FOLDER

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        require_packages({"postgresql-15": BIN_FOLDER / "postgres"})
        # Nothing here has to survive a crash: without fsync the suites run several times faster.
        self._settings = {"listen_addresses": "", "fsync": "off", **(settings or {})}
        self._folder = Path("/nonexistent")

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="infinite-pages-postgres-15-"))
        if self._as_system_user:
            shutil.chown(self._folder, SYSTEM_USER, SYSTEM_USER)
        try:
            self._initialise()
            self._start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._run("pg_ctl", "stop", "-D", str(self._data_folder), "-m", "immediate", "--silent")
        finally:
            shutil.rmtree(self._folder)

    def url(self, database: str = "infinite_pages", user: str = "postgres") -> str:
        """Connection URL of a database, in the form psycopg, libpq and yoyo understand."""
        return f"postgresql://{user}@/{database}?host={quote(str(self._folder), safe='')}"

    def create_database(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    @property
    def _data_folder(self) -> Path:
        return self._folder / "data"

    @property
    def _log_path(self) -> Path:
        return self._folder / "log"

    @property
    def _as_system_user(self) -> bool:
        return os.geteuid() == 0

    def _initialise(self) -> None:
        self._run(
            "initdb",
            "--pgdata=" + str(self._data_folder),
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        with (self._data_folder / "postgresql.auto.conf").open("a") as configuration:
            settings = self._settings | {"unix_socket_directories": str(self._folder)}
            configuration.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _start(self) -> None:
        try:
            self._run(
                "pg_ctl",
                "start",
                "-D",
                str(self._data_folder),
                "-l",
                str(self._log_path),
                "--wait",
                "--timeout=" + START_TIMEOUT_SECONDS,
                "--silent",
            )
        except click.ClickException as failure:
            log = self._log_path.read_text() if self._log_path.exists() else "(no log)"
            raise click.ClickException(f"{failure.message}\n{log}") from None

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs as a user that may, telling its output if it fails.

        The output goes to a file, not a pipe: the server started by pg_ctl inherits it, and a
        pipe would stay open for as long as the server runs.
        """
        identity: dict[str, Any] = {}
        if self._as_system_user:
            account = pwd.getpwnam(SYSTEM_USER)
            identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with tempfile.TemporaryFile("w+") as output:
            completed = subprocess.run(
                [str(BIN_FOLDER / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                check=False,
                **identity,
            )
            if completed.returncode != 0:
                output.seek(0)
                raise click.ClickException(
                    f"PostgreSQL 15: {program} failed: {output.read().strip()}"
                )


def require_packages(packages: Mapping[str, Path]) -> None:
    """Stop with the command that installs what is missing; `packages` maps a package to a file."""
    missing = [package for package, path in packages.items() if not path.exists()]
    if missing:
        raise click.ClickException("missing tools: run `apt-get install " + " ".join(missing) + "`")
