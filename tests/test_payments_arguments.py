"""What the routes that begin a payment refuse, and how often they may be called."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.stack.supervisor import Stack
from tests.payments import WEBHOOK, Till, till_of
from tests.shop import refusal


@pytest.fixture
def till(stack: Stack) -> Iterator[Till]:
    with till_of(stack) as till:
        yield till


# What is wrong with it ----------------------------------------------------------------------------

WRONG_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "invalid_json"),
    "no JSON": (b"package_id=1", "invalid_json"),
    "NaN": (b'{"package_id": NaN}', "invalid_json"),
    "not UTF-8": (b'{"package_id": "\xff\xfe"}', "invalid_json"),
    "too deep": (b"[" * 5000, "invalid_json"),
    "deep": (b"[" * 5000 + b"]" * 5000, "invalid_json"),
    "a list": (b"[]", "invalid_argument"),
    "null": (b"null", "invalid_argument"),
    "no package": (b"{}", "invalid_argument"),
    "a number": (b'{"package_id": 1}', "invalid_argument"),
    "a huge number": (b'{"package_id": ' + b"9" * 5000 + b"}", "invalid_json"),
    "a bad UUID": (b'{"package_id": "12345678-1234-1234-1234-12345678901"}', "invalid_argument"),
    "a UUID in braces": (
        b'{"package_id": "{12345678-1234-1234-1234-123456789012}"}',
        "invalid_argument",
    ),
    "NUL": (b'{"package_id": "\\u0000"}', "invalid_argument"),
    "an object": (b'{"package_id": {"a": 1}}', "invalid_argument"),
    "a price of one's own": (
        b'{"package_id": "12345678-1234-1234-1234-123456789012", "amount_cents": 1}',
        "invalid_argument",
    ),
}


@pytest.mark.parametrize("path", ["/credits/purchase", "/credits/checkout"])
def test_wrong_bodies(till: Till, path: str) -> None:
    for name, (content, hint) in WRONG_BODIES.items():
        answer = till.buyer().send(path, content)
        assert refusal(answer, 400)["hint"] == hint, name
    buyer = till.buyer()
    assert refusal(buyer.send(path, b" " * 17_000), 413)["hint"]
    form = buyer.send(path, b"package_id=1", Content_Type="application/x-www-form-urlencoded")
    assert refusal(form, 415)["hint"] == "unsupported_media_type"
    assert refusal(buyer.http.get(path), 405)["hint"]
    unknown = buyer.post(path, {"package_id": str(uuid4())})
    assert refusal(unknown, 404)["hint"] == "package_not_found"
    assert till.value("select count(*) from app.payments where user_id = %s", buyer.id) == 0


def test_what_is_not_on_sale_any_more(till: Till) -> None:
    name = till.new_package(500, 50)
    till.owner.execute("update app.credit_packages set is_active = false where name = %s", (name,))
    assert refusal(till.buyer().purchase(name), 404)["hint"] == "package_not_found"


@pytest.mark.parametrize("key", ["", "x" * 300])
def test_wrong_keys(till: Till, key: str) -> None:
    refused = refusal(till.buyer().purchase(key=key), 400)
    assert refused["hint"] in ("invalid_argument", "invalid_idempotency_key")


FOREIGN = [
    "https://evil.example/",
    "//evil.example/",
    "/checkout/return",
    "javascript:alert(1)",
    "data:text/html,x",
    "ftp://{host}/",
    "https://{host}/",
    "http://{host}@evil.example/",
    "http://user:word@{host}/",
    "http://{host}.evil.example/",
    "http://{host}1/",
    "http://evil.example#{host}",
    "http://evil.example\\@{host}/",
    "http://{host}\\@evil.example/",
    "http:\\\\evil.example/",
    "http:///evil.example/",
    "http:{host}/",
    "http://{host}/\r\nSet-Cookie: a=b",
    " http://{host}/",
    "http://{host}/\u0000",
    "http://{host}\uff0fevil.example/",
    "http://127.0.0.1/",
    "http://127.0.0.1:1/",
    "http://127.1:{port}/",
    "http://localhost:{port}/",
    "http://\uff11\uff12\uff17.0.0.1:{port}/",
    "http://{host}/" + "x" * 3000,
    "",
]


@pytest.mark.parametrize("which", ["success_url", "cancel_url"])
def test_a_checkout_returns_to_nobody_else(till: Till, which: str) -> None:
    host = till.edge_url.removeprefix("http://")
    for url in FOREIGN:
        meant = url.replace("{host}", host).replace("{port}", host.partition(":")[2])
        answer = till.buyer().checkout(**{which: meant})
        hint = refusal(answer, 400)["hint"]
        assert hint == ("invalid_argument" if "\0" in meant else "return_url_not_allowed"), url


def test_a_checkout_returns_where_it_may(till: Till) -> None:
    buyer = till.buyer()
    mine = f"{till.edge_url}/checkout/return?for=me&session_id={{CHECKOUT_SESSION_ID}}"
    payment = buyer.payment(buyer.checkout(success_url=mine, cancel_url=f"{till.edge_url}/healthz"))
    session: Any = till.sandbox.api.checkout.sessions.retrieve(payment.session)
    assert session.success_url == mine
    assert session.cancel_url == f"{till.edge_url}/healthz"


# How often ----------------------------------------------------------------------------------------


def limited(answer: httpx.Response) -> int:
    assert refusal(answer, 429)["hint"] == "rate_limited"
    return int(answer.headers["Retry-After"])


def test_a_person_may_begin_ten_payments_a_minute(till: Till) -> None:
    buyer = till.buyer()
    answers = [buyer.send("/credits/purchase", b"{}") for _ in range(10)]
    assert {answer.status_code for answer in answers} == {400}
    waits = [limited(buyer.purchase()) for _ in range(3)]
    assert 1 <= waits[0] <= waits[-1]  # refused calls count too
    assert waits[-1] > waits[0]
    elsewhere = till.caller(buyer.token, buyer.id)
    limited(elsewhere.purchase())
    assert till.buyer().purchase().status_code == 201
    assert httpx.post(till.edge_url + WEBHOOK).status_code == 400  # Stripe is not limited


def test_an_address_may_begin_thirty_payments_a_minute(till: Till) -> None:
    first = till.buyer()
    others = [till.buyer() for _ in range(4)]
    statuses = [
        first.http.post(
            "/credits/purchase",
            content=b"{}",
            headers={
                "Authorization": f"Bearer {other.token}",
                "Content-Type": "application/json",
                "X-Forwarded-For": f"10.0.0.{number}",  # nobody is believed to be a proxy
            },
        ).status_code
        for other in others
        for number in range(8)
    ]
    assert statuses[:30] == [400] * 30
    assert statuses[31] == 429
    limited(first.purchase())
    assert others[0].purchase().status_code == 201  # from another address
