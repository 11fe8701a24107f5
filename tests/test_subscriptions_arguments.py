"""What subscribing refuses, the same call again, and Stripe in trouble."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from tests.payments import Buyer
from tests.shop import refusal
from tests.subscriptions import (
    BASIC,
    FLOW,
    PREMIUM,
    Subscription,
    begin,
    open_portal,
    pay_session,
    plan_of,
    settle,
    subscribe,
)
from tests.teller import Json
from tests.test_payments_arguments import FOREIGN
from tests.test_payments_faults import ALWAYS, FAULTS, IN_TRANSACTION
from tests.tills import OwnTill, own_till

CHECKOUT, PORTAL = "/subscriptions/checkout", "/subscriptions/portal"
SESSIONS, PORTALS = "/v1/checkout/sessions", "/v1/billing_portal/sessions"


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[OwnTill]:
    with own_till(postgres_server, next(database_names), migrated_template) as till:
        yield till


@pytest.fixture
def till(house: OwnTill) -> Iterator[OwnTill]:
    yield house
    settle(house)


# What is refused ----------------------------------------------------------------------------------


def test_wrong_plans(till: OwnTill) -> None:
    buyer = till.buyer()
    unknown = refusal(begin(buyer, "golden"), 404)
    assert unknown["hint"] == "plan_not_found"
    assert "premium" in unknown["details"]
    assert refusal(begin(buyer, "free"), 422)["hint"] == "plan_is_free"
    assert refusal(begin(buyer, ""), 404)["hint"] == "plan_not_found"
    for body in ({}, {"plan": None}, {"plan": 1}, {"plan": ["basic"]}, {"plan": "x\0"}):
        assert refusal(buyer.post(CHECKOUT, body), 400)["hint"] == "invalid_argument", body
    till.owner.execute("update app.subscription_plans set is_active = false where slug = 'flow'")
    assert refusal(begin(buyer, FLOW), 404)["hint"] == "plan_not_found"
    till.owner.execute("update app.subscription_plans set is_active = true where slug = 'flow'")
    assert (
        till.value("select count(*) from app.subscription_checkouts where user_id = %s", buyer.id)
        == 0
    )


@pytest.mark.parametrize("path", [CHECKOUT, PORTAL])
def test_wrong_calls(till: OwnTill, path: str) -> None:
    buyer = till.buyer()
    for nobody in (till.caller(None), till.caller("no token")):
        assert refusal(nobody.post(path, {"plan": PREMIUM}), 401)["hint"]
    own_price = refusal(buyer.post(path, {"plan": PREMIUM, "price_cents": 1}), 400)
    assert own_price["hint"] == "invalid_argument"
    assert refusal(buyer.send(path, b"[]"), 400)["hint"] == "invalid_argument"
    assert refusal(buyer.send(path, b"{"), 400)["hint"] == "invalid_json"
    assert refusal(buyer.send(path, b" " * 17_000), 413)["hint"]
    form = buyer.send(path, b"plan=premium", Content_Type="application/x-www-form-urlencoded")
    assert refusal(form, 415)["hint"] == "unsupported_media_type"
    assert refusal(buyer.http.get(path), 405)["hint"]


@pytest.mark.parametrize("which", ["success_url", "cancel_url"])
def test_stripe_returns_to_nobody_else(till: OwnTill, which: str) -> None:
    for url in foreign(till):
        hint = refusal(begin(till.buyer(), **{which: url}), 400)["hint"]
        assert hint == ("invalid_argument" if "\0" in url else "return_url_not_allowed"), url


def test_the_portal_returns_to_nobody_else(till: OwnTill) -> None:
    for url in foreign(till):
        hint = refusal(open_portal(till.buyer(), return_url=url), 400)["hint"]
        assert hint == ("invalid_argument" if "\0" in url else "return_url_not_allowed"), url


def foreign(till: OwnTill) -> list[str]:
    host = till.edge_url.removeprefix("http://")
    port = host.partition(":")[2]
    return [url.replace("{host}", host).replace("{port}", port) for url in FOREIGN]


FRONTEND = "https://app.example.com"


def test_a_frontend_of_ours(till: OwnTill) -> None:
    """It may call from a browser, and be returned to."""
    edge = till.edge(CHECKOUT_RETURN_URLS=FRONTEND)
    asked = {"Origin": FRONTEND, "Access-Control-Request-Method": "POST"}
    for path in (CHECKOUT, PORTAL):
        answer = till.http.options(edge.url + path, headers=asked)
        assert answer.headers["Access-Control-Allow-Origin"] == FRONTEND
    for path in ("/subscriptions/return", "/subscriptions/done"):
        answer = till.http.options(edge.url + path, headers=asked)
        assert "Access-Control-Allow-Origin" not in answer.headers
    buyer = till.buyer()
    elsewhere = till.caller(buyer.token, buyer.id, edge.url)
    back = {"success_url": f"{FRONTEND}/thanks", "cancel_url": f"{FRONTEND}/plans"}
    assert refusal(begin(buyer, **back), 400)["hint"] == "return_url_not_allowed"
    body = begin(elsewhere, **back).json()
    session = till.sandbox.api.checkout.sessions.retrieve(body["session_id"])
    assert (session.success_url, session.cancel_url) == (back["success_url"], back["cancel_url"])


def test_ten_calls_a_minute(till: OwnTill) -> None:
    buyer = till.buyer()
    statuses = [buyer.post(CHECKOUT, {}).status_code for _ in range(10)]
    assert statuses == [400] * 10
    for refused in (begin(buyer), open_portal(buyer), buyer.purchase()):
        assert refusal(refused, 429)["hint"] == "rate_limited"
        assert int(refused.headers["Retry-After"]) >= 1
    assert begin(till.buyer()).status_code == 201


def test_one_subscription_of_a_family(till: OwnTill) -> None:
    buyer = till.buyer()
    subscription = subscribe(buyer, BASIC)
    for plan in (BASIC, PREMIUM):
        refused = refusal(begin(buyer, plan), 409)
        assert refused["hint"] == "already_subscribed"
        assert "portal" in refused["details"]
    assert begin(buyer, FLOW).status_code == 201
    subscription.do("cancel")
    subscription.wait_for("canceled")
    assert begin(buyer, PREMIUM).status_code == 201


# The same call again, and Stripe in trouble -------------------------------------------------------


def test_the_same_key_is_the_same_checkout(till: OwnTill) -> None:
    buyer = till.buyer()
    first = begin(buyer, key="once").json()
    assert begin(buyer, key="once").json() == first
    assert refusal(begin(buyer, BASIC, key="once"), 409)["hint"] == "idempotency_mismatch"
    assert refusal(buyer.checkout(key="once"), 409)["hint"] == "idempotency_mismatch"
    assert begin(buyer, key="another").json()["checkout_id"] != first["checkout_id"]
    assert begin(till.buyer(), key="once").json()["checkout_id"] != first["checkout_id"]


def test_the_same_key_at_the_same_instant(till: OwnTill) -> None:
    buyer = till.buyer()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: begin(buyer, key="once"), range(8)))
    good = [answer.json() for answer in answers if answer.status_code == 201]
    assert good
    assert all(each == good[0] for each in good)
    for answer in answers:  # who came while another one was at Stripe is told to come again
        assert answer.status_code == 201 or refusal(answer, 502)["hint"] == "stripe_unavailable"
    assert [each["id"] for each in sessions(till, buyer)] == [good[0]["session_id"]]


def sessions(till: OwnTill, buyer: Buyer) -> list[Json]:
    customer = till.value(
        "select stripe_customer_id from app.stripe_customers where user_id = %s", buyer.id
    )
    return till.sandbox.all_of(till.sandbox.api.checkout.sessions, customer=customer)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkout_is_made_once(till: OwnTill, fault: str) -> None:
    for times, who in ((1, "edge"), (ALWAYS, "edge"), (ALWAYS, "worker")):
        buyer = till.buyer()
        till.sandbox.fault(SESSIONS, fault, times=times)
        first = begin(buyer, key="k")
        assert till.sandbox.struck() >= 1
        if first.status_code != 201:
            assert refusal(first, 502)["hint"] == "stripe_unavailable"
        till.sandbox.calm()
        if who == "worker":
            till.work()
            assert till.pending_requests() == 0
        second = begin(buyer, key="k")
        assert second.status_code == 201, second.text
        assert [each["id"] for each in sessions(till, buyer)] == [second.json()["session_id"]]
        assert pay_session(till, second.json()["session_id"]).is_success
        Subscription(buyer, PREMIUM).wait_for("active").wait_for_payments(1)
        assert buyer.balance == plan_of(till, PREMIUM).credits


@pytest.mark.parametrize("path", [SESSIONS, PORTALS])
def test_no_transaction_is_open_while_stripe_thinks(till: OwnTill, path: str) -> None:
    buyer = till.buyer()
    if path == PORTALS:
        subscribe(buyer)
    till.sandbox.fault(path, "hold")
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(open_portal if path == PORTALS else begin, buyer)
        till.sandbox.wait_for_held()
        assert wait_until(lambda: till.rows(IN_TRANSACTION) == [], seconds=5)
        till.sandbox.let_go()
        assert answer.result().status_code == 201
