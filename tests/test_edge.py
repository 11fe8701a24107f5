"""The edge: health, errors in the house shape, and tokens judged as PostgREST judges them."""

import base64
import hmac
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from flask import Flask
from flask.testing import FlaskClient
from jwt.algorithms import (
    Algorithm,
    ECAlgorithm,
    HMACAlgorithm,
    OKPAlgorithm,
    RSAAlgorithm,
)

from api import create_app
from api.auth import current_caller, require_caller
from api.config import EdgeSettings, SettingsError, StripeSettings, with_login
from api.config.keys import read_token_keys
from api.db import database
from api.logs import RedactingFormatter, redact
from api.stack.supervisor import Stack
from api.tokens import TokenError, check_token, sign_token
from tests.conftest import NewDatabase

SECRET = "a secret of the tests, long enough"
NOWHERE = "postgresql://edge@/nowhere?host=/nonexistent"
USER_ID = str(uuid4())


def edge(database_url: str, secret: str = SECRET) -> Iterator[Flask]:
    """An edge with routes of the tests' own beside the real ones."""
    app = create_app(
        EdgeSettings(
            database_url=database_url,
            jwt_secret=secret,
            stripe=StripeSettings("sk_test_x", webhook_secrets=("whsec_x",)),
            edge_url="http://127.0.0.1:8000",
        )
    )

    @app.get("/whoami")
    @require_caller
    def whoami() -> dict[str, str]:
        return {"sub": current_caller().claims.get("sub", ""), "role": current_caller().role}

    @app.get("/refused-for-now")
    def refused_for_now() -> str:
        with database().connection() as connection:
            connection.execute(
                """
                do $$ begin raise sqlstate 'PGRST' using
                    message = '{"code": "PT429", "message": "Too many calls.", '
                        '"details": "Try again in 7 seconds.", "hint": "rate_limited"}',
                    detail = '{"status": 429, "headers": {"Retry-After": "7"}}';
                end; $$
                """
            )
        return "unreachable"

    @app.get("/not-understood")
    def not_understood() -> str:
        with database().connection() as connection:
            connection.execute("select 'nonsense'::text::uuid")
        return "unreachable"

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


def test_a_refusal_may_say_when_to_try_again(client: FlaskClient) -> None:
    answer = client.get("/refused-for-now")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json == {
        "code": "PT429",
        "message": "Too many calls.",
        "details": "Try again in 7 seconds.",
        "hint": "rate_limited",
    }


def test_what_the_database_does_not_understand_is_no_fault_of_ours(client: FlaskClient) -> None:
    answer = client.get("/not-understood")
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["hint"] == "invalid_argument"


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
    assert answer.json == {"sub": USER_ID, "role": "authenticated"}


def test_a_subject_may_be_anything_and_the_service_needs_none(lonely_client: FlaskClient) -> None:
    for claims in (
        {"sub": "auth0|5", "iss": "https://issuer.example", "role": "authenticated"},
        {"role": "service_role"},
    ):
        answer = lonely_client.get(
            "/whoami", headers={"Authorization": f"Bearer {signed(**claims)}"}
        )
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("authorization", "hint"),
    [
        (None, "no_user"),
        ("Basic cmVhZGVyOg==", "no_user"),
        ("Bearer ", "no_user"),
        ("Bearer nonsense", "invalid_token"),
        (f"Bearer {signed(role='authenticated')}", "no_user"),
        (f"Bearer {signed(sub='', role='authenticated')}", "no_user"),
        (f"Bearer {signed(sub=USER_ID, role='anon')}", "no_user"),
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
        jwt.encode(USER, "", algorithm="none"),
    ):
        assert (edge_status(stack, token), postgrest_status(stack, token)) == (401, 401)


RSA = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
SHARED = "a shared secret of the tests, long enough"


def jwk(algorithm: type[Algorithm], key: Any, **more: str) -> dict[str, str]:
    return {**json.loads(algorithm.to_jwk(key)), **more}


KEY_SET = json.dumps(
    {
        "keys": [
            jwk(RSAAlgorithm, RSA.public_key(), kid="first"),
            jwk(ECAlgorithm, CURVE.public_key(), kid="second"),
            jwk(OKPAlgorithm, EDWARDS.public_key()),
            jwk(HMACAlgorithm, SHARED.encode(), kid="shared", alg="HS256"),
        ]
    }
)


@pytest.mark.parametrize(
    ("key", "algorithm", "kid", "accepted"),
    [
        (RSA, "RS256", "first", True),
        (RSA, "RS256", None, True),
        (RSA, "PS512", "first", True),
        (RSA, "RS256", "second", False),
        (RSA, "RS256", "unknown", False),
        (CURVE, "ES256", "second", True),
        (EDWARDS, "EdDSA", None, True),
        (EDWARDS, "EdDSA", "any", True),
        (SHARED, "HS256", "shared", True),
        (SHARED * 2, "HS512", "shared", False),
        (SHARED + "!", "HS256", "shared", False),
        (CURVE, "ES256", "first", False),
    ],
)
def test_a_key_of_the_set_is_for_its_own_kind_of_token(
    key: Any, algorithm: str, kid: str | None, accepted: bool
) -> None:
    headers = None if kid is None else {"kid": kid}
    token = jwt.encode(USER, key, algorithm=algorithm, headers=headers)
    for app in edge(NOWHERE, KEY_SET):
        answer = app.test_client().get("/whoami", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == (200 if accepted else 401)


def test_the_text_of_a_set_is_no_secret() -> None:
    """Sets of public keys are published: whoever has one must not be able to sign with it."""
    header, payload = jwt.encode(USER, SHARED, algorithm="HS256").split(".")[:2]
    digest = hmac.digest(KEY_SET.encode(), f"{header}.{payload}".encode(), "sha256")
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    with pytest.raises(TokenError):
        check_token(read_token_keys(KEY_SET), f"{header}.{payload}.{signature}")


def test_tokens_are_signed_with_the_shared_key_of_a_set() -> None:
    token = sign_token(KEY_SET, subject=UUID(USER_ID), role="authenticated", hours=1)
    assert jwt.get_unverified_header(token)["kid"] == "shared"
    assert check_token(read_token_keys(KEY_SET), token)["sub"] == USER_ID
    only_public = json.dumps(jwk(RSAAlgorithm, RSA.public_key()))
    with pytest.raises(SettingsError, match="public keys only"):
        sign_token(only_public, subject=UUID(USER_ID), role="authenticated", hours=1)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("key sk_live_4eC39HqLyjWDarjtT1zdp7dc!", "key sk_live_[redacted]!"),
        ("whsec_abc+/= and rk_test_1", "whsec_[redacted] and rk_test_[redacted]"),
        ("pi_1A_secret_zzz9", "pi_1A_secret_[redacted]"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "Bearer [redacted]"),
        ("card 4242 4242 4242 4242.", "card [redacted]."),
        ("378282246310005", "[redacted]"),
        ("4242424242424241", "4242424242424241"),
        ("postgresql://edge:hunter2@db/x", "postgresql://edge:[redacted]@db/x"),
        ("01a1fe39-7470-7d16-93b3-fbd9ec66bbe7", "01a1fe39-7470-7d16-93b3-fbd9ec66bbe7"),
    ],
)
def test_the_log_keeps_no_secret(said: str, kept: str) -> None:
    assert redact(said) == kept


def test_a_request_is_one_line_without_what_was_sent(
    lonely_client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = lonely_client.get("/whoami?token=hush", headers={"Authorization": "Bearer hush"})
    lonely_client.get("/healthz")
    lines = [RedactingFormatter().format(each) for each in caplog.records]
    (line,) = [json.loads(each) for each in lines]
    assert (
        line.items()
        >= {
            "message": "request",
            "level": "INFO",
            "method": "GET",
            "route": "/whoami",
            "status": 401,
            "request_id": answer.headers["X-Request-Id"],
        }.items()
    )
    assert "hush" not in lines[0]


def test_answers_carry_headers_that_keep_browsers_in_check(lonely_client: FlaskClient) -> None:
    for path in ("/healthz", "/nowhere"):
        headers = lonely_client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def edge_status(stack: Stack, token: str) -> int:
    for app in edge(NOWHERE, stack.jwt_secret):
        answer = app.test_client().get("/whoami", headers={"Authorization": f"Bearer {token}"})
        status = answer.status_code
    return status


def postgrest_status(stack: Stack, token: str) -> int:
    answer = httpx.get(f"{stack.rest_url}/", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


EDGE = {
    "DATABASE_URL": NOWHERE,
    "JWT_SECRET": SECRET,
    "EDGE_URL": "https://pay.example.com",
    "STRIPE_SECRET_KEY": "sk_test_x",
    "STRIPE_WEBHOOK_SECRET": "whsec_x",
}
LIVE = {"STRIPE_SECRET_KEY": "sk_live_x"}


def test_settings_of_the_edge() -> None:
    several = {
        "STRIPE_WEBHOOK_SECRET": "whsec_new, whsec_old",
        "CHECKOUT_RETURN_URLS": "https://app.example.com, HTTPS://Other.example.com:443/",
        "TRUSTED_PROXIES": "2",
    }
    settings = EdgeSettings.from_environment({**EDGE, **several})
    assert settings.stripe.webhook_secrets == ("whsec_new", "whsec_old")
    assert settings.return_origins == ("https://app.example.com", "https://other.example.com")
    assert settings.trusted_proxies == 2
    assert not settings.stripe.livemode
    assert EdgeSettings.from_environment({**EDGE, **LIVE}).stripe.livemode


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set"),
        ({"JWT_SECRET": ""}, "JWT_SECRET is not set"),
        ({"JWT_SECRET": "short"}, "at least 32"),
        ({"JWT_SECRET": "@/run/secrets/jwt"}, "not the name of a file"),
        ({"JWT_SECRET": "{nonsense"}, "is not JSON"),
        ({"JWT_SECRET": "{}"}, "without keys"),
        ({"JWT_SECRET": '{"keys": []}'}, "without keys"),
        ({"JWT_SECRET": '{"keys": [{"kty": "odd"}]}'}, "key 1 of JWT_SECRET"),
        ({"JWT_SECRET": '{"kty": "oct", "k": "c2hvcnQ"}'}, "at least 32"),
        ({"JWT_SECRET": '{"kty": "RSA", "alg": "HS256", "n": "AQAB", "e": "AQAB"}'}, "HS256"),
        ({"EDGE_URL": ""}, "EDGE_URL is not set"),
        ({"EDGE_URL": "pay.example.com"}, "EDGE_URL must begin with"),
        ({"EDGE_URL": "https://pay.example.com/shop"}, "only the beginning"),
        ({"CHECKOUT_RETURN_URLS": "*"}, "CHECKOUT_RETURN_URLS must begin with"),
        ({"CHECKOUT_RETURN_URLS": "https://me@app.example.com"}, "a name or a password"),
        ({"TRUSTED_PROXIES": "all"}, "TRUSTED_PROXIES must be a number"),
        ({"STRIPE_SECRET_KEY": "", "STRIPE_WEBHOOK_SECRET": ""}, "without Stripe nothing"),
        ({"STRIPE_SECRET_KEY": ""}, "STRIPE_SECRET_KEY is not"),
        ({"STRIPE_SECRET_KEY": "pk_test_x"}, "STRIPE_SECRET_KEY must look like"),
        ({"STRIPE_WEBHOOK_SECRET": ""}, "STRIPE_WEBHOOK_SECRET is not"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_x,"}, "STRIPE_WEBHOOK_SECRET must look like"),
        ({"STRIPE_CONNECT_WEBHOOK_SECRET": "x"}, "STRIPE_CONNECT_WEBHOOK_SECRET must"),
        ({"STRIPE_API_BASE": "127.0.0.1:8001"}, "STRIPE_API_BASE must begin with"),
        ({"STRIPE_PUBLISHABLE_KEY": "sk_test_x"}, "STRIPE_PUBLISHABLE_KEY must look like"),
        ({"STRIPE_PUBLISHABLE_KEY": "pk_live_x"}, "one is live, the other is not"),
        ({**LIVE, "STRIPE_API_BASE": "http://127.0.0.1:8001"}, "points to a sandbox"),
        ({**LIVE, "EDGE_URL": "http://pay.example.com"}, "must begin with https"),
    ],
)
def test_the_edge_does_not_start_half_configured(changed: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)) as refused:
        EdgeSettings.from_environment({**EDGE, **changed})
    assert "\n" not in str(refused.value)
    assert not re.search(r"(sk|pk)_(test|live)_x|whsec_x|nonsense", str(refused.value))
