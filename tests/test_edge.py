"""The edge: health, errors in the house shape, and tokens judged as PostgREST judges them."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from api.auth import current_user, require_user
from api.config import EdgeSettings, SettingsError, with_login
from api.db import database
from api.stack.supervisor import Stack
from tests.conftest import NewDatabase

SECRET = "a secret of the tests, long enough"
NOWHERE = "postgresql://edge@/nowhere?host=/nonexistent"
USER_ID = str(uuid4())


def edge(database_url: str, secret: str = SECRET) -> Iterator[Flask]:
    """An edge with routes of the tests' own beside the real ones."""
    app = create_app(EdgeSettings(database_url=database_url, jwt_secret=secret))

    @app.get("/whoami")
    @require_user
    def whoami() -> dict[str, str]:
        return {"id": str(current_user().id), "role": current_user().role}

    @app.get("/refused")
    def refused() -> str:
        with database().connection() as connection:
            connection.execute(
                "do $$ begin raise sqlstate 'PT402' using message = 'Not enough credits.', "
                "detail = 'This costs 5 credits; you have 3.', hint = 'insufficient_credits'; "
                "end; $$"
            )
        return "unreachable"

    @app.get("/broken")
    def broken() -> str:
        raise ZeroDivisionError("a secret of the code")

    yield app
    app.extensions["database"].close()


@pytest.fixture
def client(migrated_database: NewDatabase) -> Iterator[FlaskClient]:
    for app in edge(with_login(migrated_database(), "edge", None)):
        yield app.test_client()


@pytest.fixture
def lonely_client() -> Iterator[FlaskClient]:
    """A client of an edge that has no database."""
    for app in edge(NOWHERE):
        yield app.test_client()


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode(claims, secret, algorithm=algorithm)


def test_healthy_without_a_database(lonely_client: FlaskClient) -> None:
    assert lonely_client.get("/healthz").json == {"status": "up"}


def test_ready_with_a_deployed_schema(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ready"})


def test_not_ready_without_the_schema(client: FlaskClient, new_database: NewDatabase) -> None:
    for app in edge(with_login(new_database(), "edge", None)):
        answer = app.test_client().get("/readyz")
        assert answer.status_code == 503
        assert answer.json == {
            "code": "PT503",
            "message": "The schema is not deployed: run infinite-pages migrate.",
            "details": None,
            "hint": "schema_missing",
        }


def test_not_ready_without_a_database(
    lonely_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = lonely_client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["hint"] == "database_unavailable"


def test_what_the_database_refuses_is_passed_on(client: FlaskClient) -> None:
    answer = client.get("/refused")
    assert answer.status_code == 402
    assert answer.json == {
        "code": "PT402",
        "message": "Not enough credits.",
        "details": "This costs 5 credits; you have 3.",
        "hint": "insufficient_credits",
    }


def test_a_fault_of_the_code_tells_nothing(lonely_client: FlaskClient) -> None:
    answer = lonely_client.get("/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json is not None
    assert answer.json["code"] == "PT500"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/healthz", 405)]
)
def test_errors_of_http_have_the_house_shape(
    lonely_client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = lonely_client.open(path, method=method)
    assert answer.status_code == status
    assert answer.json is not None
    assert set(answer.json) == {"code", "message", "details", "hint"}
    assert answer.json["code"] == f"PT{status}"


def test_a_user_is_let_in(lonely_client: FlaskClient) -> None:
    token = signed(sub=USER_ID, role="authenticated", exp=time.time() + 60)
    answer = lonely_client.get("/whoami", headers={"Authorization": f"Bearer {token}"})
    assert answer.json == {"id": USER_ID, "role": "authenticated"}


@pytest.mark.parametrize(
    ("authorization", "hint"),
    [
        (None, "no_user"),
        ("Basic cmVhZGVyOg==", "no_user"),
        ("Bearer ", "no_user"),
        ("Bearer nonsense", "invalid_token"),
        (f"Bearer {signed(role='authenticated')}", "no_user"),
        (f"Bearer {signed(sub='not a uuid', role='authenticated')}", "no_user"),
        (f"Bearer {signed(sub=USER_ID)}", "no_user"),
        (f"Bearer {signed(sub=USER_ID, role='postgres')}", "no_user"),
        (f"Bearer {signed(sub=USER_ID, role=['authenticated'])}", "no_user"),
    ],
)
def test_others_are_asked_to_sign_in(
    lonely_client: FlaskClient, authorization: str | None, hint: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = lonely_client.get("/whoami", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json is not None
    assert answer.json["hint"] == hint


USER = {"sub": USER_ID, "role": "authenticated"}
HOUR = 3600
# What a token claims beside the user (times as seconds from now), and whether it is accepted.
TOKENS: dict[str, tuple[dict[str, Any], bool]] = {
    "valid": ({"exp": HOUR}, True),
    "without an end": ({}, True),
    "expired": ({"exp": -HOUR}, False),
    "expired within the clock skew": ({"exp": -5}, True),
    "not valid yet": ({"nbf": HOUR}, False),
    "valid since a while": ({"nbf": -HOUR}, True),
    "issued in the future": ({"iat": HOUR}, False),
    "a subject that is no text": ({"sub": 5}, False),
    "for some audience": ({"aud": "authenticated"}, True),
    "an end that is no time": ({"exp": "tomorrow"}, False),
}


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_are_judged_as_postgrest_judges_them(stack: Stack, name: str) -> None:
    claimed, accepted = TOKENS[name]
    now = int(time.time())
    times = {
        claim: now + offset
        for claim, offset in claimed.items()
        if claim in ("exp", "nbf", "iat") and isinstance(offset, int)
    }
    token = jwt.encode(USER | claimed | times, stack.jwt_secret, algorithm="HS256")
    expected = 200 if accepted else 401
    assert (edge_status(stack, token), postgrest_status(stack, token)) == (expected, expected)


def test_only_the_pinned_algorithm_and_secret_count(stack: Stack) -> None:
    for token in (
        signed(secret=stack.jwt_secret * 2, algorithm="HS512", **USER),
        signed(secret="another secret that is also long enough", **USER),
        jwt.encode(USER, None, algorithm="none"),
    ):
        assert (edge_status(stack, token), postgrest_status(stack, token)) == (401, 401)


def edge_status(stack: Stack, token: str) -> int:
    for app in edge(NOWHERE, stack.jwt_secret):
        answer = app.test_client().get("/whoami", headers={"Authorization": f"Bearer {token}"})
        status = answer.status_code
    return status


def postgrest_status(stack: Stack, token: str) -> int:
    answer = httpx.get(f"{stack.rest_url}/", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"JWT_SECRET": SECRET}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": NOWHERE}, "JWT_SECRET is not set"),
        ({"DATABASE_URL": NOWHERE, "JWT_SECRET": "short"}, "at least 32"),
    ],
)
def test_the_edge_does_not_start_half_configured(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        EdgeSettings.from_environment(environment)
