"""The webhook: whose word counts, what is no event, and events in any order and number."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from api.stack.supervisor import Stack
from api.stripe.backfill import read_events
from api.stripe.client import raw
from tests.payments import CONNECT_WEBHOOK, STARTER_CREDITS, WEBHOOK, Payment, Till, till_of
from tests.shop import refusal
from tests.teller import Json, signature


@pytest.fixture
def till(stack: Stack) -> Iterator[Till]:
    with till_of(stack) as till:
        yield till


@pytest.fixture
def paid(till: Till) -> Payment:
    """A payment that was paid, of which nobody has told us yet."""
    payment = till.buyer().begin()
    till.sandbox.webhooks("hold")
    payment.confirm()
    return payment


def intent_of(payment: Payment) -> Json:
    return raw(payment.till.sandbox.api.payment_intents.retrieve(payment.intent))


# Whose word counts --------------------------------------------------------------------------------


def test_only_what_stripe_signed_counts(till: Till, paid: Payment) -> None:
    event = paid.event("payment_intent.succeeded")
    secrets = till.sandbox.settings
    now = time.time()
    good = signature(b"{}", secrets.webhook_secrets[0])
    refused: dict[str, dict[str, Any]] = {
        "no signature": {"header": ""},
        "another secret": {"secret": "whsec_of_somebody_else"},
        "the other endpoint's secret": {"secret": secrets.connect_webhook_secrets[0]},
        "our own secret at the other endpoint": {"path": CONNECT_WEBHOOK},
        "of another body": {"header": good},
        "stale": {"at": now - 301},
        "nonsense": {"header": "t=now,v1=abc"},
        "no version": {"header": good.replace("v1=", "v0=")},
        "no time": {"header": good.partition(",")[2]},
        "not ASCII": {"header": "t=1,v1=\u00fc".encode("latin-1")},
        "endless": {"header": "t=1," + "v1=00," * 1000},
    }
    for name, options in refused.items():
        answer = till.webhook(event, **options)
        assert refusal(answer, 400)["hint"] == "invalid_signature", name
    assert till.event_state(event) is None
    assert paid.buyer.balance == 0
    assert till.violations() == []

    assert till.webhook(event, at=now - 290).json() == {"state": "applied"}
    assert till.webhook(event).json() == {"state": "duplicate"}
    assert paid.buyer.balance == STARTER_CREDITS


def test_a_second_signature_of_another_secret_does_no_harm(till: Till, paid: Payment) -> None:
    """While a secret is being changed Stripe signs with both."""

    event = json.dumps(paid.event("payment_intent.succeeded"))
    ours = signature(event.encode(), till.sandbox.settings.webhook_secrets[0])
    new = signature(event.encode(), "whsec_new").partition(",")[2]
    moment, _, old = ours.partition(",")
    answer = till.webhook(event, header=f"{moment},{new},{old}")
    assert (answer.status_code, answer.json()) == (200, {"state": "applied"})
    assert paid.buyer.balance == STARTER_CREDITS


# What is no event ---------------------------------------------------------------------------------

NO_EVENTS: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "invalid_payload"),
    "no JSON": (b"hello", 400, "invalid_payload"),
    "not UTF-8": (b'{"id": "\xff\xfe"}', 400, "invalid_payload"),
    "half a character": (b'{"id": "\\ud800", "object": "event"}', 400, "invalid_payload"),
    "NUL": (b'{"id": "evt_\\u0000", "object": "event"}', 400, "invalid_payload"),
    "NaN": (b'{"id": NaN, "object": "event"}', 400, "invalid_payload"),
    "infinite": (b'{"id": "evt_1", "object": "event", "created": Infinity}', 400, ""),
    "a huge number": (b'{"id":"evt_1","object":"event","created":1e999999}', 400, ""),
    "many digits": (b'{"id":"evt_1","object":"event","created":' + b"9" * 9000 + b"}", 400, ""),
    "too deep": (b'{"object":"event","id":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, ""),
    "deep": (b'{"object":"event","id":' + b"[" * 900 + b"]" * 900 + b"}", 400, ""),
    "a list": (b"[]", 400, ""),
    "a text": (b'"evt_1"', 400, ""),
    "null": (b"null", 400, ""),
    "an empty object": (b"{}", 400, ""),
    "of API version 2": (b'{"id": "evt_1", "object": "v2.core.event"}', 400, ""),
    "a megabyte": (b'{"id": "' + b"x" * 1_000_000 + b'"}', 413, ""),
    "just too much": (b" " * (512 * 1024 + 1), 413, ""),
}


@pytest.mark.parametrize("name", NO_EVENTS)
def test_what_is_no_event(till: Till, name: str) -> None:
    content, status, hint = NO_EVENTS[name]
    answer = till.webhook(content)
    said = refusal(answer, status)["hint"]
    assert said == hint if hint else said
    assert till.violations() == []


def test_events_that_lack_something(till: Till) -> None:
    whole = till.event_about({"id": "pi_1", "object": "payment_intent"}, "payment_intent.created")
    wrong: dict[str, Json] = {
        "no id": {"id": None},
        "a number for an id": {"id": 5},
        "an endless id": {"id": "evt_" + "x" * 300},
        "no type": {"type": ""},
        "a list for a type": {"type": []},
        "no time": {"created": "yesterday"},
        "a time that never comes": {"created": 1e300},
        "a time before all times": {"created": -1},
        "no mode": {"livemode": "false"},
        "no object": {"data": {}},
        "a text for an object": {"data": {"object": "pi_1"}},
        "data of another kind": {"data": []},
    }
    for name, changed in wrong.items():
        answer = till.webhook(whole | changed)
        assert refusal(answer, 400)["hint"] == "invalid_event", name
    live = refusal(till.webhook(whole | {"livemode": True}), 400)
    assert live["hint"] == "livemode_mismatch"
    assert till.event_state(whole) is None


def test_an_unknown_mode_of_transport(till: Till) -> None:
    """A body in chunks has no length to be refused by: it is still not read to its end."""

    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 16_384

    answer = till.http.post(f"{till.edge_url}{WEBHOOK}", content=chunks())
    assert refusal(answer, 413)["hint"]


# What does not concern us -------------------------------------------------------------------------


def test_what_nobody_cares_for_is_kept_and_ignored(till: Till) -> None:
    for told in (
        {"id": "prod_1", "object": "product"},
        {"id": "x", "object": "event'); drop table app.payments; --"},
        {"id": "x", "object": "connect.payment_intent"},
        {"id": "x"},
        {"id": f"pi_{uuid4().hex}", "object": "payment_intent", "status": "succeeded"},
    ):
        event = till.event_about(told, "something.happened")
        assert till.webhook(event).json() == {"state": "ignored"}
        assert till.event_state(event) == "ignored"


def test_a_connected_account_cannot_pay_for_us(till: Till, paid: Payment) -> None:
    secret = till.sandbox.settings.connect_webhook_secrets[0]
    connected = paid.event("payment_intent.succeeded") | {"account": "acct_of_a_thief"}
    options: dict[str, Any] = {"path": CONNECT_WEBHOOK, "secret": secret}
    assert till.webhook(connected, **options).json() == {"state": "ignored"}
    another = connected | {"id": f"evt_{uuid4().hex}"}
    assert till.webhook(another).json() == {"state": "ignored"}
    assert paid.buyer.balance == 0


def test_another_amount_is_not_credited(till: Till, paid: Payment) -> None:
    event = paid.event("payment_intent.succeeded")
    wrong = till.event_about(intent_of(paid) | {"amount_received": 1}, event["type"])
    assert till.webhook(wrong).json() == {"state": "failed"}
    foreign = till.event_about(intent_of(paid) | {"currency": "jpy"}, event["type"])
    assert till.webhook(foreign).json() == {"state": "failed"}
    assert paid.buyer.balance == 0
    (row,) = till.rows("select * from app.stripe_events where id = %s", wrong["id"])
    assert "Another amount was paid" in row["error"]
    assert till.violations() == []
    # It stands in nobody's way.
    assert till.webhook(event).json() == {"state": "applied"}
    assert till.value("select app.replay_stripe_event(%s)", wrong["id"]) == "applied"
    assert paid.buyer.balance == STARTER_CREDITS


def test_a_poisoned_object_is_kept_as_failed(till: Till, paid: Payment) -> None:
    for changed in ({"amount_received": "a lot"}, {"amount_received": None}, {"currency": None}):
        event = till.event_about(intent_of(paid) | changed, "payment_intent.succeeded")
        assert till.webhook(event).json() == {"state": "failed"}
        assert till.value("select app.replay_stripe_event(%s)", event["id"]) == "failed"
        assert till.violations() == []
    assert paid.buyer.balance == 0
    assert paid.wait_for("pending")


# In any order and number --------------------------------------------------------------------------


def test_the_last_event_first(till: Till, paid: Payment) -> None:
    events = paid.events()
    assert len(events) >= 3
    states = till.sandbox.release(events[::-1])
    assert set(states) <= {"applied", "duplicate"}
    assert paid.row["status"] == "succeeded"
    assert paid.buyer.balance == STARTER_CREDITS


def test_a_failure_that_comes_late_takes_nothing_back(till: Till) -> None:
    payment = till.buyer().begin()
    till.sandbox.webhooks("hold")
    payment.confirm("pm_card_chargeDeclined")
    payment.confirm()
    succeeded = payment.event("payment_intent.succeeded")
    failed = payment.event("payment_intent.payment_failed")
    assert till.sandbox.release([succeeded, failed]) == ["applied", "applied"]
    assert payment.row["status"] == "succeeded"
    assert payment.buyer.balance == STARTER_CREDITS
    till.sandbox.calm()


def test_an_event_of_a_payment_that_does_not_exist_yet(till: Till, paid: Payment) -> None:
    """It waits, and takes effect when its payment is there."""
    unknown = str(uuid4())
    told = intent_of(paid) | {
        "id": f"pi_{uuid4().hex}",
        "metadata": {"payment_id": unknown, "user_id": str(paid.buyer.id)},
    }
    event = till.event_about(told, "payment_intent.succeeded")
    assert till.webhook(event).json() == {"state": "parked"}
    assert till.webhook(event).json() == {"state": "duplicate"}
    assert till.value("select app.replay_stripe_event(%s)", event["id"]) == "parked"
    (row,) = till.rows("select * from app.stripe_events where id = %s", event["id"])
    assert row["waits_for"] == unknown
    # As after a restore of a backup: the row comes back, with what it was.
    till.owner.execute(
        "insert into app.payments (id, user_id, package_id, package_name, method, "
        "stripe_customer_id, amount_cents, currency, credits_purchased, bonus_credits, is_live) "
        "select %s, user_id, package_id, package_name, method, stripe_customer_id, amount_cents, "
        "currency, credits_purchased, bonus_credits, is_live from app.payments where id = %s",
        (unknown, paid.id),
    )
    till.value("select app.replay_parked_stripe_events()")
    assert till.event_state(event) == "applied"
    assert Payment(paid.buyer, unknown).row["status"] == "succeeded"
    assert paid.buyer.balance == STARTER_CREDITS


def test_an_intent_that_pays_a_second_time(till: Till, paid: Payment) -> None:
    """Kept for the operator: the money is there, and is owed back."""
    till.sandbox.release(paid.events())
    twice = till.event_about(
        intent_of(paid) | {"id": f"pi_{uuid4().hex}"}, "payment_intent.succeeded"
    )
    assert till.webhook(twice).json() == {"state": "failed"}
    assert paid.buyer.balance == STARTER_CREDITS


def test_a_dropped_event_is_found_in_the_list(till: Till) -> None:
    payment = till.buyer().begin()
    till.sandbox.webhooks(drop=100)
    payment.confirm()
    assert payment.row["status"] == "pending"
    found = read_events(till.owner, till.sandbox.client, livemode=False)
    assert found >= 2
    assert payment.row["status"] == "succeeded"
    assert payment.buyer.balance == STARTER_CREDITS
    till.sandbox.calm()
    assert till.sandbox.resend(payment.event("payment_intent.succeeded")) == ["duplicate"]


def test_delayed_doubled_and_shuffled(till: Till) -> None:
    till.sandbox.webhooks(duplicate=2, shuffle=True, delay_seconds=0.3)
    payments = [till.buyer().begin() for _ in range(3)]
    for payment in payments:
        payment.confirm("pm_card_chargeDeclined")
        payment.confirm()
    till.sandbox.webhooks()
    for payment in payments:
        payment.wait_for("succeeded")
        assert payment.buyer.statement == [("purchase", 100), ("bonus", 10)]
