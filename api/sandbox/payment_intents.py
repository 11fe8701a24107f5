"""/v1/payment_intents."""

from api.sandbox import forms, lists, payments
from api.sandbox.context import Context
from api.sandbox.errors import invalid, refused
from api.sandbox.operations import Operation, Reply
from api.sandbox.store import Body

KIND = "payment_intent"
URL = "/v1/payment_intents"
METHOD_TYPES = ("card", "us_bank_account")
KEPT = (
    "description",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
AUTOMATIC = {"enabled": True, "allow_redirects": "always"}

CONFIRMING: forms.Schema = {
    "off_session": forms.boolean,
    "payment_method": forms.text,
    "receipt_email": forms.text,
    "return_url": forms.url,
    "setup_future_usage": forms.choice("off_session", "on_session"),
    "use_stripe_sdk": forms.boolean,
}
DESCRIBING: forms.Schema = {
    "description": forms.text,
    "metadata": forms.metadata,
    "receipt_email": forms.text,
    "statement_descriptor": forms.text,
    "statement_descriptor_suffix": forms.text,
    "transfer_group": forms.text,
}


def create(context: Context) -> Body | Reply:
    """POST /v1/payment_intents."""
    given = dict(context.parameters)
    customer = context.given("customer", "customer")["id"] if given.get("customer") else None
    confirms = given.get("confirm", False)
    if not confirms and "off_session" in given:
        raise invalid("off_session can only be sent with confirm=true.", "off_session")
    types = given.get("payment_method_types")
    automatic = None if types else AUTOMATIC
    if "automatic_payment_methods" in given:
        if types:
            raise invalid(
                "Send automatic_payment_methods or payment_method_types, not both.",
                "payment_method_types",
            )
        automatic = {**AUTOMATIC, **given["automatic_payment_methods"]}
        if not automatic["enabled"]:
            automatic, types = None, ["card"]
    intent = payments.start(
        context,
        given["amount"],
        given["currency"],
        payment_method=given.get("payment_method"),
        automatic_payment_methods=automatic,
        customer=customer,
        metadata=forms.merged({}, given.get("metadata", {})),
        payment_method_types=types or list(METHOD_TYPES),
        **{name: given.get(name) for name in KEPT},
    )
    if not confirms:
        return intent
    return payments.confirm(context, intent, is_off_session=given.get("off_session", False))


def retrieve(context: Context) -> Body:
    """GET /v1/payment_intents/<id>. The client secret is shown, for the caller has the key."""
    return context.named(KIND, "intent", "intent")


def update(context: Context) -> Body:
    """POST /v1/payment_intents/<id>."""
    intent = context.named(KIND, "intent", "intent")
    changes = dict(context.parameters)
    if "metadata" in changes:
        changes["metadata"] = forms.merged(intent["metadata"], changes["metadata"])
    if "amount" in changes:
        payments.require_state(intent, payments.CONFIRMABLE, "change the amount of")
    context.change(intent, **changes)
    return intent


def confirm(context: Context) -> Body | Reply:
    """POST /v1/payment_intents/<id>/confirm."""
    intent = _own(context, "confirm")
    given = context.parameters
    if "receipt_email" in given:
        context.change(intent, receipt_email=given["receipt_email"])
    return payments.confirm(
        context,
        intent,
        given.get("payment_method"),
        is_off_session=given.get("off_session", False),
    )


def cancel(context: Context) -> Body:
    """POST /v1/payment_intents/<id>/cancel."""
    intent = _own(context, "cancel")
    if intent.get("_invoice") is not None:
        raise refused(
            f"You cannot cancel the PaymentIntent of an invoice: void {intent['_invoice']}.",
            code=payments.UNEXPECTED_STATE,
        )
    return payments.cancel(context, intent, context.parameters.get("cancellation_reason"))


def _own(context: Context, verb: str) -> Body:
    """The intent that the URL names, unless a checkout session looks after it."""
    intent = context.named(KIND, "intent", "intent")
    if intent["_session"] is not None and intent["status"] in payments.CONFIRMABLE:
        raise refused(
            f"You cannot {verb} the PaymentIntent of a Checkout Session. "
            "To end it, expire the session.",
            code=payments.UNEXPECTED_STATE,
        )
    return intent


def list_intents(context: Context) -> Body:
    """GET /v1/payment_intents."""
    return lists.page(context, KIND, URL, lists.existing(context, "customer"))


OPERATIONS = (
    Operation(
        "POST",
        URL,
        create,
        {
            **CONFIRMING,
            **DESCRIBING,
            "amount": forms.charge_amount,
            "automatic_payment_methods": forms.hash_of(
                {
                    "allow_redirects": forms.choice("always", "never"),
                    "enabled": forms.boolean,
                },
                ("enabled",),
            ),
            "capture_method": forms.choice("automatic", "automatic_async"),
            "confirm": forms.boolean,
            "currency": forms.currency,
            "customer": forms.text,
            "payment_method_types": forms.list_of(forms.choice(*METHOD_TYPES)),
        },
        ("amount", "currency"),
    ),
    Operation("GET", URL, list_intents, {**lists.PAGE, **lists.BY_CREATED, "customer": forms.text}),
    Operation("GET", f"{URL}/<intent>", retrieve, {"client_secret": forms.text}),
    Operation("POST", f"{URL}/<intent>", update, {**DESCRIBING, "amount": forms.charge_amount}),
    Operation("POST", f"{URL}/<intent>/confirm", confirm, CONFIRMING),
    Operation(
        "POST",
        f"{URL}/<intent>/cancel",
        cancel,
        {
            "cancellation_reason": forms.choice(
                "abandoned", "duplicate", "fraudulent", "requested_by_customer"
            )
        },
    ),
)
