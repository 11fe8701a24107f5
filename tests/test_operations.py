"""What monitoring reads: who may, what it says, and what it says while the database is away."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api import create_app, worker
from api.config import EdgeSettings, SettingsError, StripeSettings, with_login
from api.metrics import summary
from api.metrics.figures import FAMILIES, PREFIX
from api.stack.ports import answers_ok, free_port
from api.stack.wait import wait_until
from tests.conftest import NewDatabase
from tests.processes import clean_environment, run_command

SECRET = "a secret of the tests, long enough"
TOKEN = "a-token-for-figures"
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def settings(database_url: str, **changes: Any) -> EdgeSettings:
    given: dict[str, Any] = {
        "database_url": database_url,
        "jwt_secret": SECRET,
        "stripe": StripeSettings("sk_test_x", webhook_secrets=("whsec_x",)),
        "edge_url": "http://127.0.0.1:8000",
    }
    return EdgeSettings(**(given | changes))


@contextmanager
def edge(database_url: str, **changes: Any) -> Iterator[Flask]:
    app = create_app(settings(database_url, **changes))
    yield app
    app.extensions["database"].close()


@pytest.fixture
def url(migrated_database: NewDatabase) -> str:
    """A database, as its owner; one of the worker's rounds is over."""
    made = migrated_database()
    worker.run(made, once=True, report=lambda line: None)
    return made


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for is asked of the database."""
    monkeypatch.setattr(summary, "KEPT_SECONDS", -1)


def read(text: str) -> Figures:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def look(app: Flask) -> Figures:
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.content_type.startswith("text/plain")
    return read(answer.text)


def figure(figures: Figures, name: str, **labels: str) -> float | None:
    return figures.get((PREFIX + name, frozenset(labels.items())))


def test_the_edge_tells_what_the_database_knows(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("insert into app.profiles (id, handle) select app.new_id(), 'reader'")
        connection.execute(
            "select app.grant_credits(id, 20, 'a test') from app.profiles where handle = 'reader'"
        )
        connection.execute("select app.note_figures()")
    with edge(with_login(url, "edge", None)) as app:
        figures = look(app)
    assert figure(figures, "up") == 1
    assert figure(figures, "ledger_violations") == 0
    assert figure(figures, "ledger_partitions_ahead") == 3
    assert figure(figures, "queue_depth", queue="covers") == 0
    assert figure(figures, "payments", window="hour", status="succeeded") == 0
    assert figure(figures, "credits_moved", kind="grant") == 20
    assert figure(figures, "solvency_microdollars", figure="margin") == -20 * 35_000
    # What is not known is not 0.
    assert figure(figures, "cache_hit_ratio") is None
    assert figure(figures, "payment_success_ratio", window="hour") is None


def test_what_verify_found_is_told(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into ledger.accounts (owner_id, kind, asset, is_guarded, balance)"
            " values (app.new_id(), 'wallet', 'credit', true, 7)"
        )
    answer = run_command("verify", environment={"DATABASE_URL": url})
    assert (answer.returncode, "guarded_balance" in answer.stdout) == (1, True), answer.stderr
    with edge(with_login(url, "edge", None)) as app:
        assert (figure(look(app), "ledger_violations") or 0) > 0
        with psycopg.connect(url) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute("delete from ledger.accounts where balance = 7")
        answer = run_command("verify", environment={"DATABASE_URL": url})
        assert (answer.returncode, answer.stdout) == (0, "balanced: 0 violations\n")
        assert figure(look(app), "ledger_violations") == 0
        status = run_command("status", environment={"DATABASE_URL": url})
    assert (status.returncode, "verification.violations" in status.stdout) == (0, True)


def test_a_figure_is_asked_for_once_in_a_while(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "KEPT_SECONDS", 3600)
    with edge(with_login(url, "edge", None)) as app:
        before = figure(look(app), "ledger_violations")
        with psycopg.connect(url) as connection:
            connection.execute(
                "insert into app.verifications (began_at, ended_at, violations, found)"
                " values (now(), now(), 9, '[]')"
            )
        assert figure(look(app), "ledger_violations") == before == 0


def test_requests_are_counted_by_words_of_our_own(url: str) -> None:
    with edge(with_login(url, "edge", None)) as app:
        client = app.test_client()
        client.get("/healthz")
        client.get("/covers/somebody@example.com")
        client.get("/nothing/here?token=secret")
        client.open("/healthz", method="SECRET")
        text = client.get("/metrics").text
        counts = read(text)
    requests = "edge_requests_total"
    assert figure(counts, requests, method="GET", route="/healthz", status="200") == 1
    assert figure(counts, requests, method="GET", route="/covers/<name>", status="404") == 1
    assert figure(counts, requests, method="GET", route="unknown", status="404") == 1
    assert figure(counts, requests, method="other", route="unknown", status="405") == 1
    assert figure(counts, "edge_request_seconds_count", route="/healthz") == 1
    assert "secret" not in text.lower()
    assert "example.com" not in text


def test_no_label_holds_more_than_words(url: str) -> None:
    with edge(with_login(url, "edge", None)) as app:
        labels = {pair for _, pairs in look(app) for pair in pairs}
    routes = {rule.rule for rule in app.url_map.iter_rules()} | {"unknown"}
    assert {value for name, value in labels if name == "route"} <= routes
    for name, value in labels:
        assert name in ("route", "le") or (value.islower() or value.isdigit() or value.isupper())
        assert len(value) <= 40 or name == "route"


def test_without_a_database_it_says_so_and_nothing_else(new_database: NewDatabase) -> None:
    undeployed = with_login(new_database(), "edge", None)
    for nowhere in ("postgresql://edge@/nowhere?host=/nonexistent", undeployed):
        with edge(nowhere) as app, pytest.MonkeyPatch.context() as patch:
            patch.setattr(app.extensions["database"]._pool, "timeout", 0.3)
            app.test_client().get("/healthz")
            figures = look(app)
        platform = {name for name, _ in figures if "_edge_" not in name}
        assert platform == {"infinite_pages_up"}
        assert figure(figures, "up") == 0
        assert (
            figure(figures, "edge_requests_total", method="GET", route="/healthz", status="200")
            == 1
        )


NOWHERE = "postgresql://edge@/nowhere?host=/nonexistent"
PUBLIC = "https://pay.example.com"


@pytest.mark.parametrize(
    ("changes", "headers", "peer"),
    [
        ({}, {}, "203.0.113.7"),
        ({}, {}, "10.0.0.1"),
        ({}, {"X-Forwarded-For": "127.0.0.1"}, "203.0.113.7"),
        ({"trusted_proxies": 1}, {"X-Forwarded-For": "127.0.0.1"}, "203.0.113.7"),
        # Behind a proxy on the same machine everybody comes from there.
        ({}, {"X-Forwarded-For": "203.0.113.7"}, "127.0.0.1"),
        ({}, {"X-Real-Ip": "203.0.113.7"}, "127.0.0.1"),
        ({}, {"Forwarded": "for=203.0.113.7"}, "127.0.0.1"),
        ({"trusted_proxies": 1}, {}, "127.0.0.1"),
        ({"edge_url": PUBLIC}, {}, "127.0.0.1"),
        # A page that had its own name point here.
        ({}, {"Host": "evil.example.com"}, "127.0.0.1"),
        # By a Unix socket: a proxy's way.
        ({}, {}, ""),
        ({}, {"Authorization": "Bearer " + TOKEN}, "203.0.113.7"),
    ],
)
def test_without_a_token_it_is_for_this_machine(
    changes: dict[str, Any], headers: dict[str, str], peer: str
) -> None:
    with edge(NOWHERE, **changes) as app:
        answer = app.test_client().get(
            "/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": peer}
        )
    assert answer.status_code == 403
    assert answer.json is not None
    assert (answer.json["hint"], answer.json["message"]) == (
        "metrics_closed",
        "Figures are for this machine only, or for a token.",
    )


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.9.9.9"])
def test_this_machine_has_several_addresses(url: str, peer: str) -> None:
    with edge(with_login(url, "edge", None)) as app:
        answer = app.test_client().get("/metrics", environ_overrides={"REMOTE_ADDR": peer})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ä"]
)
def test_with_a_token_nobody_reads_without_it(sent: str | None) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    with edge(NOWHERE, metrics_token=TOKEN) as app:
        answer = app.test_client().get("/metrics", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json is not None
    assert answer.json["hint"] == "metrics_token_required"
    assert TOKEN not in answer.text


def test_with_the_token_anybody_reads(url: str) -> None:
    login = with_login(url, "edge", None)
    with edge(login, metrics_token=TOKEN, edge_url=PUBLIC, trusted_proxies=1) as app:
        answer = app.test_client().get(
            "/metrics",
            headers={"Authorization": f"bearer {TOKEN}", "X-Forwarded-For": "203.0.113.7"},
        )
    assert answer.status_code == 200
    assert TOKEN not in repr(settings(login, metrics_token=TOKEN))


@pytest.mark.parametrize("token", ["short", "a token that has blanks", "ein-schlüssel-mit-umlaut"])
def test_a_token_that_cannot_be_sent_stops_the_start(token: str) -> None:
    with pytest.raises(SettingsError, match="METRICS_TOKEN must be at least 16"):
        EdgeSettings.from_environment(environment_of("postgresql://x", METRICS_TOKEN=token))


def test_a_folder_that_cannot_be_made_stops_the_start() -> None:
    given = environment_of("postgresql://x", PROMETHEUS_MULTIPROC_DIR="/dev/null/figures")
    with pytest.raises(SettingsError, match="PROMETHEUS_MULTIPROC_DIR cannot be used"):
        EdgeSettings.from_environment(given)


def environment_of(database_url: str, **more: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "JWT_SECRET": SECRET,
        "STRIPE_SECRET_KEY": "sk_test_x",
        "STRIPE_WEBHOOK_SECRET": "whsec_x",
        "EDGE_URL": "http://127.0.0.1:8000",
        **more,
    }


def test_processes_of_one_edge_count_together(url: str) -> None:
    """Whichever of two processes answers, it tells of all requests."""
    port = free_port()
    here = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]
        command += ["--workers", "2", "--no-control-socket", "api:create_app()"]
        more = {"PROMETHEUS_MULTIPROC_DIR": f"{folder}/figures", "METRICS_TOKEN": TOKEN}
        process = subprocess.Popen(
            command,
            env=clean_environment() | environment_of(with_login(url, "edge", None), **more),
            stderr=subprocess.DEVNULL,
        )
        try:
            assert wait_until(lambda: answers_ok(f"{here}/healthz"), seconds=30)
            while len(list(Path(folder, "figures").glob("counter_*.db"))) < 2:
                assert process.poll() is None
                httpx.get(f"{here}/healthz")
            token = {"Authorization": f"Bearer {TOKEN}"}
            answers = [
                read(httpx.get(f"{here}/metrics", headers=token, timeout=30).text) for _ in range(4)
            ]
        finally:
            process.terminate()
            process.wait(30)
    served = {"method": "GET", "route": "/healthz", "status": "200"}
    (counted,) = {figure(each, "edge_requests_total", **served) for each in answers}
    assert counted is not None
    assert counted >= 2
    assert {figure(each, "up") for each in answers} == {1}


def test_figures_go_and_come_with_the_database(url: str) -> None:
    name = conninfo_to_dict(url)["dbname"]
    with (
        psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as server,
        edge(with_login(url, "edge", None)) as app,
    ):
        app.extensions["database"]._pool.timeout = 0.3
        assert figure(look(app), "up") == 1
        server.execute(f'alter database "{name}" allow_connections false'.encode())
        server.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
        )
        assert figure(look(app), "up") == 0
        server.execute(f'alter database "{name}" allow_connections true'.encode())
        assert wait_until(lambda: figure(look(app), "up") == 1, seconds=60)


def test_every_figure_has_a_name_of_its_own_and_a_line_in_the_docs() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "operations.md").read_text()
    names = [PREFIX + family.name for family in FAMILIES]
    assert len(names) == len(set(names))
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_paths_of_all_figures_are_those_of_the_summary(url: str) -> None:
    """A figure that is absent because its path is wrong would raise no alert, ever."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select app.operations_summary()").fetchone()
    assert row is not None
    for family in FAMILIES:
        for path in [family.each] if family.each else family.paths.values():
            found: Any = row[0]
            for key in path.split("."):
                assert key in found, path
                found = found[key]


def test_nothing_of_the_edge_is_named_by_the_environment() -> None:
    """The counts of these tests must be this process's own."""
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
