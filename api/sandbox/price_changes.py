"""Changing what a subscription is for, in the middle of a period.

What is left of the old price is given back, what is left of the period is charged at the new
one: on an invoice at once, on the next one, or not at all. Where the length of the period
changes, or a price that was free becomes one that is not, a new period begins at once.
"""

from collections.abc import Sequence
from dataclasses import asdict

from api.sandbox import billing, invoicing, periods
from api.sandbox import subscription_bodies as bodies
from api.sandbox.context import Context
from api.sandbox.errors import StripeError, refused
from api.sandbox.invoice_bodies import Piece
from api.sandbox.operations import Reply
from api.sandbox.store import Body

CREATE_PRORATIONS, ALWAYS_INVOICE, NONE = "create_prorations", "always_invoice", "none"
BEHAVIOURS = (CREATE_PRORATIONS, ALWAYS_INVOICE, NONE)


def change_price(
    context: Context,
    subscription: Body,
    price: Body,
    quantity: int,
    behaviour: str = CREATE_PRORATIONS,
) -> Body | Reply:
    """Change the price or the quantity; a Reply where an invoice was made and not paid."""
    _require_changeable(subscription, price, quantity)
    old = bodies.item_of(subscription)
    if (old["price"]["id"], old["quantity"]) == (price["id"], quantity):
        return subscription
    if subscription["status"] == "trialing":
        period = (old["current_period_start"], old["current_period_end"])
        return _become(context, subscription, price, quantity, period)
    if _begins_anew(old["price"], price):
        return _begin_anew(context, subscription, price, quantity, behaviour)
    period = (old["current_period_start"], old["current_period_end"])
    pieces = [] if behaviour == NONE else _prorations(context, old, price, quantity)
    if behaviour == ALWAYS_INVOICE:
        pieces = [*billing.taken_pending(subscription), *pieces]
    else:
        waiting = [*subscription["_pending"], *(asdict(piece) for piece in pieces)]
        context.change(subscription, _pending=waiting)
    _become(context, subscription, price, quantity, period)
    if behaviour != ALWAYS_INVOICE:
        return subscription
    return _invoice(context, subscription, pieces)


def _require_changeable(subscription: Body, price: Body, quantity: int) -> None:
    if subscription["status"] not in bodies.RUNNING:
        raise refused(f"This subscription cannot be changed: it is {subscription['status']}.")
    if price["type"] != "recurring":
        raise refused(f"The price {price['id']} is not a recurring one.", param="items[0][price]")
    if price["currency"] != subscription["currency"]:
        raise refused("A subscription keeps its currency.", param="items[0][price]")
    if quantity < 1:
        raise refused("A subscription is for one or more.", param="items[0][quantity]")


def _begins_anew(old: Body, new: Body) -> bool:
    length = ("interval", "interval_count")
    is_same = all(old["recurring"][name] == new["recurring"][name] for name in length)
    return not is_same or (old["unit_amount"] == 0 and new["unit_amount"] > 0)


def _begin_anew(
    context: Context, subscription: Body, price: Body, quantity: int, behaviour: str
) -> Body | Reply:
    now = context.now()
    old = bodies.item_of(subscription)
    pieces = billing.taken_pending(subscription)
    if behaviour != NONE:
        pieces.append(_unused(context, old))
    context.change(subscription, billing_cycle_anchor=now)
    period = (now, periods.end_after(now, price["recurring"], now))
    _become(context, subscription, price, quantity, period)
    pieces.append(bodies.whole_period(context, subscription))
    return _invoice(context, subscription, pieces)


def _become(
    context: Context, subscription: Body, price: Body, quantity: int, period: tuple[int, int]
) -> Body:
    only = bodies.with_item(subscription, price, quantity, period)
    return billing.change(context, subscription, items=only)


def _prorations(context: Context, old: Body, price: Body, quantity: int) -> list[Piece]:
    start, end = _rest(context, old)
    amount = _part(price["unit_amount"] * quantity, old, end - start)
    name = bodies.name_of(context, price)
    rest = Piece(price, quantity, amount, start, end, f"The rest of the period of {name}", True)
    return [_unused(context, old), rest]


def _unused(context: Context, old: Body) -> Piece:
    """What was paid for and will not be used is given back."""
    start, end = _rest(context, old)
    price, quantity = old["price"], old["quantity"]
    amount = -_part(price["unit_amount"] * quantity, old, end - start)
    name = bodies.name_of(context, price)
    return Piece(price, quantity, amount, start, end, f"Unused time of {name}", True)


def _rest(context: Context, item: Body) -> tuple[int, int]:
    """What is left of a period, which may have been renewed before its time."""
    end = item["current_period_end"]
    return min(max(context.now(), item["current_period_start"]), end), end


def _part(amount: int, item: Body, seconds: int) -> int:
    """The share of an amount, to the nearest cent."""
    whole: int = item["current_period_end"] - item["current_period_start"]
    return (amount * seconds * 2 + whole) // (whole * 2)


def _invoice(context: Context, subscription: Body, pieces: Sequence[Piece]) -> Body | Reply:
    """Have a change paid at once. It stays when the payment fails, as something overdue."""
    invoice = invoicing.draft(context, subscription, "subscription_update", pieces)
    invoicing.finalize(context, invoice)
    done = invoicing.collect(context, invoice)
    return done if isinstance(done, Reply) else billing.again(context, subscription)


def require_paid(done: Body | Reply) -> Body:
    """Undo a change that was not paid, for who wants it only then."""
    if isinstance(done, Reply):
        error = done.body["error"]
        raise StripeError(done.status, error["message"], type="card_error", code=error.get("code"))
    return done
