"""What somebody tried who wanted to break payments, and what must come of it."""

import copy
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import jwt
import pytest

from api.stack.supervisor import Stack
from api.stripe.client import raw
from tests.payments import STARTER_CENTS, STARTER_CREDITS, Buyer, Payment, Till, till_of
from tests.shop import claims, refusal
from tests.teller import Json

NO_ID: tuple[Any, ...] = ("missing", None, 5, "", {"id": "pi_1"}, ["pi_1"])


@pytest.fixture
def till(stack: Stack) -> Iterator[Till]:
    with till_of(stack) as till:
        yield till


def without_id(told: Json, instead: Any) -> Json:
    """The same object with another id, or with none."""
    changed = copy.deepcopy(told)
    del changed["id"]
    return changed if instead == "missing" else {**changed, "id": instead}


def tell(till: Till, told: Json, kind: str) -> tuple[str, str | None]:
    """What an event about the object became, and what was noted of it."""
    event = till.event_about(told, kind)
    answer = till.webhook(event)
    assert answer.status_code == 200, answer.text
    (kept,) = till.rows("select state, error from app.stripe_events where id = %s", event["id"])
    assert answer.json() == {"state": kept["state"]}
    return kept["state"], kept["error"]


def bearer(till: Till, **changed: object) -> Buyer:
    """Somebody whose signed token has other claims; None leaves one out."""
    token = jwt.encode(claims(**changed), till.jwt_secret, "HS256")
    return till.caller(token)


def customer_of(till: Till, subject: str) -> Json:
    customer = till.value(
        "select stripe_customer_id from app.stripe_customers where user_id = %s", subject
    )
    return raw(till.sandbox.api.customers.retrieve(customer))


# Objects that cannot be told from one another -----------------------------------------------------


@pytest.mark.parametrize("instead", NO_ID, ids=repr)
def test_an_intent_or_session_without_an_id_credits_nothing(till: Till, instead: Any) -> None:
    buyer = till.buyer()
    by_intent, by_page = buyer.begin(), buyer.payment(buyer.checkout())
    till.sandbox.webhooks("hold")
    by_intent.confirm()
    by_page.pay_session()
    intent = by_intent.event("payment_intent.succeeded")["data"]["object"]
    (completed,) = till.sandbox.events(by_page.session, "checkout.session.completed")
    refused = ("failed", "This object of Stripe has no id.")
    for told, kind in ((intent, "payment_intent.succeeded"), (completed["data"]["object"], "x")):
        assert tell(till, without_id(told, instead), kind) == refused
    assert (by_intent.row["status"], by_page.row["status"]) == ("pending", "pending")
    assert buyer.balance == 0
    assert till.violations() == []


@pytest.mark.parametrize("instead", NO_ID, ids=repr)
def test_a_refund_or_dispute_without_an_id_takes_nothing(till: Till, instead: Any) -> None:
    """Each time that it came it would have been another one."""
    payment = till.buyer().pay()
    till.sandbox.webhooks("hold")
    refund = raw(till.sandbox.api.refunds.create({"payment_intent": payment.intent, "amount": 100}))
    dispute = raw(till.sandbox.api.refunds.retrieve(refund["id"])) | {
        "object": "dispute", "amount": STARTER_CENTS, "status": "needs_response",
    }  # fmt: skip
    refused = ("failed", "This object of Stripe has no id.")
    for told in (refund, refund, dispute, dispute):
        assert tell(till, without_id(told, instead), "whatever") == refused
    assert (payment.refunds(), payment.disputes()) == ([], [])
    assert payment.buyer.balance == STARTER_CREDITS
    assert till.violations() == []


def test_what_a_constraint_refuses_is_noted_without_its_row(till: Till) -> None:
    payment = till.buyer().pay()
    till.sandbox.webhooks("hold")
    refund = raw(till.sandbox.api.refunds.create({"payment_intent": payment.intent, "amount": 1}))
    for amount in (None, -5, 0):
        state, error = tell(till, {**refund, "amount": amount}, "refund.created")
        assert state == "failed"
        assert error is not None and "refunds" in error
        assert str(payment.buyer.id) not in error
        assert "Failing row" not in error
    assert payment.refunds() == []
    assert payment.buyer.balance == STARTER_CREDITS
    assert till.violations() == []


# What a payer gets to see -------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["first", "before the intent", "last"])
def test_the_receipt_names_the_card_that_paid(till: Till, place: str) -> None:
    """A card that was declined before may be heard of at any time."""
    payment = till.buyer().begin()
    till.sandbox.webhooks("hold")
    payment.confirm("pm_card_chargeDeclined")
    payment.confirm()
    told = {event["type"]: event for event in payment.events()}
    declined, paid = told["charge.failed"], told["charge.succeeded"]
    done = told["payment_intent.succeeded"]
    orders = {
        "first": [declined, paid, done],
        "before the intent": [paid, declined, done],
        "last": [paid, done, declined],
    }
    states = till.sandbox.release(orders[place])
    assert sorted(states) == ["applied", "applied", "ignored"]
    assert payment.row["payment_method"] == "visa 4242"
    assert payment.buyer.balance == STARTER_CREDITS
    assert till.violations() == []


def test_a_payer_is_not_told_what_stripe_told_us(till: Till) -> None:
    """The request keeps it, for the operator."""
    buyer = till.buyer()
    buyer.begin()
    till.sandbox.api.customers.delete(customer_of(till, str(buyer.id))["id"])
    assert refusal(buyer.purchase(), 502)["hint"] == "stripe_refused"
    (row,) = till.rows(
        "select * from api.payments where user_id = %s and status = 'failed'", buyer.id
    )
    assert row["failure_code"] == "resource_missing"
    assert row["failure_reason"] == "The payment could not be begun. Please try again."
    (request,) = till.rows("select * from api.stripe_requests where subject_id = %s", row["id"])
    assert "cus_" in request["error_message"]
    assert buyer.pay().buyer.balance == STARTER_CREDITS
    assert till.violations() == []


# Tokens that are signed, and strange --------------------------------------------------------------


@pytest.mark.parametrize(
    "email", ["", " ", "nobody", 5, {"a": "b@c.d"}, "a b@c.d", "a@" + 600 * "b"]
)
def test_an_email_that_is_none_is_left_out(till: Till, email: object) -> None:
    """Stripe may refuse such a customer, and with it every payment of this person."""
    subject = str(uuid4())
    assert bearer(till, sub=subject, email=email).purchase().status_code == 201
    assert customer_of(till, subject)["email"] is None


def test_an_email_that_is_one_is_passed_on(till: Till) -> None:
    subject = str(uuid4())
    assert bearer(till, sub=subject, email="reader@example.com").purchase().status_code == 201
    assert customer_of(till, subject)["email"] == "reader@example.com"


@pytest.mark.parametrize("claim", ["sub", "iss"])
def test_half_a_character_in_a_claim_is_refused(till: Till, claim: str) -> None:
    """No text, though JSON can write it; as a subject it once was an error of ours."""
    strange = {"iss": "https://issuer.test", "sub": "somebody"} | {claim: "\ud800"}
    assert refusal(bearer(till, **strange).purchase(), 400)["hint"] == "invalid_argument"


def test_two_issuers_do_not_share_a_limit_by_a_separator(till: Till) -> None:
    mine = uuid4()
    for issuer, subject in ((f"{mine}|b", "c"), (f"{mine}", "b|c")):
        calls = [bearer(till, iss=issuer, sub=subject) for _ in range(11)]
        statuses = [each.post("/credits/purchase", {}).status_code for each in calls]
        assert statuses == [400] * 10 + [429]


# Several at once ----------------------------------------------------------------------------------


def test_a_payment_with_two_intents_is_credited_once_and_said(till: Till) -> None:
    """Another intent that names our payment pays it; then its own is for the operator."""
    buyer = till.buyer()
    payment: Payment = buyer.payment(buyer.checkout())
    till.sandbox.api.payment_intents.create(
        {
            "amount": STARTER_CENTS,
            "currency": "usd",
            "metadata": {"payment_id": payment.id},
            "confirm": True,
            "payment_method": "pm_card_visa",
        }
    )
    payment.wait_for("succeeded")
    till.sandbox.webhooks("hold")
    payment.pay_session()
    assert "failed" in till.sandbox.release()
    assert buyer.balance == STARTER_CREDITS
    noted = till.value(
        "select string_agg(error, ' ') from app.stripe_events where state = 'failed' "
        "and payload #>> '{data,object,metadata,payment_id}' = %s",
        payment.id,
    )
    assert noted.startswith("This payment was made with another intent already.")
    assert till.violations() == []
