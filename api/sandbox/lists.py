"""Lists with cursors, and objects shown whole where their id stood."""

import json
from collections.abc import Mapping
from typing import Any

from api.sandbox import forms
from api.sandbox.context import Context, visible
from api.sandbox.errors import invalid, no_such
from api.sandbox.store import Body

DEFAULT_LIMIT = 10
LARGEST_LIMIT = 100
DEEPEST_EXPANSION = 4
EXPANDABLE = {
    "balance_transaction",
    "charge",
    "customer",
    "default_payment_method",
    "destination",
    "failure_balance_transaction",
    "invoice",
    "latest_charge",
    "latest_invoice",
    "payment_intent",
    "payment_method",
    "product",
    "source",
    "source_transaction",
    "subscription",
    "transfer",
}
# What is there already, and only leads to something further inside.
WALKED_THROUGH = {
    "items",
    "lines",
    "parent",
    "payment",
    "payments",
    "price",
    "subscription_details",
}
COMPARISONS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

BY_CREATED: forms.Schema = {"created": forms.created}
PAGE: forms.Schema = {
    "limit": forms.integer,
    "starting_after": forms.text,
    "ending_before": forms.text,
}


def page(
    context: Context,
    kind: str,
    url: str,
    where: Mapping[str, Any] | None = None,
    also: tuple[str, tuple[Any, ...]] = ("", ()),
) -> Body:
    """One page, newest first.

    `where` are values that the objects have; `also` is a condition in SQL, with its values.
    """
    parameters = context.parameters
    limit = parameters.get("limit", DEFAULT_LIMIT)
    if not 1 <= limit <= LARGEST_LIMIT:
        raise invalid(f"limit must be between 1 and {LARGEST_LIMIT}.", "limit")
    statement = "select body from objects where kind = ?"
    bound: list[Any] = [kind]
    for name, value in (where or {}).items():
        if value is not None:
            statement += f" and json_extract(body, '$.{name}') = ?"
            bound.append(value)
    for comparison, moment in parameters.get("created", {}).items():
        statement += f" and created {COMPARISONS[comparison]} ?"
        bound.append(moment)
    statement += also[0]
    bound.extend(also[1])
    backwards = parameters.get("ending_before") is not None
    if backwards and parameters.get("starting_after") is not None:
        raise invalid("Send starting_after or ending_before, not both.", "starting_after")
    for param, sign in (("starting_after", "<"), ("ending_before", ">")):
        if parameters.get(param) is not None:
            statement += f" and sequence {sign} ?"
            bound.append(_sequence(context, kind, param))
    statement += f" order by sequence {'asc' if backwards else 'desc'} limit ?"
    rows = context.store.query(statement, (*bound, limit + 1))
    found = [json.loads(body) for (body,) in rows[:limit]]
    if backwards:
        found.reverse()
    return {"object": "list", "data": found, "has_more": len(rows) > limit, "url": url}


def existing(context: Context, *kinds: str) -> Body:
    """The filters that name an object of one of these kinds, which has to exist."""
    where = {kind: context.parameters.get(kind) for kind in kinds}
    for kind, object_id in where.items():
        if object_id is not None and context.store.get(kind, object_id) is None:
            raise no_such(kind, object_id, kind)
    return where


def _sequence(context: Context, kind: str, param: str) -> int:
    object_id = context.parameters[param]
    rows = context.store.query(
        "select sequence from objects where id = ? and kind = ?", (object_id, kind)
    )
    if not rows:
        raise no_such(kind, object_id, param)
    sequence: int = rows[0][0]
    return sequence


def expanded(context: Context, body: Body, paths: list[str]) -> Body:
    """The answer as it is sent: nothing hidden, and whole objects where `expand` asks for them."""
    shown = visible(body)
    if body["object"] == "list":
        shown["data"] = [visible(each) for each in body["data"]]
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEEPEST_EXPANSION:
            raise invalid(f"expand goes no deeper than {DEEPEST_EXPANSION} levels.", "expand")
        _expand(context, shown, steps, path)
    return shown


def _expand(context: Context, body: Body, steps: list[str], path: str) -> None:
    name, rest = steps[0], steps[1:]
    if body.get("object") == "list" and name == "data" and rest:
        for each in body["data"]:
            _expand(context, each, rest, path)
        return
    if (body.get("object"), name) == ("invoice", "payments"):
        body["payments"] = _payments(context, body)
    elif not (name in EXPANDABLE or (name in WALKED_THROUGH and rest)) or name not in body:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    if isinstance(body[name], str):
        found = context.store.find(body[name])
        if found is not None:
            body[name] = visible(found)
    if rest and isinstance(body[name], dict):
        _expand(context, body[name], rest, path)


def _payments(context: Context, invoice: Body) -> Body:
    """How an invoice was paid, which is only shown to those who ask."""
    found = context.store.newest("invoice_payment", LARGEST_LIMIT, invoice=invoice["id"])
    return {
        "object": "list",
        "data": [visible(each) for each in found],
        "has_more": False,
        "url": f"/v1/invoice_payments?invoice={invoice['id']}",
    }
