"""What has to happen without anybody asking: folds, expiries, seals, partitions, creator tiers.

The work itself is in the database; here is only the clock. Each task takes a lock of its own for
its transaction, so any number of workers may run: one does the task, the others pass.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import psycopg
from psycopg import sql

Report = Callable[[str], None]

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0
LOCK_TIMEOUT = "5s"  # a task that waits for a table makes every purchase behind it wait


@dataclass(frozen=True)
class Task:
    """A function of the database, with its schema, and how often it is called."""

    function: str
    every_seconds: float


TASKS = (
    Task("ledger.ensure_partitions", 3600),
    Task("ledger.expire_lots", 60),
    Task("ledger.fold", 60),
    Task("ledger.seal", 3600),
    Task("app.promote_creators", 3600),
)


class WorkerError(Exception):
    """A task or the connection failed; the text is one line."""


def run(url: str, *, once: bool = False, report: Report = print) -> None:
    """Do every task when it is due until SIGTERM or Ctrl-C; with `once`, each one time."""
    if once:
        _run_once(url, report)
        return
    with _stop_signals() as stop:
        run_until(stop, url, report)


def _run_once(url: str, report: Report) -> None:
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for task in TASKS:
                _run_task(connection, task, report)
    except psycopg.Error as error:
        raise WorkerError(_one_line(error)) from error


def run_until(
    stop: threading.Event, url: str, report: Report, tasks: Sequence[Task] = TASKS
) -> None:
    """Keep to the timetable, through restarts of the database, until the event is set."""
    due = dict.fromkeys(tasks, 0.0)
    retry_seconds = FIRST_RETRY_SECONDS
    while not stop.is_set():
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                report("connected")
                retry_seconds = FIRST_RETRY_SECONDS
                _keep_timetable(stop, connection, due, report)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            report(f"{_one_line(error)}; trying again in {retry_seconds:g} s")
            stop.wait(retry_seconds)
            retry_seconds = min(2 * retry_seconds, LONGEST_RETRY_SECONDS)


def _keep_timetable(
    stop: threading.Event, connection: psycopg.Connection, due: dict[Task, float], report: Report
) -> None:
    while not stop.is_set():
        for task, when in due.items():
            if when <= time.monotonic() and not stop.is_set():
                try:
                    _run_task(connection, task, report)
                except psycopg.Error as error:
                    if connection.broken:
                        raise
                    report(f"{task.function} failed: {_one_line(error)}")
                due[task] = time.monotonic() + task.every_seconds
        stop.wait(max(0.0, min(due.values()) - time.monotonic()))


def _run_task(connection: psycopg.Connection, task: Task, report: Report) -> None:
    with connection.transaction():
        connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        free = connection.execute(
            "select pg_try_advisory_xact_lock(hashtextextended('infinite pages: ' || %s, 0))",
            (task.function,),
        ).fetchone()
        if free != (True,):
            return
        call = sql.SQL("select {}()").format(sql.Identifier(*task.function.split(".")))
        answer = connection.execute(call).fetchone()
    if answer is not None and answer[0]:
        report(f"{task.function}: {answer[0]}")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; a task that is running comes to its end first."""
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {
        number: signal.signal(number, ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _one_line(error: psycopg.Error) -> str:
    return error.diag.message_primary or " ".join(str(error).split())
