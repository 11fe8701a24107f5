"""The commands about Stripe, and the proof that the ledger agrees with it."""

from collections.abc import Iterator
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import pytest

from api.stack.postgres import EmbeddedPostgres
from api.stripe.client import raw
from tests.payments import STARTER_CENTS, STARTER_CREDITS, Payment
from tests.processes import run_command
from tests.tills import OwnTill, own_till

MICRODOLLARS_OF_A_CENT = 10_000


@pytest.fixture
def till(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[OwnTill]:
    with own_till(postgres_server, next(database_names), migrated_template) as till:
        yield till


def command(till: OwnTill, *words: str) -> CompletedProcess[str]:
    ran = run_command(*words, environment=till.owners_environment)
    assert "Traceback" not in ran.stderr + ran.stdout
    for secret in (till.sandbox.settings.secret_key, *till.sandbox.settings.webhook_secrets):
        assert secret not in ran.stderr + ran.stdout
    return ran


def good(till: OwnTill, *words: str) -> str:
    ran = command(till, *words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_nothing_has_happened_yet(till: OwnTill) -> None:
    assert good(till, "stripe", "events") == "nothing came from Stripe yet\n"
    assert good(till, "stripe", "events", "--state", "parked") == "no event is parked\n"
    assert good(till, "stripe", "requests") == "Stripe was asked nothing yet\n"
    assert good(till, "stripe", "requests", "--state", "failed") == "no request is failed\n"
    assert good(till, "stripe", "backfill") == "events that had not come: 0\n"
    said = good(till, "reconcile")
    assert "reconciled" in said
    assert said.count("$0.00") == 3
    unknown = command(till, "stripe", "replay", "evt_nobody")
    assert unknown.returncode == 1
    assert len(unknown.stderr.splitlines()) == 1


def test_everything_there_is_agrees(till: OwnTill) -> None:
    """Charges, refunds, one that failed, disputes won and lost, and the fees of it all."""
    till.buyer().pay()
    refunded = till.buyer().pay("Reader Pack")
    till.service().refund(refunded, amount_cents=333)
    failed = till.buyer().pay(method="pm_card_refundFail")
    till.service().refund(failed)
    failed.wait_for_refunds("failed")
    for verdict in ("winning_evidence", "losing_evidence"):
        payment = till.buyer().pay(method="pm_card_createDispute")
        dispute = payment.wait_for_dispute("open")
        till.sandbox.api.disputes.update(
            dispute["stripe_dispute_id"], {"evidence": {"uncategorized_text": verdict}}
        )
        payment.wait_for_dispute("won" if verdict.startswith("winning") else "lost")
    buyer = till.buyer()
    checkout = buyer.payment(buyer.checkout())
    checkout.pay_session()
    checkout.wait_for("succeeded")

    said = good(till, "reconcile")

    assert "every line has its counterpart" in said
    assert till.rows("select * from app.reconcile()") == []
    cents = till.sandbox.balance()
    assert said.count(f"${cents / 100:,.2f}" if cents >= 0 else f"-${-cents / 100:,.2f}") == 3
    figures = till.rows("select * from app.stripe_balance()")[0]
    assert figures == {
        "ledger_microdollars": cents * MICRODOLLARS_OF_A_CENT,
        "statement_cents": cents,
    }
    assert "new lines of Stripe's statement: 0" in good(till, "reconcile")
    assert till.violations() == []


def test_money_of_which_the_ledger_knows_nothing(till: OwnTill) -> None:
    till.buyer().pay()
    intent: Any = till.sandbox.api.payment_intents.create(
        {"amount": 1234, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
    )
    ran = command(till, "reconcile")
    assert ran.returncode == 1
    assert "not reconciled: 1" in ran.stdout
    assert intent.latest_charge in ran.stdout
    assert "$12.34" in ran.stdout
    (row,) = till.rows("select * from app.reconcile()")
    assert (row["side"], row["stripe_id"]) == ("stripe", intent.latest_charge)
    assert till.violations() == []
    # Given back in the dashboard: two lines of the statement that nobody here cares for.
    till.sandbox.api.refunds.create({"payment_intent": intent.id})
    assert command(till, "reconcile").returncode == 1
    forget(till)


def test_a_movement_of_which_stripe_knows_nothing(till: OwnTill) -> None:
    """As if somebody had signed an event for money that never came."""
    payment = till.buyer().begin()
    till.sandbox.webhooks("hold")
    told = raw(till.sandbox.api.payment_intents.retrieve(payment.intent)) | {
        "status": "succeeded",
        "amount_received": STARTER_CENTS,
        "latest_charge": f"ch_{uuid4().hex}",
    }
    event = till.event_about(told, "payment_intent.succeeded")
    assert till.webhook(event).json() == {"state": "applied"}
    ran = command(till, "reconcile")
    assert ran.returncode == 1
    assert told["latest_charge"] in ran.stdout
    assert "is not on Stripe's statement" in ran.stdout.replace("\n", " ")
    (row,) = till.rows("select * from app.reconcile()")
    assert (row["side"], row["amount_cents"]) == ("ledger", STARTER_CENTS)
    forget(till)


def forget(till: OwnTill) -> None:
    """What is wrong in this till was the point of the test."""
    till.settle = lambda: None  # type: ignore[method-assign]


def untold(till: OwnTill) -> Payment:
    """A payment that was paid, and whose events are lost."""
    payment = till.buyer().begin()
    till.sandbox.webhooks(drop=100)
    payment.confirm()
    till.sandbox.webhooks()
    return payment


def test_backfill_finds_what_was_dropped(till: OwnTill) -> None:
    payment = untold(till)
    assert command(till, "reconcile").returncode == 1
    said = good(till, "stripe", "backfill")
    assert int(said.rpartition(" ")[2]) >= 2
    assert payment.buyer.balance == STARTER_CREDITS
    assert good(till, "stripe", "backfill", "--since", "2020-01-01").endswith(": 0\n")
    assert "reconciled" in good(till, "reconcile")
    listed = good(till, "stripe", "events", "--state", "applied")
    assert payment.event("payment_intent.succeeded")["id"] in listed


def test_the_worker_finds_what_was_dropped(till: OwnTill) -> None:
    payment = untold(till)
    said = good(till, "worker", "--once")
    assert "stripe events found" in said
    assert payment.buyer.balance == STARTER_CREDITS
    assert till.rows("select * from app.reconcile()") == []


def test_an_event_that_failed_is_replayed(till: OwnTill) -> None:
    payment = till.buyer().begin()
    till.sandbox.webhooks("hold")
    payment.confirm()
    event = payment.event("payment_intent.succeeded")
    till.owner.execute(
        "alter table app.payments add constraint broken check (status <> 'succeeded') not valid"
    )
    assert till.webhook(event).json() == {"state": "failed"}
    listed = good(till, "stripe", "events", "--state", "failed")
    assert event["id"] in listed
    assert "broken" in listed
    again = command(till, "stripe", "replay", event["id"])
    assert again.returncode == 1
    assert again.stdout.startswith(f"{event['id']}: failed: new row"), again.stdout
    assert "broken" in again.stdout
    assert payment.buyer.balance == 0
    assert till.violations() == []
    till.owner.execute("alter table app.payments drop constraint broken")
    said = good(till, "stripe", "replay", event["id"], event["id"])
    assert said == f"{event['id']}: applied\n" * 2
    assert payment.buyer.balance == STARTER_CREDITS
    mixed = command(till, "stripe", "replay", "evt_nobody", event["id"])
    assert mixed.returncode == 1
    assert f"{event['id']}: applied" in mixed.stdout


def test_requests_that_wait_are_listed(till: OwnTill) -> None:
    payment = till.buyer().pay()
    till.sandbox.fault("/v1/refunds", "error_500", times=None)
    till.service().refund(payment)
    listed = good(till, "stripe", "requests", "--state", "pending")
    assert "refund" in listed
    assert "no request" in good(till, "stripe", "requests", "--state", "failed")
    till.sandbox.calm()
    till.work()
    listed = good(till, "stripe", "requests", "--limit", "1")
    assert payment.refunds()[0]["stripe_refund_id"] in listed


def test_an_unreachable_stripe_is_one_line(till: OwnTill) -> None:
    environment = till.owners_environment | {"STRIPE_API_BASE": "http://127.0.0.1:1"}
    for words in (["reconcile"], ["stripe", "backfill"]):
        ran = run_command(*words, environment=environment)
        assert ran.returncode == 1
        assert len(ran.stderr.splitlines()) == 1, ran.stderr
        assert "Traceback" not in ran.stderr
