"""What a connected account still lacks, and what it may therefore not do yet.

Everything that is shown about its standing (capabilities, requirements, whether it is paid out)
follows from a few facts that are kept beside it:

| fact | what it is |
|---|---|
| _missing | the requirements that nobody has met, by Stripe's names |
| _deadline | until when they may stay so without harm; None: they block already |
| _verifying | what has been handed in and is being looked at |
| _stopped | why Stripe stopped the account, or None |
| _requested | the capabilities that were asked for, each with the time |
| _gone | "deauthorized" or "deleted" once the platform has lost it, else None |
"""

from typing import Any

from api.sandbox.context import Context, visible
from api.sandbox.errors import no_account
from api.sandbox.store import Body, new_id, random_text

KIND = "account"
DOCUMENT = "individual.verification.document"
EXTERNAL_ACCOUNT = "external_account"
SECONDS_TO_MEET = 14 * 24 * 3600

COMMON = ("business_profile.url", EXTERNAL_ACCOUNT, "tos_acceptance.date", "tos_acceptance.ip")
OF_A_PERSON = (
    "address.city",
    "address.line1",
    "address.postal_code",
    "dob.day",
    "dob.month",
    "dob.year",
    "email",
    "first_name",
    "last_name",
    "phone",
)
OF_A_PERSON_IN_THE_US = ("address.state", "ssn_last_4")
OF_A_COMPANY = ("company.name", "company.tax_id")
OF_WHOEVER_IT_IS = ("business_type", "representative.first_name", "representative.last_name")

# Numbers of test accounts whose bank sends every payout back, as in Stripe's test mode.
REFUSING_ACCOUNTS = {"000111111113": "account_closed", "000111111116": "no_account"}


def first_requirements(business_type: str | None, country: str) -> list[str]:
    """What is asked of an account of which nothing is known yet."""
    if business_type is None:
        return sorted((*COMMON, *OF_WHOEVER_IT_IS))
    who = "individual" if business_type == "individual" else "representative"
    fields = (*OF_A_PERSON, *(OF_A_PERSON_IN_THE_US if country == "US" else ()))
    company = () if business_type == "individual" else OF_A_COMPANY
    return sorted((*COMMON, *company, *(f"{who}.{field}" for field in fields)))


def connected(context: Context, account_id: str) -> Body:
    """An account that the platform may see; any other is refused without saying why."""
    account = context.store.get(KIND, account_id)
    if account is None or account["_gone"] is not None:
        raise no_account(account_id)
    return account


def standing(account: Body, now: int) -> dict[str, Any]:
    """What the facts about an account come to at a time."""
    deadline = account["_deadline"]
    is_late = deadline is None or deadline <= now
    late = account["_missing"] if is_late else []
    reason = account["_stopped"]
    if reason is None and late:
        reason = "requirements.past_due"
    if reason is None and account["_verifying"]:
        reason = "requirements.pending_verification"
    status = "active" if reason is None else "inactive"
    if reason == "requirements.pending_verification":
        status = "pending"
    requirements = {
        **no_requirements(),
        "current_deadline": deadline if account["_missing"] and not is_late else None,
        "currently_due": account["_missing"],
        "disabled_reason": reason,
        "eventually_due": account["_missing"],
        "past_due": late,
        "pending_verification": account["_verifying"],
    }
    return {
        "capabilities": dict.fromkeys(account["_requested"], status),
        "charges_enabled": reason is None and "card_payments" in account["_requested"],
        "payouts_enabled": reason is None and has_bank(account),
        "requirements": requirements,
    }


def has_bank(account: Body) -> bool:
    """Whether there is a bank account that has not refused a payout."""
    return any(bank["status"] != "errored" for bank in account["external_accounts"]["data"])


def no_requirements() -> dict[str, Any]:
    """The hash of requirements of somebody of whom nothing is asked."""
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": [],
        "disabled_reason": None,
        "errors": [],
        "eventually_due": [],
        "past_due": [],
        "pending_verification": [],
    }


def capability(account: Body, name: str) -> Body:
    """A capability as an object of its own."""
    is_requested = name in account["_requested"]
    return {
        "id": name,
        "object": "capability",
        "account": account["id"],
        "future_requirements": no_requirements(),
        "requested": is_requested,
        "requested_at": account["_requested"].get(name),
        "requirements": account["requirements"] if is_requested else no_requirements(),
        "status": account["capabilities"].get(name, "unrequested"),
    }


def change(context: Context, account: Body, **facts: Any) -> Body:
    """Change what is known about an account, and tell the platform what came of it."""
    before = dict(account)
    account.update(facts)
    account.update(standing(account, context.now()))
    context.store.save(account)
    if visible(account) == visible(before):
        return account
    for name in {**before["_requested"], **account["_requested"]}:
        old, new = capability(before, name), capability(account, name)
        if old != new:
            context.emit("capability.updated", new, old, account=account["id"])
    context.emit("account.updated", account, before, account=account["id"])
    return account


def submit(context: Context, account: Body, *, lacks: list[str], verifies: list[str]) -> Body:
    """The person has handed in everything but what it lacks."""
    if not has_bank(account) and EXTERNAL_ACCOUNT not in lacks:
        add_bank(context, account, "000123456789", "110000000", None)
    return change(
        context,
        account,
        business_type=account["business_type"] or "individual",
        details_submitted=True,
        tos_acceptance={**account["tos_acceptance"], "date": context.now()},
        _deadline=None,
        _missing=lacks,
        _stopped=None,
        _verifying=verifies,
    )


def save(context: Context, account: Body, given: dict[str, str]) -> Body:
    """The person goes on another time; what is filled in is not asked again."""
    known = {f"{who}.{field}" for who in ("individual", "representative") for field in given}
    return change(
        context, account, _missing=[each for each in account["_missing"] if each not in known]
    )


def add_bank(
    context: Context, account: Body, number: str, routing: str | None, holder: str | None
) -> Body:
    """Pay out to this bank account from now on, instead of an earlier one."""
    bank = {
        "id": new_id("ba"),
        "object": "bank_account",
        "account": account["id"],
        "account_holder_name": holder,
        "account_holder_type": "individual",
        "account_type": None,
        "available_payout_methods": ["standard"],
        "bank_name": "STRIPE TEST BANK",
        "country": account["country"],
        "currency": account["default_currency"],
        "default_for_currency": True,
        "fingerprint": random_text(16),
        "future_requirements": None,
        "last4": number[-4:],
        "metadata": {},
        "requirements": None,
        "routing_number": routing,
        "status": "new",
    }
    refusal = REFUSING_ACCOUNTS.get(number)
    missing = [each for each in account["_missing"] if each != EXTERNAL_ACCOUNT]
    context.emit("account.external_account.created", bank, account=account["id"])
    return change(
        context, account, external_accounts=banks(account, bank), _missing=missing, _bank=refusal
    )


def banks(account: Body, *data: Body) -> dict[str, Any]:
    """The list of bank accounts inside an account."""
    return {
        "object": "list",
        "data": list(data),
        "has_more": False,
        "total_count": len(data),
        "url": f"/v1/accounts/{account['id']}/external_accounts",
    }


def fail_bank(context: Context, account: Body) -> Body:
    """The bank account took no payout: nothing is paid out before there is another one."""
    bank = account["external_accounts"]["data"][0]
    errored = {**bank, "status": "errored"}
    context.emit("account.external_account.updated", errored, bank, account=account["id"])
    return require(
        context,
        account,
        [EXTERNAL_ACCOUNT],
        is_late=False,
        external_accounts=banks(account, errored),
    )


def require(
    context: Context, account: Body, fields: list[str], *, is_late: bool, **facts: Any
) -> Body:
    """Ask for more: at once, or with two weeks to go."""
    missing = sorted({*account["_missing"], *fields})
    deadline = None if is_late else context.now() + SECONDS_TO_MEET
    if account["_missing"] and account["_deadline"] is None:
        deadline = None  # what blocked the account before goes on blocking it
    return change(context, account, _missing=missing, _deadline=deadline, **facts)


def stop(context: Context, account: Body, reason: str) -> Body:
    """Stripe takes the account's capabilities away."""
    return change(context, account, _stopped=reason)


def deauthorize(context: Context, account: Body) -> Body:
    """The person has disconnected the account from the platform, which sees it no more."""
    context.change(account, _gone="deauthorized")
    application = {"id": "ca_sandbox", "object": "application", "name": "The platform"}
    context.emit("account.application.deauthorized", application, account=account["id"])
    return account


def meet_deadlines(context: Context) -> None:
    """Stop the accounts whose time to hand something in is over."""
    rows = context.store.query(
        "select id from objects where kind = ? and json_extract(body, '$._deadline') <= ?"
        " and json_extract(body, '$._gone') is null",
        (KIND, context.now()),
    )
    for (account_id,) in rows:
        account = context.require(KIND, account_id)
        change(context, account, _deadline=None)
