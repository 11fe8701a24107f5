"""What is bought on a checkout page: its lines, each with a price."""

from collections.abc import Mapping
from typing import Any

from api.sandbox import forms, prices
from api.sandbox.context import Context
from api.sandbox.errors import invalid, missing
from api.sandbox.store import Body, random_text

MOST_LINES = 100
LINE = forms.hash_of({"price": forms.text, "price_data": prices.DATA, "quantity": forms.integer})


def read(context: Context, given: list[Body], *, is_recurring: bool) -> list[Body]:
    """The lines as they are kept. A page for a subscription has one, and its price recurs."""
    if not 1 <= len(given) <= MOST_LINES:
        raise missing("line_items")
    if is_recurring and len(given) > 1:
        raise invalid("The sandbox's subscriptions have one item each.", "line_items")
    lines = [
        _line(context, item, f"line_items[{number}]", is_recurring=is_recurring)
        for number, item in enumerate(given)
    ]
    for number, line in enumerate(lines):
        if line["currency"] != lines[0]["currency"]:
            raise invalid("All line items have the same currency.", f"line_items[{number}]")
    return lines


def _line(context: Context, item: Body, param: str, *, is_recurring: bool) -> Body:
    quantity = item.get("quantity", 1)
    data = item.get("price_data", {})
    if quantity < 1 or data.get("unit_amount", 0) < 0:
        raise invalid("Invalid positive integer", param)
    if not is_recurring and data and not item.get("price"):
        price, name, details = _one_time(data, param)
    else:
        price = prices.chosen(context, item, param)
        product = context.require("product", price["product"])
        name, details = product["name"], product["description"]
    if (price["type"] == "recurring") != is_recurring:
        kind = "a recurring price" if is_recurring else "prices that are paid once"
        raise invalid(f"This mode takes {kind}.", param)
    amount = price["unit_amount"] * quantity
    return {
        "id": f"li_{random_text(24)}",
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": name,
        "price": price,
        "quantity": quantity,
        "_details": details,
    }


def _one_time(data: Mapping[str, Any], param: str) -> tuple[Body, str, str | None]:
    """What is bought this once: nothing is kept of it but the line."""
    product = data.get("product_data")
    if product is None:
        raise missing(f"{param}[price_data][product_data]")
    price = {
        "id": f"price_{random_text(24)}",
        "object": "price",
        "currency": data["currency"],
        "type": "one_time" if data.get("recurring") is None else "recurring",
        "unit_amount": data["unit_amount"],
    }
    return price, product["name"], product.get("description")
