"""Bringing a database to this version: state once, code whole, every time.

`migrate` is the one command of a deploy. It applies the migrations that are new, puts all code
in place in one transaction, and tells PostgREST. Run twice, or by two at once, it does no harm.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import psycopg

from api.deploy import belongings, bundle, code, migrations
from api.deploy.books import Books
from api.deploy.errors import DeployError
from api.deploy.session import Report, said_by, take_deploy_lock

__all__ = ["DeployError", "Summary", "build_install_sql", "migrate", "rollback"]

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Summary:
    """What a deploy did."""

    migrations: tuple[str, ...]
    code_files: int
    seconds: float


def _silent(line: str) -> None:
    """Report to nobody."""


def migrate(url: str, *, report: Report = _silent, project: Path = PROJECT) -> Summary:
    """Bring the database of a libpq URL to the state and the code of this version."""
    started = monotonic()
    state = migrations.read(project / "migrations")
    files = code.read_order(project / "sql")
    with _deploying(url, report) as books:
        belongings.put_right(books.connection, report)
        applied = migrations.apply_pending(books, state, report)
        code.apply_code(books.connection, files, report)
    return Summary(tuple(applied), len(files), monotonic() - started)


def rollback(
    url: str, to: str | None = None, *, report: Report = _silent, project: Path = PROJECT
) -> tuple[str, ...]:
    """Undo the newest migration, or all after the one named by `to`, or all (`zero`).

    The code that used what is gone goes with it; the next `migrate` brings both back.
    """
    state = migrations.read(project / "migrations")
    with _deploying(url, report) as books:
        return tuple(migrations.roll_back(books, state, to, report))


def build_install_sql(project: Path = PROJECT) -> str:
    """One SQL file that installs this version into a database without it."""
    return bundle.build(project)


@contextmanager
def _deploying(url: str, report: Report) -> Iterator[Books]:
    """The books of the database, held under the deploy lock until the end."""
    try:
        books = Books(url)
    except psycopg.Error as error:
        raise DeployError(
            f"The database cannot be reached: {_first_line(error)}. "
            "Is it running, and is the URL right?"
        ) from error
    with books.connection as connection:
        try:
            take_deploy_lock(connection, report)
            books.open()
            yield books
        except psycopg.Error as error:
            raise DeployError(f"The database refused the deploy: {said_by(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0].rstrip(".")
