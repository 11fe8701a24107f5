"""Making invoices and having them paid."""

from collections.abc import Sequence

from api.sandbox import invoice_bodies, invoice_status, payment_methods, payments
from api.sandbox.context import Context
from api.sandbox.errors import StripeError, refused
from api.sandbox.invoice_bodies import Piece
from api.sandbox.operations import Reply
from api.sandbox.store import Body, new_id

DESCRIPTIONS = {
    "subscription_create": "Subscription creation",
    "subscription_cycle": "Subscription update",
    "subscription_update": "Subscription update",
}
DECLINED = "pm_card_chargeDeclined"
GOOD = "pm_card_visa"


def draft(context: Context, subscription: Body, reason: str, pieces: Sequence[Piece]) -> Body:
    """A new invoice of a subscription, which becomes its latest."""
    invoice = invoice_bodies.make(context, subscription, reason, pieces)
    context.change(subscription, latest_invoice=invoice["id"], _invoiced_at=context.now())
    context.emit("invoice.created", invoice)
    return invoice


def finalize(context: Context, invoice: Body) -> Body:
    """Give a draft its number and its payment. One on which nothing is due is paid at once."""
    if invoice["status"] != "draft":
        raise refused(f"This invoice is not a draft: it is {invoice['status']}.")
    customer = context.require("customer", invoice["customer"])
    amount, balance = invoice_bodies.due(invoice["total"], customer["balance"])
    token = new_id("hosted", 40)
    invoice_status.set_status(
        context,
        invoice,
        "open",
        amount_due=amount,
        amount_remaining=amount,
        effective_at=context.now(),
        ending_balance=balance,
        hosted_invoice_url=f"{invoice['_base_url']}/invoice/{token}",
        number=_number(context, customer),
        starting_balance=customer["balance"],
        _token=token,
    )
    if balance != customer["balance"]:
        before = context.change(customer, balance=balance)
        context.emit("customer.updated", customer, before)
    if amount:
        _add_intent(context, invoice)
    context.emit("invoice.finalized", invoice)
    if not amount:
        invoice_status.settle(context, invoice, 0)
    return invoice


def _number(context: Context, customer: Body) -> str:
    ((count,),) = context.store.query(
        "select count(*) from objects where kind = ? and json_extract(body, '$.customer') = ?"
        " and json_extract(body, '$.number') is not null",
        (invoice_bodies.KIND, customer["id"]),
    )
    return f"{customer['invoice_prefix']}-{count + 1:04}"


def _add_intent(context: Context, invoice: Body) -> None:
    subscription = invoice_bodies.subscription_of(context, invoice)
    intent = payments.start(
        context,
        invoice["amount_due"],
        invoice["currency"],
        session=subscription["_session"] if subscription["status"] == "incomplete" else None,
        customer=invoice["customer"],
        description=DESCRIPTIONS[invoice["billing_reason"]],
        payment_method_types=subscription["_payment_method_types"],
        setup_future_usage="off_session",
        _invoice=invoice["id"],
    )
    context.change(invoice, _intent=intent["id"])
    invoice_bodies.add_payment(context, invoice, intent)


def collect(
    context: Context, invoice: Body, method: str | None = None, *, is_off_session: bool = True
) -> Body | Reply:
    """Try to take what is due, by this method or by the subscription's own."""
    if invoice["status"] == "draft":
        finalize(context, invoice)
    if invoice["status"] == "paid":
        return invoice
    if invoice["status"] not in ("open", "uncollectible"):
        raise refused(f"This invoice cannot be paid: it is {invoice['status']}.")
    chosen = method or method_of(context, invoice)
    context.change(invoice, attempt_count=invoice["attempt_count"] + 1, attempted=True)
    if chosen is None:
        invoice_status.tell_failure(context, invoice)
        return refusal_without_method()
    intent = context.require("payment_intent", invoice["_intent"])
    done = payments.confirm(context, intent, chosen, is_off_session=is_off_session)
    return done if isinstance(done, Reply) else context.require(invoice["object"], invoice["id"])


def paid_already() -> StripeError:
    """Nobody pays twice."""
    return refused("This invoice is paid already.", code="invoice_already_paid")


def refusal_without_method() -> Reply:
    """Nobody has said yet with what to pay."""
    message = "There is nothing to pay with: the subscription has no payment method."
    error = refused(message, code="payment_intent_payment_attempt_failed")
    return Reply(402, error.body)


def method_of(context: Context, invoice: Body) -> str | None:
    """What an invoice's subscription is paid with."""
    method: str | None = invoice_bodies.subscription_of(context, invoice)["default_payment_method"]
    return method


def method_for(context: Context, subscription: Body, outcome: str | None) -> str | None:
    """What to pay with so that it comes out like this; without a wish, what is kept."""
    if outcome == "failed":
        return DECLINED
    kept: str | None = subscription["default_payment_method"]
    if outcome == "paid":
        found = None if kept is None else context.require("payment_method", kept)
        if found is None or payment_methods.decline_of(found) is not None:
            return GOOD
    return kept


def void(context: Context, invoice: Body) -> Body:
    """Take back an invoice that was not paid."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise refused(f"This invoice cannot be voided: it is {invoice['status']}.")
    _cancel_intent(context, invoice)
    _set_balance_back(context, invoice)
    invoice_status.set_status(context, invoice, "void", auto_advance=False)
    context.emit("invoice.voided", invoice)
    return invoice


def _set_balance_back(context: Context, invoice: Body) -> None:
    """What the invoice took from the customer's balance is there again."""
    taken = invoice["ending_balance"] - invoice["starting_balance"]
    customer = context.require("customer", invoice["customer"])
    if taken and not customer.get("deleted"):
        before = context.change(customer, balance=customer["balance"] - taken)
        context.emit("customer.updated", customer, before)


def write_off(context: Context, invoice: Body) -> Body:
    """Give up on an invoice, which can still be paid."""
    if invoice["status"] != "open":
        raise refused(f"This invoice cannot be given up: it is {invoice['status']}.")
    invoice_status.set_status(context, invoice, "uncollectible", auto_advance=False)
    context.emit("invoice.marked_uncollectible", invoice)
    return invoice


def _cancel_intent(context: Context, invoice: Body) -> None:
    if invoice["_intent"] is None:
        return
    intent = context.require("payment_intent", invoice["_intent"])
    if intent["status"] in payments.CANCELABLE:
        payments.cancel(context, intent, "void_invoice")
    for payment in invoice_bodies.payments_of(context, invoice):
        times = {**payment["status_transitions"], "canceled_at": context.now()}
        context.change(payment, status="canceled", status_transitions=times)


def open_ones(context: Context, subscription: Body) -> list[Body]:
    """A subscription's invoices that wait for money, the oldest first."""
    rows = context.store.query(
        "select id from objects where kind = ? and json_extract(body, '$.status') = 'open' and"
        " json_extract(body, '$.parent.subscription_details.subscription') = ? order by sequence",
        (invoice_bodies.KIND, subscription["id"]),
    )
    return [context.require(invoice_bodies.KIND, invoice_id) for (invoice_id,) in rows]
