"""/v1/refunds: paid back at once, later, or after all not."""

from api.sandbox import balance, disputes, forms, lists
from api.sandbox.context import Context
from api.sandbox.errors import invalid, missing, refused
from api.sandbox.operations import Operation
from api.sandbox.store import Body

KIND = "refund"
URL = "/v1/refunds"


def create(context: Context) -> Body:
    """POST /v1/refunds."""
    given = context.parameters
    charge = _charge(context)
    if charge["disputed"] and disputes.is_taken_back(context, charge):
        raise refused(
            f"Charge {charge['id']} is disputed: the bank has taken its money already.",
            code="charge_disputed",
        )
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    amount = given.get("amount", left)
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > left:
        raise refused(
            f"Refund amount ({amount}) is greater than what is left of the charge ({left}).",
            param="amount",
        )
    pends = charge["_behaviour"] == "refund_pends" or context.is_short_of_funds
    refund = context.make(
        KIND,
        "re" if charge["id"].startswith("ch_") else "pyr",
        amount=amount,
        balance_transaction=None,
        charge=charge["id"],
        currency=charge["currency"],
        destination_details=_destination(charge),
        failure_balance_transaction=None,
        failure_reason=None,
        metadata=forms.merged({}, given.get("metadata", {})),
        payment_intent=charge["payment_intent"],
        pending_reason=None,
        reason=given.get("reason"),
        receipt_number=None,
        source_transfer_reversal=None,
        status="pending" if pends else "succeeded",
        transfer_reversal=None,
    )
    if context.is_short_of_funds:
        context.change(refund, pending_reason="insufficient_funds")
    else:
        if pends:
            context.change(refund, pending_reason="processing")
        _take_from_balance(context, refund)
    context.emit("refund.created", refund)
    before = _set_refunded(context, charge, charge["amount_refunded"] + amount)
    context.emit("charge.refunded", charge, before)
    if charge["refunded"]:
        disputes.close_inquiries(context, charge)
    if charge["_behaviour"] == "refund_fails":
        refund_id = refund["id"]
        context.later(lambda: settle(context, context.require(KIND, refund_id), "failed"))
    return refund


def settle(context: Context, refund: Body, outcome: str) -> Body:
    """Later: the customer's bank took the money, or sent it back."""
    if outcome == "succeeded":
        if refund["balance_transaction"] is None:
            _take_from_balance(context, refund)
        before = context.change(refund, pending_reason=None, status="succeeded")
        context.emit("refund.updated", refund, before)
        return refund
    failed = {"failure_reason": "unknown", "pending_reason": None, "status": "failed"}
    if refund["balance_transaction"] is not None:
        line = balance.record(
            context,
            refund,
            balance.Line(
                "refund_failure",
                "refund_failure",
                refund["amount"],
                description="A refund that failed",
            ),
        )
        failed["failure_balance_transaction"] = line["id"]
    before = context.change(refund, **failed)
    charge = context.require("charge", refund["charge"])
    _set_refunded(context, charge, charge["amount_refunded"] - refund["amount"])
    context.emit("refund.updated", refund, before)
    context.emit("refund.failed", refund, before)
    return refund


def _charge(context: Context) -> Body:
    given = context.parameters
    if given.get("charge"):
        charge = context.given("charge", "charge")
        if given.get("payment_intent") not in (None, charge["payment_intent"]):
            raise refused("The charge is not one of that PaymentIntent.", param="charge")
    elif given.get("payment_intent"):
        intent = context.given("payment_intent", "payment_intent")
        latest = intent["latest_charge"]
        if latest is None or intent["status"] != "succeeded":
            raise refused(f"PaymentIntent {intent['id']} has no successful charge to refund.")
        charge = context.require("charge", latest)
    else:
        raise missing("payment_intent")
    if charge["status"] != "succeeded":
        raise refused(f"Charge {charge['id']} did not succeed, so it cannot be refunded.")
    return charge


def _take_from_balance(context: Context, refund: Body) -> None:
    line = balance.record(
        context,
        refund,
        balance.Line(
            "refund" if refund["id"].startswith("re_") else "payment_refund",
            "refund",
            -refund["amount"],
            description="A refund",
        ),
    )
    context.change(refund, balance_transaction=line["id"])


def _set_refunded(context: Context, charge: Body, amount: int) -> Body:
    return context.change(charge, amount_refunded=amount, refunded=amount == charge["amount"])


def _destination(charge: Body) -> Body:
    kind = charge["payment_method_details"]["type"]
    if kind != "card":
        return {"type": f"{kind}_transfer"}
    return {
        "card": {
            "reference_status": "pending",
            "reference_type": "acquirer_reference_number",
            "type": "refund",
        },
        "type": "card",
    }


def retrieve(context: Context) -> Body:
    """GET /v1/refunds/<id>."""
    return context.named(KIND, "refund")


def list_refunds(context: Context) -> Body:
    """GET /v1/refunds."""
    return lists.page(context, KIND, URL, lists.existing(context, "charge", "payment_intent"))


OPERATIONS = (
    Operation(
        "POST",
        URL,
        create,
        {
            "amount": forms.integer,
            "charge": forms.text,
            "metadata": forms.metadata,
            "payment_intent": forms.text,
            "reason": forms.choice("duplicate", "fraudulent", "requested_by_customer"),
        },
    ),
    Operation(
        "GET",
        URL,
        list_refunds,
        {**lists.PAGE, **lists.BY_CREATED, "charge": forms.text, "payment_intent": forms.text},
    ),
    Operation("GET", f"{URL}/<refund>", retrieve),
)
