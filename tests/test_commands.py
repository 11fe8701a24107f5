"""The console script, run as a person runs it."""

import time
from pathlib import Path
from subprocess import CompletedProcess
from uuid import UUID

import httpx
import jwt
import psycopg
import pytest

from api.cli import main
from api.cli.stripe import stripe
from api.deploy.code import SCHEDULE
from api.stack.ports import free_port
from api.stack.supervisor import Stack
from tests.conftest import NewDatabase
from tests.processes import run_command


def command(stack: Stack, *arguments: str) -> CompletedProcess[str]:
    return run_command(*arguments, environment={"STATE_DIR": str(stack.folder)})


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_teaches_by_example(name: str) -> None:
    shown = run_command(name, "--help")
    assert shown.returncode == 0
    assert "Example" in shown.stdout
    assert f"infinite-pages {name}" in shown.stdout


def test_the_group_lists_its_commands() -> None:
    shown = run_command("--help")
    assert shown.returncode == 0
    summaries = shown.stdout.partition("Commands:")[2]
    assert all(name in summaries for name in main.commands)
    assert "..." not in summaries  # each fits its line


@pytest.mark.parametrize(
    ("handle", "role"),
    [("reader", "authenticated"), ("creator", "authenticated"), ("admin", "service_role")],
)
def test_token_prints_a_token_and_nothing_else(stack: Stack, handle: str, role: str) -> None:
    printed = command(stack, "token", handle, "--hours", "2")
    assert printed.returncode == 0
    assert printed.stderr == ""
    claims = jwt.decode(printed.stdout.strip(), stack.jwt_secret, algorithms=["HS256"])
    with psycopg.connect(stack.database_url) as connection:
        found = connection.execute("select id from app.profiles where handle = %s", (handle,))
        assert found.fetchall() == [(UUID(claims["sub"]),)]
    assert set(claims) == {"sub", "role", "iat", "exp"}
    assert claims["role"] == role
    assert claims["exp"] - claims["iat"] == 2 * 3600
    assert abs(claims["iat"] - time.time()) < 60


def test_a_token_opens_the_api(stack: Stack) -> None:
    token = command(stack, "token", "reader").stdout.strip()
    answer = httpx.get(f"{stack.rest_url}/rpc/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert "reader" in answer.text


def test_token_for_nobody_lists_who_there_is(stack: Stack) -> None:
    refused = command(stack, "token", "nobody")
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert len(refused.stderr.strip().splitlines()) == 1
    for handle in ("reader", "creator", "admin", "stranger"):
        assert handle in refused.stderr


def test_url_prints_a_url_and_nothing_else(stack: Stack) -> None:
    printed = command(stack, "url")
    assert printed.returncode == 0
    assert printed.stdout == f"{stack.database_url}\n"
    with psycopg.connect(printed.stdout.strip()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("name", ["url", "verify", "migrate", "psql", "worker", "reconcile"])
def test_without_a_database_the_next_step_is_named(tmp_path: Path, name: str) -> None:
    refused = run_command(name, environment={"STATE_DIR": str(tmp_path)})
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "infinite-pages up" in refused.stderr


def test_an_unreachable_server_is_one_line() -> None:
    url = "postgresql://owner@/pages?host=/nonexistent"
    refused = run_command("verify", environment={"DATABASE_URL": url})
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "/nonexistent" in refused.stderr


def test_grant_gives_once_per_key(stack: Stack) -> None:
    given = ("grant", "stranger", "7", "--reason", "a test", "--key", "test-grant-once")
    first, second = command(stack, *given), command(stack, *given)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "7 credits" in first.stdout
    assert first.stdout == second.stdout


def test_grant_can_expire(stack: Stack) -> None:
    assert command(stack, "grant", "stranger", "1", "--expires", "2099-12-31").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nobody", "5"), 1), (("reader", "0"), 2), (("reader", "5", "--expires", "soon"), 2)],
)
def test_grant_refuses(stack: Stack, arguments: tuple[str, ...], code: int) -> None:
    refused = command(stack, "grant", *arguments)
    assert refused.returncode == code
    assert refused.stdout == ""
    assert "Traceback" not in refused.stderr


def test_verify_says_balanced(stack: Stack) -> None:
    said = command(stack, "verify")
    assert (said.returncode, said.stdout) == (0, "balanced: 0 violations\n"), said.stdout


def test_psql_is_the_owners_and_passes_its_exit_code_on(stack: Stack) -> None:
    answered = command(stack, "psql", "-X", "-A", "-t", "-c", "select current_database()")
    assert (answered.returncode, answered.stdout) == (0, "infinite_pages\n")
    assert command(stack, "psql", "-X", "-c", "select nonsense").returncode == 1


def test_migrate_sums_up(new_database: NewDatabase) -> None:
    environment = {"DATABASE_URL": new_database()}
    first = run_command("migrate", environment=environment)
    assert first.returncode == 0, first.stderr
    assert "0001.base" in first.stdout
    again = run_command("migrate", environment=environment)
    assert "none pending" in again.stdout


def test_worker_once_does_every_task(migrated_database: NewDatabase) -> None:
    done = run_command("worker", "--once", environment={"DATABASE_URL": migrated_database()})
    assert done.returncode == 0, done.stderr
    assert "Stripe is left alone" in done.stdout


@pytest.mark.parametrize("name", sorted(stripe.commands))
def test_every_command_about_stripe_teaches_by_example(name: str) -> None:
    shown = run_command("stripe", name, "--help")
    assert shown.returncode == 0
    assert "Example" in shown.stdout
    assert f"infinite-pages stripe {name}" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("events",), "nothing came from Stripe yet"),
        (("events", "--state", "failed"), "no event is failed"),
        (("requests",), "Stripe was asked nothing yet"),
        (("requests", "--state", "pending"), "no request is pending"),
    ],
)
def test_an_empty_list_is_said_to_be_empty(
    migrated_database: NewDatabase, arguments: tuple[str, ...], said: str
) -> None:
    shown = run_command("stripe", *arguments, environment={"DATABASE_URL": migrated_database()})
    assert (shown.returncode, shown.stdout) == (0, f"{said}\n"), shown.stderr


def test_real_books_are_not_held_against_a_sandbox(migrated_database: NewDatabase) -> None:
    refused = run_command("reconcile", environment={"DATABASE_URL": migrated_database()})
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "STRIPE_SECRET_KEY is not" in refused.stderr


def test_a_stripe_that_is_away_is_one_line(migrated_database: NewDatabase) -> None:
    environment = {
        "DATABASE_URL": migrated_database(),
        "STRIPE_SECRET_KEY": "sk_test_x",
        "STRIPE_API_BASE": "http://127.0.0.1:1",
    }
    for arguments in (("reconcile",), ("stripe", "backfill"), ("worker", "--once")):
        refused = run_command(*arguments, environment=environment)
        assert refused.returncode == 1
        assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
        assert "Stripe" in refused.stderr


def test_a_sandbox_that_listens_elsewhere_is_asked_for(stack: Stack) -> None:
    port = str(free_port())
    environment = {"STATE_DIR": str(stack.folder), "STRIPE_SANDBOX_PORT": port}
    for arguments in (("reconcile",), ("stripe", "backfill")):
        refused = run_command(*arguments, environment=environment)
        assert refused.returncode == 1
        assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
        assert f"sandbox does not answer at http://127.0.0.1:{port}" in refused.stderr
        assert "set STRIPE_SANDBOX_PORT here as it is set there" in refused.stderr


def test_an_unknown_event_is_not_replayed(stack: Stack) -> None:
    refused = command(stack, "stripe", "replay", "evt_nobody_knows")
    assert refused.returncode == 1
    assert "There is no such event" in refused.stderr


def test_install_sql_is_one_transaction(tmp_path: Path) -> None:
    printed = run_command("install-sql")
    assert printed.returncode == 0
    inside, _, after = printed.stdout.rpartition("\ncommit;\n")
    assert (inside.count("\nbegin;\n"), inside.count("\ncommit;\n")) == (1, 0)
    assert after.strip() == SCHEDULE.strip()  # as who deploys, and not as the owner
    written = tmp_path / "install.sql"
    assert run_command("install-sql", "--output", str(written)).returncode == 0
    assert written.read_text() == printed.stdout


def test_verify_shows_what_does_not_balance(migrated_database: NewDatabase) -> None:
    url = migrated_database()
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into ledger.accounts (owner_id, kind, asset, is_guarded, balance) "
            "values (gen_random_uuid(), 'wallet', 'credit', true, 5)"
        )
    said = run_command("verify", environment={"DATABASE_URL": url})
    assert said.returncode == 1
    assert "guarded_balance" in said.stdout
    assert "the account says 5" in said.stdout
    assert said.stderr == ""
