"""Payments that a bank calls into question: frozen, won back, lost, and asked about."""

from collections.abc import Iterator

import pytest

from api.stack.supervisor import Stack
from tests.market import PRICE, Market, open_market
from tests.payments import STARTER_CENTS, STARTER_CREDITS, Payment, Till, till_of
from tests.shop import refusal
from tests.teller import Json

FEE_CENTS = 1500


@pytest.fixture
def till(stack: Stack) -> Iterator[Till]:
    with till_of(stack) as till:
        yield till


@pytest.fixture
def market(till: Till) -> Iterator[Market]:
    with open_market(till.database_url) as market:
        yield market


def answer(till: Till, dispute: Json, text: str) -> None:
    """Hand in evidence, which decides as it does in Stripe's test mode."""
    till.sandbox.api.disputes.update(
        dispute["stripe_dispute_id"], {"evidence": {"uncategorized_text": text}}
    )


def test_a_dispute_freezes_and_is_won(till: Till, market: Market) -> None:
    payment = till.buyer().pay()
    with market.connect() as connection:
        market.purchase(connection, payment.buyer.id, [3])
    earned = market.earned()
    till.sandbox.control(f"/charges/{payment.charge}/dispute", {})
    dispute = payment.wait_for_dispute("open")
    assert (dispute["amount_cents"], dispute["reason"]) == (STARTER_CENTS, "fraudulent")
    assert dispute["fee_cents"] == FEE_CENTS
    assert payment.buyer.balance == 0
    assert market.earned() == 0
    assert till.violations() == []
    assert payment.row["dispute_status"] == "open"
    assert refusal(till.service().refund(payment), 409)["hint"] == "already_refunded"

    answer(till, dispute, "winning_evidence")

    won = payment.wait_for_dispute("won")
    assert won["settled_at"] is not None
    assert payment.buyer.balance == STARTER_CREDITS - PRICE
    assert market.earned() == earned
    assert till.violations() == []
    assert till.service().refund(payment).status_code == 201


def test_a_dispute_is_lost(till: Till, market: Market) -> None:
    payment = till.buyer().pay()
    with market.connect() as connection:
        market.purchase(connection, payment.buyer.id, [3])
    till.sandbox.control(f"/charges/{payment.charge}/dispute", {})
    dispute = payment.wait_for_dispute("open")
    answer(till, dispute, "losing_evidence")
    payment.wait_for_dispute("lost")
    assert payment.buyer.balance == 0
    assert market.earned() == 0
    history = till.rows(
        "select kind, amount_cents from api.billing_history where payment_id = %s order by 1",
        payment.id,
    )
    assert [(each["kind"], each["amount_cents"]) for each in history] == [
        ("dispute", -STARTER_CENTS),
        ("payment", STARTER_CENTS),
    ]


def test_a_dispute_that_is_not_answered_is_lost(till: Till) -> None:
    payment = till.buyer().pay(method="pm_card_createDispute")
    dispute = payment.wait_for_dispute("open")
    till.sandbox.api.disputes.close(dispute["stripe_dispute_id"])
    payment.wait_for_dispute("lost")
    assert payment.buyer.balance == 0


def test_an_inquiry_moves_nothing(till: Till) -> None:
    payment = till.buyer().pay(method="pm_card_createDisputeInquiry")
    payment.wait_for_dispute("inquiry")
    assert payment.buyer.balance == STARTER_CREDITS
    assert payment.disputes()[0]["fee_cents"] == 0
    assert till.service().refund(payment, amount_cents=100).status_code == 201


def test_a_dispute_of_a_part(till: Till) -> None:
    payment = till.buyer().pay(till.new_package(1000, 100))
    assert till.service().refund(payment, amount_cents=300).status_code == 201
    till.sandbox.control(f"/charges/{payment.charge}/dispute", {"amount": 400})
    dispute = payment.wait_for_dispute("open")
    assert (dispute["amount_cents"], dispute["credits"]) == (400, 40)
    assert payment.buyer.balance == 30
    too_much = till.service().refund(payment, amount_cents=301)
    assert refusal(too_much, 422)["hint"] == "refund_too_large"
    answer(till, dispute, "winning_evidence")
    payment.wait_for_dispute("won")
    assert payment.buyer.balance == 70


@pytest.mark.parametrize("verdict", ["winning_evidence", "losing_evidence"])
def test_the_news_of_a_dispute_in_reverse(till: Till, verdict: str) -> None:
    """The verdict comes first, then that there is a dispute, then that it was paid at all."""
    payment = till.buyer().begin()
    till.sandbox.webhooks("hold")
    payment.confirm()
    till.sandbox.control(f"/charges/{payment.charge}/dispute", {})
    opened = payment.event("charge.dispute.created")["data"]["object"]
    answer(till, {"stripe_dispute_id": opened["id"]}, verdict)
    events = payment.events()
    verdicts = [each for each in events if each["type"].startswith("charge.dispute.")]
    others = [each for each in events if each not in verdicts]

    assert set(till.sandbox.release(verdicts[::-1])) == {"parked"}
    till.sandbox.release(others[::-1])

    won = verdict == "winning_evidence"
    payment.wait_for_dispute("won" if won else "lost")
    assert payment.buyer.balance == (STARTER_CREDITS if won else 0)
    assert {till.event_state(each) for each in verdicts} == {"applied"}
    assert till.violations() == []
    for event in events:
        assert till.sandbox.resend(event) == ["duplicate"]
        till.value("select app.replay_stripe_event(%s)", event["id"])
    assert payment.buyer.balance == (STARTER_CREDITS if won else 0)


def test_the_bank_changes_its_mind(till: Till) -> None:
    payment = till.buyer().pay()
    till.sandbox.control(f"/charges/{payment.charge}/dispute", {})
    dispute = payment.wait_for_dispute("open")
    name = dispute["stripe_dispute_id"]
    answer(till, dispute, "losing_evidence")
    payment.wait_for_dispute("lost")
    told = payment.events("charge.dispute.closed")[-1]["data"]["object"] | {"status": "won"}
    event = till.event_about(told, "charge.dispute.updated")
    assert told["id"] == name
    assert till.webhook(event).json() == {"state": "applied"}
    assert payment.wait_for_dispute("won")
    assert payment.buyer.balance == STARTER_CREDITS


def test_a_dispute_of_an_unknown_kind_is_kept_for_the_operator(till: Till) -> None:
    payment: Payment = till.buyer().pay(method="pm_card_createDispute")
    payment.wait_for_dispute("open")
    told = payment.event("charge.dispute.created")["data"]["object"] | {"status": "in_the_mail"}
    event = till.event_about(told, "charge.dispute.updated")
    assert till.webhook(event).json() == {"state": "failed"}
    assert payment.wait_for_dispute("open")
