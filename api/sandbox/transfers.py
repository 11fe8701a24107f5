"""/v1/transfers: money to a connected account, and back."""

from api.sandbox import balance, forms, lists
from api.sandbox.context import Context
from api.sandbox.errors import StripeError, invalid, no_such, refused
from api.sandbox.operations import Operation
from api.sandbox.store import Body, new_id

KIND = "transfer"
REVERSAL = "transfer_reversal"
URL = "/v1/transfers"
SHOWN_REVERSALS = 10


def create(context: Context) -> Body:
    """POST /v1/transfers."""
    given = context.parameters
    amount, currency = _positive(given["amount"]), given["currency"]
    account = _destination(context)
    group = given.get("transfer_group")
    if given.get("source_transaction"):
        charge = context.given("charge", "source_transaction")
        _require_left_of_charge(context, charge, amount, currency)
        group = group or f"group_{charge['payment_intent'] or charge['id']}"
    elif context.is_short_of_funds or balance.available(context, currency) < amount:
        raise too_little()
    transfer = context.make(
        KIND,
        "tr",
        amount=amount,
        amount_reversed=0,
        balance_transaction=None,
        currency=currency,
        description=given.get("description"),
        destination=account["id"],
        destination_payment=new_id("py"),
        metadata=forms.merged({}, given.get("metadata", {})),
        reversals={},
        reversed=False,
        source_transaction=given.get("source_transaction"),
        source_type="card",
        transfer_group=group,
    )
    sent = balance.Line("transfer", "transfer", -amount, description=given.get("description"))
    arrived = {"id": transfer["destination_payment"], "currency": currency}
    balance.record(context, arrived, balance.Line("payment", "charge", amount), account["id"])
    context.change(
        transfer,
        balance_transaction=balance.record(context, transfer, sent)["id"],
        reversals=_reversals(transfer["id"], []),
    )
    context.emit("transfer.created", transfer)
    return transfer


def _positive(amount: int) -> int:
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    return amount


def _destination(context: Context) -> Body:
    """The account that is to get the money, if it may."""
    wanted = context.parameters["destination"]
    account = context.store.get("account", wanted)
    if account is None or account["_gone"] is not None:
        raise no_such("destination", wanted, "destination")
    if account["capabilities"].get("transfers") != "active":
        raise refused(
            f"The account {wanted} cannot take transfers: its capability 'transfers' is not"
            " active.",
            code="insufficient_capabilities_for_transfer",
        )
    return account


def _require_left_of_charge(context: Context, charge: Body, amount: int, currency: str) -> None:
    """A charge pays for transfers of its own currency, up to its amount."""
    if charge["status"] != "succeeded" or charge["currency"] != currency:
        raise refused("This charge cannot pay for the transfer.", param="source_transaction")
    ((spent,),) = context.store.query(
        "select coalesce(sum(json_extract(body, '$.amount')), 0) from objects"
        " where kind = ? and json_extract(body, '$.source_transaction') = ?",
        (KIND, charge["id"]),
    )
    if spent + amount > charge["amount"]:
        raise refused(
            f"Transfers of {spent} come from this charge of {charge['amount']} already.",
            param="amount",
        )


def too_little() -> StripeError:
    """A balance that does not cover what is to leave it."""
    return refused("There are too few available funds for this.", code="balance_insufficient")


def _reversals(transfer_id: str, data: list[Body]) -> Body:
    """The list of reversals inside a transfer, the newest first."""
    return {
        "object": "list",
        "data": data[:SHOWN_REVERSALS],
        "has_more": len(data) > SHOWN_REVERSALS,
        "total_count": len(data),
        "url": f"{URL}/{transfer_id}/reversals",
    }


def reverse(context: Context) -> Body:
    """POST /v1/transfers/<id>/reversals: take back what is left of it, or a part."""
    given = context.parameters
    transfer = context.named(KIND, "transfer")
    left = transfer["amount"] - transfer["amount_reversed"]
    if left == 0:
        raise refused(f"Transfer {transfer['id']} has been reversed as a whole already.")
    amount = _positive(given.get("amount", left))
    if amount > left:
        raise refused(
            f"{amount} is greater than what is left of the transfer ({left}).", param="amount"
        )
    currency, account_id = transfer["currency"], transfer["destination"]
    held = balance.available(context, currency, account_id)
    if context.is_short_of_funds or held < amount:
        raise too_little()
    reversal: Body = {
        "id": new_id("trr"),
        "object": REVERSAL,
        "amount": amount,
        "created": context.now(),
        "currency": currency,
        "destination_payment_refund": new_id("pyr"),
        "metadata": forms.merged({}, given.get("metadata", {})),
        "source_refund": None,
        "transfer": transfer["id"],
    }
    returned = {"id": reversal["destination_payment_refund"], "currency": currency}
    balance.record(context, returned, balance.Line("payment_refund", "refund", -amount), account_id)
    line = balance.Line(
        "transfer_refund", "transfer_reversal", amount, description=given.get("description")
    )
    reversal["balance_transaction"] = balance.record(context, reversal, line)["id"]
    earlier = context.store.newest(REVERSAL, -1, transfer=transfer["id"])
    context.store.insert(reversal)
    before = context.change(
        transfer,
        amount_reversed=transfer["amount_reversed"] + amount,
        reversals=_reversals(transfer["id"], [reversal, *earlier]),
        reversed=amount == left,
    )
    context.emit("transfer.reversed", transfer, before)
    return reversal


def retrieve(context: Context) -> Body:
    """GET /v1/transfers/<id>."""
    return context.named(KIND, "transfer")


def update(context: Context) -> Body:
    """POST /v1/transfers/<id>."""
    transfer = context.named(KIND, "transfer")
    changes = dict(context.parameters)
    if "metadata" in changes:
        changes["metadata"] = forms.merged(transfer["metadata"], changes["metadata"])
    before = context.change(transfer, **changes)
    if before != transfer:
        context.emit("transfer.updated", transfer, before)
    return transfer


def list_transfers(context: Context) -> Body:
    """GET /v1/transfers."""
    where = {name: context.parameters.get(name) for name in ("destination", "transfer_group")}
    return lists.page(context, KIND, URL, where)


def list_reversals(context: Context) -> Body:
    """GET /v1/transfers/<id>/reversals."""
    transfer = context.named(KIND, "transfer")
    url = f"{URL}/{transfer['id']}/reversals"
    return lists.page(context, REVERSAL, url, {"transfer": transfer["id"]})


def retrieve_reversal(context: Context) -> Body:
    """GET /v1/transfers/<id>/reversals/<id>."""
    transfer = context.named(KIND, "transfer")
    reversal = context.named(REVERSAL, "reversal")
    if reversal["transfer"] != transfer["id"]:
        raise no_such(REVERSAL, reversal["id"], "id", 404)
    return reversal


ONE = f"{URL}/<transfer>"
OPERATIONS = (
    Operation(
        "POST",
        URL,
        create,
        {
            "amount": forms.integer,
            "currency": forms.currency,
            "description": forms.text,
            "destination": forms.text,
            "metadata": forms.metadata,
            "source_transaction": forms.text,
            "source_type": forms.choice("bank_account", "card", "fpx"),
            "transfer_group": forms.text,
        },
        ("amount", "currency", "destination"),
    ),
    Operation(
        "GET",
        URL,
        list_transfers,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "destination": forms.text,
            "transfer_group": forms.text,
        },
    ),
    Operation("GET", ONE, retrieve),
    Operation("POST", ONE, update, {"description": forms.text, "metadata": forms.metadata}),
    Operation(
        "POST",
        f"{ONE}/reversals",
        reverse,
        {
            "amount": forms.integer,
            "description": forms.text,
            "metadata": forms.metadata,
            "refund_application_fee": forms.boolean,
        },
    ),
    Operation("GET", f"{ONE}/reversals", list_reversals, lists.PAGE),
    Operation("GET", f"{ONE}/reversals/<reversal>", retrieve_reversal),
)
