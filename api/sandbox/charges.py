"""Charges: one for every attempt to take money, successful or not."""

from api.sandbox import balance, forms, lists, payment_methods
from api.sandbox.context import Context
from api.sandbox.operations import Operation
from api.sandbox.payment_methods import Decline
from api.sandbox.store import Body


def attempt(context: Context, intent: Body, payment_method: Body, decline: Decline | None) -> Body:
    """Try to take an intent's money: succeeded, failed, or pending where the bank takes days."""
    pends = payment_method["_behaviour"] == "settles_later"
    is_card = payment_method["type"] == "card"
    charge = context.make(
        "charge",
        "ch" if is_card else "py",
        amount=intent["amount"],
        amount_captured=0,
        amount_refunded=0,
        application=None,
        application_fee=None,
        application_fee_amount=None,
        balance_transaction=None,
        billing_details=payment_method["billing_details"],
        calculated_statement_descriptor="INFINITE PAGES",
        captured=False,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        disputed=False,
        failure_balance_transaction=None,
        failure_code=None,
        failure_message=None,
        fraud_details={},
        metadata=intent["metadata"],
        on_behalf_of=None,
        outcome=_outcome(decline),
        paid=False,
        payment_intent=intent["id"],
        payment_method=payment_method["id"],
        payment_method_details=payment_methods.details(payment_method),
        receipt_email=intent["receipt_email"],
        receipt_number=None,
        receipt_url=None,
        refunded=False,
        review=None,
        shipping=None,
        source_transfer=None,
        statement_descriptor=None,
        statement_descriptor_suffix=None,
        status="pending",
        transfer_data=None,
        transfer_group=None,
        _behaviour=payment_method["_behaviour"],
    )
    if decline is not None:
        fail(context, charge, decline)
    elif not pends:
        succeed(context, charge)
    return charge


def succeed(context: Context, charge: Body) -> None:
    """The money came."""
    is_card = charge["payment_method_details"]["type"] == "card"
    line = balance.record(
        context,
        charge,
        balance.Line(
            "charge" if is_card else "payment",
            "charge",
            charge["amount"],
            balance.charge_fee(charge["amount"]),
            charge["description"],
        ),
    )
    context.change(
        charge,
        amount_captured=charge["amount"],
        balance_transaction=line["id"],
        captured=True,
        paid=True,
        status="succeeded",
    )
    context.emit("charge.succeeded", charge)


def fail(context: Context, charge: Body, decline: Decline) -> None:
    """The money did not come."""
    context.change(
        charge,
        failure_code=decline.code,
        failure_message=decline.message,
        outcome=_outcome(decline),
        status="failed",
    )
    context.emit("charge.failed", charge)


def _outcome(decline: Decline | None) -> Body:
    declined = decline is not None
    return {
        "network_status": "declined_by_network" if declined else "approved_by_network",
        "reason": decline.decline_code if decline is not None else None,
        "risk_level": "normal",
        "seller_message": "The bank declined it." if declined else "Payment complete.",
        "type": "issuer_declined" if declined else "authorized",
    }


def retrieve(context: Context) -> Body:
    """GET /v1/charges/<id>."""
    return context.named("charge", "charge")


def list_charges(context: Context) -> Body:
    """GET /v1/charges."""
    return lists.page(
        context, "charge", "/v1/charges", lists.existing(context, "customer", "payment_intent")
    )


OPERATIONS = (
    Operation("GET", "/v1/charges/<charge>", retrieve),
    Operation(
        "GET",
        "/v1/charges",
        list_charges,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "customer": forms.text,
            "payment_intent": forms.text,
        },
    ),
)
