"""/v1/checkout/sessions: a page on which somebody pays, and what it becomes."""

from typing import Any

from api.sandbox import forms, lists, payments
from api.sandbox.context import Context
from api.sandbox.errors import invalid, missing, refused
from api.sandbox.operations import Operation, Reply
from api.sandbox.store import Body, new_id, random_text

KIND = "checkout.session"
URL = "/v1/checkout/sessions"
SHORTEST_SECONDS = 30 * 60
LONGEST_SECONDS = 24 * 3600
ID_LETTERS = 58
MOST_LINES = 100

PRICE = forms.hash_of(
    {
        "currency": forms.currency,
        "product_data": forms.hash_of(
            {
                "description": forms.text,
                "images": forms.list_of(forms.url),
                "metadata": forms.metadata,
                "name": forms.text,
                "tax_code": forms.text,
            },
            ("name",),
        ),
        "tax_behavior": forms.choice("exclusive", "inclusive", "unspecified"),
        "unit_amount": forms.integer,
    },
    ("currency", "product_data", "unit_amount"),
)
LINE = forms.hash_of({"price_data": PRICE, "quantity": forms.integer}, ("price_data",))
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
    """POST /v1/checkout/sessions, for one payment on a hosted page."""
    given = context.parameters
    lines = _lines(given["line_items"])
    customer = context.given("customer", "customer") if given.get("customer") else None
    if customer is not None and given.get("customer_email"):
        raise invalid("Send customer or customer_email, not both.", "customer_email")
    now = context.now()
    expires_at = given.get("expires_at", now + LONGEST_SECONDS)
    if not now + SHORTEST_SECONDS - 60 <= expires_at <= now + LONGEST_SECONDS + 60:
        raise invalid("expires_at must be from 30 minutes to 24 hours from now.", "expires_at")
    total = sum(line["amount_total"] for line in lines)
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
        "mode": "payment",
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_options": {},
        "payment_method_types": given.get("payment_method_types") or ["card", "us_bank_account"],
        "payment_status": "unpaid",
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
    }
    if customer is not None:
        session["customer_creation"] = None
    context.store.insert(session)
    return session


def _lines(given: list[Body]) -> list[Body]:
    if not 1 <= len(given) <= MOST_LINES:
        raise missing("line_items")
    lines = []
    for number, item in enumerate(given):
        price = item["price_data"]
        quantity = item.get("quantity", 1)
        if quantity < 1 or price["unit_amount"] < 0:
            raise invalid("Invalid positive integer", f"line_items[{number}]")
        if price["currency"] != given[0]["price_data"]["currency"]:
            raise invalid("All line items have the same currency.", f"line_items[{number}]")
        amount = price["unit_amount"] * quantity
        lines.append(
            {
                "id": f"li_{random_text(24)}",
                "object": "item",
                "amount_discount": 0,
                "amount_subtotal": amount,
                "amount_tax": 0,
                "amount_total": amount,
                "currency": price["currency"],
                "description": price["product_data"]["name"],
                "price": {
                    "id": f"price_{random_text(24)}",
                    "object": "price",
                    "currency": price["currency"],
                    "type": "one_time",
                    "unit_amount": price["unit_amount"],
                },
                "quantity": quantity,
                "_details": price["product_data"].get("description"),
            }
        )
    return lines


def pay(context: Context, session: Body, payment_method: str) -> Body | Reply:
    """What the button on the page does: an intent at the first try, then an attempt to pay."""
    require_open(context, session)
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
    where = lists.existing(context, "customer", "payment_intent")
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
            "line_items": forms.list_of(LINE),
            "locale": forms.text,
            "metadata": forms.metadata,
            "mode": forms.choice("payment"),
            "payment_intent_data": INTENT,
            "payment_method_types": forms.list_of(forms.choice("card", "us_bank_account")),
            "submit_type": forms.choice("auto", "book", "donate", "pay"),
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
        },
    ),
    Operation("GET", f"{URL}/<session>", retrieve),
    Operation("GET", f"{URL}/<session>/line_items", list_line_items, {"limit": forms.integer}),
    Operation("POST", f"{URL}/<session>/expire", expire),
)
