"""What the tests of the sandbox's subscriptions share: somebody subscribes, and time passes."""

from typing import Any

import stripe

from tests.sandboxes import Shop

DAY = 24 * 3600
MONTH = {"interval": "month", "interval_count": 1}
CARD = {"number": "4242 4242 4242 4242", "expiry": "12/34", "code": "123"}
DECLINED = {**CARD, "number": "4000000000000002"}


def price_of(shop: Shop, name: str, cents: int, interval: str = "month", **more: Any) -> Any:
    """A price for sale, of a product of its own."""
    given = {"currency": "usd", "unit_amount": cents, "recurring": {"interval": interval}}
    return shop.api.prices.create({**given, "product_data": {"name": name}, **more})


def inline(name: str = "Basic", cents: int = 499) -> dict[str, Any]:
    return {
        "price_data": {
            "currency": "usd",
            "unit_amount": cents,
            "recurring": {"interval": "month"},
            "product_data": {"name": name},
        },
        "quantity": 1,
    }


def opened(shop: Shop, price: Any = None, **changes: Any) -> Any:
    """A page on which somebody new can subscribe."""
    customer = shop.api.customers.create({"email": "ann@example.com"})
    marks = {"plan_id": "p1", "user_id": "u1"}
    session = {
        "mode": "subscription",
        "customer": customer.id,
        "success_url": "http://shop.test/done?session_id={CHECKOUT_SESSION_ID}",
        "line_items": [inline() if price is None else {"price": price.id, "quantity": 1}],
        "metadata": marks,
        "subscription_data": {"metadata": marks},
    }
    return shop.api.checkout.sessions.create({**session, **changes})


def subscribed(
    shop: Shop, price: Any = None, method: str = "pm_card_visa", **changes: Any
) -> stripe.Subscription:
    """Somebody who has subscribed."""
    session = opened(shop, price, **changes)
    shop.control(f"/checkout/sessions/{session.id}/pay", {"payment_method": method})
    done = shop.api.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert done.status == "complete"
    subscription: stripe.Subscription = done.subscription
    return subscription


def again(shop: Shop, subscription: Any) -> Any:
    return shop.api.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})


def item(subscription: Any) -> Any:
    return subscription["items"].data[0]


def period(subscription: Any) -> tuple[int, int]:
    only = item(subscription)
    return only.current_period_start, only.current_period_end


def pass_time(shop: Shop, seconds: int) -> None:
    shop.control("/clock", {"advance_seconds": seconds})


def to_middle(shop: Shop, subscription: Any) -> None:
    """Exactly half of the period is over, to the second or two that the test takes."""
    start, end = period(subscription)
    pass_time(shop, (end - start) // 2)


def invoices_of(shop: Shop, subscription: Any) -> list[Any]:
    """A subscription's invoices, the oldest first."""
    found = shop.api.invoices.list({"subscription": subscription.id, "limit": 100}).data
    return list(reversed(found))


def amounts(invoice: Any) -> list[int]:
    return [line.amount for line in invoice.lines.data]


def events_after(shop: Shop, count: int) -> list[str]:
    return shop.event_types()[count:]


def change(shop: Shop, subscription: Any, price: Any, **more: Any) -> Any:
    items = [{"id": item(subscription).id, "price": price.id}]
    shop.api.subscriptions.update(subscription.id, {"items": items, **more})
    return again(shop, subscription)


def portal_of(shop: Shop, subscription: Any) -> str:
    given = {"customer": subscription.customer, "return_url": "http://shop.test/account"}
    url: str = shop.api.billing_portal.sessions.create(given).url
    assert url.startswith(f"{shop.sandbox.url}/portal/bps_")
    return url.removeprefix(shop.sandbox.url)
