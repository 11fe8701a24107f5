"""The worker's clock: what is due is done, by one worker, through restarts of the database."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from api import worker
from api.worker import Task, WorkerError

NewDatabase = Callable[[], str]

# A ledger that only counts how often each of its functions was called.
LEDGER = """
create schema ledger;
create table ledger.calls (function text);
create function ledger.ensure_partitions() returns void language sql
as $$ insert into ledger.calls values ('ensure_partitions') $$;
create function ledger.expire_lots() returns bigint language sql
as $$ insert into ledger.calls values ('expire_lots'); select 0::bigint $$;
create function ledger.fold() returns bigint language sql
as $$ insert into ledger.calls values ('fold'); select 7::bigint $$;
create function ledger.seal() returns text language sql
as $$ insert into ledger.calls values ('seal'); select null::text $$;
create schema app;
create function app.promote_creators() returns integer language sql
as $$ insert into ledger.calls values ('promote_creators'); select 0 $$;
create function app.replay_parked_stripe_events() returns integer language sql
as $$ insert into ledger.calls values ('replay_parked'); select 0 $$;
create function app.replay_parked_subscription_events() returns integer language sql
as $$ insert into ledger.calls values ('replay_parked_subscription'); select 0 $$;
create function app.expire_exports() returns integer language sql
as $$ insert into ledger.calls values ('expire_exports'); select 0 $$;
create function app.forget_rate_buckets() returns integer language sql
as $$ insert into ledger.calls values ('forget_rate_buckets'); select 0 $$;
create function app.note_figures() returns void language sql
as $$ insert into ledger.calls values ('note_figures') $$;
create function app.verify_when_due() returns bigint language sql
as $$ insert into ledger.calls values ('verify_when_due'); select 0::bigint $$;
create function app.recover_cover() returns boolean language sql
as $$ insert into ledger.calls values ('recover_cover'); select false $$;
create function app.due_payout_month() returns date language sql
as $$ insert into ledger.calls values ('due_payout_month'); select null::date $$;
create function app.claim_export() returns table (export_id uuid, format text) language sql
as $$ insert into ledger.calls values ('claim_export'); select null::uuid, '' where false $$;
"""

ALL = ["ensure_partitions", "expire_lots", "fold", "seal", "promote_creators", "replay_parked"]
ALL += ["replay_parked_subscription", "expire_exports", "forget_rate_buckets"]
ALL += ["note_figures", "verify_when_due", "due_payout_month", "recover_cover", "claim_export"]


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    """A database with the counting ledger."""
    made = new_database()
    with psycopg.connect(made) as connection:
        connection.execute(LEDGER)
    return made


def calls(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [name for (name,) in connection.execute("select function from ledger.calls")]


def test_once_does_every_task_one_time(url: str) -> None:
    lines: list[str] = []
    worker.run(url, once=True, report=lines.append)
    assert calls(url) == ALL
    assert lines == ["ledger.fold: 7"]


def test_a_task_that_another_worker_does_is_passed_over(url: str) -> None:
    with psycopg.connect(url) as other:
        other.execute(
            "select pg_advisory_xact_lock(hashtextextended('infinite pages: ledger.fold', 0))"
        )
        worker.run(url, once=True, report=lambda line: None)
    assert calls(url) == [name for name in ALL if name != "fold"]


def test_a_task_does_not_queue_for_a_table(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOCK_TIMEOUT", "100ms")
    with psycopg.connect(url) as other:
        other.execute("lock table ledger.calls")
        with pytest.raises(WorkerError, match=r"^ledger\.\w+ failed: .*lock timeout$"):
            worker.run(url, once=True)


def test_once_says_what_failed(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("drop function ledger.fold()")
    with pytest.raises(WorkerError, match=r"^ledger\.\w+ failed: function .* does not exist$"):
        worker.run(url, once=True)
    with pytest.raises(WorkerError, match="connection failed"):
        worker.run("postgresql://nobody@127.0.0.1:1/nothing", once=True)


@contextmanager
def running(url: str, tasks: list[Task]) -> Iterator[Queue[str]]:
    """A worker in a thread, and what it reports."""
    stop, lines = threading.Event(), Queue[str]()
    thread = threading.Thread(target=worker.run_until, args=(stop, url, lines.put, tasks))
    thread.start()
    try:
        yield lines
    finally:
        stop.set()
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_tasks_come_round(url: str) -> None:
    with running(url, [Task("ledger.fold", 0.02), Task("ledger.seal", 3600)]) as lines:
        assert [lines.get(timeout=30) for _ in range(4)] == ["connected", *["ledger.fold: 7"] * 3]
    assert calls(url).count("seal") == 1


def test_a_failing_task_does_not_stop_the_others(url: str) -> None:
    with running(url, [Task("ledger.missing", 0.02), Task("ledger.fold", 0.02)]) as lines:
        said = [lines.get(timeout=30) for _ in range(5)]
    failure = "ledger.missing failed: function ledger.missing() does not exist"
    assert said == ["connected", failure, "ledger.fold: 7", failure, "ledger.fold: 7"]


def test_a_task_may_be_python(url: str) -> None:
    done: list[str] = []

    def work(connection: psycopg.Connection[Any]) -> str:
        assert connection.info.transaction_status == TransactionStatus.IDLE
        done.append("work")
        if len(done) == 2:
            raise ZeroDivisionError("no such luck")
        return "done"

    with running(url, [Task("my task", 0.02, work)]) as lines:
        said = [lines.get(timeout=30) for _ in range(4)]
    assert said == ["connected", "my task: done", "my task failed: no such luck", "my task: done"]


def test_a_lost_connection_is_made_again(url: str) -> None:
    with running(url, [Task("ledger.fold", 0.02)]) as lines:
        assert [lines.get(timeout=30) for _ in range(2)] == ["connected", "ledger.fold: 7"]
        with psycopg.connect(url) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        while (line := lines.get(timeout=30)) == "ledger.fold: 7":
            pass
        assert line.endswith("trying again in 1 s")
        assert [lines.get(timeout=30) for _ in range(2)] == ["connected", "ledger.fold: 7"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(url: str, number: signal.Signals) -> None:
    script = (
        "import sys; from api import worker\n"
        "worker.run(sys.argv[1], report=lambda line: print(line, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        os.kill(process.pid, number)
        process.communicate(timeout=30)
    assert process.returncode == 0
