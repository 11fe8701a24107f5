"""The sandbox's resources, by the official client over real HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from api.sandbox import SandboxError
from tests.sandboxes import LINE, SESSION, Shop, open_shop, refusal


@pytest.fixture(scope="module")
def shared() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    """One of its own, for what counts events or money."""
    with open_shop() as shop:
        yield shop


def test_a_customer_from_first_to_last(shop: Shop) -> None:
    made = shop.api.customers.create({"email": "a@b.test", "metadata": {"request_id": "r1"}})
    assert made.id.startswith("cus_")
    assert made.livemode is False
    changed = shop.api.customers.update(made.id, {"name": "Ann", "metadata": {"more": "x"}})
    assert changed.metadata.to_dict() == {"request_id": "r1", "more": "x"}
    assert shop.api.customers.retrieve(made.id).name == "Ann"
    assert [each.id for each in shop.api.customers.list({"email": "a@b.test"}).data] == [made.id]
    since = {"created": {"gte": made.created}}
    assert [each.id for each in shop.api.customers.list(since).data] == [made.id]
    assert shop.api.customers.list({"created": {"gt": made.created + 60}}).data == []

    assert shop.api.customers.delete(made.id).deleted is True
    assert shop.api.customers.retrieve(made.id).deleted is True
    assert shop.api.customers.list().data == []
    error = refusal(
        shop.api.payment_intents.create,
        {"amount": 499, "currency": "usd", "customer": made.id},
    )
    assert (error.http_status, error.code, error.param) == (400, "resource_missing", "customer")
    assert shop.event_types() == ["customer.created", "customer.updated", "customer.deleted"]
    update = shop.api.events.list({"type": "customer.updated"}).data[0]
    assert update.data.previous_attributes.to_dict() == {"name": None, "metadata": {"more": None}}
    assert update.request.id.startswith("req_")


def test_a_payment_is_declined_and_then_succeeds(shop: Shop) -> None:
    customer = shop.api.customers.create({})
    intent = shop.api.payment_intents.create(
        {
            "amount": 499,
            "currency": "usd",
            "customer": customer.id,
            "description": "Starter Pack",
            "automatic_payment_methods": {"enabled": True},
            "metadata": {"payment_id": "p1"},
        }
    )
    assert (intent.status, intent.livemode) == ("requires_payment_method", False)
    assert intent.client_secret.startswith(f"{intent.id}_secret_")

    declined = refusal(
        shop.api.payment_intents.confirm,
        intent.id,
        {"payment_method": "pm_card_chargeDeclinedInsufficientFunds"},
    )
    assert isinstance(declined, stripe.CardError)
    assert (declined.http_status, declined.code) == (402, "card_declined")
    assert declined.error is not None
    assert declined.error.decline_code == "insufficient_funds"
    seen = shop.api.payment_intents.retrieve(intent.id)
    assert seen.status == "requires_payment_method"
    assert seen.last_payment_error.decline_code == "insufficient_funds"
    assert shop.api.charges.retrieve(seen.latest_charge).status == "failed"

    paid = shop.api.payment_intents.confirm(
        intent.id,
        {"payment_method": "pm_card_visa", "expand": ["latest_charge.balance_transaction"]},
    )
    assert (paid.status, paid.amount_received) == ("succeeded", 499)
    charge = paid.latest_charge
    assert (charge.status, charge.metadata["payment_id"]) == ("succeeded", "p1")
    line = charge.balance_transaction
    assert (line.amount, line.fee, line.net) == (499, 44, 455)
    assert (line.type, line.reporting_category, line.source) == ("charge", "charge", charge.id)
    assert shop.event_types() == [
        "customer.created",
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]
    of_customer = shop.api.payment_intents.list({"customer": customer.id}).data
    assert [each.id for each in of_customer] == [intent.id]
    assert len(shop.api.charges.list({"payment_intent": intent.id}).data) == 2
    again = refusal(shop.api.payment_intents.confirm, intent.id)
    assert again.code == "payment_intent_unexpected_state"
    assert refusal(shop.api.payment_intents.cancel, intent.id).http_status == 400


@pytest.mark.parametrize(
    ("payment_method", "code"),
    [
        ("pm_card_chargeDeclined", "card_declined"),
        ("pm_card_visa_chargeDeclined", "card_declined"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc"),
    ],
)
def test_cards_that_are_declined(shared: Shop, payment_method: str, code: str) -> None:
    error = refusal(shared.paid, payment_method)
    assert (error.http_status, error.code) == (402, code)


def test_a_payment_that_was_canceled(shop: Shop) -> None:
    intent = shop.api.payment_intents.create({"amount": 499, "currency": "usd"})
    done = shop.api.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (done.status, done.cancellation_reason) == ("canceled", "abandoned")
    assert shop.event_types()[-1] == "payment_intent.canceled"
    error = refusal(shop.api.payment_intents.confirm, intent.id, {"payment_method": "pm_card_visa"})
    assert error.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    ("outcome", "status", "last_event"),
    [
        ("succeeded", "succeeded", "payment_intent.succeeded"),
        ("failed", "requires_payment_method", "payment_intent.payment_failed"),
    ],
)
def test_authentication(shop: Shop, outcome: str, status: str, last_event: str) -> None:
    intent = shop.paid("pm_card_authenticationRequired")
    assert intent.status == "requires_action"
    assert intent.next_action.type == "use_stripe_sdk"
    assert shop.event_types()[-1] == "payment_intent.requires_action"
    shop.control(f"/payment_intents/{intent.id}/authenticate", {"outcome": outcome})
    assert shop.api.payment_intents.retrieve(intent.id).status == status
    assert shop.event_types()[-1] == last_event


@pytest.mark.parametrize(("outcome", "balance"), [("succeeded", 455), ("failed", 0)])
def test_a_bank_debit_settles_later(shop: Shop, outcome: str, balance: int) -> None:
    intent = shop.paid("pm_usBankAccount")
    assert intent.status == "processing"
    assert (intent.latest_charge.status, intent.latest_charge.id[:3]) == ("pending", "py_")
    assert shop.balance() == 0
    shop.control(f"/payment_intents/{intent.id}/settle", {"outcome": outcome})
    settled = shop.api.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    assert settled.latest_charge.status == outcome
    assert shop.balance() == shop.lines_sum() == balance
    assert "payment_intent.processing" in shop.event_types()


def test_the_browser_confirms_without_the_key(shared: Shop) -> None:
    intent = shared.api.payment_intents.create({"amount": 499, "currency": "usd"})
    path = f"/_sandbox/payment_intents/{intent.id}/confirm"
    declined = shared.raw("POST", path, json={"payment_method": "pm_card_chargeDeclined"})
    assert declined.status_code == 402
    shared.control(f"/payment_intents/{intent.id}/confirm", {"payment_method": "pm_card_visa"})
    assert shared.api.payment_intents.retrieve(intent.id).status == "succeeded"


def test_partial_refunds_sum_to_the_whole(shop: Shop) -> None:
    intent = shop.paid()
    first = shop.api.refunds.create(
        {"payment_intent": intent.id, "amount": 200, "metadata": {"refund_id": "f1"}}
    )
    assert (first.status, first.amount, first.charge) == (
        "succeeded",
        200,
        intent.latest_charge.id,
    )
    line = shop.api.balance_transactions.retrieve(first.balance_transaction)
    assert (line.type, line.amount, line.fee, line.source) == ("refund", -200, 0, first.id)
    too_much = refusal(shop.api.refunds.create, {"payment_intent": intent.id, "amount": 300})
    assert (too_much.http_status, too_much.param) == (400, "amount")
    rest = shop.api.refunds.create({"charge": intent.latest_charge.id, "reason": "duplicate"})
    assert rest.amount == 299
    done = refusal(shop.api.refunds.create, {"payment_intent": intent.id})
    assert done.code == "charge_already_refunded"
    charge = shop.api.charges.retrieve(intent.latest_charge.id)
    assert (charge.refunded, charge.amount_refunded) == (True, 499)
    found = shop.api.refunds.list({"payment_intent": intent.id}).data
    assert [each.id for each in found] == [rest.id, first.id]
    assert shop.balance() == shop.lines_sum() == -44
    assert shop.event_types()[-4:] == ["refund.created", "charge.refunded"] * 2


def test_a_refund_fails_after_it_succeeded(shop: Shop) -> None:
    intent = shop.paid("pm_card_refundFail")
    answered = shop.api.refunds.create({"payment_intent": intent.id})
    assert answered.status == "succeeded"
    refund = shop.api.refunds.retrieve(answered.id)
    assert (refund.status, refund.failure_reason) == ("failed", "unknown")
    line = shop.api.balance_transactions.retrieve(refund.failure_balance_transaction)
    assert (line.type, line.amount, line.source) == ("refund_failure", 499, refund.id)
    assert shop.event_types()[-4:] == [
        "refund.created",
        "charge.refunded",
        "refund.updated",
        "refund.failed",
    ]
    assert shop.api.charges.retrieve(intent.latest_charge.id).amount_refunded == 0
    assert shop.balance() == shop.lines_sum() == 455


@pytest.mark.parametrize(("outcome", "balance"), [("succeeded", -44), ("failed", 455)])
def test_a_pending_refund(shop: Shop, outcome: str, balance: int) -> None:
    intent = shop.paid("pm_card_pendingRefund")
    refund = shop.api.refunds.create({"payment_intent": intent.id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    shop.control(f"/refunds/{refund.id}/settle", {"outcome": outcome})
    assert shop.api.refunds.retrieve(refund.id).status == outcome
    assert shop.balance() == shop.lines_sum() == balance
    answer = shop.raw("POST", f"/_sandbox/refunds/{refund.id}/settle")
    assert answer.status_code == 400


def test_what_was_not_paid_cannot_be_refunded(shared: Shop) -> None:
    intent = shared.api.payment_intents.create({"amount": 499, "currency": "usd"})
    assert refusal(shared.api.refunds.create, {"payment_intent": intent.id}).http_status == 400
    assert refusal(shared.api.refunds.create, {}).code == "parameter_missing"
    assert refusal(shared.api.refunds.create, {"charge": "ch_no"}).code == "resource_missing"


def test_a_session_that_is_paid(shop: Shop) -> None:
    customer = shop.api.customers.create({"email": "a@b.test"})
    session = shop.api.checkout.sessions.create({**SESSION, "customer": customer.id})
    assert session.id.startswith("cs_test_")
    assert (session.status, session.payment_status, session.amount_total) == (
        "open",
        "unpaid",
        499,
    )
    assert session.payment_intent is None
    assert session.url == f"{shop.sandbox.url}/pay/{session.id}"
    lines = shop.api.checkout.sessions.line_items.list(session.id).data
    assert [(line.description, line.amount_total) for line in lines] == [("Starter Pack", 499)]

    shop.control(f"/checkout/sessions/{session.id}/pay")
    paid = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert paid.customer_details.email == "a@b.test"
    assert paid.payment_intent.status == "succeeded"
    assert paid.payment_intent.customer == customer.id
    assert paid.payment_intent.metadata["payment_id"] == "p1"
    assert shop.event_types()[-2:] == ["payment_intent.succeeded", "checkout.session.completed"]
    found = shop.api.checkout.sessions.list({"customer": customer.id}).data
    assert [each.id for each in found] == [session.id]
    assert refusal(shop.api.checkout.sessions.expire, session.id).http_status == 400


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_session_paid_by_a_bank_debit(shop: Shop, outcome: str) -> None:
    session = shop.api.checkout.sessions.create(SESSION)
    path = f"/checkout/sessions/{session.id}/pay"
    shop.control(path, {"payment_method": "pm_usBankAccount"})
    complete = shop.api.checkout.sessions.retrieve(session.id)
    assert (complete.status, complete.payment_status) == ("complete", "unpaid")
    shop.control(f"/payment_intents/{complete.payment_intent}/settle", {"outcome": outcome})
    settled = shop.api.checkout.sessions.retrieve(session.id)
    assert settled.payment_status == ("paid" if outcome == "succeeded" else "unpaid")
    assert shop.event_types()[-1] == f"checkout.session.async_payment_{outcome}"


def test_a_session_expires_with_its_intent(shop: Shop) -> None:
    session = shop.api.checkout.sessions.create(SESSION)
    tried = shop.raw(
        "POST",
        f"/_sandbox/checkout/sessions/{session.id}/pay",
        json={"payment_method": "pm_card_chargeDeclined"},
    )
    assert tried.status_code == 402
    intent_id = shop.api.checkout.sessions.retrieve(session.id).payment_intent
    error = refusal(shop.api.payment_intents.cancel, intent_id)
    assert error.code == "payment_intent_unexpected_state"
    assert shop.api.checkout.sessions.expire(session.id).status == "expired"
    assert shop.api.payment_intents.retrieve(intent_id).status == "canceled"
    assert shop.event_types()[-2:] == ["payment_intent.canceled", "checkout.session.expired"]


def test_a_session_expires_by_itself(shop: Shop) -> None:
    session = shop.api.checkout.sessions.create(SESSION)
    shop.control("/clock", {"advance_seconds": 24 * 3600 + 1})
    assert shop.api.checkout.sessions.retrieve(session.id).status == "expired"
    assert shop.event_types() == ["checkout.session.expired"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"mode": "subscription"}, "mode"),
        ({"line_items": []}, "line_items"),
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"line_items": [{**LINE, "quantity": 0}]}, "line_items[0]"),
        ({"customer": "cus_nobody"}, "customer"),
        ({"surprise": "1"}, "surprise"),
        ({"expires_at": 5}, "expires_at"),
    ],
)
def test_sessions_that_are_refused(shared: Shop, change: dict[str, Any], param: str) -> None:
    error = refusal(shared.api.checkout.sessions.create, {**SESSION, **change})
    assert (error.http_status, error.param) == (400, param)


def test_live_keys_are_refused_and_not_repeated() -> None:
    key = "sk_live_abcdefghijklmnop"
    with pytest.raises(SandboxError, match="live key") as caught, open_shop(secret_key=key):
        pass
    assert key not in str(caught.value)
