"""/v1/customers."""

from typing import Any

from api.sandbox import billing, forms, lists
from api.sandbox.context import Context
from api.sandbox.errors import no_such
from api.sandbox.operations import Operation
from api.sandbox.store import Body, random_text

KIND = "customer"
URL = "/v1/customers"
NOT_DELETED = " and json_extract(body, '$.deleted') is null"

ADDRESS = forms.hash_of(
    dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), forms.text)
)
FIELDS: forms.Schema = {
    "address": ADDRESS,
    "description": forms.text,
    "email": forms.text,
    "metadata": forms.metadata,
    "name": forms.text,
    "phone": forms.text,
    "preferred_locales": forms.list_of(forms.text),
}


def create(context: Context) -> Body:
    """POST /v1/customers."""
    return make(context, context.parameters)


def make(context: Context, fields: Body) -> Body:
    """A new customer, kept."""
    given: dict[str, Any] = {
        "address": None,
        "description": None,
        "email": None,
        "name": None,
        "phone": None,
        "preferred_locales": [],
        **fields,
    }
    given["metadata"] = forms.merged({}, given.get("metadata", {}))
    customer = context.make(
        KIND,
        "cus",
        balance=0,
        currency=None,
        default_source=None,
        delinquent=False,
        discount=None,
        invoice_prefix=random_text(8).upper(),
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        shipping=None,
        tax_exempt="none",
        test_clock=None,
        **given,
    )
    context.emit("customer.created", customer)
    return customer


def retrieve(context: Context) -> Body:
    """GET /v1/customers/<id>; of a deleted one only that it was."""
    return context.named(KIND, "customer")


def update(context: Context) -> Body:
    """POST /v1/customers/<id>."""
    customer = _living(context)
    changes = dict(context.parameters)
    if "metadata" in changes:
        changes["metadata"] = forms.merged(customer["metadata"], changes["metadata"])
    before = context.change(customer, **changes)
    if before != customer:
        context.emit("customer.updated", customer, before)
    return customer


def delete(context: Context) -> Body:
    """DELETE /v1/customers/<id>: the subscriptions end with it."""
    customer = _living(context)
    billing.end_those_of(context, customer["id"])
    context.emit("customer.deleted", customer)
    gone = {"id": customer["id"], "object": KIND, "deleted": True}
    context.store.save(gone)
    return gone


def _living(context: Context) -> Body:
    customer = context.named(KIND, "customer")
    if customer.get("deleted"):
        raise no_such(KIND, customer["id"], "id", 404)
    return customer


def list_customers(context: Context) -> Body:
    """GET /v1/customers, without the deleted ones."""
    where = {"email": context.parameters.get("email")}
    return lists.page(context, KIND, URL, where, (NOT_DELETED, ()))


OPERATIONS = (
    Operation("POST", URL, create, FIELDS),
    Operation("GET", URL, list_customers, {**lists.PAGE, **lists.BY_CREATED, "email": forms.text}),
    Operation("GET", f"{URL}/<customer>", retrieve),
    Operation("POST", f"{URL}/<customer>", update, FIELDS),
    Operation("DELETE", f"{URL}/<customer>", delete),
)
