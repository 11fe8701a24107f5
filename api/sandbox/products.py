"""/v1/products: what is sold, of which prices say for how much."""

from collections.abc import Mapping
from typing import Any

from api.sandbox import forms, lists
from api.sandbox.context import Context
from api.sandbox.errors import missing
from api.sandbox.operations import Operation
from api.sandbox.store import Body

KIND = "product"
URL = "/v1/products"

FIELDS: forms.Schema = {
    "active": forms.boolean,
    "description": forms.text,
    "images": forms.list_of(forms.url),
    "metadata": forms.metadata,
    "name": forms.text,
    "statement_descriptor": forms.text,
    "unit_label": forms.text,
    "url": forms.url,
}
# A product that is made together with its price.
DATA = forms.hash_of(
    {
        "description": forms.text,
        "images": forms.list_of(forms.url),
        "metadata": forms.metadata,
        "name": forms.text,
        "tax_code": forms.text,
        "unit_label": forms.text,
    },
    ("name",),
)


def make(context: Context, given: Mapping[str, Any]) -> Body:
    """A new product, kept."""
    product = context.make(
        KIND,
        "prod",
        **{
            "active": True,
            "default_price": None,
            "description": None,
            "images": [],
            "marketing_features": [],
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "tax_details": None,
            "type": "service",
            "unit_label": None,
            "updated": context.now(),
            "url": None,
            **given,
            "metadata": forms.merged({}, given.get("metadata", {})),
        },
    )
    context.emit("product.created", product)
    return product


def create(context: Context) -> Body:
    """POST /v1/products."""
    return make(context, context.parameters)


def retrieve(context: Context) -> Body:
    """GET /v1/products/<id>."""
    return context.named(KIND, "product")


def update(context: Context) -> Body:
    """POST /v1/products/<id>."""
    product = context.named(KIND, "product")
    changes = dict(context.parameters)
    if "name" in changes and changes["name"] is None:
        raise missing("name")
    if "metadata" in changes:
        changes["metadata"] = forms.merged(product["metadata"], changes["metadata"])
    before = context.change(product, **changes)
    if before != product:
        context.change(product, updated=context.now())
        context.emit("product.updated", product, before)
    return product


def list_products(context: Context) -> Body:
    """GET /v1/products."""
    given = context.parameters
    where = {"active": given.get("active")}
    ids = given.get("ids", [])
    also = (f" and id in ({', '.join('?' * len(ids))})", tuple(ids)) if ids else ("", ())
    return lists.page(context, KIND, URL, where, also)


OPERATIONS = (
    Operation("POST", URL, create, FIELDS, ("name",)),
    Operation(
        "GET",
        URL,
        list_products,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "active": forms.boolean,
            "ids": forms.list_of(forms.text),
        },
    ),
    Operation("GET", f"{URL}/<product>", retrieve),
    Operation("POST", f"{URL}/<product>", update, FIELDS),
)
