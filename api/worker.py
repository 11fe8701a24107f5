"""What has to happen without anybody asking: folds, expiries, seals, tiers, closing the month.

The work itself is in the database; here is only the clock. Each task takes a lock of its own for
its transaction, so any number of workers may run: one does the task, the others pass.

What has to do with Stripe keeps timetables of its own, each in a thread with a connection of its
own, so that a Stripe that is slow or away never delays the ledger. So do the mail of notices, the
making of covers and of downloads, and so does the closing of a month, which takes as long as there
are creators, and what reads the whole ledger.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from api.config import CoverSettings, SmtpSettings, StripeSettings

Report = Callable[[str], None]
Work = Callable[[psycopg.Connection[Any]], object]
"""Does a task on a connection in autocommit; what it answers is reported unless it is nothing."""

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0
LOCK_TIMEOUT = "5s"  # a task that waits for a table makes every purchase behind it wait


STOP_SECONDS = 8.0  # for a call to Stripe that is under way; what is cut off is looked up later


@dataclass(frozen=True)
class Task:
    """What is done how often: the database's function of that name, with its schema, or `work`."""

    name: str
    every_seconds: float
    work: Work | None = None


TASKS = (
    Task("ledger.ensure_partitions", 3600),
    Task("ledger.expire_lots", 60),
    Task("ledger.fold", 60),
    Task("ledger.seal", 3600),
    Task("app.promote_creators", 3600),
    Task("app.replay_parked_stripe_events", 5),
    Task("app.replay_parked_subscription_events", 5),
    Task("app.expire_exports", 300),
    Task("app.forget_rate_buckets", 3600),
)

# What reads much: each in a thread of its own.
READING = (Task("app.note_figures", 300), Task("app.verify_when_due", 600))

logger = logging.getLogger(__name__)


class WorkerError(Exception):
    """A task or the connection failed; the text is one line."""


def run(  # noqa: PLR0913 - each of the last is a part that somebody may do without
    url: str,
    *,
    once: bool = False,
    report: Report = print,
    stripe: "StripeSettings | None" = None,
    smtp: "SmtpSettings | None" = None,
    covers: "CoverSettings | None" = None,
) -> None:
    """Do every task when it is due until SIGTERM or Ctrl-C; with `once`, each one time.

    Without `stripe` Stripe is left alone; without `smtp` no notice goes out by mail; without
    `covers` none are made.
    """

    def timetables(stop: threading.Event) -> list[Sequence[Task]]:
        return [
            *([task] for task in READING),
            *_payout_timetables(stop),
            *_stripe_timetables(stripe, stop),
            *_notice_timetables(smtp, stop),
            *_cover_timetables(covers, stop, once=once),
            *_download_timetables(stop),
        ]

    if once:
        tasks = [*TASKS]
        for timetable in timetables(threading.Event()):
            tasks += timetable
        _run_once(url, tasks, report)
        return
    with _stop_signals() as stop, _beside(stop, url, timetables(stop)):
        run_until(stop, url, report)


def _payout_timetables(stop: threading.Event) -> list[Sequence[Task]]:
    from api.payouts import payout_timetables

    return payout_timetables(stop)


def _stripe_timetables(
    stripe: "StripeSettings | None", stop: threading.Event
) -> list[Sequence[Task]]:
    if stripe is None:
        return []
    from api.stripe.tasks import stripe_timetables

    return stripe_timetables(stripe, stop)


def _notice_timetables(smtp: "SmtpSettings | None", stop: threading.Event) -> list[Sequence[Task]]:
    if smtp is None:
        return []
    from api.notices.tasks import notice_timetables

    return notice_timetables(smtp, stop)


def _cover_timetables(
    covers: "CoverSettings | None", stop: threading.Event, *, once: bool
) -> list[Sequence[Task]]:
    from api.covers.tasks import cover_timetables

    return cover_timetables(covers, stop, once=once)


def _download_timetables(stop: threading.Event) -> list[Sequence[Task]]:
    from api.downloads.tasks import download_timetables

    return download_timetables(stop)


@contextmanager
def _beside(stop: threading.Event, url: str, timetables: list[Sequence[Task]]) -> Iterator[None]:
    """Keep these timetables in threads until the block ends; they report to the log."""
    threads = [
        threading.Thread(target=run_until, args=(stop, url, logger.info, tasks), daemon=True)
        for tasks in timetables
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _run_once(url: str, tasks: Sequence[Task], report: Report) -> None:
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for task in tasks:
                try:
                    _run_task(connection, task, report)
                except (psycopg.Error, WorkerError) as error:
                    raise WorkerError(f"{task.name} failed: {_one_line(error)}") from error
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
    stop: threading.Event,
    connection: psycopg.Connection[Any],
    due: dict[Task, float],
    report: Report,
) -> None:
    while not stop.is_set():
        for task, when in due.items():
            if when <= time.monotonic() and not stop.is_set():
                try:
                    _run_task(connection, task, report)
                except (psycopg.Error, WorkerError) as error:
                    if connection.broken:
                        raise
                    report(f"{task.name} failed: {_one_line(error)}")
                due[task] = time.monotonic() + task.every_seconds
        stop.wait(max(0.0, min(due.values()) - time.monotonic()))


def _run_task(connection: psycopg.Connection[Any], task: Task, report: Report) -> None:
    answer = _call(connection, task.name) if task.work is None else _work(connection, task)
    if answer:
        report(f"{task.name}: {answer}")


def _work(connection: psycopg.Connection[Any], task: Task) -> object:
    """What is not in the database can fail in any way, and must not end the other tasks."""
    assert task.work is not None
    try:
        return task.work(connection)
    except psycopg.Error:
        raise
    except Exception as error:
        raise WorkerError(" ".join(str(error).split()) or type(error).__name__) from error


def _call(connection: psycopg.Connection[Any], function: str) -> object:
    with connection.transaction():
        connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        free = connection.execute(
            "select pg_try_advisory_xact_lock(hashtextextended('infinite pages: ' || %s, 0))",
            (function,),
        ).fetchone()
        if free != (True,):
            return None
        call = sql.SQL("select {}()").format(sql.Identifier(*function.split(".")))
        answer = connection.execute(call).fetchone()
    return None if answer is None else answer[0]


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


def _one_line(error: Exception) -> str:
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return said or " ".join(str(error).split())
