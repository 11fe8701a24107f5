"""From money to credits: by intent and by checkout, every state, every wrong argument."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from api.stack.supervisor import Stack
from tests.payments import (
    STARTER,
    STARTER_CENTS,
    STARTER_CREDITS,
    Buyer,
    Payment,
    Till,
    till_of,
)
from tests.shop import Caller, refusal

ANSWER = {
    "payment_id", "status", "amount_cents", "currency", "credits", "bonus_credits",
    "publishable_key",
}  # fmt: skip
READER_PACK = {"amount_cents": 999, "credits": 250, "bonus_credits": 50}


@pytest.fixture
def till(stack: Stack) -> Iterator[Till]:
    with till_of(stack) as till:
        yield till


def at_postgrest(till: Till, buyer: Buyer) -> Caller:
    """The buyer as a frontend sees the platform."""
    http = till.closing.enter_context(httpx.Client(base_url=till.rest_url, verify=False))
    return Caller(http, buyer.id, buyer.token)


def check_starter_pack(till: Till, payment: Payment) -> None:
    """What the Starter Pack brings: through the public door, however often Stripe tells of it."""
    buyer = payment.buyer
    rest = at_postgrest(till, buyer)
    for event in payment.events():
        till.sandbox.resend(event)
    assert rest.get("/rpc/credit_balance").json()["balance"] == STARTER_CREDITS
    statement = rest.get("/credit_transactions?select=transaction_type,amount&order=id").json()
    assert statement == [
        {"transaction_type": "purchase", "amount": 100},
        {"transaction_type": "bonus", "amount": 10},
    ]
    (row,) = rest.get("/payments").json()
    assert (row["id"], row["status"], row["package"]) == (payment.id, "succeeded", STARTER)
    assert (row["amount_cents"], row["amount_usd"], row["currency"]) == (STARTER_CENTS, 4.99, "usd")
    assert row["payment_method"] == "visa 4242"
    assert (row["failure_code"], row["refunded_cents"], row["dispute_status"]) == (None, 0, None)

    (receipt,) = rest.get("/receipts").json()
    assert rest.call("receipt", {"payment_id": payment.id}).json() == receipt
    assert receipt["number"] == row["receipt_number"]
    assert (receipt["amount_cents"], receipt["net_cents"]) == (STARTER_CENTS, STARTER_CENTS)
    page = rest.get(f"/rpc/receipt?payment_id={payment.id}", accept="text/html")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert receipt["number"] in page.text
    assert "$4.99" in page.text
    assert "no money was moved" in page.text
    assert rest.get("/billing_history").json()[0]["amount_cents"] == STARTER_CENTS


def test_the_starter_pack_by_intent(till: Till) -> None:
    buyer = till.buyer()
    answer = buyer.purchase()
    assert answer.status_code == 201
    body = answer.json()
    assert body.keys() == ANSWER | {"client_secret"}
    assert (body["status"], body["amount_cents"], body["currency"]) == ("pending", 499, "usd")
    assert (body["credits"], body["bonus_credits"]) == (100, 10)
    payment = buyer.payment(answer)
    assert buyer.balance == 0

    assert payment.confirm().is_success
    payment.wait_for("succeeded")

    check_starter_pack(till, payment)


def test_the_starter_pack_by_checkout(till: Till) -> None:
    buyer = till.buyer()
    answer = buyer.checkout(key="mine")
    assert answer.json().keys() == ANSWER | {"url"}
    payment = buyer.payment(answer)
    page = till.http.get(answer.json()["url"])
    assert page.status_code == 200
    assert "$4.99" in page.text
    returned = f"{till.edge_url}/checkout/return?session_id={payment.session}"
    assert "Waiting for the payment" in till.http.get(returned).text
    assert till.http.get(returned.replace("return", "receipt")).status_code == 404

    paid = payment.pay_session()
    assert paid.is_success
    payment.wait_for("succeeded")

    check_starter_pack(till, payment)
    page = till.http.get(returned)
    assert "Your credits are here" in page.text
    assert f"<dd>{STARTER_CREDITS}</dd>" in page.text
    assert 'http-equiv="refresh"' not in page.text
    receipt = till.http.get(returned.replace("return", "receipt"))
    assert (receipt.status_code, receipt.headers["Content-Type"]) == (
        200,
        "text/html; charset=utf-8",
    )
    assert payment.row["receipt_number"] in receipt.text
    assert "default-src 'none'" in receipt.headers["Content-Security-Policy"]
    assert "credits" in receipt.text

    again = buyer.checkout(key="mine").json()
    assert (again["payment_id"], again["status"], again["url"]) == (payment.id, "succeeded", None)


def test_receipts_are_numbered_without_gaps(till: Till) -> None:
    numbers = [till.buyer().pay().row["receipt_number"] for _ in range(3)]
    year, serials = numbers[0][:7], [int(number[7:]) for number in numbers]
    assert all(number.startswith(year) for number in numbers)
    assert serials == list(range(serials[0], serials[0] + 3))


def test_a_bank_debit_is_processing_until_it_settles(till: Till) -> None:
    good, bad = till.buyer().begin(), till.buyer().begin()
    for payment, outcome, status in ((good, "succeeded", "succeeded"), (bad, "failed", "failed")):
        payment.confirm("pm_usBankAccount")
        payment.wait_for("processing")
        assert payment.buyer.balance == 0
        till.sandbox.control(f"/payment_intents/{payment.intent}/settle", {"outcome": outcome})
        payment.wait_for(status)
    assert (good.buyer.balance, bad.buyer.balance) == (110, 0)
    assert "could not be debited" in bad.row["failure_reason"]


def test_a_bank_debit_by_checkout(till: Till) -> None:
    good, bad = (buyer.payment(buyer.checkout()) for buyer in (till.buyer(), till.buyer()))
    for payment, outcome, status in ((good, "succeeded", "succeeded"), (bad, "failed", "failed")):
        payment.pay_session("pm_usBankAccount")
        payment.wait_for("processing")
        till.sandbox.control(f"/payment_intents/{payment.intent}/settle", {"outcome": outcome})
        payment.wait_for(status)
    assert (good.buyer.balance, bad.buyer.balance) == (110, 0)


@pytest.mark.parametrize(
    ("method", "code", "reason"),
    [
        ("pm_card_chargeDeclined", "generic_decline", "Your card was declined."),
        (
            "pm_card_chargeDeclinedInsufficientFunds",
            "insufficient_funds",
            "Your card has insufficient funds.",
        ),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "Your card has expired."),
    ],
)
def test_a_declined_card_fails_and_another_one_pays(
    till: Till, method: str, code: str, reason: str
) -> None:
    payment = till.buyer().begin()
    assert payment.confirm(method).status_code == 402
    payment.wait_for("failed")
    assert (payment.row["failure_code"], payment.row["failure_reason"]) == (code, reason)
    assert payment.row["receipt_number"] is None
    assert payment.buyer.balance == 0

    assert payment.confirm().is_success
    payment.wait_for("succeeded")
    assert (payment.row["failure_code"], payment.row["failure_reason"]) == (None, None)
    assert payment.buyer.balance == STARTER_CREDITS


def test_a_card_that_asks_for_authentication(till: Till) -> None:
    payment = till.buyer().begin()
    payment.confirm("pm_card_authenticationRequired")
    assert payment.row["status"] == "pending"
    till.sandbox.control(f"/payment_intents/{payment.intent}/authenticate")
    payment.wait_for("succeeded")
    refused = till.buyer().begin()
    refused.confirm("pm_card_authenticationRequired")
    till.sandbox.control(f"/payment_intents/{refused.intent}/authenticate", {"outcome": "failed"})
    refused.wait_for("failed")
    assert (payment.buyer.balance, refused.buyer.balance) == (110, 0)


def test_canceled_and_expired(till: Till) -> None:
    payment = till.buyer().begin()
    till.sandbox.api.payment_intents.cancel(payment.intent)
    payment.wait_for("canceled")
    buyer = till.buyer()
    other = buyer.payment(buyer.checkout())
    till.sandbox.api.checkout.sessions.expire(other.session)
    other.wait_for("canceled")
    page = till.http.get(f"{till.edge_url}/checkout/return?session_id={other.session}")
    assert "canceled" in page.text
    assert (payment.buyer.balance, buyer.balance) == (0, 0)


def test_a_purchase_of_everything_on_sale(till: Till) -> None:
    buyer = till.buyer()
    for name in ("Starter Pack", "Reader Pack", "Enthusiast Pack", "Creator Pack"):
        buyer.pay(name)
    assert buyer.balance == 110 + 300 + 750 + 2000
    customers = {
        row["stripe_customer_id"]
        for row in till.rows("select * from app.payments where user_id = %s", buyer.id)
    }
    assert len(customers) == 1


# The same call again ------------------------------------------------------------------------------


def test_the_same_key_is_the_same_payment(till: Till) -> None:
    buyer = till.buyer()
    first = buyer.purchase(key="once").json()
    assert buyer.purchase(key="once").json() == first
    refused = refusal(buyer.purchase("Reader Pack", key="once"), 409)
    assert refused["hint"] == "idempotency_mismatch"
    assert refusal(buyer.checkout(key="once"), 409)["hint"] == "idempotency_mismatch"
    assert buyer.purchase(key="another").json()["payment_id"] != first["payment_id"]
    assert till.buyer().purchase(key="once").json()["payment_id"] != first["payment_id"]
    assert till.value("select count(*) from app.payments where user_id = %s", buyer.id) == 2


def test_the_same_key_at_the_same_instant(till: Till) -> None:
    buyer = till.buyer()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: buyer.purchase(key="once"), range(8)))
    good = [answer.json() for answer in answers if answer.status_code == 201]
    assert good
    assert all(each == good[0] for each in good)
    for answer in answers:  # who came while another one was at Stripe is told to come again
        assert answer.status_code == 201 or refusal(answer, 502)["hint"] == "stripe_unavailable"
    assert buyer.purchase(key="once").json() == good[0]
    assert till.value("select count(*) from app.payments where user_id = %s", buyer.id) == 1
    (row,) = till.rows("select * from app.payments where user_id = %s", buyer.id)
    customer = row["stripe_customer_id"]
    intents = till.sandbox.all_of(till.sandbox.api.payment_intents, customer=customer)
    assert [intent["id"] for intent in intents] == [row["stripe_payment_intent_id"]]
