"""Secrets stay where they are needed: a whole stack with marks for secrets, and where they turn up.

Everything runs as a person would run it, errors included. Then the marks are looked for: in every
log, in the command line of every process, in every answer, in every table and in every help text.
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import httpx
import psutil
import psycopg
import pytest
from click.testing import CliRunner

from api.cli import main
from api.sandbox.server import running_sandbox
from api.stack.ports import free_port
from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from api.tokens import sign_token
from tests.processes import RunningUp, run_command
from tests.teller import signature

MARK = "Xq7Zw9"  # in each secret, and in nothing else
SECONDS = 60.0
NAMES = (
    "owner", "authenticator", "edge", "jwt", "stripe", "webhook", "connect", "smtp", "webui",
    "metrics", "aws",
)  # fmt: skip
SECRETS = {name: f"{MARK}{name}{uuid4().hex}" for name in NAMES}
SECRETS |= {"stripe": f"sk_test_{SECRETS['stripe']}", "webhook": f"whsec_{SECRETS['webhook']}"}
SECRETS |= {"connect": f"whsec_{SECRETS['connect']}"}


@dataclass
class House:
    """A running stack, and everything that it said."""

    up: RunningUp
    database_url: str
    environment: dict[str, str]
    logs: list[Path]
    stripe_url: str
    answers: list[str] = field(default_factory=list)

    def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        answer = httpx.request(method, url, timeout=SECONDS, **more)
        self.answers.append(f"{answer.headers} {answer.text}")
        return answer


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    edge_port = free_port()
    edge_url = f"http://127.0.0.1:{edge_port}"
    with tempfile.TemporaryDirectory(prefix="infinite-pages-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        server.create_database("secrets")
        plain = server.url("secrets")
        with running_sandbox(
            Path(folder) / "sandbox",
            secret_key=SECRETS["stripe"],
            webhook_url=f"{edge_url}/webhooks/stripe",
            webhook_secrets=(SECRETS["webhook"],),
            connect_webhook_url=f"{edge_url}/webhooks/stripe/connect",
            connect_webhook_secrets=(SECRETS["connect"],),
        ) as sandbox:
            environment = {
                "DATABASE_URL": plain.replace("postgres@", f"postgres:{SECRETS['owner']}@"),
                "AUTHENTICATOR_PASSWORD": SECRETS["authenticator"],
                "EDGE_PASSWORD": SECRETS["edge"],
                "EDGE_PORT": str(edge_port),
                "JWT_SECRET": SECRETS["jwt"],
                "STRIPE_SECRET_KEY": SECRETS["stripe"],
                "STRIPE_WEBHOOK_SECRET": SECRETS["webhook"],
                "STRIPE_CONNECT_WEBHOOK_SECRET": SECRETS["connect"],
                "STRIPE_API_BASE": sandbox.url,
                "METRICS_TOKEN": SECRETS["metrics"],
                "AWS_SECRET_ACCESS_KEY": SECRETS["aws"],
                # Nobody listens at either: the worker says so.
                "SMTP_URL": f"smtp://user:{SECRETS['smtp']}@127.0.0.1:{free_port()}",
                "NOTICES_FROM": "Infinite Pages <noreply@pages.example>",
                "STABLE_DIFFUSION_WEBUI_URL": f"http://me:{SECRETS['webui']}@127.0.0.1:9",
            }
            up = RunningUp(Path(folder), **environment)
            try:
                logs = [Path(folder) / "output", server.log_path]
                yield House(up, plain, environment, logs, sandbox.url)
            finally:
                up.end()
        server.stop()


def found(text: str) -> list[str]:
    """The marks in a text, by the names of their secrets."""
    return [name for name, secret in SECRETS.items() if secret in text] + (
        ["a part of one"] if MARK in text else []
    )


def make_trouble(house: House) -> None:
    """A payment that goes well, and everything that does not."""
    edge, rest = house.up.edge_url, house.up.rest_url
    user = uuid4()
    token = sign_token(SECRETS["jwt"], subject=user, role="authenticated", hours=1)
    SECRETS.setdefault("token", token)
    bearer = {"Authorization": f"Bearer {token}"}
    with psycopg.connect(house.database_url, autocommit=True) as owner:
        row = owner.execute("select id from app.credit_packages limit 1").fetchone()
        assert row is not None
        about = {"package_id": str(row[0])}
        begun = house.ask("POST", f"{edge}/credits/purchase", json=about, headers=bearer)
        assert begun.status_code == 201, begun.text
        intent = begun.json()["client_secret"].partition("_secret_")[0]
        SECRETS.setdefault("client secret", begun.json()["client_secret"])
        house.answers.clear()  # the payer must be told the client secret, and nobody else
        confirm = f"{house.stripe_url}/_sandbox/payment_intents/{intent}/confirm"
        httpx.post(confirm, json={"payment_method": "pm_card_visa"}, timeout=SECONDS)

        def paid() -> bool:
            told = owner.execute("select status from app.payments where user_id = %s", (user,))
            return told.fetchone() == ("succeeded",)

        assert wait_until(paid, seconds=SECONDS)
    # Refused at both doors, and by either kind of secret.
    body = json.dumps({"id": "evt_1", "object": "event"}).encode()
    for secret in ("whsec_other", SECRETS["webhook"], SECRETS["connect"]):
        signed = {"Stripe-Signature": signature(body, secret)}
        house.ask("POST", f"{edge}/webhooks/stripe", content=body, headers=signed)
    for wrong in (f"{token}x", token.replace(".", "..", 1), "nonsense"):
        headers = {"Authorization": f"Bearer {wrong}"}
        house.ask("POST", f"{edge}/credits/purchase", json={}, headers=headers)
        house.ask("GET", f"{rest}/rpc/credit_balance", headers=headers)
    house.ask("GET", f"{rest}/profiles?id=eq.x", headers=bearer)
    house.ask("GET", f"{rest}/nowhere", headers=bearer)
    house.ask("GET", f"{edge}/metrics", headers={"Authorization": "Bearer wrong"})
    house.ask("GET", f"{edge}/metrics", headers={"Authorization": f"Bearer {SECRETS['metrics']}"})
    house.ask("GET", f"{rest}/")
    # Stripe fails in the ways it has.
    for fault in ("error_500", "lost_reply", "error_429"):
        path = f"{house.stripe_url}/_sandbox/faults"
        httpx.post(path, json={"path": "/v1/payment_intents", "fault": fault}, timeout=SECONDS)
        house.ask("POST", f"{edge}/credits/purchase", json=about, headers=bearer)
        httpx.delete(path, timeout=SECONDS)


def test_no_secret_leaves_the_stack(house: House) -> None:
    make_trouble(house)
    processes = [psutil.Process(house.up.process.pid)]
    processes += processes[0].children(recursive=True)
    assert len(processes) > 4
    for process in processes:
        assert found(" ".join(process.cmdline())) == [], process
    for answer in house.answers:
        assert found(answer) == [], answer[:200]
    # What the worker cannot reach it has said by now.
    assert wait_until(lambda: "127.0.0.1:9" in house.up.output, seconds=SECONDS), house.up.output
    for log in house.logs:
        assert found(log.read_text()) == [], log
    for path in (p for p in Path(house.up.environment["STATE_DIR"]).rglob("*") if p.is_file()):
        is_private = not path.stat().st_mode & 0o077
        assert is_private or found(path.read_text(errors="replace")) == [], path


def test_no_secret_is_in_a_table(house: House) -> None:
    """Nor a token; passwords are there as what checks them."""
    with psycopg.connect(house.database_url, autocommit=True) as owner:
        relations = owner.execute(
            "select c.oid::regclass::text from pg_class as c"
            " where c.relkind in ('r', 'm') and c.relnamespace::regnamespace::text"
            " not in ('pg_catalog', 'information_schema', 'pg_toast')"
        ).fetchall()
        relations += [
            ("pg_authid",),
            ("pg_settings",),
            ("pg_db_role_setting",),
            ("pg_description",),
        ]
        assert len(relations) > 60
        for (relation,) in relations:
            query = f"select t::text from {relation} as t where t::text like %s"
            rows = owner.execute(query.encode(), (f"%{MARK}%",)).fetchall()
            # To whom is still to be paid: the client secret is Stripe's, and good for one payment.
            rows = [row for row in rows if found(row[0].replace(SECRETS["client secret"], ""))]
            assert rows == [], relation


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*names, name)
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)


def test_no_help_text_shows_what_is_set(house: House) -> None:
    for names in ((), *commands(main)):
        shown = CliRunner().invoke(main, [*names, "--help"], env=house.environment)
        assert shown.exit_code == 0, names
        assert found(shown.output) == [], names


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    url = f"postgresql://me:{SECRETS['owner']}@127.0.0.1:9/nowhere"
    for command in (["verify"], ["migrate"], ["status"], ["worker", "--once"]):
        ran = run_command(*command, environment={"DATABASE_URL": url, **_stripe()})
        assert ran.returncode != 0
        assert found(ran.stdout + ran.stderr) == [], command


def _stripe() -> dict[str, str]:
    return {"STRIPE_SECRET_KEY": SECRETS["stripe"], "STRIPE_WEBHOOK_SECRET": SECRETS["webhook"]}


@pytest.mark.parametrize(
    "changed",
    [
        {"JWT_SECRET": f"{MARK}short"},
        {"JWT_SECRET": f'{{"keys": "{MARK}"}}'},
        {"STRIPE_SECRET_KEY": f"{MARK}none"},
        {"STRIPE_WEBHOOK_SECRET": f"{MARK}none"},
        {"DATABASE_URL": f"mysql://me:{MARK}@127.0.0.1/x"},
        {"DATABASE_URL": f"postgresql://me:{MARK}@127.0.0.1:port/x"},
        {"SMTP_URL": f"http://me:{MARK}@127.0.0.1", "NOTICES_FROM": "x@example.com"},
        {"SMTP_URL": f"smtp://me:{MARK}@127.0.0.1:port", "NOTICES_FROM": "x@example.com"},
        {"STABLE_DIFFUSION_WEBUI_URL": f"ftp://me:{MARK}@127.0.0.1"},
        {"STABLE_DIFFUSION_WEBUI_URL": f"http://me:{MARK}@127.0.0.1:port"},
    ],
    ids=" ".join,
)
def test_a_setting_that_is_wrong_is_named_and_not_shown(changed: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ran = run_command("up", environment={"STATE_DIR": folder, **_stripe(), **changed})
    assert ran.returncode != 0
    assert ran.stderr
    assert found(ran.stdout + ran.stderr) == []


def test_psql_is_not_given_the_password_where_all_can_see_it(house: House) -> None:
    """A command line can be read by everybody on the machine; the environment cannot."""
    ran = run_command(
        "psql", "-X", "-A", "-t", "-c", r"\! ps -ww -o args= -p $PPID",
        environment={"DATABASE_URL": house.environment["DATABASE_URL"]},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "--dbname=" in ran.stdout
    assert found(ran.stdout) == []


def test_the_marks_would_be_found() -> None:
    for name, secret in SECRETS.items():
        assert name in found(f"something {secret} else")
