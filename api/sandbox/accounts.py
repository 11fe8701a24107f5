"""/v1/accounts: connected accounts, as a platform makes and sees them."""

from collections.abc import Iterator, Mapping
from typing import Any

from api.sandbox import forms, lists, onboarding
from api.sandbox.context import Context
from api.sandbox.errors import invalid, no_such, refused
from api.sandbox.onboarding import KIND, banks, capability, connected, no_requirements
from api.sandbox.operations import Operation
from api.sandbox.store import Body, new_id

URL = "/v1/accounts"
ID_LETTERS = 16
NOT_GONE = " and json_extract(body, '$._gone') is null"
CAPABILITIES = ("card_payments", "transfers")
CURRENCIES = {
    "AT": "eur",
    "AU": "aud",
    "BE": "eur",
    "CA": "cad",
    "CH": "chf",
    "DE": "eur",
    "ES": "eur",
    "FR": "eur",
    "GB": "gbp",
    "IE": "eur",
    "IT": "eur",
    "JP": "jpy",
    "NL": "eur",
    "US": "usd",
}
PROFILE = ("mcc", "name", "product_description", "support_email", "support_phone")
PROFILE_URLS = ("support_url", "url")
# Who pays the fees, who bears the losses, who collects what is required, which dashboard.
BY_TYPE = {
    "custom": ("application_custom", "application", "application", "none"),
    "express": ("application_express", "application", "stripe", "express"),
    "standard": ("account", "stripe", "stripe", "full"),
}
REJECTIONS = {
    "fraud": "rejected.fraud",
    "fraud_no_intent_to_fulfill": "rejected.fraud",
    "fraud_other": "rejected.fraud",
    "fraud_payment_method_casher": "rejected.fraud",
    "fraud_payment_method_tester": "rejected.fraud",
    "credit": "rejected.other",
    "other": "rejected.other",
    "terms_of_service": "rejected.terms_of_service",
}


def country(value: Any, name: str) -> str:
    """A country in which the sandbox can open accounts."""
    if value not in CURRENCIES:
        raise invalid(f"Country '{value}' is unknown.", name, "country_unsupported")
    return str(value)


REQUESTED = forms.hash_of({"requested": forms.boolean})
ADDRESS = forms.hash_of(
    dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), forms.text)
)
CHANGEABLE: forms.Schema = {
    "business_profile": forms.hash_of(
        {**dict.fromkeys(PROFILE, forms.text), **dict.fromkeys(PROFILE_URLS, forms.url)}
    ),
    "business_type": forms.choice("company", "government_entity", "individual", "non_profit"),
    "capabilities": forms.hash_of(dict.fromkeys(CAPABILITIES, REQUESTED)),
    "default_currency": forms.currency,
    "email": forms.text,
    "individual": forms.hash_of(
        {
            "address": ADDRESS,
            "dob": forms.hash_of(dict.fromkeys(("day", "month", "year"), forms.integer)),
            **dict.fromkeys(("email", "first_name", "last_name", "phone"), forms.text),
        }
    ),
    "metadata": forms.metadata,
}
FIELDS: forms.Schema = {
    **CHANGEABLE,
    "controller": forms.hash_of(
        {
            "fees": forms.hash_of({"payer": forms.choice("account", "application")}),
            "losses": forms.hash_of({"payments": forms.choice("application", "stripe")}),
            "requirement_collection": forms.choice("application", "stripe"),
            "stripe_dashboard": forms.hash_of({"type": forms.choice("express", "full", "none")}),
        }
    ),
    "country": country,
    "tos_acceptance": forms.hash_of({"service_agreement": forms.choice("full", "recipient")}),
    "type": forms.choice(*BY_TYPE),
}


def create(context: Context) -> Body:
    """POST /v1/accounts."""
    given = context.parameters
    controller = _controller(given)
    where = given.get("country", "US")
    agreement = given.get("tos_acceptance", {}).get("service_agreement")
    account: Body = {
        "id": new_id("acct", ID_LETTERS),
        "object": KIND,
        "business_profile": {
            "annual_revenue": None,
            "estimated_worker_count": None,
            "support_address": None,
            **dict.fromkeys((*PROFILE, *PROFILE_URLS)),
            **given.get("business_profile", {}),
        },
        "business_type": given.get("business_type"),
        "capabilities": {},
        "charges_enabled": False,
        "controller": controller,
        "country": where,
        "created": context.now(),
        "default_currency": given.get("default_currency", CURRENCIES[where]),
        "details_submitted": False,
        "email": given.get("email"),
        "external_accounts": {},
        "future_requirements": no_requirements(),
        "metadata": forms.merged({}, given.get("metadata", {})),
        "payouts_enabled": False,
        "requirements": no_requirements(),
        "settings": _settings(),
        "tos_acceptance": {
            "date": None,
            "ip": None,
            "user_agent": None,
            **({} if agreement is None else {"service_agreement": agreement}),
        },
        "type": given.get("type") or "none",
        "_bank": None,
        "_deadline": None,
        "_gone": None,
        "_missing": onboarding.first_requirements(given.get("business_type"), where),
        "_requested": {},
        "_stopped": None,
        "_verifying": [],
    }
    account["external_accounts"] = banks(account)
    account["_requested"] = _requested(context, account)
    account["_missing"] = _without(account["_missing"], given)
    account.update(onboarding.standing(account, context.now()))
    context.store.insert(account)
    return account


def _controller(given: Mapping[str, Any]) -> dict[str, Any]:
    """Who is responsible for what; combinations that Stripe does not open are refused."""
    kind, wanted = given.get("type"), given.get("controller")
    if kind is not None and wanted is not None:
        raise invalid("Send type or controller, not both.", "type")
    if wanted is None:
        fees, losses, collection, dashboard = BY_TYPE[kind or "standard"]
    else:
        fees = wanted.get("fees", {}).get("payer", "account")
        losses = wanted.get("losses", {}).get("payments", "stripe")
        collection = wanted.get("requirement_collection", "stripe")
        dashboard = wanted.get("stripe_dashboard", {}).get("type", "full")
        if dashboard == "express" and (fees, losses) != ("application", "application"):
            raise invalid(
                "With the Express Dashboard the platform pays the fees and bears the losses.",
                "controller",
            )
        if dashboard != "none" and collection == "application":
            raise invalid(
                "A platform that collects the requirements offers no dashboard of Stripe's.",
                "controller",
            )
    return {
        "fees": {"payer": fees},
        "is_controller": True,
        "losses": {"payments": losses},
        "requirement_collection": collection,
        "stripe_dashboard": {"type": dashboard},
        "type": "application",
    }


def _settings() -> dict[str, Any]:
    return {
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "payments": {"statement_descriptor": None},
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {"delay_days": 2, "interval": "daily"},
            "statement_descriptor": None,
        },
    }


def _requested(context: Context, account: Body) -> dict[str, int]:
    """The capabilities that are asked for once the request is through."""
    requested = dict(account["_requested"])
    for name, wish in context.parameters.get("capabilities", {}).items():
        if wish.get("requested"):
            requested.setdefault(name, context.now())
        elif "requested" in wish:
            requested.pop(name, None)
    return requested


def _without(missing: list[str], given: Mapping[str, Any]) -> list[str]:
    """What is still asked when the platform has filled something in beforehand."""
    known = {"business_type"} if given.get("business_type") else set()
    for name in ("business_profile", "individual"):
        known.update(_names(given.get(name, {}), name))
    if "business_profile.product_description" in known:
        known.add("business_profile.url")
    return [each for each in missing if each not in known]


def _names(given: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}.{name}")
        elif value is not None:
            yield f"{prefix}.{name}"


def _named(context: Context) -> Body:
    return connected(context, context.path["account"])


def retrieve(context: Context) -> Body:
    """GET /v1/accounts/<id>."""
    return _named(context)


def update(context: Context) -> Body:
    """POST /v1/accounts/<id>."""
    account = _named(context)
    given = context.parameters
    kept = ("business_type", "default_currency", "email")
    changes: dict[str, Any] = {name: given[name] for name in kept if name in given}
    if "business_profile" in given:
        changes["business_profile"] = {**account["business_profile"], **given["business_profile"]}
    if "metadata" in given:
        changes["metadata"] = forms.merged(account["metadata"], given["metadata"])
    missing = account["_missing"]
    if given.get("business_type") and account["business_type"] is None and missing:
        missing = onboarding.first_requirements(given["business_type"], account["country"])
    return onboarding.change(
        context,
        account,
        **changes,
        _missing=_without(missing, given),
        _requested=_requested(context, account),
    )


def delete(context: Context) -> Body:
    """DELETE /v1/accounts/<id>."""
    account = _named(context)
    context.change(account, _gone="deleted")
    return {"id": account["id"], "object": KIND, "deleted": True}


def reject(context: Context) -> Body:
    """POST /v1/accounts/<id>/reject."""
    return onboarding.stop(context, _named(context), REJECTIONS[context.parameters["reason"]])


def list_accounts(context: Context) -> Body:
    """GET /v1/accounts, without those that are gone."""
    return lists.page(context, KIND, URL, None, (NOT_GONE, ()))


def list_external_accounts(context: Context) -> Body:
    """GET /v1/accounts/<id>/external_accounts."""
    account = _named(context)
    wanted = context.parameters.get("object") or "bank_account"
    data = account["external_accounts"]["data"]
    return banks(account, *(each for each in data if each["object"] == wanted))


def list_capabilities(context: Context) -> Body:
    """GET /v1/accounts/<id>/capabilities: those that were ever asked for."""
    account = _named(context)
    data = [capability(account, name) for name in sorted(account["_requested"])]
    url = f"{URL}/{account['id']}/capabilities"
    return {"object": "list", "data": data, "has_more": False, "url": url}


def _capability_name(context: Context) -> str:
    name = context.path["capability"]
    if name not in CAPABILITIES:
        raise no_such("capability", name, "capability", 404)
    return name


def retrieve_capability(context: Context) -> Body:
    """GET /v1/accounts/<id>/capabilities/<name>."""
    return capability(_named(context), _capability_name(context))


def update_capability(context: Context) -> Body:
    """POST /v1/accounts/<id>/capabilities/<name>."""
    account, name = _named(context), _capability_name(context)
    context.parameters = {"capabilities": {name: context.parameters}}
    onboarding.change(context, account, _requested=_requested(context, account))
    return capability(account, name)


def create_login_link(context: Context) -> Body:
    """POST /v1/accounts/<id>/login_links."""
    account = _named(context)
    if account["controller"]["stripe_dashboard"]["type"] != "express":
        raise refused("Only accounts with the Express Dashboard have login links.")
    if not account["details_submitted"]:
        raise refused("There is no login link before the account has finished its onboarding.")
    url = f"{context.base_url}/#{account['id']}"
    return {"object": "login_link", "created": context.now(), "url": url}


ONE = f"{URL}/<account>"
OPERATIONS = (
    Operation("POST", URL, create, FIELDS),
    Operation("GET", URL, list_accounts, {**lists.PAGE, **lists.BY_CREATED}),
    Operation("GET", ONE, retrieve),
    Operation("POST", ONE, update, CHANGEABLE),
    Operation("DELETE", ONE, delete),
    Operation("POST", f"{ONE}/reject", reject, {"reason": forms.choice(*REJECTIONS)}, ("reason",)),
    Operation("GET", f"{ONE}/capabilities", list_capabilities),
    Operation("GET", f"{ONE}/capabilities/<capability>", retrieve_capability),
    Operation(
        "POST",
        f"{ONE}/capabilities/<capability>",
        update_capability,
        {"requested": forms.boolean},
    ),
    Operation(
        "GET",
        f"{ONE}/external_accounts",
        list_external_accounts,
        {**lists.PAGE, "object": forms.choice("bank_account", "card")},
    ),
    Operation("POST", f"{ONE}/login_links", create_login_link),
)
