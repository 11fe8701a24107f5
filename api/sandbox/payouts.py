"""/v1/payouts: what a connected account's balance sends to its bank.

Nothing is paid out by itself here, so that a transfer can be taken back. The controls do it.
"""

from api.sandbox import balance, forms, lists, onboarding
from api.sandbox.context import Context
from api.sandbox.errors import no_such, refused
from api.sandbox.operations import Operation
from api.sandbox.store import Body
from api.sandbox.transfers import too_little

KIND = "payout"
URL = "/v1/payouts"
SECONDS_ON_THE_WAY = 2 * 24 * 3600
FAILURES = {
    "account_closed": "The bank account has been closed.",
    "could_not_process": "The bank could not process this payout.",
    "no_account": "The bank account could not be found.",
}
OWN = " and json_extract(body, '$._account') is ?"


def pay_out(
    context: Context, account: Body, amount: int | None, failure_code: str | None = None
) -> Body:
    """Send the balance, or a part, to the bank, which takes it or refuses it."""
    banks = account["external_accounts"]["data"]
    if not account["payouts_enabled"]:
        raise refused(f"The account {account['id']} cannot be paid out as it is.")
    currency, held = _largest(context, account)
    amount = held if amount is None else amount
    if amount < 1:
        raise refused(f"The balance of {account['id']} is empty: transfer something first.")
    if amount > held:
        raise too_little()
    payout = context.make(
        KIND,
        "po",
        amount=amount,
        application_fee=None,
        application_fee_amount=None,
        arrival_date=context.now() + SECONDS_ON_THE_WAY,
        automatic=True,
        balance_transaction=None,
        currency=currency,
        description="STRIPE PAYOUT",
        destination=banks[0]["id"],
        failure_balance_transaction=None,
        failure_code=None,
        failure_message=None,
        metadata={},
        method="standard",
        original_payout=None,
        payout_method=None,
        reconciliation_status="not_applicable",
        reversed_by=None,
        source_type="card",
        statement_descriptor=None,
        status="pending",
        trace_id=None,
        type="bank_account",
        _account=account["id"],
    )
    line = balance.Line("payout", "payout", -amount, description="STRIPE PAYOUT")
    context.change(
        payout, balance_transaction=balance.record(context, payout, line, account["id"])["id"]
    )
    context.emit("payout.created", payout, account=account["id"])
    refusal = failure_code or account["_bank"]
    if refusal is not None:
        _fail(context, account, payout, refusal)
    else:
        before = context.change(payout, status="paid")
        context.emit("payout.paid", payout, before, account=account["id"])
    return payout


def _largest(context: Context, account: Body) -> tuple[str, int]:
    """The currency of which the account holds most; an account rarely holds two."""
    held = balance.totals(context, account["id"])
    currency = max(held, key=lambda each: held[each])
    return currency, held[currency]


def _fail(context: Context, account: Body, payout: Body, failure_code: str) -> None:
    """The bank sends it back: the money is in the balance again, and another bank is asked for."""
    line = balance.Line(
        "payout_failure", "payout_reversal", payout["amount"], description="PAYOUT FAILURE"
    )
    before = context.change(
        payout,
        failure_balance_transaction=balance.record(context, payout, line, account["id"])["id"],
        failure_code=failure_code,
        failure_message=FAILURES[failure_code],
        status="failed",
    )
    context.emit("payout.failed", payout, before, account=account["id"])
    onboarding.fail_bank(context, account)


def retrieve(context: Context) -> Body:
    """GET /v1/payouts/<id>."""
    payout = context.named(KIND, "payout")
    if payout["_account"] != context.account:
        raise no_such(KIND, payout["id"], "id", 404)
    return payout


def list_payouts(context: Context) -> Body:
    """GET /v1/payouts."""
    where = {"status": context.parameters.get("status")}
    return lists.page(context, KIND, URL, where, (OWN, (context.account,)))


OPERATIONS = (
    Operation(
        "GET",
        URL,
        list_payouts,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "status": forms.choice("canceled", "failed", "paid", "pending"),
        },
        speaks_for_accounts=True,
    ),
    Operation("GET", f"{URL}/<payout>", retrieve, speaks_for_accounts=True),
)
