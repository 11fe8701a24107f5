"""/v1/prices: how much a product costs, once or for every period.

A price that a checkout session or a change makes by the way (`price_data`) is inactive, as its
product is: it is for that one subscription and cannot be chosen by anybody else.
"""

from collections.abc import Mapping
from typing import Any

from api.sandbox import forms, lists, products
from api.sandbox.context import Context
from api.sandbox.errors import invalid, missing, no_such, refused
from api.sandbox.operations import Operation
from api.sandbox.store import Body

KIND = "price"
URL = "/v1/prices"
INTERVALS = ("day", "week", "month", "year")
# Three years at most.
MOST = {"day": 1095, "week": 156, "month": 36, "year": 3}

RECURRING = forms.hash_of(
    {
        "interval": forms.choice(*INTERVALS),
        "interval_count": forms.integer,
        "usage_type": forms.choice("licensed"),
    },
    ("interval",),
)
TAX_BEHAVIOUR = forms.choice("exclusive", "inclusive", "unspecified")
# A price that is made by the way.
DATA = forms.hash_of(
    {
        "currency": forms.currency,
        "product": forms.text,
        "product_data": products.DATA,
        "recurring": RECURRING,
        "tax_behavior": TAX_BEHAVIOUR,
        "unit_amount": forms.integer,
    },
    ("currency", "unit_amount"),
)


def make(context: Context, given: Mapping[str, Any], product: Body) -> Body:
    """A new price of a product, kept."""
    if given["unit_amount"] < 0:
        raise invalid("Invalid non-negative integer", "unit_amount", "parameter_invalid_integer")
    price = context.make(
        KIND,
        "price",
        active=given.get("active", True),
        billing_scheme="per_unit",
        currency=given["currency"],
        custom_unit_amount=None,
        lookup_key=given.get("lookup_key"),
        metadata=forms.merged({}, given.get("metadata", {})),
        nickname=given.get("nickname"),
        product=product["id"],
        recurring=_recurring(given.get("recurring")),
        tax_behavior=given.get("tax_behavior") or "unspecified",
        tiers_mode=None,
        transform_quantity=None,
        type="one_time" if given.get("recurring") is None else "recurring",
        unit_amount=given["unit_amount"],
        unit_amount_decimal=str(given["unit_amount"]),
    )
    context.emit("price.created", price)
    return price


def _recurring(given: Mapping[str, Any] | None) -> Body | None:
    if given is None:
        return None
    interval, count = given["interval"], given.get("interval_count", 1)
    if not 1 <= count <= MOST[interval]:
        raise invalid(
            f"interval_count must be between 1 and {MOST[interval]}.", "recurring[interval_count]"
        )
    return {
        "interval": interval,
        "interval_count": count,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def chosen(context: Context, item: Mapping[str, Any], param: str) -> Body:
    """The price that an item names, or the one that it makes by the way."""
    if item.get("price") and item.get("price_data"):
        raise invalid("Send price or price_data, not both.", f"{param}[price]")
    if item.get("price_data"):
        data = item["price_data"]
        product = _product(context, data, f"{param}[price_data][product]", is_inline=True)
        return make(context, {**data, "active": False}, product)
    if not item.get("price"):
        raise missing(f"{param}[price]")
    price = context.store.get(KIND, item["price"])
    if price is None:
        raise no_such(KIND, item["price"], f"{param}[price]")
    if not price["active"]:
        raise refused(
            f"The price {price['id']} is inactive: it cannot be bought any more.",
            param=f"{param}[price]",
        )
    return price


def _product(
    context: Context, given: Mapping[str, Any], param: str, *, is_inline: bool = False
) -> Body:
    """The product that is named, or a new one."""
    if given.get("product") and given.get("product_data"):
        raise invalid("Send product or product_data, not both.", param)
    if given.get("product_data"):
        return products.make(context, {**given["product_data"], "active": not is_inline})
    if not given.get("product"):
        raise missing(param)
    product = context.store.get(products.KIND, given["product"])
    if product is None:
        raise no_such(products.KIND, given["product"], param)
    return product


def plan(price: Body) -> Body:
    """A recurring price in the older shape, which subscription items still show beside it."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": price["livemode"],
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }


def create(context: Context) -> Body:
    """POST /v1/prices."""
    given = context.parameters
    return make(context, given, _product(context, given, "product"))


def retrieve(context: Context) -> Body:
    """GET /v1/prices/<id>."""
    return context.named(KIND, "price")


def update(context: Context) -> Body:
    """POST /v1/prices/<id>: how much it costs stays as it is."""
    price = context.named(KIND, "price")
    changes = dict(context.parameters)
    if "metadata" in changes:
        changes["metadata"] = forms.merged(price["metadata"], changes["metadata"])
    before = context.change(price, **changes)
    if before != price:
        context.emit("price.updated", price, before)
    return price


def list_prices(context: Context) -> Body:
    """GET /v1/prices."""
    given = context.parameters
    where = {
        **{name: given.get(name) for name in ("active", "currency", "type")},
        **lists.existing(context, products.KIND),
        "recurring.interval": given.get("recurring", {}).get("interval"),
    }
    keys = given.get("lookup_keys", [])
    condition = f" and json_extract(body, '$.lookup_key') in ({', '.join('?' * len(keys))})"
    return lists.page(context, KIND, URL, where, (condition, tuple(keys)) if keys else ("", ()))


CHANGEABLE: forms.Schema = {
    "active": forms.boolean,
    "lookup_key": forms.text,
    "metadata": forms.metadata,
    "nickname": forms.text,
}
OPERATIONS = (
    Operation(
        "POST",
        URL,
        create,
        {
            **CHANGEABLE,
            "billing_scheme": forms.choice("per_unit"),
            "currency": forms.currency,
            "product": forms.text,
            "product_data": products.DATA,
            "recurring": RECURRING,
            "tax_behavior": TAX_BEHAVIOUR,
            "unit_amount": forms.integer,
        },
        ("currency", "unit_amount"),
    ),
    Operation(
        "GET",
        URL,
        list_prices,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "active": forms.boolean,
            "currency": forms.currency,
            "lookup_keys": forms.list_of(forms.text),
            "product": forms.text,
            "recurring": forms.hash_of({"interval": forms.choice(*INTERVALS)}),
            "type": forms.choice("one_time", "recurring"),
        },
    ),
    Operation("GET", f"{URL}/<price>", retrieve),
    Operation("POST", f"{URL}/<price>", update, CHANGEABLE),
)
