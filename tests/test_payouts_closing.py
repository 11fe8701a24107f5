"""Closing the month by the worker's clock: once, however many workers, wherever one is stopped."""

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest

from api import payouts
from api.payouts import close_due_month, due_month
from api.stack.wait import wait_until
from tests.conftest import NewDatabase
from tests.creators import Connection, close_from_the_first_day, new_earner
from tests.market import WAIT_SECONDS
from tests.processes import COMMAND, clean_environment

EARNERS = 20
CENTS = 1500


@pytest.fixture
def url(migrated_database: NewDatabase) -> str:
    return migrated_database()


@pytest.fixture
def owner(url: str) -> Iterator[Connection]:
    """A month that is due, in which each of twenty earned as much."""
    with psycopg.connect(url, autocommit=True) as owner:
        close_from_the_first_day(owner)
        for _ in range(EARNERS):
            new_earner(owner, CENTS)
        yield owner
        assert owner.execute("select * from ledger.verify()").fetchall() == []


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payouts, "CREATORS_A_STEP", 3)


def paid(owner: Connection) -> tuple[int, ...]:
    """How many were paid how much in how many batches."""
    row = owner.execute(
        "select count(*), count(distinct creator_id), sum(amount_cents),"
        " (select count(*) from app.monthly_payout_batches where state = 'closed'),"
        " (select count(*) from app.stripe_requests where kind = 'transfer')"
        " from app.payouts"
    ).fetchone()
    assert row is not None
    return tuple(int(figure or 0) for figure in row)


ALL = (EARNERS, EARNERS, EARNERS * CENTS, 1, EARNERS)


@pytest.mark.usefixtures("small_steps")
def test_of_many_workers_one_closes_and_speaks(url: str, owner: Connection) -> None:
    month = due_month(owner)
    assert month is not None
    start = threading.Barrier(4)

    def work(connection: Connection) -> str | None:
        start.wait()
        return close_due_month(connection, threading.Event())

    with ExitStack() as closing, ThreadPoolExecutor(4) as threads:
        connections = [
            closing.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(4)
        ]
        said = [each for each in threads.map(work, connections) if each is not None]
    assert said == [f"{month:%Y-%m}: {EARNERS} payouts, $300.00; 0 skipped"]
    assert paid(owner) == ALL
    assert due_month(owner) is None
    assert close_due_month(owner, threading.Event()) is None


@pytest.mark.usefixtures("small_steps")
def test_a_worker_that_stops_leaves_the_rest_to_the_next(url: str, owner: Connection) -> None:
    stop = threading.Event()
    stop.set()
    assert close_due_month(owner, stop) is None
    assert paid(owner)[:4] == (3, 3, 3 * CENTS, 0)
    said = close_due_month(owner, threading.Event())
    assert said is not None
    assert said.endswith(f": {EARNERS} payouts, $300.00; 0 skipped")
    assert paid(owner) == ALL


def test_once_closes_it_as_well(url: str, owner: Connection) -> None:
    done = subprocess.run(
        [*COMMAND, "worker", "--once"],
        env=clean_environment() | {"DATABASE_URL": url},
        check=False,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert f": {EARNERS} payouts, $300.00; 0 skipped" in done.stdout
    assert paid(owner) == ALL


def test_what_blocks_a_step_ends_no_worker(
    url: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody holds a creator: the step is given up, and is taken when they have let go."""
    from api import sessions
    from api.worker import run_until

    monkeypatch.setattr(sessions, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(payouts, "LOOK_EVERY_SECONDS", 0.05)
    stop, said = threading.Event(), list[str]()
    (tasks,) = payouts.payout_timetables(stop)
    thread = threading.Thread(target=run_until, args=(stop, url, said.append, tasks))
    with psycopg.connect(url, autocommit=True) as other, other.transaction():
        other.execute(
            "select ledger.lock_earnings(array(select creator_id from app.payout_candidates("
            "array(select user_id from app.payout_accounts), null)))"
        )
        thread.start()
        assert wait_until(lambda: len(said) >= 3, seconds=WAIT_SECONDS), said
    assert wait_until(lambda: paid(owner) == ALL, seconds=WAIT_SECONDS), said
    stop.set()
    thread.join(WAIT_SECONDS)
    assert said[1] == "month closed failed: canceling statement due to lock timeout"
    assert [each for each in said if "payouts, $" in each] == said[-1:]
