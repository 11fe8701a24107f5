"""State: the files of migrations/, each applied once, in one transaction with its record."""

from functools import partial
from glob import escape
from pathlib import Path

from yoyo import read_migrations
from yoyo.exceptions import BadMigration
from yoyo.migrations import Migration, MigrationList, topological_sort

from api.deploy.books import Books, rollback_path
from api.deploy.errors import DeployError
from api.deploy.session import Report, in_one_transaction, run_file

ZERO = "zero"


def read(folder: Path) -> MigrationList:
    """The migrations of a folder in the order of their `-- depends:` lines."""
    found = read_migrations(escape(str(folder)))
    try:
        ordered = found.replace(topological_sort(found))
    except BadMigration as error:
        raise DeployError(f"The migrations of {folder} make no order: {error}.") from error
    for migration in ordered:
        if not migration.use_transactions:
            raise DeployError(
                f"{migration.id} asks for 'transactional: false', but every migration runs "
                "in one transaction: take that line out."
            )
    return ordered


def apply_pending(books: Books, migrations: MigrationList, report: Report) -> list[str]:
    """Apply what is new; a failed migration leaves nothing of itself behind."""
    books.refuse_surprises(migrations)
    pending = books.pending(migrations)
    for migration in pending:
        report(f"applying migration {migration.id}")
        in_one_transaction(books.connection, partial(_apply, books, migration), report)
    return [migration.id for migration in pending]


def roll_back(books: Books, migrations: MigrationList, to: str | None, report: Report) -> list[str]:
    """Undo the newest migration, or everything after `to`; `zero` undoes all."""
    books.refuse_surprises(migrations)
    chosen = _after(books.applied(migrations), to)
    for migration in chosen:
        if not rollback_path(migration).exists():
            raise DeployError(f"{migration.id} cannot be undone: it has no rollback file.")
    for migration in chosen:
        report(f"rolling back migration {migration.id}")
        in_one_transaction(books.connection, partial(_undo, books, migration), report)
    return [migration.id for migration in chosen]


def _after(applied: list[Migration], to: str | None) -> list[Migration]:
    if to is None:
        return applied[:1]
    if to == ZERO:
        return applied
    names = [migration.id for migration in applied]
    if to not in names:
        raise DeployError(
            f"{to} is not an applied migration; applied are: {', '.join(names) or 'none'}."
        )
    return applied[: names.index(to)]


def _apply(books: Books, migration: Migration) -> None:
    run_file(books.connection, Path(migration.path))
    books.enter(migration)


def _undo(books: Books, migration: Migration) -> None:
    run_file(books.connection, rollback_path(migration))
    books.strike(migration)
