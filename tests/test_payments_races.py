"""The same thing told twice at one instant, and different things about one payment at once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar

import psycopg
import pytest

from api.stack.supervisor import Stack
from tests.market import Market, open_market
from tests.payments import STARTER_CREDITS, Payment, Till, till_of
from tests.teller import Json

ROUNDS = 12
Answer = TypeVar("Answer")


@pytest.fixture
def till(stack: Stack) -> Iterator[Till]:
    with till_of(stack) as till:
        yield till


def at_one_instant(calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Let calls begin together, each in a thread."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Answer]) -> Answer:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def deliver(till: Till, event: Json) -> Callable[[], str]:
    """A delivery for a thread; one that met a lock is sent again, as Stripe does."""

    def call() -> str:
        while (answer := till.webhook(event)).status_code == 503:
            pass
        assert answer.status_code == 200, answer.text
        state: str = answer.json()["state"]
        return state

    return call


def untold(till: Till) -> Payment:
    """A payment that was paid, and we do not know it."""
    payment = till.buyer().begin()
    payment.confirm()
    return payment


def test_one_event_twice_at_one_instant(till: Till) -> None:
    till.sandbox.webhooks("hold")
    for _ in range(ROUNDS):
        payment = untold(till)
        event = payment.event("payment_intent.succeeded")
        states = at_one_instant([deliver(till, event)] * 4)
        assert sorted(states) == ["applied", "duplicate", "duplicate", "duplicate"]
        assert payment.buyer.statement == [("purchase", 100), ("bonus", 10)]
    assert till.violations() == []


def test_all_that_is_to_be_said_of_a_payment_at_one_instant(till: Till) -> None:
    till.sandbox.webhooks("hold")
    for _ in range(ROUNDS):
        payment = untold(till)
        till.sandbox.api.refunds.create({"payment_intent": payment.intent, "amount": 99})
        events = payment.events()
        assert len(events) >= 5
        states = at_one_instant([deliver(till, event) for event in events])
        assert set(states) <= {"applied", "parked"}
        assert {till.event_state(event) for event in events} == {"applied"}
        assert payment.row["status"] == "succeeded"
        (refund,) = payment.refunds()
        assert refund["status"] == "succeeded"
        assert payment.buyer.balance == STARTER_CREDITS - refund["credits"]
    assert till.violations() == []


def test_a_checkout_and_its_intent_at_one_instant(till: Till) -> None:
    till.sandbox.webhooks("hold")
    for _ in range(ROUNDS):
        buyer = till.buyer()
        payment = buyer.payment(buyer.checkout())
        payment.pay_session()
        begun = int(payment.row["created_at"].timestamp()) - 1
        (session,) = till.sandbox.events(payment.session, "checkout.session.completed", since=begun)
        intent = session["data"]["object"]["payment_intent"]
        others = till.sandbox.events(
            intent, "payment_intent.succeeded", "charge.succeeded", since=begun
        )
        assert len(others) == 2
        calls = [deliver(till, event) for event in (session, *others)]
        assert set(at_one_instant(calls)) <= {"applied", "ignored"}
        assert buyer.statement == [("purchase", 100), ("bonus", 10)]
        assert payment.intent == intent
    assert till.violations() == []


def test_a_refund_by_two_ways_and_a_dispute_at_one_instant(till: Till) -> None:
    for _ in range(ROUNDS):
        payment = till.buyer().pay()
        service = till.service()
        part = partial(service.refund, payment, amount_cents=200)
        dispute = partial(
            till.sandbox.attempt, f"/charges/{payment.charge}/dispute", {"amount": 200}
        )
        at_one_instant([part, dispute, part])
        assert till.violations() == []
        assert 0 <= payment.buyer.balance < STARTER_CREDITS


def test_reading_while_the_money_goes_back(till: Till) -> None:
    """Credits are spent or refunded; not both, and none is left over."""
    with open_market(till.database_url) as market:
        for _ in range(ROUNDS):
            payment = till.buyer().pay()
            service = till.service()
            answers: list[object] = at_one_instant(
                [buy(market, payment), partial(service.refund, payment)]
            )
            assert [getattr(each, "status_code", 201) for each in answers] == [201, 201]
            payment.wait_for_refunds("succeeded")
            assert payment.buyer.balance == 0
            assert market.earned() == 0
            assert market.violations() == []


def buy(market: Market, payment: Payment) -> Callable[[], int]:
    def call() -> int:
        with market.connect() as connection:
            try:
                return market.purchase(connection, payment.buyer.id, [3]).credits_spent
            except psycopg.Error as error:
                assert error.sqlstate == "PT402", error
                return 0

    return call


def test_events_of_many_payers_at_once(till: Till) -> None:
    """They share the row of the receipts' numbers and nothing else."""
    till.sandbox.webhooks("hold")
    payments = [untold(till) for _ in range(8)]
    events = [payment.event("payment_intent.succeeded") for payment in payments]
    assert at_one_instant([deliver(till, event) for event in events]) == ["applied"] * 8
    numbers = [int(payment.row["receipt_number"].rpartition("-")[2]) for payment in payments]
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + 8))
    assert {payment.buyer.balance for payment in payments} == {STARTER_CREDITS}
