"""The account's balance: its transactions, and their sum."""

from dataclasses import dataclass

from api.sandbox import forms, lists
from api.sandbox.context import Context
from api.sandbox.operations import Operation
from api.sandbox.store import Body

CARD_FEE_BASIS_POINTS = 290
CARD_FEE_FIXED = 30
DISPUTE_FEE = 1500


def charge_fee(amount: int) -> int:
    """What Stripe keeps of a charge: 2.9 % and 30 cents."""
    return (amount * CARD_FEE_BASIS_POINTS + 5000) // 10_000 + CARD_FEE_FIXED


@dataclass(frozen=True)
class Line:
    """What a line of the statement says; amounts that leave the account are negative."""

    kind: str
    category: str
    amount: int
    fee: int = 0
    description: str | None = None


def record(context: Context, source: Body, line: Line) -> Body:
    """Write a line of the account's statement; its money is available at once."""
    currency = source["currency"]
    fee_details = [
        {
            "amount": line.fee,
            "application": None,
            "currency": currency,
            "description": "Dispute fee" if line.kind == "adjustment" else "Processing fees",
            "type": "stripe_fee",
        }
    ]
    return context.make(
        "balance_transaction",
        "txn",
        amount=line.amount,
        available_on=context.now(),
        balance_type="payments",
        currency=currency,
        description=line.description,
        exchange_rate=None,
        fee=line.fee,
        fee_details=fee_details if line.fee else [],
        net=line.amount - line.fee,
        reporting_category=line.category,
        source=source["id"],
        status="available",
        type=line.kind,
    )


def totals(context: Context) -> dict[str, int]:
    """The sum of all lines, by currency."""
    rows = context.store.query(
        "select json_extract(body, '$.currency'), sum(json_extract(body, '$.net'))"
        " from objects where kind = 'balance_transaction' group by 1 order by 1"
    )
    return dict(rows) or {"usd": 0}


def retrieve(context: Context) -> Body:
    """GET /v1/balance."""
    sums = totals(context)
    return {
        "object": "balance",
        "available": [
            {"amount": amount, "currency": currency, "source_types": {"card": amount}}
            for currency, amount in sums.items()
        ],
        "livemode": False,
        "pending": [
            {"amount": 0, "currency": currency, "source_types": {"card": 0}} for currency in sums
        ],
    }


def retrieve_transaction(context: Context) -> Body:
    """GET /v1/balance_transactions/<id>."""
    return context.named("balance_transaction", "transaction")


def list_transactions(context: Context) -> Body:
    """GET /v1/balance_transactions."""
    where = {name: context.parameters.get(name) for name in ("source", "type", "currency")}
    return lists.page(context, "balance_transaction", "/v1/balance_transactions", where)


OPERATIONS = (
    Operation("GET", "/v1/balance", retrieve),
    Operation("GET", "/v1/balance_transactions/<transaction>", retrieve_transaction),
    Operation(
        "GET",
        "/v1/balance_transactions",
        list_transactions,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "currency": forms.currency,
            "source": forms.text,
            "type": forms.text,
        },
    ),
)
