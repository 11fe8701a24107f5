"""Webhooks: signed, tried again, held, reordered, doubled, dropped; and disputes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.sandbox.webhooks import sign
from api.stack.wait import wait_until
from tests.sandboxes import SECRET, Receiver, Shop, open_shop, receiving, refusal

SECONDS = 10.0
INTENT: dict[str, Any] = {"amount": 499, "currency": "usd"}


@pytest.fixture
def endpoint() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def shop(endpoint: Receiver) -> Iterator[Shop]:
    with open_shop(webhook_url=endpoint.url, webhook_secrets=[SECRET]) as shop:
        yield shop


@pytest.fixture
def held(shop: Shop) -> Shop:
    shop.control("/webhooks/mode", {"mode": "hold"})
    return shop


def deliveries(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.control("/webhooks", method="GET")["deliveries"]
    return found


def states(shop: Shop) -> list[str]:
    return [each["state"] for each in deliveries(shop)]


def test_events_are_delivered_signed(shop: Shop, endpoint: Receiver) -> None:
    intent = shop.paid()
    assert wait_until(lambda: len(endpoint.events) == 3, seconds=SECONDS)
    assert sorted(endpoint.types) == [
        "charge.succeeded",
        "payment_intent.created",
        "payment_intent.succeeded",
    ]
    event = next(each for each in endpoint.events if each.type == "payment_intent.succeeded")
    assert event.data.object["id"] == intent.id
    assert (event.livemode, event.pending_webhooks) == (False, 1)
    assert event.request is not None
    assert event.request.idempotency_key is not None
    assert wait_until(lambda: set(states(shop)) == {"delivered"}, seconds=SECONDS)
    assert shop.api.events.retrieve(event.id).pending_webhooks == 0
    assert len(shop.api.events.list({"delivery_success": True}).data) == 3
    assert shop.api.events.list({"delivery_success": False}).data == []


def test_an_event_shows_the_object_as_it_was(held: Shop, endpoint: Receiver) -> None:
    held.paid()
    held.control("/webhooks/release")
    assert endpoint.events[0].data.object["status"] == "requires_confirmation"
    assert endpoint.events[-1].data.object["status"] == "succeeded"


def test_every_secret_signs(endpoint: Receiver) -> None:
    endpoint.secret = "whsec_new"
    secrets = [SECRET, "whsec_new"]
    with open_shop(webhook_url=endpoint.url, webhook_secrets=secrets) as shop:
        shop.api.customers.create({})
        assert wait_until(lambda: len(endpoint.events) == 1, seconds=SECONDS)
        assert endpoint.headers[0]["Stripe-Signature"].count("v1=") == 2
    assert sign("{}", ("a", "b"), 1).startswith("t=1,v1=")


def test_a_wrong_secret_is_refused_by_the_endpoint(endpoint: Receiver) -> None:
    with open_shop(webhook_url=endpoint.url, webhook_secrets=["whsec_wrong"]) as shop:
        shop.api.customers.create({})
        assert wait_until(
            lambda: [each["status"] for each in deliveries(shop)[0]["attempts"]] == [400],
            seconds=SECONDS,
        )
    assert endpoint.events == []


def test_a_failure_is_tried_again(shop: Shop, endpoint: Receiver) -> None:
    endpoint.statuses = [500, 302]
    shop.api.customers.create({})
    assert wait_until(lambda: states(shop) == ["delivered"], seconds=SECONDS)
    attempts = deliveries(shop)[0]["attempts"]
    assert [each["status"] for each in attempts] == [500, 302, 200]
    assert attempts[1]["at"] - attempts[0]["at"] >= 0.5
    assert attempts[2]["at"] - attempts[1]["at"] >= 1.0
    assert len({event.id for event in endpoint.events}) == 1


def test_undelivered_events_survive_a_restart(endpoint: Receiver) -> None:
    options: dict[str, Any] = {"webhook_url": endpoint.url, "webhook_secrets": [SECRET]}
    with tempfile.TemporaryDirectory() as folder:
        with open_shop(Path(folder), **options) as shop:
            shop.control("/webhooks/mode", {"mode": "hold"})
            shop.api.customers.create({})
        with open_shop(Path(folder), **options) as shop:
            assert states(shop) == ["held"]
            shop.control("/webhooks/mode", {"mode": "deliver"})
            assert wait_until(lambda: endpoint.types == ["customer.created"], seconds=SECONDS)


def test_held_events_are_released_in_any_order(held: Shop, endpoint: Receiver) -> None:
    held.paid()
    assert states(held) == ["held"] * 3
    events = [event.id for event in held.api.events.list().data]  # the newest first
    answers = held.control("/webhooks/release", {"events": [events[0], events[0], events[2]]})
    assert [event.id for event in endpoint.events] == [events[0], events[0], events[2]]
    assert answers[0] == {"event": events[0], "status": 200, "body": "seen"}
    held.control("/webhooks/release")
    assert [event.id for event in endpoint.events[3:]] == [events[1]]
    assert held.control("/webhooks/release") == []
    unknown = held.raw("POST", "/_sandbox/webhooks/release", json={"events": ["evt_no"]})
    assert unknown.status_code == 404


def test_a_held_event_that_failed_is_held_again(held: Shop, endpoint: Receiver) -> None:
    endpoint.statuses = [503]
    held.api.customers.create({})
    assert [each["status"] for each in held.control("/webhooks/release")] == [503]
    assert states(held) == ["held"]
    assert len(held.api.events.list({"delivery_success": False}).data) == 1
    assert [each["status"] for each in held.control("/webhooks/release")] == [200]


def test_duplicates_drops_and_resends(shop: Shop, endpoint: Receiver) -> None:
    shop.control("/webhooks/mode", {"mode": "hold", "duplicate": 1, "drop": 1})
    first = shop.api.customers.create({})
    second = shop.api.customers.create({})
    assert sorted(states(shop)) == ["dropped", "held", "held", "held"]
    shop.control("/webhooks/release")
    received = [event.data.object["id"] for event in endpoint.events]
    assert received == [first.id, second.id, second.id]
    event_id = endpoint.events[0].id
    assert shop.control("/webhooks/resend", {"event": event_id})[0]["status"] == 200
    assert endpoint.events[-1].id == event_id


def test_an_event_of_nobody_reaching_is_still_listed(shop: Shop, endpoint: Receiver) -> None:
    shop.control("/webhooks/mode", {"drop": 1})
    shop.api.customers.create({})
    assert states(shop) == ["dropped"]
    assert shop.event_types() == ["customer.created"]
    assert endpoint.events == []


def test_shuffled_and_late_events_all_arrive(shop: Shop, endpoint: Receiver) -> None:
    shop.control("/webhooks/mode", {"shuffle": True, "delay_seconds": 0.2})
    shop.paid()
    due = [each["due"] for each in deliveries(shop)]
    assert len(set(due)) == 3
    assert wait_until(lambda: len(endpoint.events) == 3, seconds=SECONDS)


def test_an_endpoint_that_is_away_is_waited_for() -> None:
    with receiving() as gone:
        url = gone.url
    with open_shop(webhook_url=url, webhook_secrets=[SECRET]) as shop:
        shop.api.customers.create({})
        assert wait_until(lambda: bool(deliveries(shop)[0]["attempts"]), seconds=SECONDS)
        assert deliveries(shop)[0]["attempts"][0]["status"] is None
        assert states(shop) == ["pending"]


def test_events_of_connected_accounts_go_to_their_own_endpoint(endpoint: Receiver) -> None:
    options: dict[str, Any] = {
        "connect_webhook_url": endpoint.url,
        "connect_webhook_secrets": [SECRET],
    }
    with open_shop(**options) as shop:
        shop.api.customers.create({})
        with shop.sandbox.sandbox.work("") as context:
            context.emit("account.updated", {"id": "acct_1", "object": "account"}, None, "acct_1")
        assert wait_until(lambda: endpoint.types == ["account.updated"], seconds=SECONDS)
        assert endpoint.events[0].account == "acct_1"
        assert len(deliveries(shop)) == 1


@pytest.mark.parametrize(
    ("evidence", "status", "net"),
    [("winning_evidence", "won", -1500), ("losing_evidence", "lost", -1999)],
)
def test_evidence_decides_a_dispute(held: Shop, evidence: str, status: str, net: int) -> None:
    intent = held.paid("pm_card_createDispute")
    assert intent.status == "succeeded"
    dispute = held.api.disputes.list({"payment_intent": intent.id}).data[0]
    assert dispute.id.startswith("du_")
    assert (dispute.status, dispute.reason) == ("needs_response", "fraudulent")
    line = dispute.balance_transactions[0]
    assert (line.type, line.reporting_category, line.amount, line.fee, line.source) == (
        "adjustment",
        "dispute",
        -499,
        1500,
        dispute.id,
    )
    assert held.api.charges.retrieve(intent.latest_charge.id).disputed is True
    error = refusal(held.api.refunds.create, {"payment_intent": intent.id})
    assert error.code == "charge_disputed"

    draft = {"evidence": {"uncategorized_text": evidence}, "submit": False}
    assert held.api.disputes.update(dispute.id, draft).status == "needs_response"
    answered = held.api.disputes.update(dispute.id, {"submit": True})
    assert answered.status == "under_review"
    decided = held.api.disputes.retrieve(dispute.id)
    assert decided.status == status
    assert sum(each.net for each in decided.balance_transactions) == net
    assert held.balance() == held.lines_sum() == 455 + net
    expected = [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.updated",
        "charge.dispute.closed",
    ]
    if status == "won":
        expected.append("charge.dispute.funds_reinstated")
        assert decided.balance_transactions[1].reporting_category == "dispute_reversal"
        assert held.api.refunds.create({"payment_intent": intent.id}).status == "succeeded"
    assert [each for each in held.event_types() if ".dispute." in each] == expected
    assert refusal(held.api.disputes.close, dispute.id).http_status == 400


def test_a_dispute_that_is_given_up(shop: Shop) -> None:
    intent = shop.paid()
    path = f"/charges/{intent.latest_charge.id}/dispute"
    dispute = shop.control(path, {"amount": 300, "reason": "product_not_received"})
    assert (dispute["amount"], dispute["reason"]) == (300, "product_not_received")
    assert shop.raw("POST", f"/_sandbox{path}").status_code == 400  # one is open
    assert shop.api.disputes.close(dispute["id"]).status == "lost"
    assert shop.balance() == shop.lines_sum() == 455 - 300 - 1500
    shop.control(f"/disputes/{dispute['id']}/decide", {"outcome": "won"})  # after all
    assert shop.api.disputes.retrieve(dispute["id"]).status == "won"
    assert shop.balance() == shop.lines_sum() == 455 - 1500
    assert shop.event_types()[-1] == "charge.dispute.funds_reinstated"


def test_an_inquiry_takes_no_money_until_it_is_escalated(shop: Shop) -> None:
    intent = shop.paid("pm_card_createDisputeInquiry")
    inquiry = shop.api.disputes.list({"charge": intent.latest_charge.id}).data[0]
    assert (inquiry.status, len(inquiry.balance_transactions)) == ("warning_needs_response", 0)
    assert shop.balance() == 455
    evidence = {"evidence": {"uncategorized_text": "escalate_inquiry_evidence"}}
    assert shop.api.disputes.update(inquiry.id, evidence).status == "warning_under_review"
    escalated = shop.api.disputes.retrieve(inquiry.id)
    assert (escalated.status, len(escalated.balance_transactions)) == ("needs_response", 1)
    assert shop.balance() == shop.lines_sum() == 455 - 499 - 1500


def test_a_full_refund_ends_an_inquiry(shop: Shop) -> None:
    intent = shop.paid("pm_card_createDisputeInquiry")
    shop.api.refunds.create({"payment_intent": intent.id})
    inquiry = shop.api.disputes.list({"payment_intent": intent.id}).data[0]
    assert inquiry.status == "warning_closed"
    assert shop.event_types()[-1] == "charge.dispute.closed"
