"""pg_cron closes the month where it may, and the worker everywhere else.

On Debian's server, for which there is a package of pg_cron, and as a login that is no superuser:
that is what a hosted database gives. The package knows no seconds, so its job runs at most once a
minute; only one test waits for that.
"""

import os
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api import worker
from api.deploy import build_install_sql, migrate
from api.stack.wait import wait_until
from tests.conftest import NewDatabase
from tests.market import EARNED, PRICE, Market, open_market, value
from tests.tools.debian_postgres import EXTENSION_FOLDER, DebianPostgres

pytestmark = pytest.mark.skipif(
    not (EXTENSION_FOLDER / "pg_cron.control").exists() and "CI" not in os.environ,
    reason="pg_cron is not installed: apt-get install postgresql-15-cron",
)

DATABASE = "infinite_pages"
LONGEST_MINUTE = 70.0
SETTINGS = {
    "shared_preload_libraries": "pg_cron",
    "cron.database_name": DATABASE,
    # Not over TCP, where the login would need a password.
    "cron.use_background_workers": "on",
}
JOB = ("infinite pages: close the month", "select app.close_due_month()", "deployer", True)
JOBS = "select jobname::text, command, username, active from cron.job"


@pytest.fixture(scope="module")
def server() -> Iterator[DebianPostgres]:
    """A server with pg_cron, and a login that is nobody special."""
    with DebianPostgres(SETTINGS) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("create role deployer login createrole")
        yield server


@pytest.fixture
def database(server: DebianPostgres) -> Iterator[DebianPostgres]:
    """The server with an empty database, which is the deployer's and has pg_cron."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {DATABASE} owner deployer")
        with psycopg.connect(server.url()) as inside:
            inside.execute("create extension pg_cron")
        yield server
        connection.execute(f"drop database {DATABASE} with (force)")


@pytest.fixture
def deployer(database: DebianPostgres) -> str:
    """The URL of the login that deploys, which may use pg_cron."""
    as_superuser(database, "grant usage on schema cron to deployer")
    return database.url(user="deployer")


def as_superuser(server: DebianPostgres, statement: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(statement.encode())


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def due_month(url: str) -> date | None:
    """The month that the worker of this login has to close."""
    with psycopg.connect(url, autocommit=True) as connection:
        month: date | None = value(connection, "select app.due_payout_month()")
    return month


def sell_last_month(market: Market) -> date:
    """A creator who can be paid has sold something, and the day to pay them has come; the month."""
    market.owner.execute(
        "update app.economy set payout_day = 1, earnings_hold_days = 0, minimum_payout_cents = 1"
    )
    market.owner.execute(
        "insert into app.payout_accounts (user_id, is_live, stripe_account_id, transfers_status, "
        "payouts_enabled, read_at) values (%s, false, 'acct_1', 'active', true, now())",
        (market.creator,),
    )
    market.buyer(market.reader(credits=PRICE), [3])()
    with market.owner.transaction():
        market.owner.execute("set local session_replication_role = replica")
        market.owner.execute(
            "update ledger.transfers "
            "set created_at = app.month_start(app.month_of(now())) - interval '100 milliseconds'"
        )
    market.fold()
    month: date = value(market.owner, "select app.month_to_close()")
    return month


def closed(market: Market) -> list[tuple[Any, ...]]:
    """The months that are closed, and what they paid."""
    return market.owner.execute(
        "select month, payouts, total_cents from app.monthly_payout_batches where state = 'closed'"
    ).fetchall()


def test_pg_cron_closes_the_month(database: DebianPostgres, deployer: str) -> None:
    migrate(deployer)
    migrate(deployer)
    assert rows(deployer, JOBS) == [JOB]
    with open_market(database.url()) as market:
        month = sell_last_month(market)
        assert due_month(deployer) is None
        worker.run(deployer, once=True, report=lambda line: None)
        assert closed(market) == []
        as_superuser(
            database, "select cron.alter_job(jobid, schedule => '* * * * *') from cron.job"
        )
        assert wait_until(lambda: closed(market) != [], seconds=LONGEST_MINUTE)
        assert closed(market) == [(month, 1, EARNED // 10_000)]
        assert market.owner.execute("select creator_id, status from app.payouts").fetchall() == [
            (market.creator, "pending")
        ]
        # pg_cron notes that a run has ended a moment after what it did is there.
        runs = "select distinct username, status from cron.job_run_details"
        assert wait_until(
            lambda: market.owner.execute(runs).fetchall() == [("deployer", "succeeded")],
            seconds=10,
        )
        assert value(market.owner, "select app.month_to_close()") is None
    migrate(deployer)
    assert rows(deployer, JOBS) == [JOB]


def test_a_job_that_is_off_leaves_the_month_to_the_worker(
    database: DebianPostgres, deployer: str
) -> None:
    migrate(deployer)
    as_superuser(database, "select cron.alter_job(jobid, active => false) from cron.job")
    migrate(deployer)
    assert rows(deployer, JOBS) == [(*JOB[:3], False)]
    with open_market(database.url()) as market:
        month = sell_last_month(market)
        assert due_month(deployer) == month
        worker.run(deployer, once=True, report=lambda line: None)
        assert closed(market) == [(month, 1, EARNED // 10_000)]


def test_a_job_that_fails_leaves_the_month_to_the_worker(
    database: DebianPostgres, deployer: str
) -> None:
    migrate(deployer)
    with open_market(database.url()) as market:
        month = sell_last_month(market)
        assert due_month(deployer) is None
        # What pg_cron notes where it goes over TCP and has no password.
        market.owner.execute(
            "insert into cron.job_run_details (jobid, database, username, status, return_message) "
            "select jobid, database, username, 'failed', 'connection failed' from cron.job"
        )
        assert due_month(deployer) == month
        worker.run(deployer, once=True, report=lambda line: None)
        assert closed(market) == [(month, 1, EARNED // 10_000)]


def test_a_login_that_may_not_use_pg_cron_has_its_worker(database: DebianPostgres) -> None:
    url = database.url(user="deployer")
    lines: list[str] = []
    migrate(url, report=lines.append)
    assert [line for line in lines if "pg_cron" in line] == []
    assert rows(database.url(), JOBS) == []
    with open_market(database.url()) as market:
        month = sell_last_month(market)
        assert due_month(url) == month
        worker.run(url, once=True, report=lambda line: None)
        assert closed(market) == [(month, 1, EARNED // 10_000)]


def test_a_refusal_of_pg_cron_does_not_stop_a_deploy(
    database: DebianPostgres, deployer: str
) -> None:
    as_superuser(database, "revoke execute on function cron.schedule(text, text, text) from public")
    lines: list[str] = []
    migrate(deployer, report=lines.append)
    assert [line for line in lines if "pg_cron" in line] == [
        "pg_cron did not take its job (permission denied for function schedule): "
        "the worker will do it"
    ]
    assert rows(deployer, JOBS) == []
    with open_market(database.url()) as market:
        month = sell_last_month(market)
        assert due_month(deployer) == month


def test_install_sql_makes_the_job(database: DebianPostgres, deployer: str, tmp_path: Path) -> None:
    script = tmp_path / "install.sql"
    script.write_text(build_install_sql())
    ran = subprocess.run(
        [database.bin_folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, deployer],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert rows(deployer, JOBS) == [JOB]


def test_without_pg_cron_the_worker_closes_the_month(migrated_database: NewDatabase) -> None:
    url = migrated_database()
    assert rows(url, "select app.schedule_month_closing()") == [("the worker closes the month",)]
    with open_market(url) as market:
        month = sell_last_month(market)
        assert due_month(url) == month
        worker.run(url, once=True, report=lambda line: None)
        assert closed(market) == [(month, 1, EARNED // 10_000)]
