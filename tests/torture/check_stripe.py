"""What Stripe says, against what the database says: the same things, each once."""

from collections import Counter
from typing import Any

from tests.teller import Json
from tests.torture.findings import Findings, text

PLAN_CREDITS = 300
DISPUTES = {
    "needs_response": "open",
    "under_review": "open",
    "won": "won",
    "lost": "lost",
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "closed",
}


def check_stripe(findings: Findings) -> None:
    """Payments, refunds, disputes, transfers, subscriptions, customers."""
    check_payments(findings)
    check_refunds(findings)
    check_disputes(findings)
    check_transfers(findings)
    check_subscriptions(findings)
    check_invoices(findings)
    check_customers(findings)


def _all(findings: Findings, service: str) -> list[Json]:
    found: Any = getattr(findings.sandbox.api, service)
    return findings.sandbox.all_of(found)


def _marked(things: list[Json], mark: str) -> list[Json]:
    """Those that we asked for."""
    return [each for each in things if mark in (each.get("metadata") or {})]


def _single(findings: Findings, what: str, things: list[Json], mark: str) -> dict[str, Json]:
    """By our own id; two of one id are a violation."""
    marked = _marked(things, mark)
    for name, number in Counter(each["metadata"][mark] for each in marked).items():
        if number > 1:
            findings.blame(f"{what}: Stripe has {number} of {name}")
    return {each["metadata"][mark]: each for each in marked}


def check_payments(findings: Findings) -> None:
    intents = _single(findings, "payments", _all(findings, "payment_intents"), "payment_id")
    paid = {
        name: (each["amount_received"], each["id"])
        for name, each in intents.items()
        if each["status"] == "succeeded"
    }
    credited = {
        text(row["id"]): (row["amount_cents"], row["stripe_payment_intent_id"])
        for row in findings.rows(
            "select * from app.payments where status = 'succeeded' and method <> 'subscription'"
        )
    }
    findings.compare("payments at Stripe", paid, credited)
    posted = findings.rows(
        "select reference_id, count(*) as times from ledger.transfers"
        " where kind = 'charge' group by reference_id"
    )
    findings.compare(
        "payments credited once",
        {text(row["id"]): 1 for row in findings.rows(SUCCEEDED)},
        {text(row["reference_id"]): row["times"] for row in posted},
    )


SUCCEEDED = "select id from app.payments where status = 'succeeded'"


def check_refunds(findings: Findings) -> None:
    at_stripe = _single(findings, "refunds", _all(findings, "refunds"), "refund_id")
    rows = findings.rows("select * from app.refunds")
    unsent = [row for row in rows if row["stripe_refund_id"] is None]
    for row in unsent:
        if row["status"] != "failed":
            findings.blame(f"refund {row['id']}: {row['status']}, and Stripe was not asked")
    findings.compare(
        "refunds at Stripe",
        {name: (each["amount"], each["status"]) for name, each in at_stripe.items()},
        {
            text(row["id"]): (row["amount_cents"], row["status"])
            for row in rows
            if row not in unsent
        },
    )


def check_disputes(findings: Findings) -> None:
    findings.compare(
        "disputes at Stripe",
        {each["id"]: DISPUTES[each["status"]] for each in _all(findings, "disputes")},
        {
            row["stripe_dispute_id"]: row["status"]
            for row in findings.rows("select * from app.disputes")
        },
    )


def check_transfers(findings: Findings) -> None:
    at_stripe = _single(findings, "transfers", _all(findings, "transfers"), "payout_id")
    findings.compare(
        "transfers at Stripe",
        {name: (each["amount"], each["destination"]) for name, each in at_stripe.items()},
        {
            text(row["id"]): (row["amount_cents"], row["stripe_account_id"])
            for row in findings.rows("select * from app.payouts where status = 'paid'")
        },
    )
    unfinished = findings.rows(
        "select id, status from app.payouts where status not in ('paid', 'failed', 'canceled')"
    )
    for row in unfinished:
        findings.blame(f"payout {row['id']} is still {row['status']}")


def check_subscriptions(findings: Findings) -> None:
    """The same state, and whether it ends."""
    at_stripe = findings.sandbox.all_of(findings.sandbox.api.subscriptions, status="all")
    findings.compare(
        "subscriptions at Stripe",
        {
            each["id"]: (each["status"], each["status"] == "canceled" or bool(each["cancel_at"]))
            for each in at_stripe
        },
        {
            row["stripe_subscription_id"]: (
                row["status"],
                row["status"] == "canceled" or row["cancel_at_period_end"],
            )
            for row in findings.rows("select * from app.subscriptions")
        },
    )


def check_invoices(findings: Findings) -> None:
    """A paid period is a payment and an allowance, once."""
    paid = [each for each in _all(findings, "invoices") if each["status"] == "paid"]
    rows = findings.rows("select * from app.payments where method = 'subscription'")
    findings.compare(
        "paid periods",
        {each["id"]: each["amount_paid"] for each in paid},
        {row["stripe_invoice_id"]: row["amount_cents"] for row in rows},
    )
    allowances = findings.rows("select stripe_invoice_id, granted from app.invoice_allowances")
    findings.compare(
        "allowances",
        {each["id"]: PLAN_CREDITS for each in paid},
        {row["stripe_invoice_id"]: row["granted"] for row in allowances},
    )


def check_customers(findings: Findings) -> None:
    """One customer for a person; none for who was forgotten."""
    at_stripe = _single(findings, "customers", _all(findings, "customers"), "user_id")
    here = {
        text(row["user_id"]): row["stripe_customer_id"]
        for row in findings.rows("select * from app.stripe_customers")
    }
    forgotten = {text(each) for each in findings.board.erased}
    findings.compare(
        "customers at Stripe",
        {name: each["id"] for name, each in at_stripe.items()},
        {name: customer for name, customer in here.items() if name not in forgotten},
    )
    erased = {
        text(row["id"])
        for row in findings.rows("select id from app.profiles where erased_at is not null")
    }
    findings.compare("people forgotten", dict.fromkeys(forgotten, 1), dict.fromkeys(erased, 1))
