"""Balances, the platform's and those of its connected accounts: their lines, and their sums."""

from dataclasses import dataclass

from api.sandbox import forms, lists
from api.sandbox.context import Context
from api.sandbox.errors import no_such
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


def record(context: Context, source: Body, line: Line, account: str | None = None) -> Body:
    """Write a line of an account's statement; its money is available at once."""
    currency = source["currency"]
    context.store.query(
        "insert into balances (account, currency, amount) values (?, ?, ?)"
        " on conflict do update set amount = amount + excluded.amount",
        (account or "", currency, line.amount - line.fee),
    )
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
        **({} if account is None else {"_account": account}),
    )


def totals(context: Context, account: str | None = None) -> dict[str, int]:
    """The sum of all lines of an account, by currency."""
    rows = context.store.query(
        "select currency, amount from balances where account = ? order by currency",
        (account or "",),
    )
    return dict(rows) or {"usd": 0}


def available(context: Context, currency: str, account: str | None = None) -> int:
    """What an account can send away in one currency."""
    return totals(context, account).get(currency, 0)


def retrieve(context: Context) -> Body:
    """GET /v1/balance."""
    sums = totals(context, context.account)
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
    line = context.named("balance_transaction", "transaction")
    if line.get("_account") != context.account:
        raise no_such("balance_transaction", line["id"], "id", 404)
    return line


def list_transactions(context: Context) -> Body:
    """GET /v1/balance_transactions."""
    where = {name: context.parameters.get(name) for name in ("source", "type", "currency")}
    own = (" and json_extract(body, '$._account') is ?", (context.account,))
    return lists.page(context, "balance_transaction", "/v1/balance_transactions", where, own)


OPERATIONS = (
    Operation("GET", "/v1/balance", retrieve, speaks_for_accounts=True),
    Operation(
        "GET",
        "/v1/balance_transactions/<transaction>",
        retrieve_transaction,
        speaks_for_accounts=True,
    ),
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
        speaks_for_accounts=True,
    ),
)
