"""Subscribing over HTTP: the page, what it brings, the portal, and what is refused."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from api.stripe.client import raw
from tests.market import acting_as
from tests.payments import VISA, Buyer
from tests.shop import refusal
from tests.subscriptions import (
    BASIC,
    FLOW,
    PREMIUM,
    Subscription,
    begin,
    open_portal,
    pay_page,
    pay_session,
    plan_of,
    settle,
    subscribe,
)
from tests.teller import WAIT_SECONDS, Json
from tests.test_payments_faults import ALWAYS
from tests.tills import OwnTill, own_till

ANSWER = {
    "checkout_id", "status", "plan", "plan_name", "price_cents", "currency", "session_id", "url",
    "publishable_key",
}  # fmt: skip
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


def returned(till: OwnTill, session_id: str) -> httpx.Response:
    return httpx.get(f"{till.edge_url}/subscriptions/return?session_id={session_id}")


def as_buyer(buyer: Buyer, statement: str) -> list[Json]:
    """What the buyer sees through the public door."""
    with acting_as(buyer.till.owner, buyer.id):
        return buyer.till.rows(statement)


# From the page to the credits ---------------------------------------------------------------------


def test_premium_from_the_page_to_the_credits(till: OwnTill) -> None:
    buyer = till.buyer()
    plan = plan_of(till, PREMIUM)
    answer = begin(buyer, key="mine")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body.keys() == ANSWER
    assert (body["plan"], body["plan_name"], body["status"]) == (PREMIUM, plan.name, "pending")
    assert (body["price_cents"], body["currency"]) == (1499, "usd")
    session_id = body["session_id"]
    page = till.http.get(body["url"])
    assert (page.status_code, "$14.99" in page.text) == (200, True)
    waiting = returned(till, session_id)
    assert "Waiting for the payment" in waiting.text
    assert 'http-equiv="refresh"' in waiting.text
    assert "default-src 'none'" in waiting.headers["Content-Security-Policy"]

    paid = pay_page(till, body["url"])
    assert paid.status_code == 303, paid.text
    assert paid.headers["Location"] == str(waiting.url)
    subscription = Subscription(buyer, PREMIUM).wait_for("active")
    (payment,) = subscription.wait_for_payments(1)

    for event in subscription.events():
        assert set(till.sandbox.resend(event)) <= {"duplicate", "applied", "ignored"}
    assert buyer.balance == plan.credits
    assert [amount for _, amount in buyer.statement] == [plan.credits]
    mine = subscription.my_plan
    assert (mine["plan"], mine["tier"], mine["status"]) == (PREMIUM, "premium", "active")
    assert subscription.tier == "premium"
    (row,) = as_buyer(buyer, "select * from api.payments")
    assert (row["status"], row["amount_cents"], row["package"]) == ("succeeded", 1499, plan.name)
    (receipt,) = as_buyer(buyer, "select * from api.receipts")
    assert receipt["number"] == row["receipt_number"]
    (billed,) = as_buyer(buyer, "select * from api.billing_history")
    assert (billed["amount_cents"], billed["description"]) == (
        1499,
        f"{plan.name}: {plan.credits} credits",
    )
    assert payment["stripe_charge_id"] is not None
    assert row["payment_method"] == "visa 4242"
    (lot,) = till.rows("select * from ledger.lots where book_id = %s", buyer.id)
    assert lot["expires_at"] == subscription.row["current_period_end"]

    arrived = returned(till, session_id)
    assert "Your subscription has begun" in arrived.text
    assert "Renews on" in arrived.text
    assert f"<dd>{plan.credits}</dd>" in arrived.text
    assert 'http-equiv="refresh"' not in arrived.text
    again = begin(buyer, key="mine").json()
    assert (again["checkout_id"], again["session_id"]) == (body["checkout_id"], session_id)
    assert (again["status"], again["url"]) == ("complete", None)


def test_a_card_that_is_declined_and_another_one(till: OwnTill) -> None:
    buyer = till.buyer()
    body = begin(buyer, BASIC).json()
    declined = pay_page(till, body["url"], number="4000000000000002")
    assert declined.status_code == 402
    assert "declined" in declined.text
    assert buyer.balance == 0
    assert pay_page(till, body["url"]).status_code == 303
    subscription = Subscription(buyer, BASIC).wait_for("active")
    subscription.wait_for_payments(1)
    assert buyer.balance == plan_of(till, BASIC).credits


def test_a_plan_without_credits(till: OwnTill) -> None:
    """It is paid and has its receipt, and brings nothing to spend."""
    buyer = till.buyer()
    subscription = subscribe(buyer, FLOW)
    (payment,) = subscription.payments
    assert (payment["status"], payment["amount_cents"]) == ("succeeded", 1000)
    assert payment["credits_purchased"] == 0
    assert buyer.balance == 0
    assert subscription.my_plan["tier"] == "premium"
    assert subscription.tier == "free"  # of another family: nothing about reading


def test_free_days(till: OwnTill) -> None:
    buyer = till.buyer()
    till.owner.execute("update app.subscription_plans set trial_days = 7 where slug = 'basic'")
    try:
        body = begin(buyer, BASIC).json()
        assert pay_session(till, body["session_id"]).is_success
        subscription = Subscription(buyer, BASIC).wait_for("trialing")
        page = returned(till, body["session_id"])
        assert wait_until(
            lambda: "Your free days" in returned(till, body["session_id"]).text,
            seconds=WAIT_SECONDS,
        ), page.text
        assert "First payment on" in returned(till, body["session_id"]).text
        assert (subscription.payments, buyer.balance) == ([], 0)
        assert subscription.my_plan["tier"] == "basic"
        subscription.do("renew", outcome="paid")
        subscription.wait_for("active").wait_for_payments(1)
        assert buyer.balance == plan_of(till, BASIC).credits
        subscription.do("cancel")
        subscription.wait_for("canceled")
        second = begin(buyer, BASIC).json()
        assert pay_session(till, second["session_id"]).is_success
        Subscription(buyer, BASIC).wait_for("active")  # free days are for the first time
    finally:
        till.owner.execute("update app.subscription_plans set trial_days = 0")


def test_a_page_that_nobody_used(till: OwnTill) -> None:
    body = begin(till.buyer()).json()
    till.sandbox.api.checkout.sessions.expire(body["session_id"])

    def closed() -> bool:
        return "This payment page is closed" in returned(till, body["session_id"]).text

    assert wait_until(closed, seconds=WAIT_SECONDS)
    for path in ("canceled", "done"):
        page = till.http.get(f"{till.edge_url}/subscriptions/{path}")
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    "session", ["cs_test_nobody", "", "'%20or%201=1", "%00", "cs_" + "x" * 2000]
)
def test_an_unknown_session(till: OwnTill, session: str) -> None:
    answer = returned(till, session)
    assert answer.status_code == 404
    assert "There is nothing here." in answer.text


# The portal ---------------------------------------------------------------------------------------


def test_the_portal_is_for_who_had_a_subscription(till: OwnTill) -> None:
    buyer = till.buyer()
    assert refusal(open_portal(buyer), 404)["hint"] == "no_subscription"
    begin(buyer)
    assert refusal(open_portal(buyer), 404)["hint"] == "no_subscription"
    subscription = subscribe(buyer)
    answer = open_portal(buyer)
    assert (answer.status_code, answer.json().keys()) == (201, {"url"})
    url = answer.json()["url"]
    assert urlsplit(url).netloc == urlsplit(str(till.sandbox.settings.api_base)).netloc
    assert till.http.get(url).status_code == 200
    assert open_portal(buyer).json()["url"] != url
    assert buyer.send(PORTAL, b"", Content_Type="").status_code == 201  # nothing has to be said
    back = f"{till.edge_url}/subscriptions/done?for=me"
    page = till.http.get(open_portal(buyer, return_url=back).json()["url"])
    assert back.replace("&", "&amp;") in page.text
    subscription.do("cancel")
    subscription.wait_for("canceled")
    assert open_portal(buyer).status_code == 201  # the invoices are still there
    assert refusal(open_portal(till.buyer()), 404)["hint"] == "no_subscription"


def test_a_portal_that_stripe_does_not_open(till: OwnTill) -> None:
    buyer = till.buyer()
    subscribe(buyer)
    till.sandbox.fault(PORTALS, "error_500", times=ALWAYS)
    assert refusal(open_portal(buyer), 502)["hint"] == "stripe_unavailable"
    till.sandbox.calm()
    assert open_portal(buyer).status_code == 201


def test_a_refund_takes_the_credits_back(till: OwnTill) -> None:
    buyer = till.buyer()
    subscription = subscribe(buyer)
    (payment,) = subscription.payments
    answer = till.service().refund(payment["id"], amount_cents=500)
    assert answer.status_code == 201, answer.text
    granted = plan_of(till, PREMIUM).credits
    recalled = answer.json()["credits"]
    assert recalled == pytest.approx(granted * 500 / 1499, abs=1)
    assert buyer.balance == granted - recalled
    rest = till.service().refund(payment["id"])
    assert rest.json()["amount_cents"] == 999
    assert buyer.balance == 0
    refunds = till.sandbox.all_of(
        till.sandbox.api.refunds, payment_intent=payment["stripe_payment_intent_id"]
    )
    assert sorted(each["amount"] for each in refunds) == [500, 999]
    assert subscription.row["status"] == "active"  # ending it is another matter


def test_a_disputed_payment(till: OwnTill) -> None:
    buyer = till.buyer()
    subscription = subscribe(buyer)
    (payment,) = subscription.payments
    intent = raw(till.sandbox.api.payment_intents.retrieve(payment["stripe_payment_intent_id"]))
    dispute = till.sandbox.control(f"/charges/{intent['latest_charge']}/dispute")
    assert wait_until(lambda: buyer.balance == 0, seconds=WAIT_SECONDS)
    till.sandbox.control(f"/disputes/{dispute['id']}/decide", {"outcome": "won"})
    granted = plan_of(till, PREMIUM).credits
    assert wait_until(lambda: buyer.balance == granted, seconds=WAIT_SECONDS)


def test_packages_and_plans_side_by_side(till: OwnTill) -> None:
    """One customer at Stripe, and neither takes the other's money for its own."""
    buyer = till.buyer()
    subscribe(buyer)
    buyer.pay(method=VISA)
    assert buyer.balance == plan_of(till, PREMIUM).credits + 110
    customers = {
        row["stripe_customer_id"]
        for row in till.rows("select * from app.payments where user_id = %s", buyer.id)
    }
    assert len(customers) == 1
