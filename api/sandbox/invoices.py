"""/v1/invoices and /v1/invoice_payments: what subscriptions have cost, and how it was paid."""

from api.sandbox import billing, forms, invoice_bodies, invoicing, lists
from api.sandbox.context import Context
from api.sandbox.invoice_bodies import KIND, PAYMENT_KIND
from api.sandbox.operations import Operation, Reply
from api.sandbox.store import Body

URL = "/v1/invoices"
PAYMENTS_URL = "/v1/invoice_payments"
SUBSCRIPTION = "parent.subscription_details.subscription"


def retrieve(context: Context) -> Body:
    """GET /v1/invoices/<id>."""
    return context.named(KIND, "invoice")


def list_invoices(context: Context) -> Body:
    """GET /v1/invoices."""
    given = lists.existing(context, "customer", "subscription")
    where = {
        "customer": given["customer"],
        SUBSCRIPTION: given["subscription"],
        "status": context.parameters.get("status"),
    }
    return lists.page(context, KIND, URL, where)


def list_lines(context: Context) -> Body:
    """GET /v1/invoices/<id>/lines."""
    lines: Body = context.named(KIND, "invoice")["lines"]
    return lines


def finalize(context: Context) -> Body:
    """POST /v1/invoices/<id>/finalize."""
    return invoicing.finalize(context, context.named(KIND, "invoice"))


def pay(context: Context) -> Body | Reply:
    """POST /v1/invoices/<id>/pay."""
    given = context.parameters
    is_off_session = given.get("off_session", True)
    invoice = context.named(KIND, "invoice")
    if invoice["status"] == "paid":
        raise invoicing.paid_already()
    method = given.get("payment_method")
    return invoicing.collect(context, invoice, method, is_off_session=is_off_session)


def void(context: Context) -> Body:
    """POST /v1/invoices/<id>/void. Without its first invoice a subscription does not begin."""
    invoice = invoicing.void(context, context.named(KIND, "invoice"))
    subscription = invoice_bodies.subscription_of(context, invoice)
    if subscription["status"] == "incomplete":
        billing.expire(context, subscription)
    return invoice


def mark_uncollectible(context: Context) -> Body:
    """POST /v1/invoices/<id>/mark_uncollectible."""
    return invoicing.write_off(context, context.named(KIND, "invoice"))


def retrieve_payment(context: Context) -> Body:
    """GET /v1/invoice_payments/<id>."""
    return context.named(PAYMENT_KIND, "payment")


def list_payments(context: Context) -> Body:
    """GET /v1/invoice_payments."""
    given = context.parameters
    where = {
        **lists.existing(context, "invoice"),
        "payment.payment_intent": given.get("payment", {}).get("payment_intent"),
        "status": given.get("status"),
    }
    return lists.page(context, PAYMENT_KIND, PAYMENTS_URL, where)


NAMED = f"{URL}/<invoice>"
OPERATIONS = (
    Operation(
        "GET",
        URL,
        list_invoices,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "customer": forms.text,
            "status": forms.choice("draft", "open", "paid", "uncollectible", "void"),
            "subscription": forms.text,
        },
    ),
    Operation("GET", NAMED, retrieve),
    Operation("GET", f"{NAMED}/lines", list_lines, {"limit": forms.integer}),
    Operation("POST", f"{NAMED}/finalize", finalize, {"auto_advance": forms.boolean}),
    Operation(
        "POST",
        f"{NAMED}/pay",
        pay,
        {"off_session": forms.boolean, "payment_method": forms.text},
    ),
    Operation("POST", f"{NAMED}/void", void),
    Operation("POST", f"{NAMED}/mark_uncollectible", mark_uncollectible),
    Operation(
        "GET",
        PAYMENTS_URL,
        list_payments,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "invoice": forms.text,
            "payment": forms.hash_of(
                {"payment_intent": forms.text, "type": forms.choice("payment_intent")}, ("type",)
            ),
            "status": forms.choice("canceled", "open", "paid"),
        },
    ),
    Operation("GET", f"{PAYMENTS_URL}/<payment>", retrieve_payment),
)
