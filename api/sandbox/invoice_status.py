"""What becomes of an invoice, and of its subscription, when its payment moves."""

from typing import Any

from api.sandbox import invoice_bodies
from api.sandbox.context import Context
from api.sandbox.store import Body

UNPAID = ("incomplete", "past_due", "unpaid", "paused")


def set_status(context: Context, invoice: Body, status: str, **changes: Any) -> Body:
    """Another state of an invoice, with the time at which it came to it."""
    names = {
        "open": "finalized_at",
        "paid": "paid_at",
        "uncollectible": "marked_uncollectible_at",
        "void": "voided_at",
    }
    times = {**invoice["status_transitions"], names[status]: context.now()}
    return context.change(invoice, status=status, status_transitions=times, **changes)


def succeed(context: Context, intent: Body) -> None:
    """The money of an invoice came."""
    invoice = _invoice(context, intent)
    if invoice is None or invoice["status"] not in ("open", "uncollectible"):
        return
    for payment in invoice_bodies.payments_of(context, invoice):
        context.change(
            payment,
            amount_paid=payment["amount_requested"],
            status="paid",
            status_transitions={**payment["status_transitions"], "paid_at": context.now()},
        )
        context.emit("invoice_payment.paid", payment)
    _keep_method(context, invoice, intent)
    settle(context, invoice, invoice["amount_due"])


def settle(context: Context, invoice: Body, amount: int) -> None:
    """An invoice is paid, by a payment or because nothing was due."""
    set_status(
        context,
        invoice,
        "paid",
        amount_paid=amount,
        amount_remaining=0,
        attempted=True,
        auto_advance=False,
    )
    context.emit("invoice.paid", invoice)
    context.emit("invoice.payment_succeeded", invoice)
    _take_effect(context, invoice, "active", UNPAID)


def begin(context: Context, intent: Body) -> None:
    """A bank debit is under way: who pays so has the subscription from now on."""
    invoice = _invoice(context, intent)
    if invoice is not None:
        _keep_method(context, invoice, intent)
        _take_effect(context, invoice, "active", ("incomplete",))


def fail(context: Context, intent: Body) -> None:
    """The money of an invoice did not come."""
    invoice = _invoice(context, intent)
    if invoice is not None and invoice["status"] == "open":
        tell_failure(context, invoice)


def tell_failure(context: Context, invoice: Body) -> None:
    """The invoice stays open. Nothing is tried again by itself here."""
    context.emit("invoice.payment_failed", invoice)
    _take_effect(context, invoice, "past_due", ("active", "trialing"))


def ask(context: Context, intent: Body) -> None:
    """The payer's bank wants to know that it is them."""
    invoice = _invoice(context, intent)
    if invoice is not None:
        context.emit("invoice.payment_action_required", invoice)


def _invoice(context: Context, intent: Body) -> Body | None:
    invoice_id = intent.get("_invoice")
    return None if invoice_id is None else context.require(invoice_bodies.KIND, invoice_id)


def _take_effect(context: Context, invoice: Body, status: str, among: tuple[str, ...]) -> None:
    """The newest invoice decides how its subscription stands."""
    subscription = invoice_bodies.subscription_of(context, invoice)
    if subscription["latest_invoice"] != invoice["id"] or subscription["status"] not in among:
        return
    was_paused = subscription["status"] == "paused"
    if was_paused and subscription["_resumes_with"] != invoice["id"]:
        return
    before = context.change(subscription, status=status, status_details=None)
    context.emit("customer.subscription.updated", subscription, before)
    if was_paused:
        context.emit("customer.subscription.resumed", subscription)


def _keep_method(context: Context, invoice: Body, intent: Body) -> None:
    """What paid the first invoice pays the others."""
    subscription = invoice_bodies.subscription_of(context, invoice)
    if subscription["default_payment_method"] is None:
        method = context.require("payment_method", intent["payment_method"])
        keep_method(context, subscription, method)


def keep_method(context: Context, subscription: Body, method: Body) -> None:
    """Pay with this from now on. Whoever was asked by their bank once is not asked again."""
    behaviour = method["_behaviour"]
    context.change(
        method,
        customer=subscription["customer"],
        _behaviour=None if behaviour == "authentication" else behaviour,
    )
    context.change(subscription, default_payment_method=method["id"])
    context.emit("payment_method.attached", method)
