"""Frontends of other origins: which may call the edge from a browser."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.config import EdgeSettings, StripeSettings
from api.stack.ports import free_port
from tests.processes import clean_environment

OURS = "https://app.example.com"
FOREIGN = "https://app.example.com.evil.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
}


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    app = create_app(
        EdgeSettings(
            database_url="postgresql://edge@/nowhere?host=/nonexistent",
            jwt_secret="a secret of the tests, long enough",
            stripe=StripeSettings("sk_test_x", webhook_secrets=("whsec_x",)),
            edge_url="https://pay.example.com",
            return_origins=(OURS,),
        )
    )
    yield app.test_client()
    app.extensions["database"].close()


@pytest.mark.parametrize(
    "path", ["/credits/purchase", "/credits/checkout", "/payments/1/refund", "/creators/connect"]
)
def test_a_frontend_of_ours_may_call(client: FlaskClient, path: str) -> None:
    asked = client.options(path, headers={"Origin": OURS, **PREFLIGHT})
    assert asked.status_code < 300 or path.startswith("/payments")
    called = client.post("/credits/purchase", json={}, headers={"Origin": OURS})
    assert called.status_code == 401
    for answer in (asked, called):
        assert answer.headers["Access-Control-Allow-Origin"] == OURS
        assert "Access-Control-Allow-Credentials" not in answer.headers
    if asked.status_code < 300:
        allowed = asked.headers["Access-Control-Allow-Headers"].lower()
        assert {each.strip() for each in allowed.split(",")} == {
            "authorization",
            "content-type",
            "idempotency-key",
        }


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://app.example.com", ""])
def test_others_may_not(client: FlaskClient, origin: str) -> None:
    for answer in (
        client.options("/credits/purchase", headers={"Origin": origin, **PREFLIGHT}),
        client.post("/credits/purchase", json={}, headers={"Origin": origin}),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/webhooks/stripe", "/webhooks/stripe/connect", "/checkout/return", "/healthz"]
)
def test_what_no_frontend_calls_is_open_to_none(client: FlaskClient, path: str) -> None:
    answer = client.options(path, headers={"Origin": OURS, **PREFLIGHT})
    assert "Access-Control-Allow-Origin" not in answer.headers


SAID = "edge: JWT_SECRET must be at least 32 characters long"
WRONG = {"DATABASE_URL": "postgresql://edge@/x", "JWT_SECRET": "short"}


def test_a_setting_that_is_wrong_stops_the_start_with_one_line() -> None:
    started = run(sys.executable, "-c", "import api; api.create_app()")
    assert started.returncode == 4
    assert started.stderr == SAID + "\n"


def test_gunicorn_does_not_try_again() -> None:
    options = ["--bind", f"127.0.0.1:{free_port()}", "--no-control-socket", "api:create_app()"]
    started = run(sys.executable, "-m", "gunicorn", *options)
    assert started.returncode == 4
    assert started.stderr.count(SAID) == 1
    assert "Traceback" not in started.stderr


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=clean_environment() | WRONG,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
