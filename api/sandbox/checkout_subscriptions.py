"""Checkout sessions in the mode `subscription`: what the page begins when somebody pays on it.

The first try begins the subscription, incomplete, with its first invoice; every other try pays
that. The session tells of it when it is complete. A trial begins with nothing to pay: then the
page only asks with what to pay later.
"""

from typing import Any

from api.sandbox import (
    billing,
    checkout_status,
    customers,
    forms,
    invoice_status,
    invoicing,
    payment_methods,
    periods,
)
from api.sandbox.context import Context, visible
from api.sandbox.errors import invalid
from api.sandbox.operations import Reply
from api.sandbox.store import Body
from api.sandbox.subscription_bodies import KIND, Terms

LONGEST_TRIAL_DAYS = 730
FAILS_LATER = "fails_later"
DATA = forms.hash_of(
    {
        "billing_mode": forms.hash_of({"type": forms.choice("classic", "flexible")}, ("type",)),
        "description": forms.text,
        "metadata": forms.metadata,
        "trial_end": forms.integer,
        "trial_period_days": forms.integer,
    }
)


def trial_end(context: Context, given: Body) -> int | None:
    """When a trial would end that began now."""
    data = given.get("subscription_data", {})
    if "trial_end" in data and "trial_period_days" in data:
        raise invalid("Send trial_end or trial_period_days, not both.", "subscription_data")
    days = data.get("trial_period_days")
    if days is not None and not 1 <= days <= LONGEST_TRIAL_DAYS:
        raise invalid(
            f"trial_period_days must be between 1 and {LONGEST_TRIAL_DAYS}.",
            "subscription_data[trial_period_days]",
        )
    if "trial_end" in data:
        end: int = data["trial_end"]
        if end <= context.now():
            raise invalid("trial_end must be in the future.", "subscription_data[trial_end]")
        return end
    return None if days is None else context.now() + days * periods.DAY


def pay(context: Context, session: Body, payment_method: str) -> Body | Reply:
    """Begin the subscription at the first try, then try to pay its first invoice."""
    if session["payment_status"] == "no_payment_required":
        return _begin_without_paying(context, session, payment_method)
    invoice = _first_invoice(context, session)
    done = invoicing.collect(context, invoice, payment_method, is_off_session=False)
    if isinstance(done, Reply):
        return done
    return context.require("payment_intent", invoice["_intent"])


def _first_invoice(context: Context, session: Body) -> Body:
    begun = session["_subscription"]
    subscription = None if begun is None else context.require(KIND, begun)
    if subscription is None or subscription["status"] != "incomplete":
        # Nothing yet, or what an earlier try had begun has expired.
        subscription = _begin(context, session)
    return context.require("invoice", subscription["latest_invoice"])


def _begin(context: Context, session: Body) -> Body:
    customer = session["customer"]
    if customer is None:
        customer = customers.make(context, {"email": session["customer_email"]})["id"]
    data: dict[str, Any] = session["_subscription_data"]
    line = session["_lines"][0]
    subscription = billing.start(
        context,
        Terms(
            customer=customer,
            price=line["price"],
            quantity=line["quantity"],
            trial_end=trial_end(context, {"subscription_data": data}),
            metadata=forms.merged({}, data.get("metadata", {})),
            description=data.get("description"),
            billing_mode=data.get("billing_mode", {}).get("type") or "flexible",
            session=session["id"],
            method_types=tuple(session["payment_method_types"]),
        ),
    )
    context.change(session, _subscription=subscription["id"])
    return subscription


def _begin_without_paying(context: Context, session: Body, payment_method: str) -> Body | Reply:
    """Nothing is due yet: keep what is to be paid with, unless its bank refuses even that."""
    method = payment_methods.resolve(context, payment_method)
    decline = payment_methods.decline_of(method)
    if decline is not None and method["_behaviour"] != FAILS_LATER:
        error = {**decline.error(), "payment_method": visible(method)}
        return Reply(402, {"error": error})
    subscription = _begin(context, session)
    invoice_status.keep_method(context, subscription, method)
    checkout_status.finish(context, session, "no_payment_required")
    return session


def intent_of(context: Context, session: Body) -> Body | None:
    """The intent of the first invoice, if there has been a try to pay it."""
    if session["_subscription"] is None:
        return None
    subscription = context.require(KIND, session["_subscription"])
    invoice = context.require("invoice", subscription["latest_invoice"])
    intent_id = invoice["_intent"]
    return None if intent_id is None else context.require("payment_intent", intent_id)


def expire(context: Context, session: Body) -> None:
    """The page was left without paying: what it had begun ends."""
    if session.get("_subscription") is None:
        return
    subscription = context.require(KIND, session["_subscription"])
    if subscription["status"] == "incomplete":
        billing.expire(context, subscription)
