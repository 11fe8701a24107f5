"""Tokens that somebody made, changed or wrote by hand, at both doors: PostgREST and the edge."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from api.stack.postgres import EmbeddedPostgres
from tests.payouts import Office, open_office
from tests.security.doors import NOBODYS, Answer, bearer, knock
from tests.security.leaks import check_words
from tests.shop import claims

FAR_AHEAD = 32503680000  # the year 3000: the names of tests may not hang on the time


@pytest.fixture(scope="module")
def office(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    with open_office(postgres_server, next(database_names), migrated_template) as office:
        office.execute("update app.rate_limits set capacity = 1000000")
        yield office


def at_postgrest(office: Office, token: str, target: str) -> Answer:
    return knock(office.till.rest_url, "GET", target, bearer(token))


def at_edge(office: Office, token: str) -> Answer:
    headers = {**bearer(token), "Content-Type": "application/json"}
    return knock(office.till.edge_url, "POST", "/credits/purchase", headers, b"{}")


def by_hand(header: object, told: object, mark: bytes = b"") -> str:
    """A token of any parts."""
    parts = [
        each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, told)
    ]
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, mark))


def forgeries() -> dict[str, str]:
    """Tokens of somebody who does not have the secret, each with more rights than the last."""
    key = rsa.generate_private_key(65537, 2048)
    jwk = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    told = claims(role="service_role")

    def signed(secret: Any, algorithm: str = "HS256", **header: Any) -> str:
        return jwt.encode(told, secret, algorithm, headers=header or None)

    other = "x" * 40
    return {
        "none": by_hand({"alg": "none"}, told),
        "None": by_hand({"alg": "None"}, told),
        "NONE, with a mark": by_hand({"alg": "NONE"}, told, b"x" * 32),
        "no algorithm": by_hand({"typ": "JWT"}, told, b"x" * 32),
        "an empty mark": by_hand({"alg": "HS256"}, told),
        "an empty secret": by_hand({"alg": "HS256"}, told, b"\0" * 32),
        "another key": signed(other),
        "a key named by path": signed(other, kid="../../../../../../dev/null"),
        "a key named by SQL": signed(other, kid="x' union select 'x'--"),
        "a key of its own": signed(key, "RS256", jwk=jwk),
        "a key somewhere else": signed(key, "RS256", jku="http://127.0.0.1:9/keys.json"),
        "a certificate of its own": signed(key, "RS256", x5u="http://127.0.0.1:9/x.pem"),
        "an extension": signed(other, crit=["exp"]),
        "a header that is a list": by_hand([], told, b"x"),
        "a header that is no JSON": by_hand(b"\xff\xfe", told, b"x"),
        "claims that are no JSON": by_hand({"alg": "HS256"}, b"\xff", b"x"),
        "five parts": "a.b.c.d.e",
        "no parts": "service_role",
        "very deep": by_hand({"alg": "HS256"}, b"[" * 5000, b"x"),
    }


def test_a_forged_token_is_nobody(office: Office) -> None:
    for name, token in forgeries().items():
        for answer in (
            at_postgrest(office, token, "/transfers"),
            at_postgrest(office, token, "/credit_packages"),
            at_edge(office, token),
        ):
            assert answer.status == 401, (name, answer.text)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer"), name
            check_words(answer.said, sent=token, about=f"{name}: {answer.text}")


def test_a_huge_token_is_refused_and_breaks_nothing(office: Office) -> None:
    for length in (10_000, 60_000, 1_000_000):
        token = jwt.encode(claims(padding="x" * length), office.till.jwt_secret, "HS256")
        for url, method, target in (
            (office.till.rest_url, "GET", "/rpc/credit_balance"),
            (office.till.edge_url, "POST", "/credits/purchase"),
        ):
            try:
                answer = knock(url, method, target, bearer(token))
            except OSError:
                continue  # cut off in the middle of it
            assert answer.status < 500, answer.text
            assert "Traceback" not in answer.text
    assert office.somebody().rest.get("/rpc/credit_balance").status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"role": ["service_role"]},
        {"role": {"service_role": True}},
        {"role": "service_role "},
        {"role": "SERVICE_ROLE"},
        {"role": "authenticated,service_role"},
        {"role": "authenticated; set role service_role"},
        {"role": 'authenticated"'},
        {"role": "app_owner"},
        {"role": "authenticator"},
        {"role": "edge"},
        {"role": "postgres"},
        {"role": "pg_read_all_data"},
        {"role": True},
        {"role": 1},
    ],
    ids=lambda changed: repr(changed["role"]),
)
def test_a_role_that_is_none_opens_nothing(office: Office, changed: dict[str, object]) -> None:
    """Signed by us, as by an issuer that lets its users choose what stands in the claim."""
    token = jwt.encode(claims(**changed), office.till.jwt_secret, "HS256")
    for target in ("/transfers", "/credit_transactions", "/rpc/reconcile"):
        answer = at_postgrest(office, token, target)
        assert 400 <= answer.status < 500, answer.text
    assert at_edge(office, token).status == 401


def test_claims_of_one_s_own_give_no_rights(office: Office) -> None:
    """Only `role` and `sub` count; what an issuer adds to them does not."""
    more = {
        "app_metadata": {"role": "service_role"},
        "user_role": "service_role",
        "roles": ["service_role"],
        "is_operator": True,
        "is_admin": True,
    }
    token = jwt.encode(claims(**more), office.till.jwt_secret, "HS256")
    for target in ("/transfers", "/stripe_events", "/rpc/reconcile", "/rpc/verify"):
        assert at_postgrest(office, token, target).status == 403
    refund = f"/payments/{NOBODYS}/refund"
    headers = {**bearer(token), "Content-Type": "application/json"}
    answer = knock(office.till.edge_url, "POST", refund, headers, b'{"reason": "x"}')
    assert (answer.status, answer.said["hint"]) == (403, "operator_required")


def test_nobody_becomes_somebody_by_the_spelling_of_an_id(office: Office) -> None:
    rich = office.somebody()
    office.execute("select app.grant_credits(%s, 77, 'for a test')", rich.id)
    mine = str(rich.id)
    spellings: list[object] = [mine.replace("-", ""), f"{{{mine}}}", f" {mine}", f"{mine} "]
    spellings += [f"urn:uuid:{mine}", f"{mine}\n", f"{mine}'", [mine], {"id": mine}]
    for subject in spellings:
        for more in ({}, {"iss": "https://issuer.example"}):
            token = (
                jwt.encode(
                    claims(sub="", **more) | {"sub": subject},
                    office.till.jwt_secret,
                    "HS256",
                )
                if isinstance(subject, str)
                else by_secret(office, claims(**more) | {"sub": subject})
            )
            answer = at_postgrest(office, token, "/rpc/credit_balance")
            assert answer.status in (200, 400, 401), answer.text
            assert answer.status != 200 or answer.said["balance"] == 0, subject
    upper = jwt.encode(claims(sub=mine.upper()), office.till.jwt_secret, "HS256")
    assert at_postgrest(office, upper, "/rpc/credit_balance").said["balance"] == 77


def by_secret(office: Office, told: dict[str, object]) -> str:
    """Signed without the library's look at the claims."""
    return jwt.PyJWS().encode(json.dumps(told).encode(), office.till.jwt_secret, "HS256")


@pytest.mark.parametrize(
    "moments",
    [
        {"exp": "tomorrow"},
        {"exp": -1},
        {"exp": [9999999999]},
        {"nbf": FAR_AHEAD},
        {"nbf": "yesterday"},
        {"iat": FAR_AHEAD},
    ],
    ids=repr,
)
def test_a_token_out_of_its_time_is_nobody(office: Office, moments: dict[str, object]) -> None:
    token = by_secret(office, claims() | moments)
    assert at_postgrest(office, token, "/rpc/credit_balance").status == 401
    assert at_edge(office, token).status == 401
