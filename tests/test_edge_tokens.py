"""Who may buy: tokens of every kind, judged by the edge as PostgREST judges them."""

import hmac
import json
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from api.stack.postgres import EmbeddedPostgres
from api.stack.supervisor import Stack
from tests.payments import STARTER_CREDITS, Buyer, Till, till_of
from tests.processes import clean_environment, run_command
from tests.shop import Caller, claims, refusal
from tests.tills import OwnTill, own_till

ANOTHER_SECRET = "another secret that is also long enough"


@pytest.fixture
def till(stack: Stack) -> Iterator[Till]:
    with till_of(stack) as till:
        yield till


def at_postgrest(till: Till, token: str) -> Caller:
    http = till.closing.enter_context(httpx.Client(base_url=till.rest_url, verify=False))
    return Caller(http, uuid4(), token)


def test_tokens_that_buy_nothing(till: Till) -> None:
    secret, now = till.jwt_secret, int(time.time())
    good = jwt.encode(claims(), secret, "HS256")
    head, body, mark = good.split(".")
    other = jwt.encode(claims(), ANOTHER_SECRET, "HS256")
    tokens: dict[str, tuple[str | None, str]] = {
        "none": (None, "no_user"),
        "nonsense": ("a.b.c", "invalid_token"),
        "expired": (jwt.encode(claims(exp=now - 3600), secret, "HS256"), "invalid_token"),
        "not valid yet": (jwt.encode(claims(nbf=now + 3600), secret, "HS256"), "invalid_token"),
        "of another key": (other, "invalid_token"),
        "somebody else's mark": (f"{head}.{body}.{other.split('.')[2]}", "invalid_token"),
        "no mark": (f"{head}.{body}.", "invalid_token"),
        "alg none": (jwt.encode(claims(), "", "none"), "invalid_token"),
        "alg none, with a mark": (
            jwt.encode(claims(), "", "none").rstrip(".") + f".{mark}",
            "invalid_token",
        ),
        "another algorithm": (jwt.encode(claims(), secret * 2, "HS512"), "invalid_token"),
        "anon": (jwt.encode(claims(role="anon"), secret, "HS256"), "no_user"),
        "no role": (jwt.encode(claims(role=None), secret, "HS256"), "no_user"),
        "the role of the owner": (jwt.encode(claims(role="postgres"), secret, "HS256"), "no_user"),
        "the edge's role": (jwt.encode(claims(role="edge"), secret, "HS256"), "no_user"),
        "no subject": (jwt.encode(claims(sub=None), secret, "HS256"), "no_user"),
        "an empty subject": (jwt.encode(claims(sub=""), secret, "HS256"), "no_user"),
        "a subject of no issuer": (jwt.encode(claims(sub="auth0|1"), secret, "HS256"), ""),
        "the platform itself": (jwt.encode(claims(sub=str(UUID(int=0))), secret, "HS256"), ""),
        "a subject with NUL": (
            jwt.encode(claims(sub="a\0b", iss="https://i.example"), secret, "HS256"),
            "",
        ),
    }
    package = till.package("Starter Pack")
    for name, (token, hint) in tokens.items():
        nobody = till.caller(token)
        for answer in (
            nobody.post("/credits/purchase", {"package_id": package}),
            nobody.post("/credits/checkout", {"package_id": package}),
            nobody.refund(str(uuid4())),
        ):
            assert answer.status_code in (400, 401), (name, answer.text)
            said = refusal(answer, answer.status_code)["hint"]
            assert not hint or said == hint, name
            if answer.status_code == 401 and hint:
                assert answer.headers["WWW-Authenticate"] == "Bearer", name
    basic = till.http.post(
        f"{till.edge_url}/credits/purchase", json={"package_id": package}, auth=("a", "b")
    )
    assert refusal(basic, 401)["hint"] == "no_user"


def test_a_subject_of_another_issuer_buys_and_sees_it(till: Till) -> None:
    """Clerk, Auth0 and others name people in ways of their own."""
    subject = f"auth0|{uuid4().hex}"
    issuers = ("https://one.example/", "https://two.example/")
    tokens = [
        jwt.encode(claims(sub=subject, iss=issuer), till.jwt_secret, "HS256") for issuer in issuers
    ]
    buyer = till.caller(tokens[0])
    payment = buyer.begin()
    payment.confirm()
    payment.wait_for("succeeded")
    balances = [
        at_postgrest(till, token).get("/rpc/credit_balance").json()["balance"] for token in tokens
    ]
    assert balances == [STARTER_CREDITS, 0]
    rest = at_postgrest(till, tokens[0])
    assert [row["id"] for row in rest.get("/payments").json()] == [payment.id]
    assert rest.get(f"/rpc/receipt?payment_id={payment.id}").status_code == 200


def test_payments_and_receipts_are_nobody_elses(till: Till) -> None:
    payment = till.buyer().pay()
    till.service().refund(payment, amount_cents=100)
    stranger = at_postgrest(till, str(till.buyer().token))
    for view in ("payments", "refunds", "disputes", "receipts", "billing_history"):
        assert stranger.get(f"/{view}").json() == [], view
    hidden = stranger.get(f"/rpc/receipt?payment_id={payment.id}")
    assert refusal(hidden, 404)["hint"] == "receipt_not_found"
    for view in ("stripe_events", "stripe_requests", "stripe_balance_transactions"):
        assert stranger.get(f"/{view}").status_code == 403, view
    assert stranger.get("/rpc/reconcile").status_code == 403
    assert stranger.get("/rpc/payment_figures").status_code == 403
    nobody = Caller(stranger.http, uuid4(), token=None)
    assert nobody.get("/payments").status_code == 401
    service = at_postgrest(till, str(till.service().token))
    assert service.get(f"/payments?id=eq.{payment.id}").json()[0]["refunded_cents"] == 100
    assert service.get("/stripe_events?limit=1").status_code == 200


# Keys of an issuer --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[OwnTill]:
    with own_till(postgres_server, next(database_names), migrated_template) as till:
        yield till


def public(algorithm: Any, key: Any, kid: str | None) -> dict[str, Any]:
    jwk: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    jwk.pop("key_ops", None)
    return jwk if kid is None else jwk | {"kid": kid}


def signed_by_hand(secret: str, **header: str) -> str:
    """HS256 with what the library would not take for a secret."""
    parts = [
        urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT", **header}, claims())
    ]
    mark = hmac.digest(secret.encode(), b".".join(parts), "sha256")
    return b".".join([*parts, urlsafe_b64encode(mark).rstrip(b"=")]).decode()


def test_a_set_of_keys(house: OwnTill) -> None:
    """RS256 and ES256 by name and without; a public key is not a shared secret."""
    old, new, stranger = (rsa.generate_private_key(65537, 2048) for _ in range(3))
    curve = ec.generate_private_key(ec.SECP256R1())
    rs_jwk, es_jwk = public(RSAAlgorithm, new, "rs"), public(ECAlgorithm, curve, "es")
    keys = [public(RSAAlgorithm, old, None), rs_jwk, es_jwk]
    edge = house.edge(JWT_SECRET=json.dumps({"keys": keys}))
    package = house.package("Starter Pack")

    def status(key: Any, algorithm: str, kid: str | None = None, **changed: object) -> int:
        headers = None if kid is None else {"kid": kid}
        token = jwt.encode(claims(**changed), key, algorithm, headers=headers)
        caller: Buyer = house.caller(token, url=edge.url)
        return caller.post("/credits/purchase", {"package_id": package}).status_code

    assert status(new, "RS256", "rs") == 201
    assert status(new, "RS256") == 201
    assert status(old, "RS256") == 201
    assert status(curve, "ES256", "es") == 201
    assert status(curve, "ES256", "es", sub="user_2ab", iss="https://i.example") == 201
    assert status(new, "RS256", "rs", exp=1) == 401
    assert status(new, "RS256", "es") == 401
    assert status(new, "RS256", "unknown") == 401
    assert status(stranger, "RS256", "rs") == 401
    assert status(stranger, "RS256") == 401
    assert status(ec.generate_private_key(ec.SECP256R1()), "ES256", "es") == 401
    assert status("", "none") == 401
    assert status(house.jwt_secret, "HS256") == 401
    # The public key's text as a secret: the oldest trick there is.
    for text in (json.dumps({"keys": keys}), rs_jwk["n"], json.dumps(rs_jwk)):
        for kid in ({}, {"kid": "rs"}):
            thief = house.caller(signed_by_hand(text, **kid), url=edge.url)
            refused = thief.post("/credits/purchase", {"package_id": package})
            assert refusal(refused, 401)["hint"] == "invalid_token"
    assert "Traceback" not in edge.log
    house.settle()


def test_two_configured_secrets(house: OwnTill) -> None:
    """While the secret is being changed both count, and either door keeps its own."""
    edge = house.edge(STRIPE_WEBHOOK_SECRET="whsec_old,whsec_new")
    for number, secret in enumerate(("whsec_old", "whsec_new", "whsec_of_the_tests")):
        told = {"id": "prod_1", "object": "product"}
        event = house.event_about(told, "product.created", id=f"evt_secret_{number}")
        answer = house.webhook(event, secret=secret, url=edge.url)
        if secret == "whsec_of_the_tests":
            assert refusal(answer, 400)["hint"] == "invalid_signature"
        else:
            assert (answer.status_code, answer.json()) == (200, {"state": "ignored"})
    without = house.edge(STRIPE_CONNECT_WEBHOOK_SECRET="")
    answer = house.webhook("{}", path="/webhooks/stripe/connect", url=without.url)
    assert refusal(answer, 404)["hint"] == "not_found"


def test_an_edge_behind_a_proxy_counts_whom_the_proxy_names(house: OwnTill) -> None:
    edge = house.edge(TRUSTED_PROXIES="1")

    def call(address: str) -> int:
        """From a new person each time, so that only the address is counted."""
        caller = house.caller(house.buyer().token, url=edge.url)
        return caller.send("/credits/purchase", b"{}", X_Forwarded_For=address).status_code

    # One household of IPv6; and whoever adds names of their own to the header is not believed.
    household = [f"9.9.9.{n}, 2001:db8:1:2::{n:x}" for n in range(1, 32)]
    assert [call(address) for address in household] == [400] * 30 + [429]
    assert call("2001:db8:1:3::1") == 400


START = {
    "a live key and the sandbox": (
        {"STRIPE_SECRET_KEY": "sk_live_aVeryRealOne"},
        "STRIPE_API_BASE points to a sandbox, and STRIPE_SECRET_KEY is a live key",
    ),
    "a restricted live key and the sandbox": (
        {"STRIPE_SECRET_KEY": "rk_live_aVeryRealOne"},
        "STRIPE_API_BASE points to a sandbox, and STRIPE_SECRET_KEY is a live key",
    ),
    "no webhook secret": ({"STRIPE_WEBHOOK_SECRET": ""}, "STRIPE_WEBHOOK_SECRET is not"),
    "no key": ({"STRIPE_SECRET_KEY": ""}, "STRIPE_SECRET_KEY is not"),
    "half a key": ({"STRIPE_SECRET_KEY": "aVeryRealOne"}, "must look like sk_test_"),
    "half a secret": ({"STRIPE_WEBHOOK_SECRET": "aVeryRealOne"}, "must look like whsec_"),
}


@pytest.mark.parametrize("name", START)
def test_the_edge_refuses_to_start(house: OwnTill, name: str) -> None:
    changed, said = START[name]
    ran = subprocess.run(
        [sys.executable, "-c", "import api; api.create_app()"],
        env={**clean_environment(), **house.environment, **changed},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode != 0
    assert said in ran.stderr.splitlines()[-1]
    assert "aVeryRealOne" not in ran.stderr + ran.stdout


def test_up_refuses_a_live_key_with_a_sandbox(house: OwnTill) -> None:
    for command in (["up", "--no-demo"], ["worker", "--once"]):
        ran = run_command(
            *command,
            environment={
                **house.owners_environment,
                "STRIPE_SECRET_KEY": "sk_live_aVeryRealOne",
                "STATE_DIR": str(house.folder / "state"),
            },
        )
        assert ran.returncode == 1
        assert len(ran.stderr.splitlines()) == 1
        assert "STRIPE_API_BASE points to a sandbox" in ran.stderr
    without = run_command(
        "up",
        environment={
            **house.owners_environment,
            "STRIPE_WEBHOOK_SECRET": "",
            "STATE_DIR": str(house.folder / "state"),
        },
    )
    assert without.returncode == 1
    assert "STRIPE_WEBHOOK_SECRET is not" in without.stderr


def test_the_sandbox_refuses_a_live_key(house: OwnTill) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "api.sandbox", "--port", "0", "--folder", str(house.folder / "x")],
        env={**clean_environment(), "STRIPE_SECRET_KEY": "sk_live_aVeryRealOne"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode != 0
    assert "aVeryRealOne" not in ran.stderr + ran.stdout
    assert len(ran.stderr.splitlines()) == 1
