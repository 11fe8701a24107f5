"""How a payment goes: confirmed, authenticated, declined, processing, succeeded, canceled."""

from typing import Any

from api.sandbox import charges, checkout_status, disputes, invoice_status, payment_methods
from api.sandbox.context import Context, visible
from api.sandbox.errors import StripeError, missing, refused
from api.sandbox.operations import Reply
from api.sandbox.payment_methods import Decline
from api.sandbox.store import Body, new_id, random_text

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = (*CONFIRMABLE, "requires_capture")
UNEXPECTED_STATE = "payment_intent_unexpected_state"


def start(
    context: Context,
    amount: int,
    currency: str,
    *,
    session: str | None = None,
    payment_method: str | None = None,
    **given: Any,
) -> Body:
    """A new intent to pay; `given` are more of its fields."""
    intent_id = new_id("pi")
    intent: Body = {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{random_text(25)}",
        "confirmation_method": "automatic",
        "created": context.now(),
        "currency": currency,
        "customer": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {},
        "payment_method_types": ["card", "us_bank_account"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        **given,
        "_session": session,
    }
    if payment_method is not None:
        chosen = payment_methods.resolve(context, payment_method)
        intent.update(payment_method=chosen["id"], status="requires_confirmation")
    context.store.insert(intent)
    context.emit("payment_intent.created", intent)
    return intent


def confirm(
    context: Context,
    intent: Body,
    payment_method: str | None = None,
    *,
    is_off_session: bool = False,
) -> Body | Reply:
    """Try to pay; a refusal by the bank is a Reply, for what it changed stays changed."""
    require_state(intent, CONFIRMABLE, "confirm")
    name = payment_method or intent["payment_method"]
    if name is None:
        raise missing("payment_method")
    chosen = payment_methods.resolve(context, name)
    if chosen["type"] not in intent["payment_method_types"]:
        raise refused(f"This PaymentIntent does not take {chosen['type']}.", param="payment_method")
    decline = payment_methods.decline_of(chosen)
    if decline is None and chosen["_behaviour"] == "authentication":
        if not is_off_session:
            return _ask_for_authentication(context, intent, chosen)
        decline = payment_methods.AUTHENTICATION_REQUIRED
    context.change(intent, payment_method=chosen["id"], last_payment_error=None, next_action=None)
    return _attempt(context, intent, chosen, decline)


def _ask_for_authentication(context: Context, intent: Body, chosen: Body) -> Body:
    context.change(
        intent,
        payment_method=chosen["id"],
        last_payment_error=None,
        next_action={
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {
                "type": "three_d_secure_redirect",
                "stripe_js": f"{context.base_url}/_sandbox/payment_intents/{intent['id']}"
                "/authenticate",
            },
        },
        status="requires_action",
    )
    context.emit("payment_intent.requires_action", intent)
    invoice_status.ask(context, intent)
    return intent


def _attempt(context: Context, intent: Body, chosen: Body, decline: Decline | None) -> Body | Reply:
    charge = charges.attempt(context, intent, chosen, decline)
    context.change(intent, latest_charge=charge["id"])
    if decline is not None:
        return _fail(context, intent, decline, chosen, charge)
    if charge["status"] == "pending":
        context.change(intent, status="processing")
        context.emit("payment_intent.processing", intent)
        invoice_status.begin(context, intent)
        checkout_status.complete(context, intent, is_paid=False)
        return intent
    _succeed(context, intent, charge)
    checkout_status.complete(context, intent, is_paid=True)
    return intent


def _succeed(context: Context, intent: Body, charge: Body) -> None:
    context.change(intent, amount_received=intent["amount"], next_action=None, status="succeeded")
    context.emit("payment_intent.succeeded", intent)
    invoice_status.succeed(context, intent)
    reason = {
        "dispute": "fraudulent",
        "dispute_not_received": "product_not_received",
        "inquiry": "general",
    }.get(charge["_behaviour"])
    if reason is not None:
        is_inquiry = charge["_behaviour"] == "inquiry"
        charge_id = charge["id"]
        context.later(
            lambda: disputes.open_dispute(
                context, context.require("charge", charge_id), reason, is_inquiry=is_inquiry
            )
        )


def _fail(
    context: Context, intent: Body, decline: Decline, chosen: Body, charge: Body | None
) -> Reply:
    error = {**decline.error(), "payment_method": visible(chosen)}
    if charge is not None:
        error["charge"] = charge["id"]
    context.change(
        intent,
        last_payment_error=error,
        next_action=None,
        payment_method=None,
        status="requires_payment_method",
    )
    context.emit("payment_intent.payment_failed", intent)
    invoice_status.fail(context, intent)
    return Reply(402, {"error": {**error, "payment_intent": visible(intent)}})


def authenticate(context: Context, intent: Body, outcome: str) -> Body | Reply:
    """What the person did with their bank's question."""
    require_state(intent, ("requires_action",), "authenticate")
    chosen = context.require("payment_method", intent["payment_method"])
    if outcome == "failed":
        return _fail(context, intent, payment_methods.AUTHENTICATION_FAILED, chosen, None)
    return _attempt(context, intent, chosen, None)


def settle(context: Context, intent: Body, outcome: str) -> Body:
    """Days later: a bank debit came through, or was returned."""
    require_state(intent, ("processing",), "settle")
    charge = context.require("charge", intent["latest_charge"])
    if outcome == "succeeded":
        charges.succeed(context, charge)
        _succeed(context, intent, charge)
    else:
        charges.fail(context, charge, payment_methods.DEBIT_RETURNED)
        chosen = context.require("payment_method", intent["payment_method"])
        _fail(context, intent, payment_methods.DEBIT_RETURNED, chosen, charge)
    checkout_status.settle(context, intent, is_paid=outcome == "succeeded")
    return intent


def cancel(context: Context, intent: Body, reason: str | None) -> Body:
    """End an intent that nothing was paid for."""
    require_state(intent, CANCELABLE, "cancel")
    context.change(
        intent,
        canceled_at=context.now(),
        cancellation_reason=reason,
        next_action=None,
        status="canceled",
    )
    context.emit("payment_intent.canceled", intent)
    return intent


def require_state(intent: Body, allowed: tuple[str, ...], verb: str) -> None:
    """Refuse what an intent's state does not allow."""
    if intent["status"] not in allowed:
        raise StripeError(
            400,
            f"You cannot {verb} this PaymentIntent: its status is {intent['status']}, "
            f"and it would have to be {' or '.join(allowed)}.",
            code=UNEXPECTED_STATE,
            payment_intent=visible(intent),
        )
