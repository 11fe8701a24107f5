"""Throwaway servers with the project deployed on them, and pgTAP and psql within reach."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import click

from api.deploy import DeployError, migrate
from api.stack.errors import StackError
from api.stack.postgres import EmbeddedPostgres
from tests.tools.debian_postgres import DebianPostgres

PROJECT = Path(__file__).resolve().parents[2]
DATABASE = "infinite_pages"


class Server(Protocol):
    """What the tools need of a running server, wherever its binaries come from."""

    bin_folder: Path

    def url(self, database: str = DATABASE, user: str = "postgres") -> str: ...

    def create_database(self, name: str) -> None: ...


@contextmanager
def throwaway_server(version: int) -> Iterator[Server]:
    """Run an empty server: 18 and 16 are the embedded one, 15 is Debian's."""
    if version == 15:
        with DebianPostgres() as debian:
            yield debian
        return
    with tempfile.TemporaryDirectory(prefix=f"infinite-pages-postgres-{version}-") as folder:
        embedded = EmbeddedPostgres(Path(folder) / "data", version)
        with _told_in_one_line():
            embedded.start()
        try:
            yield embedded
        finally:
            embedded.stop()


def deploy(server: Server) -> str:
    """Create the project's database on a server and deploy to it as a release does."""
    server.create_database(DATABASE)
    url = server.url()
    with _told_in_one_line():
        migrate(url)
    return url


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Show an expected failure as its sentence, without a traceback."""
    try:
        yield
    except (DeployError, StackError) as error:
        raise click.ClickException(str(error)) from error
