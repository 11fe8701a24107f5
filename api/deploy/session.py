"""How a deploy speaks to the database: one session, one lock, whole files, short lock waits."""

from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg
from psycopg import errors

from api.deploy.errors import DeployError
from api.deploy.statements import Statement, split

Report = Callable[[str], None]

# What a file may have changed for the session is undone before the next one.
FRESH_SESSION = "reset role; reset all;"

# A deploy that queues for a table makes everybody queue behind it: give up early, let the others
# pass, then try again.
LOCK_TIMEOUT = "5s"
LOCK_ATTEMPTS = 5

# What to do about it is not for the server to say.
_RIGHTS = (
    "What the login of a deploy may need is in docs/deploying.md, under 'With your own server'"
)
_LOCK = "hashtextextended('infinite pages: deploy', 0)"
_TRANSACTION_WORDS = {"begin", "start", "commit", "end", "rollback", "abort"}


class BusyError(DeployError):
    """Others kept holding what a step needed."""


class FileError(DeployError):
    """A statement of a file was refused."""

    def __init__(self, path: Path, line: int, reason: str, *, busy: bool = False) -> None:
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        super().__init__(f"{shown}:{line}: {reason}")
        self.busy = busy


def take_deploy_lock(connection: psycopg.Connection, report: Report) -> None:
    """Let one deploy run at a time; the lock goes when the connection closes, however it does."""
    free = connection.execute(f"select pg_try_advisory_lock({_LOCK})").fetchone()
    if free != (True,):
        report("another deploy is running: waiting for it to end")
        connection.execute("set statement_timeout = 0")
        connection.execute(f"select pg_advisory_lock({_LOCK})")


def in_one_transaction(
    connection: psycopg.Connection, work: Callable[[], None], report: Report
) -> None:
    """Do the work whole or not at all, and again if others held what it needed."""
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            with connection.transaction():
                connection.execute(FRESH_SESSION)
                connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
                connection.execute("set local statement_timeout = 0")
                work()
                return
        except FileError as error:
            if not error.busy:
                raise
            report(f"{error} (try {attempt} of {LOCK_ATTEMPTS})")
    raise BusyError(
        "Another session holds a lock this deploy needs. Nothing of this step was changed: "
        "end the long transaction (see pg_stat_activity) and deploy again."
    )


def run_file(
    connection: psycopg.Connection,
    path: Path,
    choose: Callable[[Iterable[Statement]], Iterable[Statement]] = iter,
) -> None:
    """Send those of a file's statements that are chosen; an error names the file and the line."""
    for statement in choose(split(path.read_text(encoding="utf-8"))):
        if statement.first_word in _TRANSACTION_WORDS:
            raise FileError(
                path,
                statement.line,
                f"'{statement.first_word}' has no place here: "
                "the deploy itself begins and ends the transaction.",
            )
        try:
            connection.execute(statement.text.encode())
        except psycopg.Error as error:
            raise _refused(path, statement, error) from error


def _refused(path: Path, statement: Statement, error: psycopg.Error) -> FileError:
    said = error.diag
    position = int(said.statement_position) if said.statement_position else None
    busy = isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected)
    return FileError(path, statement.line_at(position), said_by(error), busy=busy)


def said_by(error: psycopg.Error) -> str:
    """What the server said, in one line; and where to look if the login may not do it."""
    said = error.diag
    reason = (said.message_primary or str(error).strip().partition("\n")[0]).rstrip(".")
    for label, more in (("", said.message_detail), ("Hint: ", said.message_hint)):
        if more:
            reason += f". {label}{more.rstrip('.')}"
    if isinstance(error, errors.InsufficientPrivilege):
        reason += f". {_RIGHTS}"
    return reason + "."
