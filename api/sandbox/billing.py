"""How a subscription goes: begun, renewed, paused, resumed, ended.

Everything falls due by the sandbox's clock. An invoice is finalized and collected as soon as it
is made; at Stripe the invoice of a renewal waits for an hour.
"""

from typing import Any

from api.sandbox import invoicing, periods
from api.sandbox import subscription_bodies as bodies
from api.sandbox.context import Context
from api.sandbox.errors import refused
from api.sandbox.invoice_bodies import Piece
from api.sandbox.store import Body
from api.sandbox.subscription_bodies import KIND, Terms

SECONDS_TO_COMPLETE = 23 * 3600
SECONDS_TO_WARN = 3 * periods.DAY
PAUSED_INVOICES = {"void": invoicing.void, "mark_uncollectible": invoicing.write_off}


def start(context: Context, terms: Terms) -> Body:
    """Begin a subscription, with its first invoice open."""
    subscription = bodies.make(context, terms)
    is_trial = terms.trial_end is not None
    piece = bodies.whole_period(context, subscription, is_trial=is_trial)
    invoice = invoicing.draft(context, subscription, "subscription_create", [piece])
    context.emit("customer.subscription.created", subscription)
    invoicing.finalize(context, invoice)
    if is_trial:
        _warn_of_trial_end(context, subscription)
    return again(context, subscription)


def again(context: Context, subscription: Body) -> Body:
    """A subscription as it is after something was done with its invoices."""
    return context.require(KIND, subscription["id"])


def change(context: Context, subscription: Body, **changes: Any) -> Body:
    """Change a subscription, and tell if that changed something."""
    before = context.change(subscription, **changes)
    if before != subscription:
        context.emit("customer.subscription.updated", subscription, before)
    return subscription


def renew(context: Context, subscription: Body, outcome: str | None = None) -> Body:
    """The period is over: end here, or begin the next one and have it paid.

    `outcome` decides whether the payer's bank pays; without it what it is paid with decides.
    """
    if subscription["status"] not in bodies.RUNNING:
        raise refused(f"This subscription cannot be renewed: it is {subscription['status']}.")
    only = bodies.item_of(subscription)
    start_of_next, cancel_at = only["current_period_end"], subscription["cancel_at"]
    if cancel_at is not None and cancel_at <= start_of_next:
        return end(context, subscription)
    before = dict(subscription)
    anchor, recurring = subscription["billing_cycle_anchor"], only["price"]["recurring"]
    period = (start_of_next, periods.end_after(anchor, recurring, start_of_next))
    subscription["items"] = bodies.with_item(subscription, only["price"], only["quantity"], period)
    if subscription["status"] == "trialing":
        subscription["status"] = "active"
    pieces = [*taken_pending(subscription), bodies.whole_period(context, subscription)]
    invoice = invoicing.draft(context, subscription, "subscription_cycle", pieces)
    context.emit("customer.subscription.updated", subscription, before)
    _have_paid(context, subscription, invoice, outcome)
    return again(context, subscription)


def taken_pending(subscription: Body) -> list[Piece]:
    """What waited for the next invoice, and waits no more."""
    waiting = [Piece(**each) for each in subscription["_pending"]]
    subscription["_pending"] = []
    return waiting


def _have_paid(context: Context, subscription: Body, invoice: Body, outcome: str | None) -> None:
    paused = subscription["pause_collection"]
    if paused is not None and paused["behavior"] == "keep_as_draft":
        context.change(invoice, auto_advance=False)
        return
    invoicing.finalize(context, invoice)
    if invoice["status"] == "paid":
        return
    if paused is not None:
        PAUSED_INVOICES[paused["behavior"]](context, invoice)
        return
    method = invoicing.method_for(context, subscription, outcome)
    invoicing.collect(context, invoice, method)


def end(context: Context, subscription: Body, **details: Any) -> Body:
    """End a subscription now. What was not paid at all is taken back."""
    if subscription["status"] not in bodies.LIVING:
        raise refused(f"This subscription has ended: it is {subscription['status']}.")
    told = subscription["cancellation_details"]
    reason = told["reason"] or "cancellation_requested"
    if subscription["status"] == "incomplete":
        _take_back(context, subscription)
    before = context.change(
        subscription,
        canceled_at=subscription["canceled_at"] or context.now(),
        cancellation_details={**told, "reason": reason, **details},
        ended_at=context.now(),
        status="canceled",
        status_details=None,
    )
    context.emit("customer.subscription.deleted", subscription, before)
    return subscription


def expire(context: Context, subscription: Body) -> Body:
    """End a subscription whose first invoice was never paid."""
    _take_back(context, subscription)
    return change(context, subscription, ended_at=context.now(), status="incomplete_expired")


def _take_back(context: Context, subscription: Body) -> None:
    for invoice in invoicing.open_ones(context, subscription):
        invoicing.void(context, invoice)


def end_those_of(context: Context, customer_id: str) -> None:
    """A customer who is deleted has no subscriptions any more."""
    for subscription in context.store.newest(KIND, -1, customer=customer_id):
        if subscription["status"] in bodies.LIVING:
            end(context, subscription)


def pause(context: Context, subscription: Body) -> Body:
    """Stop a subscription: no invoices, no periods, until it is resumed."""
    if subscription["status"] not in ("active", "trialing"):
        raise refused(f"This subscription cannot be paused: it is {subscription['status']}.")
    paused = {"subscription": {"type": "subscription"}, "transitioned_at": context.now()}
    change(
        context,
        subscription,
        status="paused",
        status_details={"paused": {**paused, "type": "subscription"}},
    )
    context.emit("customer.subscription.paused", subscription)
    return subscription


def resume(context: Context, subscription: Body, *, keeps_anchor: bool = False) -> Body:
    """Go on with a paused subscription: a new period that has to be paid, or the rest of the old.

    It stays paused until the invoice is paid.
    """
    if subscription["status"] != "paused":
        raise refused(f"This subscription is not paused: it is {subscription['status']}.")
    only = bodies.item_of(subscription)
    if keeps_anchor and context.now() < only["current_period_end"]:
        change(context, subscription, status="active", status_details=None)
        context.emit("customer.subscription.resumed", subscription)
        return subscription
    before = dict(subscription)
    now, recurring = context.now(), only["price"]["recurring"]
    anchor = subscription["billing_cycle_anchor"] if keeps_anchor else now
    period = (now, periods.end_after(anchor, recurring, now))
    subscription["billing_cycle_anchor"] = anchor
    subscription["items"] = bodies.with_item(subscription, only["price"], only["quantity"], period)
    pieces = [*taken_pending(subscription), bodies.whole_period(context, subscription)]
    invoice = invoicing.draft(context, subscription, "subscription_update", pieces)
    context.change(subscription, _resumes_with=invoice["id"])
    context.emit("customer.subscription.updated", subscription, before)
    invoicing.finalize(context, invoice)
    invoicing.collect(context, invoice)
    return again(context, subscription)


def run_due(context: Context) -> None:
    """What time brings to subscriptions: renewals, ends, and warnings, one after the other."""
    marks = ", ".join("?" * len(bodies.LIVING))
    rows = context.store.query(
        f"select id from objects where kind = ? and json_extract(body, '$.status') in ({marks})"
        " order by sequence",
        (KIND, *bodies.LIVING),
    )
    for (subscription_id,) in rows:
        while _step(context, context.require(KIND, subscription_id)):
            pass


def _step(context: Context, subscription: Body) -> bool:
    """Do the next thing that is due; False when nothing is."""
    now, status = context.now(), subscription["status"]
    if status == "incomplete":
        is_late = subscription["created"] + SECONDS_TO_COMPLETE <= now
        return is_late and bool(expire(context, subscription))
    if status not in bodies.RUNNING:
        return False
    period_end = bodies.item_of(subscription)["current_period_end"]
    cancel_at = subscription["cancel_at"]
    if _warn_of_trial_end(context, subscription):
        return True
    if cancel_at is not None and cancel_at <= min(now, period_end):
        return bool(end(context, subscription))
    paused = subscription["pause_collection"]
    if paused is not None and paused["resumes_at"] is not None and paused["resumes_at"] <= now:
        return bool(change(context, subscription, pause_collection=None))
    return period_end <= now and bool(renew(context, subscription))


def _warn_of_trial_end(context: Context, subscription: Body) -> bool:
    """Three days before a trial ends, or at once if it is shorter."""
    is_due = (
        subscription["status"] == "trialing"
        and not subscription["_is_told_of_trial"]
        and subscription["trial_end"] - SECONDS_TO_WARN <= context.now()
    )
    if is_due:
        context.change(subscription, _is_told_of_trial=True)
        context.emit("customer.subscription.trial_will_end", subscription)
    return is_due
