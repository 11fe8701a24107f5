"""/v1/billing_portal/sessions: the way to the page on which people look after a subscription.

What the page offers is fixed here: to cancel at the end of the period, to take that back, to
change to another price that is for sale, and to see what was paid.
"""

from api.sandbox import billing as life
from api.sandbox import forms, price_changes, prices, subscriptions
from api.sandbox import subscription_bodies as bodies
from api.sandbox.context import Context
from api.sandbox.errors import refused
from api.sandbox.operations import Operation, Reply
from api.sandbox.store import Body, new_id

KIND = "billing_portal.session"
URL = "/v1/billing_portal/sessions"
CONFIGURATION = "bpc_sandbox"
SECONDS_TO_USE = 3600
MOST_PRICES = 100


def create(context: Context) -> Body:
    """POST /v1/billing_portal/sessions."""
    given = context.parameters
    customer = context.given("customer", "customer")
    session: Body = {
        "id": new_id("bps", 40),
        "object": KIND,
        "configuration": CONFIGURATION,
        "created": context.now(),
        "customer": customer["id"],
        "customer_account": None,
        "flow": None,
        "livemode": False,
        "locale": given.get("locale"),
        "on_behalf_of": None,
        "return_url": given.get("return_url"),
    }
    session["url"] = f"{context.base_url}/portal/{session['id']}"
    context.store.insert(session)
    return session


def is_usable(context: Context, session: Body) -> bool:
    """Whether the page still opens: for an hour."""
    return bool(context.now() < session["created"] + SECONDS_TO_USE)


def for_sale(context: Context, subscription: Body) -> list[Body]:
    """The prices to which a subscription can be changed."""
    only = bodies.item_of(subscription)["price"]
    found = context.store.newest(prices.KIND, MOST_PRICES, type="recurring")
    return [
        each
        for each in sorted(found, key=lambda price: int(price["unit_amount"]))
        if each["active"]
        and each["currency"] == only["currency"]
        and each["id"] != only["id"]
        and context.require("product", each["product"])["active"]
    ]


def cancel(context: Context, subscription: Body) -> Body:
    """End it with the period; in the flexible mode only `cancel_at` tells of it, as at Stripe."""
    if subscription["cancel_at"] is not None:
        return subscription
    end = bodies.item_of(subscription)["current_period_end"]
    details = subscription["cancellation_details"]
    changes = subscriptions.cancellation(context, end, details)
    changes["cancel_at_period_end"] = subscription["billing_mode"]["type"] == "classic"
    return life.change(context, subscription, **changes)


def keep(context: Context, subscription: Body) -> Body:
    """Do not end it after all."""
    details = subscription["cancellation_details"]
    return life.change(context, subscription, **subscriptions.cancellation(context, None, details))


def change(context: Context, subscription: Body, price_id: str) -> Body | Reply:
    """Another price, paid for at once. Who changes does not end."""
    price = next((each for each in for_sale(context, subscription) if each["id"] == price_id), None)
    if price is None:
        raise refused("This price is not for sale here.", param="price")
    if subscription["cancel_at"] is not None:
        subscription = keep(context, subscription)
    quantity = bodies.item_of(subscription)["quantity"]
    return price_changes.change_price(
        context, subscription, price, quantity, price_changes.ALWAYS_INVOICE
    )


OPERATIONS = (
    Operation(
        "POST",
        URL,
        create,
        {"customer": forms.text, "locale": forms.text, "return_url": forms.url},
        ("customer",),
    ),
)
