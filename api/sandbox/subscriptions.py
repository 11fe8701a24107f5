"""/v1/subscriptions: what checkout sessions in the mode `subscription` have begun.

One price each, paid by itself at the beginning of every period.
"""

from typing import Any

from api.sandbox import billing, forms, lists, payment_methods, price_changes, prices
from api.sandbox import subscription_bodies as bodies
from api.sandbox.context import Context
from api.sandbox.errors import invalid, refused
from api.sandbox.operations import Operation, Reply
from api.sandbox.store import Body
from api.sandbox.subscription_bodies import KIND

URL = "/v1/subscriptions"
STATUSES = (
    "active",
    "canceled",
    "incomplete",
    "incomplete_expired",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
)
ENDED = ("canceled", "incomplete_expired")
FEEDBACK = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)


def time_or_none(value: Any, name: str) -> int | None:
    """A time; empty takes it away."""
    return None if value == "" else forms.integer(value, name)


def pause_of_collection(value: Any, name: str) -> Body | None:
    """How invoices are dealt with that nobody is to pay; empty goes on collecting."""
    if value == "":
        return None
    behaviours = forms.choice("keep_as_draft", "mark_uncollectible", "void")
    schema = {"behavior": behaviours, "resumes_at": forms.integer}
    given = forms.hash_of(schema, ("behavior",))(value, name)
    return {"behavior": given["behavior"], "resumes_at": given.get("resumes_at")}


DETAILS = forms.hash_of({"comment": forms.text, "feedback": forms.choice(*FEEDBACK)})
ITEM = forms.hash_of(
    {
        "id": forms.text,
        "price": forms.text,
        "price_data": prices.DATA,
        "quantity": forms.integer,
    }
)


def retrieve(context: Context) -> Body:
    """GET /v1/subscriptions/<id>."""
    return context.named(KIND, "subscription")


def list_subscriptions(context: Context) -> Body:
    """GET /v1/subscriptions: without a status those that are not canceled."""
    given = context.parameters
    status = given.get("status")
    where = {**lists.existing(context, "customer"), "items.data[0].price.id": given.get("price")}
    excluded: tuple[str, ...] = ()
    if status is None:
        excluded = ("canceled",)
    elif status == "ended":
        excluded = tuple(each for each in STATUSES if each not in ENDED)
    elif status != "all":
        excluded = tuple(each for each in STATUSES if each != status)
    marks = ", ".join("?" * len(excluded))
    condition = f" and json_extract(body, '$.status') not in ({marks})"
    return lists.page(context, KIND, URL, where, (condition, excluded))


def update(context: Context) -> Body | Reply:
    """POST /v1/subscriptions/<id>."""
    subscription = _living(context)
    given = context.parameters
    changes: Body = {
        name: given[name] for name in ("description", "pause_collection") if name in given
    }
    if given.get("default_payment_method"):
        method = payment_methods.resolve(context, given["default_payment_method"])
        context.change(method, customer=subscription["customer"])
        changes["default_payment_method"] = method["id"]
    if "metadata" in given:
        changes["metadata"] = forms.merged(subscription["metadata"], given["metadata"])
    changes.update(_cancellation(context, subscription))
    changes.update(_trial(context, subscription))
    billing.change(context, subscription, **changes)
    if given.get("trial_end") == "now":
        subscription = billing.renew(context, subscription)
    if "items" not in given:
        return subscription
    done = _change_items(context, subscription)
    if given.get("payment_behavior") == "error_if_incomplete":
        return price_changes.require_paid(done)
    return billing.again(context, subscription)


def _living(context: Context) -> Body:
    subscription = context.named(KIND, "subscription")
    if subscription["status"] in ENDED:
        raise refused(f"This subscription has ended: it is {subscription['status']}.")
    return subscription


def _cancellation(context: Context, subscription: Body) -> Body:
    """When it is to end, and why; or that it is not."""
    given = context.parameters
    details = {**subscription["cancellation_details"], **given.get("cancellation_details", {})}
    if "cancel_at" in given and "cancel_at_period_end" in given:
        raise invalid("Send cancel_at or cancel_at_period_end, not both.", "cancel_at")
    if "cancel_at" in given:
        return cancellation(context, given["cancel_at"], details)
    if "cancel_at_period_end" not in given:
        return {"cancellation_details": details} if "cancellation_details" in given else {}
    if not given["cancel_at_period_end"]:
        return cancellation(context, None, details)
    end = bodies.item_of(subscription)["current_period_end"]
    return {**cancellation(context, end, details), "cancel_at_period_end": True}


def cancellation(context: Context, end: int | None, details: Body) -> Body:
    """What changes when a subscription is to end then, or is not to end any more."""
    if end is not None and end <= context.now():
        raise invalid("cancel_at must be in the future.", "cancel_at")
    reason = None if end is None else "cancellation_requested"
    return {
        "cancel_at": end,
        "cancel_at_period_end": False,
        "canceled_at": None if end is None else context.now(),
        "cancellation_details": {**details, "reason": reason},
    }


def _trial(context: Context, subscription: Body) -> Body:
    """A trial that ends at another time than it would have: now, say."""
    trial_end = context.parameters.get("trial_end")
    if trial_end is None:
        return {}
    if subscription["status"] != "trialing":
        raise refused("Only the end of a trial that is under way can be moved.", param="trial_end")
    moment = context.now() if trial_end == "now" else trial_end
    if moment < context.now():
        raise invalid("trial_end must not be in the past.", "trial_end")
    only = bodies.item_of(subscription)
    period = (only["current_period_start"], moment)
    return {
        "billing_cycle_anchor": moment,
        "items": bodies.with_item(subscription, only["price"], only["quantity"], period),
        "trial_end": moment,
    }


def trial_end(value: Any, name: str) -> int | str:
    """A time, or `now`."""
    return "now" if value == "now" else forms.integer(value, name)


def _change_items(context: Context, subscription: Body) -> Body | Reply:
    given = context.parameters
    items = given["items"]
    only = bodies.item_of(subscription)
    if len(items) != 1:
        raise invalid("The sandbox's subscriptions have one item each.", "items")
    wanted = items[0]
    if wanted.get("id") != only["id"]:
        # Without the id Stripe would add a second item beside the first.
        raise invalid(f"items[0][id] must be that of its item: {only['id']}.", "items[0][id]")
    price = only["price"]
    if wanted.get("price") != price["id"] and (wanted.get("price") or wanted.get("price_data")):
        price = prices.chosen(context, wanted, "items[0]")
    return price_changes.change_price(
        context,
        subscription,
        price,
        wanted.get("quantity", only["quantity"]),
        given.get("proration_behavior") or price_changes.CREATE_PRORATIONS,
    )


def cancel(context: Context) -> Body:
    """DELETE /v1/subscriptions/<id>: it ends now, and nothing is given back."""
    subscription = context.named(KIND, "subscription")
    return billing.end(context, subscription, **context.parameters.get("cancellation_details", {}))


def pause(context: Context) -> Body:
    """POST /v1/subscriptions/<id>/pause."""
    return billing.pause(context, context.named(KIND, "subscription"))


def resume(context: Context) -> Body:
    """POST /v1/subscriptions/<id>/resume."""
    anchor = context.parameters.get("billing_cycle_anchor", {})
    keeps = anchor.get("type") == "unchanged"
    return billing.resume(context, context.named(KIND, "subscription"), keeps_anchor=keeps)


def list_for(context: Context, customer_id: str) -> list[Body]:
    """A customer's subscriptions that have not ended, the oldest first."""
    found = context.store.newest(KIND, lists.LARGEST_LIMIT, customer=customer_id)
    return [each for each in reversed(found) if each["status"] not in ENDED]


NAMED = f"{URL}/<subscription>"
OPERATIONS = (
    Operation(
        "GET",
        URL,
        list_subscriptions,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "customer": forms.text,
            "price": forms.text,
            "status": forms.choice("all", "ended", *STATUSES),
        },
    ),
    Operation("GET", NAMED, retrieve),
    Operation(
        "POST",
        NAMED,
        update,
        {
            "cancel_at": time_or_none,
            "cancel_at_period_end": forms.boolean,
            "cancellation_details": DETAILS,
            "default_payment_method": forms.text,
            "description": forms.text,
            "items": forms.list_of(ITEM),
            "metadata": forms.metadata,
            "pause_collection": pause_of_collection,
            "payment_behavior": forms.choice("allow_incomplete", "error_if_incomplete"),
            "proration_behavior": forms.choice(*price_changes.BEHAVIOURS),
            "trial_end": trial_end,
        },
    ),
    Operation("DELETE", NAMED, cancel, {"cancellation_details": DETAILS}),
    Operation("POST", f"{NAMED}/pause", pause, {"type": forms.choice("subscription")}),
    Operation(
        "POST",
        f"{NAMED}/resume",
        resume,
        {
            "billing_cycle_anchor": forms.hash_of(
                {"type": forms.choice("now", "unchanged")}, ("type",)
            ),
            "proration_behavior": forms.choice("none"),
        },
    ),
)
