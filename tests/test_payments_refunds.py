"""Money that goes back: who may send it, in how many parts, too early, late, and not at all."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from api.stack.supervisor import Stack
from api.stripe.client import raw
from tests.market import PRICE, Market, open_market
from tests.payments import STARTER_CENTS, STARTER_CREDITS, Payment, Till, till_of
from tests.shop import refusal


@pytest.fixture
def till(stack: Stack) -> Iterator[Till]:
    with till_of(stack) as till:
        yield till


@pytest.fixture
def market(till: Till) -> Iterator[Market]:
    with open_market(till.database_url) as market:
        yield market


def read_chapters(market: Market, payment: Payment, *chapters: int) -> None:
    with market.connect() as connection:
        market.purchase(connection, payment.buyer.id, list(chapters))


def test_a_whole_refund_takes_all_credits_back(till: Till) -> None:
    payment = till.buyer().pay()
    answer = till.service().refund(payment, key="once")
    assert answer.status_code == 201
    assert answer.json() == {
        "refund_id": answer.json()["refund_id"],
        "status": "succeeded",
        "amount_cents": STARTER_CENTS,
        "credits": STARTER_CREDITS,
    }
    (refund,) = payment.wait_for_refunds("succeeded")
    assert refund["reason"] == "a test"
    assert payment.buyer.balance == 0
    assert payment.row["refunded_cents"] == STARTER_CENTS
    assert payment.row["status"] == "succeeded"
    assert till.service().refund(payment, key="once").json() == answer.json()
    nothing_left = refusal(till.service().refund(payment), 409)
    assert nothing_left["hint"] == "already_refunded"
    assert len(till.sandbox.all_of(till.sandbox.api.refunds, payment_intent=payment.intent)) == 1
    page = till.value(
        "select app.receipt_html(r) from app.receipts as r where payment_id = %s", payment.id
    )
    assert "Refunded on" in page
    assert "-$4.99" in page


def test_ten_dollars_in_three_parts_come_back_exactly(till: Till) -> None:
    package = till.new_package(1000, 100, 7)
    payment = till.buyer().pay(package)
    credits = []
    for cents in (333, 333, 334):
        answer = till.service().refund(payment, amount_cents=cents)
        assert (answer.status_code, answer.json()["amount_cents"]) == (201, cents)
        credits.append(answer.json()["credits"])
        assert till.violations() == []
    payment.wait_for_refunds("succeeded", "succeeded", "succeeded")
    assert sum(credits) == 107
    assert max(credits) - min(credits) <= 1
    assert payment.buyer.balance == 0
    assert payment.row["refunded_cents"] == 1000
    charge = raw(till.sandbox.api.charges.retrieve(payment.charge))
    assert (charge["amount_refunded"], charge["refunded"]) == (1000, True)


def test_more_parts_than_credits(till: Till) -> None:
    payment = till.buyer().pay(till.new_package(50, 3))
    for left in (40, 30, 20, 10, 0):
        assert till.service().refund(payment, amount_cents=10).status_code == 201
        payment.wait_for_refunds(*["succeeded"] * (5 - left // 10))
        assert payment.row["refunded_cents"] == 50 - left
    assert payment.buyer.balance == 0


# Who may ------------------------------------------------------------------------------------------


def test_who_may_refund(till: Till) -> None:
    payment = till.buyer().pay()
    for nobody in (payment.buyer, till.buyer()):
        assert refusal(nobody.refund(payment), 403)["hint"] == "operator_required"
        assert refusal(nobody.refund(str(uuid4())), 403)["hint"] == "operator_required"
    assert refusal(till.caller(None).refund(payment), 401)["hint"] == "no_user"
    operator = till.operator()
    assert operator.refund(payment, amount_cents=100).status_code == 201
    (logged,) = till.rows("select * from app.audit_log where subject = %s", payment.id)
    assert (logged["actor_id"], logged["action"]) == (operator.id, "refund_payment")
    till.owner.execute("delete from app.operators where user_id = %s", (operator.id,))
    assert refusal(operator.refund(payment), 403)["hint"] == "operator_required"
    assert [each["amount_cents"] for each in payment.refunds()] == [100]


def test_an_operator_of_somebody_elses_payment_names_it(till: Till) -> None:
    one, other = till.buyer().pay(), till.buyer().pay()
    assert till.operator().refund(one, key="k").status_code == 201
    assert till.operator().refund(other, key="k").status_code == 201  # the key is of the payment
    assert (one.buyer.balance, other.buyer.balance) == (0, 0)


# What is wrong with it ----------------------------------------------------------------------------


def test_wrong_amounts(till: Till) -> None:
    payment = till.buyer().pay()
    service = till.service()
    wrong: list[tuple[Any, int, str]] = [
        (0, 400, "invalid_amount"),
        (-1, 400, "invalid_amount"),
        (500, 422, "refund_too_large"),
        (2**63 - 1, 422, "refund_too_large"),
        (-(2**63) + 1, 400, "invalid_amount"),
        (2**63, 400, "invalid_argument"),
        (10**30, 400, "invalid_argument"),
        (1.5, 400, "invalid_argument"),
        (100.0, 400, "invalid_argument"),
        ("100", 400, "invalid_argument"),
        (True, 400, "invalid_argument"),
        ([100], 400, "invalid_argument"),
    ]
    for amount, status, hint in wrong:
        answer = service.refund(payment, amount_cents=amount)
        assert refusal(answer, status)["hint"] == hint, amount
    path = f"/payments/{payment}/refund"
    for text in (b'{"amount_cents": NaN, "reason": "x"}', b'{"amount_cents": 1e999', b"[]", b""):
        assert refusal(service.send(path, text), 400)["hint"]
    infinite = service.send(path, b'{"amount_cents": 1e999, "reason": "x"}')
    assert refusal(infinite, 400)["hint"] == "invalid_argument"
    assert payment.refunds() == []


def test_wrong_reasons_and_payments(till: Till) -> None:
    payment = till.buyer().pay()
    service = till.service()
    path = f"/payments/{payment}/refund"
    for body, hint in (
        ({}, "invalid_argument"),
        ({"reason": None}, "invalid_argument"),
        ({"reason": 5}, "invalid_argument"),
        ({"reason": "\0"}, "invalid_argument"),
        ({"reason": "  "}, "text_required"),
        ({"reason": "x" * 501}, "text_too_long"),
        ({"reason": "x", "currency": "eur"}, "invalid_argument"),
    ):
        assert refusal(service.post(path, body), 400)["hint"] == hint, body
    assert refusal(service.refund(str(uuid4())), 404)["hint"] == "payment_not_found"
    for name in ("1", "x", str(uuid4())[:-1], "../../healthz"):
        assert service.refund(name).status_code in (404, 405), name
    plain = service.send(path, b'{"reason": "x"}', Content_Type="text/plain")
    assert refusal(plain, 415)["hint"] == "unsupported_media_type"
    assert refusal(service.post(path, {"reason": "x" * 17_000}), 413)["hint"]
    unpaid = till.buyer().begin()
    assert refusal(service.refund(unpaid), 409)["hint"] == "payment_not_succeeded"
    mismatch = service.refund(payment, key="k", amount_cents=1)
    assert mismatch.status_code == 201
    other = refusal(service.refund(payment, key="k", amount_cents=2), 409)
    assert other["hint"] == "idempotency_mismatch"
    assert len(payment.refunds()) == 1


def test_two_refunds_at_the_same_instant_do_not_exceed_the_payment(till: Till) -> None:
    payment = till.buyer().pay()
    service = till.service()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: service.refund(payment, amount_cents=300), range(4)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201, 422, 422, 422]
    payment.wait_for_refunds("succeeded")
    assert payment.row["refunded_cents"] == 300


# When it does not go smoothly ---------------------------------------------------------------------


def test_a_refund_that_is_pending(till: Till) -> None:
    payment = till.buyer().pay(method="pm_card_pendingRefund")
    answer = till.service().refund(payment)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    (refund,) = payment.refunds()
    assert payment.buyer.balance == 0  # frozen: it cannot be spent meanwhile
    assert till.violations() == []
    till.sandbox.control(f"/refunds/{refund['stripe_refund_id']}/settle")
    payment.wait_for_refunds("succeeded")
    assert payment.row["refunded_cents"] == STARTER_CENTS


def test_a_refund_for_which_there_are_no_funds(till: Till) -> None:
    payment = till.buyer().pay()
    till.sandbox.fault("/v1/refunds", "insufficient_balance")
    answer = till.service().refund(payment)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    (refund,) = payment.refunds()
    assert payment.buyer.balance == 0
    till.sandbox.control(f"/refunds/{refund['stripe_refund_id']}/settle")
    payment.wait_for_refunds("succeeded")


def test_a_refund_that_fails_after_it_had_succeeded(till: Till, market: Market) -> None:
    """The payer has all the credits again. The sale stays undone: it can be made again."""
    payment = till.buyer().pay(method="pm_card_refundFail")
    read_chapters(market, payment, 3)
    till.sandbox.webhooks("hold")
    assert till.service().refund(payment).json()["status"] == "succeeded"
    payment.wait_for_refunds("succeeded")
    assert (payment.buyer.balance, market.earned()) == (0, 0)
    till.sandbox.release()
    (refund,) = payment.wait_for_refunds("failed")
    assert refund["failure_reason"]
    assert (payment.buyer.balance, market.earned()) == (STARTER_CREDITS, 0)
    assert payment.row["refunded_cents"] == 0
    assert till.violations() == []
    read_chapters(market, payment, 3)
    assert payment.buyer.balance == STARTER_CREDITS - PRICE


def test_a_refund_that_fails_before_we_are_answered(till: Till, market: Market) -> None:
    """Nothing was settled yet: everything is as it was."""
    payment = till.buyer().pay(method="pm_card_refundFail")
    read_chapters(market, payment, 3)
    before = (payment.buyer.balance, market.earned())
    assert before == (STARTER_CREDITS - PRICE, before[1])
    till.sandbox.webhooks("hold")
    till.sandbox.fault("/v1/refunds", "hold")
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(till.service().refund, payment)
        till.sandbox.wait_for_held()
        assert till.sandbox.release(payment.events("refund.failed")) == ["applied"]
        till.sandbox.let_go()
        assert answer.result().status_code == 201
    payment.wait_for_refunds("failed")
    assert (payment.buyer.balance, market.earned()) == before
    assert payment.row["refunded_cents"] == 0
    assert till.service().refund(payment, amount_cents=100).status_code == 201


def test_a_refund_after_the_creator_was_credited(till: Till, market: Market) -> None:
    payment = till.buyer().pay()
    read_chapters(market, payment, 3, 4)
    assert market.earned() > 0
    assert payment.buyer.balance < STARTER_CREDITS
    assert till.service().refund(payment).status_code == 201
    payment.wait_for_refunds("succeeded")
    assert payment.buyer.balance == 0
    assert market.earned() == 0
    assert market.violations() == []


def test_a_partial_refund_spares_what_was_read(till: Till, market: Market) -> None:
    """Unspent credits go first: the creator keeps what was earned."""
    payment = till.buyer().pay()
    read_chapters(market, payment, 3)
    earned = market.earned()
    answer = till.service().refund(payment, amount_cents=250)
    credits = answer.json()["credits"]
    payment.wait_for_refunds("succeeded")
    assert payment.buyer.balance == STARTER_CREDITS - PRICE - credits
    assert market.earned() == earned


def test_a_refund_of_the_dashboard_is_followed(till: Till) -> None:
    payment = till.buyer().pay()
    till.sandbox.api.refunds.create({"payment_intent": payment.intent, "amount": 249})
    (refund,) = payment.wait_for_refunds("succeeded")
    assert refund["amount_cents"] == 249
    assert payment.buyer.balance == STARTER_CREDITS - refund["credits"]
    till.sandbox.api.refunds.create({"payment_intent": payment.intent})
    payment.wait_for_refunds("succeeded", "succeeded")
    assert payment.buyer.balance == 0
    assert refusal(till.service().refund(payment), 409)["hint"] == "already_refunded"


def test_a_refund_that_stripe_will_not_make(till: Till) -> None:
    """Refunded in the dashboard, and nobody told us: ours is refused, and undone here."""
    payment = till.buyer().pay()
    till.sandbox.webhooks("hold")
    till.sandbox.api.refunds.create({"payment_intent": payment.intent})
    refused = refusal(till.service().refund(payment), 502)
    assert refused["hint"] == "stripe_refused"
    (refund,) = payment.refunds()
    assert refund["status"] == "failed"
    assert payment.buyer.balance == STARTER_CREDITS
    assert till.violations() == []
    till.sandbox.release()
    payment.wait_for_refunds("failed", "succeeded")
    assert payment.buyer.balance == 0


def test_a_refund_that_is_told_before_its_payment(till: Till) -> None:
    payment = till.buyer().begin()
    till.sandbox.webhooks("hold")
    payment.confirm()
    till.sandbox.api.refunds.create({"payment_intent": payment.intent, "amount": 499})
    refunded = payment.event("refund.created")
    assert till.sandbox.release([refunded]) == ["parked"]
    assert payment.row["status"] == "pending"
    assert payment.buyer.balance == 0
    assert till.violations() == []

    assert till.sandbox.release([payment.event("payment_intent.succeeded")]) == ["applied"]

    assert till.event_state(refunded) == "applied"
    payment.wait_for_refunds("succeeded")
    assert payment.buyer.balance == 0
    assert payment.buyer.statement[:2] == [("purchase", 100), ("bonus", 10)]
    till.sandbox.release()
    assert payment.buyer.balance == 0
