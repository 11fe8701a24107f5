"""The controls under /_sandbox/subscriptions/: what time, banks and people do to a subscription."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from api.sandbox import billing, invoicing, price_changes, prices
from api.sandbox.context import Context
from api.sandbox.control import body, done, named, one_of, words
from api.sandbox.errors import invalid, refused
from api.sandbox.operations import Reply
from api.sandbox.sandbox import Sandbox
from api.sandbox.store import Body
from api.sandbox.subscription_bodies import KIND, item_of

OUTCOMES = ("paid", "failed")


def subscription_control(sandbox: Sandbox) -> Blueprint:
    """The controls of one sandbox's subscriptions."""
    blueprint = Blueprint("subscriptions", __name__, url_prefix="/subscriptions/<subscription>")

    def changed(subscription: str, change: Callable[[Context, Body], Body | Reply]) -> Response:
        return done(sandbox, lambda context: change(context, named(context, KIND, subscription)))

    @blueprint.post("/renew")
    def renew(subscription: str) -> Response:
        """Its period ends now, before its time: {"outcome": "paid"} or "failed"."""
        wish = outcome(body("outcome"))
        return changed(subscription, lambda context, found: billing.renew(context, found, wish))

    @blueprint.post("/pay_open")
    def pay_open(subscription: str) -> Response:
        """What is overdue is tried again: {"outcome": ...} or {"payment_method": ...}."""
        given = body("outcome", "payment_method")
        wish, method = outcome(given), words(given, "payment_method")
        return changed(subscription, lambda context, found: _pay_open(context, found, wish, method))

    @blueprint.post("/cancel")
    def cancel(subscription: str) -> Response:
        """It ends now, as after too many failed payments or by somebody at the platform."""
        body()
        return changed(subscription, billing.end)

    @blueprint.post("/pause")
    def pause(subscription: str) -> Response:
        body()
        return changed(subscription, billing.pause)

    @blueprint.post("/resume")
    def resume(subscription: str) -> Response:
        body()
        return changed(subscription, billing.resume)

    @blueprint.post("/change")
    def change(subscription: str) -> Response:
        """Another price: {"price": "price_...", "proration_behavior": "always_invoice"}."""
        given = body("price", "proration_behavior")
        behaviour = one_of(
            given, "proration_behavior", price_changes.BEHAVIOURS, price_changes.ALWAYS_INVOICE
        )
        price_id = words(given, "price")
        if price_id is None:
            raise invalid("price is missing.", "price")

        def work(context: Context, found: Body) -> Body | Reply:
            price = prices.chosen(context, {"price": price_id}, "items[0]")
            quantity = item_of(found)["quantity"]
            return price_changes.change_price(context, found, price, quantity, behaviour)

        return changed(subscription, work)

    return blueprint


def outcome(given: dict[str, Any]) -> str | None:
    """How it is to come out, or None: as the payment method would have it."""
    return None if given.get("outcome") is None else one_of(given, "outcome", OUTCOMES, None)


def _pay_open(
    context: Context, subscription: Body, wish: str | None, method: str | None
) -> Body | Reply:
    """Try every open invoice, the oldest first, until one is not paid."""
    waiting = invoicing.open_ones(context, subscription)
    if not waiting:
        raise refused("No invoice of this subscription waits to be paid.")
    for invoice in waiting:
        chosen = method or invoicing.method_for(context, subscription, wish)
        answer = invoicing.collect(context, invoice, chosen)
        if isinstance(answer, Reply):
            return answer
    return billing.again(context, subscription)
