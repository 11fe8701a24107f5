"""What a subscription looks like. The period stands in its item, as it does today."""

from dataclasses import dataclass, field

from api.sandbox import periods, prices
from api.sandbox.context import Context
from api.sandbox.invoice_bodies import Piece
from api.sandbox.store import Body, new_id

KIND = "subscription"
LIVING = ("active", "incomplete", "past_due", "paused", "trialing", "unpaid")
RUNNING = ("active", "past_due", "trialing", "unpaid")
CARD_ONLY = ("card",)


@dataclass(frozen=True)
class Terms:
    """What somebody subscribes to."""

    customer: str
    price: Body
    quantity: int = 1
    trial_end: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    description: str | None = None
    billing_mode: str = "flexible"
    session: str | None = None
    method_types: tuple[str, ...] = CARD_ONLY


def make(context: Context, terms: Terms) -> Body:
    """A new subscription, kept: in its trial, or incomplete until the first invoice is paid."""
    now = context.now()
    anchor = now if terms.trial_end is None else terms.trial_end
    subscription_id = new_id("sub")
    period_end = periods.end_after(anchor, terms.price["recurring"], now)
    first = item(subscription_id, terms.price, terms.quantity, (now, period_end))
    is_flexible = terms.billing_mode == "flexible"
    subscription: Body = {
        "id": subscription_id,
        "object": KIND,
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": None,
        "billing_mode": {
            "flexible": {"proration_discounts": "included"} if is_flexible else None,
            "type": terms.billing_mode,
            "updated_at": now if is_flexible else None,
        },
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": no_details(),
        "collection_method": "charge_automatically",
        "created": now,
        "currency": terms.price["currency"],
        "customer": terms.customer,
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": terms.description,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "items": items(subscription_id, first),
        "latest_invoice": None,
        "livemode": False,
        "metadata": terms.metadata,
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": list(terms.method_types),
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "incomplete" if terms.trial_end is None else "trialing",
        "status_details": None,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": terms.trial_end,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": None if terms.trial_end is None else now,
        "_base_url": context.base_url,
        "_invoiced_at": now,
        "_is_told_of_trial": False,
        "_payment_method_types": list(terms.method_types),
        "_pending": [],
        "_resumes_with": None,
        "_session": terms.session,
    }
    context.store.insert(subscription)
    return subscription


def item(
    subscription_id: str,
    price: Body,
    quantity: int,
    period: tuple[int, int],
    before: Body | None = None,
) -> Body:
    """What a subscription is for, and from when to when; `before` is the item that it replaces."""
    start, end = period
    return {
        "id": new_id("si", 14) if before is None else before["id"],
        "object": "subscription_item",
        "billed_until": end,
        "billing_thresholds": None,
        "created": start if before is None else before["created"],
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": {} if before is None else before["metadata"],
        "plan": prices.plan(price),
        "price": price,
        "quantity": quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }


def items(subscription_id: str, only: Body) -> Body:
    """The list inside a subscription; here it holds one item."""
    return {
        "object": "list",
        "data": [only],
        "has_more": False,
        "total_count": 1,
        "url": f"/v1/subscription_items?subscription={subscription_id}",
    }


def item_of(subscription: Body) -> Body:
    """The one item of a subscription."""
    found: Body = subscription["items"]["data"][0]
    return found


def with_item(subscription: Body, price: Body, quantity: int, period: tuple[int, int]) -> Body:
    """The list of items when the only one has become this."""
    before = item_of(subscription)
    return items(subscription["id"], item(subscription["id"], price, quantity, period, before))


def no_details() -> Body:
    """Nobody has canceled yet, or taken it back."""
    return {"comment": None, "feedback": None, "feedback_option": None, "reason": None}


def whole_period(context: Context, subscription: Body, *, is_trial: bool = False) -> Piece:
    """What the current period costs."""
    only = item_of(subscription)
    price, quantity = only["price"], only["quantity"]
    name = name_of(context, price)
    words = name if quantity == 1 else f"{name}, {quantity} times"
    return Piece(
        price=price,
        quantity=quantity,
        amount=0 if is_trial else price["unit_amount"] * quantity,
        start=only["current_period_start"],
        end=only["current_period_end"],
        description=f"Free trial of {words}" if is_trial else words,
    )


def name_of(context: Context, price: Body) -> str:
    """The name under which people know a price."""
    name: str = context.require("product", price["product"])["name"]
    return name


def every(price: Body) -> str:
    """How often a price is paid, in words."""
    recurring = price["recurring"]
    count, interval = recurring["interval_count"], recurring["interval"]
    return f"every {interval}" if count == 1 else f"every {count} {interval}s"
