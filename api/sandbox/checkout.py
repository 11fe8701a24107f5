"""/v1/checkout/sessions: a page on which somebody pays, or subscribes, and what it becomes."""

from typing import Any

from api.sandbox import checkout_lines, checkout_subscriptions, forms, lists, payments
from api.sandbox.context import Context
from api.sandbox.errors import invalid, refused
from api.sandbox.operations import Operation, Reply
from api.sandbox.store import Body, new_id

KIND = "checkout.session"
URL = "/v1/checkout/sessions"
SHORTEST_SECONDS = 30 * 60
LONGEST_SECONDS = 24 * 3600
ID_LETTERS = 58

INTENT = forms.hash_of(
    {
        "description": forms.text,
        "metadata": forms.metadata,
        "receipt_email": forms.text,
        "setup_future_usage": forms.choice("off_session", "on_session"),
        "statement_descriptor": forms.text,
        "statement_descriptor_suffix": forms.text,
        "transfer_group": forms.text,
    }
)


def create(context: Context) -> Body:
    """POST /v1/checkout/sessions, for one payment or one subscription, on a hosted page."""
    given = context.parameters
    is_subscription = given["mode"] == "subscription"
    other_data = "payment_intent_data" if is_subscription else "subscription_data"
    if given.get(other_data):
        raise invalid(f"{other_data} is not for the mode {given['mode']}.", "mode")
    lines = checkout_lines.read(context, given["line_items"], is_recurring=is_subscription)
    customer = context.given("customer", "customer") if given.get("customer") else None
    if customer is not None and given.get("customer_email"):
        raise invalid("Send customer or customer_email, not both.", "customer_email")
    now = context.now()
    expires_at = given.get("expires_at", now + LONGEST_SECONDS)
    if not now + SHORTEST_SECONDS - 60 <= expires_at <= now + LONGEST_SECONDS + 60:
        raise invalid("expires_at must be from 30 minutes to 24 hours from now.", "expires_at")
    total = sum(line["amount_total"] for line in lines)
    if is_subscription and checkout_subscriptions.trial_end(context, given) is not None:
        total = 0
    if total or not is_subscription:
        forms.charge_amount(str(total), "line_items")
    session_id = new_id("cs_test", ID_LETTERS)
    email = customer["email"] if customer is not None else given.get("customer_email")
    session: Body = {
        "id": session_id,
        "object": KIND,
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "status": None},
        "billing_address_collection": given.get("billing_address_collection"),
        "cancel_url": given.get("cancel_url"),
        "client_reference_id": given.get("client_reference_id"),
        "client_secret": None,
        "created": now,
        "currency": lines[0]["currency"],
        "custom_fields": [],
        "custom_text": {},
        "customer": given.get("customer"),
        "customer_creation": given.get("customer_creation", "if_required"),
        "customer_details": None,
        "customer_email": email,
        "expires_at": expires_at,
        "invoice": None,
        "livemode": False,
        "locale": given.get("locale"),
        "metadata": forms.merged({}, given.get("metadata", {})),
        "mode": given["mode"],
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "always" if is_subscription else "if_required",
        "payment_method_options": {},
        "payment_method_types": given.get("payment_method_types") or ["card", "us_bank_account"],
        "payment_status": "unpaid" if total else "no_payment_required",
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "setup_intent": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": given.get("submit_type"),
        "subscription": None,
        "success_url": given["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{context.base_url}/pay/{session_id}",
        "_intent": given.get("payment_intent_data", {}),
        "_lines": lines,
        "_subscription": None,
        "_subscription_data": given.get("subscription_data", {}),
    }
    if customer is not None:
        session["customer_creation"] = None
    elif is_subscription:
        session["customer_creation"] = "always"
    context.store.insert(session)
    return session


def pay(context: Context, session: Body, payment_method: str) -> Body | Reply:
    """What the button on the page does: an intent at the first try, then an attempt to pay."""
    require_open(context, session)
    if session["mode"] == "subscription":
        return checkout_subscriptions.pay(context, session, payment_method)
    if session["payment_intent"] is None:
        given: dict[str, Any] = dict(session["_intent"])
        intent = payments.start(
            context,
            session["amount_total"],
            session["currency"],
            customer=session["customer"],
            payment_method_types=session["payment_method_types"],
            session=session["id"],
            **{**given, "metadata": forms.merged({}, given.get("metadata", {}))},
        )
        context.change(session, payment_intent=intent["id"])
    intent = context.require("payment_intent", session["payment_intent"])
    return payments.confirm(context, intent, payment_method)


def intent_of(context: Context, session: Body) -> Body | None:
    """The intent that the page tries to have paid, if there has been a try."""
    if session["mode"] == "subscription":
        return checkout_subscriptions.intent_of(context, session)
    intent_id = session["payment_intent"]
    return None if intent_id is None else context.require("payment_intent", intent_id)


def require_open(context: Context, session: Body) -> None:
    """Refuse to pay on a page that is done or expired."""
    if session["status"] == "open" and session["expires_at"] <= context.now():
        expire_session(context, session)
    if session["status"] != "open":
        raise refused(f"This Checkout Session is {session['status']}.", param="session")


def expire_session(context: Context, session: Body) -> None:
    """End a page that was not paid on; its intent ends with it."""
    context.change(session, status="expired", url=None)
    if session["payment_intent"] is not None:
        intent = context.require("payment_intent", session["payment_intent"])
        if intent["status"] in payments.CANCELABLE:
            payments.cancel(context, intent, "expired")
    checkout_subscriptions.expire(context, session)
    context.emit("checkout.session.expired", session)


def expire_due(context: Context) -> None:
    """End the pages whose time is over."""
    rows = context.store.query(
        "select id from objects where kind = ? and json_extract(body, '$.status') = 'open'"
        " and json_extract(body, '$.expires_at') <= ?",
        (KIND, context.now()),
    )
    for (session_id,) in rows:
        expire_session(context, context.require(KIND, session_id))


def expire(context: Context) -> Body:
    """POST /v1/checkout/sessions/<id>/expire."""
    session = context.named(KIND, "session", "session")
    require_open(context, session)
    expire_session(context, session)
    return session


def retrieve(context: Context) -> Body:
    """GET /v1/checkout/sessions/<id>."""
    return context.named(KIND, "session", "session")


def list_line_items(context: Context) -> Body:
    """GET /v1/checkout/sessions/<id>/line_items."""
    session = context.named(KIND, "session", "session")
    url = f"{URL}/{session['id']}/line_items"
    return {"object": "list", "data": session["_lines"], "has_more": False, "url": url}


def list_sessions(context: Context) -> Body:
    """GET /v1/checkout/sessions."""
    where = lists.existing(context, "customer", "payment_intent", "subscription")
    return lists.page(context, KIND, URL, {**where, "status": context.parameters.get("status")})


OPERATIONS = (
    Operation(
        "POST",
        URL,
        create,
        {
            "billing_address_collection": forms.choice("auto", "required"),
            "cancel_url": forms.url,
            "client_reference_id": forms.text,
            "customer": forms.text,
            "customer_creation": forms.choice("always", "if_required"),
            "customer_email": forms.text,
            "expires_at": forms.integer,
            "line_items": forms.list_of(checkout_lines.LINE),
            "locale": forms.text,
            "metadata": forms.metadata,
            "mode": forms.choice("payment", "subscription"),
            "payment_intent_data": INTENT,
            "payment_method_collection": forms.choice("always"),
            "payment_method_types": forms.list_of(forms.choice("card", "us_bank_account")),
            "submit_type": forms.choice("auto", "book", "donate", "pay"),
            "subscription_data": checkout_subscriptions.DATA,
            "success_url": forms.url,
            "ui_mode": forms.choice("hosted_page"),
        },
        ("line_items", "mode", "success_url"),
    ),
    Operation(
        "GET",
        URL,
        list_sessions,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "customer": forms.text,
            "payment_intent": forms.text,
            "status": forms.choice("complete", "expired", "open"),
            "subscription": forms.text,
        },
    ),
    Operation("GET", f"{URL}/<session>", retrieve),
    Operation("GET", f"{URL}/<session>/line_items", list_line_items, {"limit": forms.integer}),
    Operation("POST", f"{URL}/<session>/expire", expire),
)
