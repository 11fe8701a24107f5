"""The sandbox's subscriptions, by the official client: prices, the page, trials, renewals."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import stripe

from api.sandbox import periods
from tests.sandboxes import Shop, open_shop, refusal
from tests.subscribers import (
    CARD,
    DAY,
    DECLINED,
    MONTH,
    again,
    amounts,
    events_after,
    inline,
    invoices_of,
    item,
    opened,
    pass_time,
    period,
    subscribed,
)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


@pytest.mark.parametrize(
    ("anchor", "recurring", "number", "expected"),
    [
        ("2026-01-31", MONTH, 1, "2026-02-28"),
        ("2026-01-31", MONTH, 2, "2026-03-31"),
        ("2026-01-31", MONTH, 13, "2027-02-28"),
        ("2028-02-29", {"interval": "year", "interval_count": 1}, 1, "2029-02-28"),
        ("2028-02-29", {"interval": "year", "interval_count": 1}, 4, "2032-02-29"),
        ("2026-11-21", {"interval": "week", "interval_count": 2}, 2, "2026-12-19"),
        ("2026-11-21", {"interval": "month", "interval_count": 3}, 1, "2027-02-21"),
    ],
)
def test_periods_are_counted_from_one_anchor(
    anchor: str, recurring: dict[str, Any], number: int, expected: str
) -> None:
    def seconds(day: str) -> int:
        return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())

    assert periods.boundary(seconds(anchor), recurring, number) == seconds(expected)
    assert periods.end_after(seconds(anchor), recurring, seconds(expected) - 1) == seconds(expected)
    assert periods.end_after(seconds(anchor), recurring, seconds(expected)) > seconds(expected)


def test_products_and_prices(shop: Shop) -> None:
    product = shop.api.products.create({"name": "Premium", "metadata": {"plan": "premium"}})
    price = shop.api.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": 1499,
            "recurring": {"interval": "month"},
            "lookup_key": "premium",
        }
    )
    assert (price.type, price.recurring.interval, price.active) == ("recurring", "month", True)
    assert shop.api.products.retrieve(product.id).metadata["plan"] == "premium"
    shop.api.products.update(product.id, {"name": "Premium +"})
    found = shop.api.prices.list({"lookup_keys": ["premium"], "expand": ["data.product"]}).data
    assert [each.product.name for each in found] == ["Premium +"]
    opened(shop)  # makes another of each by the way, which is not for sale
    assert [each.id for each in shop.api.prices.list({"active": True}).data] == [price.id]
    assert len(shop.api.prices.list({"type": "recurring"}).data) == 2
    assert [each.name for each in shop.api.products.list({"active": False}).data] == ["Basic"]
    shop.api.prices.update(price.id, {"active": False})
    error = refusal(opened, shop, price)
    assert (error.http_status, error.param) == (400, "line_items[0][price]")


def test_somebody_subscribes(shop: Shop) -> None:
    session = opened(shop)
    assert (session.mode, session.amount_total, session.payment_status) == (
        "subscription",
        499,
        "unpaid",
    )
    assert (session.subscription, session.payment_intent, session.invoice) == (None, None, None)
    before = len(shop.event_types())
    shop.control(f"/checkout/sessions/{session.id}/pay")
    assert events_after(shop, before) == [
        "invoice.created",
        "customer.subscription.created",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "payment_method.attached",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "checkout.session.completed",
    ]
    done = shop.api.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status, done.payment_intent) == ("complete", "paid", None)

    subscription = shop.api.subscriptions.retrieve(done.subscription)
    assert (subscription.status, subscription.customer) == ("active", session.customer)
    assert subscription.metadata.to_dict() == {"plan_id": "p1", "user_id": "u1"}
    assert subscription.latest_invoice == done.invoice
    assert "current_period_end" not in subscription
    start, end = period(subscription)
    assert start == subscription.billing_cycle_anchor
    assert end == periods.boundary(start, MONTH, 1)

    invoice = shop.api.invoices.retrieve(done.invoice)
    assert (invoice.status, invoice.billing_reason) == ("paid", "subscription_create")
    assert (invoice.amount_due, invoice.amount_paid, invoice.amount_remaining) == (499, 499, 0)
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert invoice.parent.subscription_details.metadata["user_id"] == "u1"
    assert not {"payment_intent", "charge", "subscription", "payments"} & set(invoice.to_dict())
    (line,) = invoice.lines.data
    assert (line.period.start, line.period.end) == (start, end)
    assert line.pricing.price_details.price == item(subscription).price.id
    assert line.parent.subscription_item_details.subscription_item == item(subscription).id
    assert line.metadata["plan_id"] == "p1"


def test_what_is_shown_whole(shop: Shop) -> None:
    subscription = subscribed(shop)
    paths = ["items.data.price.product", "customer"]
    whole = shop.api.subscriptions.retrieve(subscription.id, {"expand": paths})
    assert item(whole).price.product.name == "Basic"
    assert whole.customer.email == "ann@example.com"
    by_intent = "payments.data.payment.payment_intent"
    invoice = shop.api.invoices.retrieve(subscription.latest_invoice, {"expand": [by_intent]})
    (payment,) = invoice.payments.data
    intent = payment.payment.payment_intent
    assert (payment.status, payment.amount_paid, intent.amount_received) == ("paid", 499, 499)
    found = shop.api.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": intent.id}}
    ).data
    assert [each.invoice for each in found] == [invoice.id]
    charge = shop.api.charges.retrieve(intent.latest_charge)
    assert (charge.amount, charge.metadata.to_dict()) == (499, {})
    assert shop.balance() == shop.lines_sum() == 455
    error = refusal(shop.api.subscriptions.retrieve, subscription.id, {"expand": ["items"]})
    assert error.param == "expand"


def test_lists(shop: Shop) -> None:
    first, second = subscribed(shop), subscribed(shop)
    shop.api.subscriptions.cancel(second.id)

    def found(**filters: Any) -> list[str]:
        return [each.id for each in shop.api.subscriptions.list(filters).data]

    assert found() == [first.id]
    assert found(status="all") == [second.id, first.id]
    assert found(status="ended") == found(status="canceled") == [second.id]
    assert found(customer=first.customer, price=item(first).price.id) == [first.id]
    assert found(customer=first.customer, status="past_due") == []
    assert len(shop.api.invoices.list({"customer": second.customer, "status": "paid"}).data) == 1
    assert shop.api.invoices.list({"status": "open"}).data == []
    error = refusal(shop.api.invoices.list, {"subscription": "sub_no"})
    assert (error.code, error.param) == ("resource_missing", "subscription")


def test_a_declined_card_is_replaced_on_the_page(shop: Shop) -> None:
    session = opened(shop)
    path = f"/pay/{session.id}"
    page = shop.raw("GET", path).text
    assert "Subscribe and pay $4.99" in page
    assert "$4.99 every month" in page
    assert shop.raw("POST", path, data={**DECLINED, "method": "card"}).status_code == 402
    (subscription,) = shop.api.subscriptions.list().data
    assert subscription.status == "incomplete"
    assert "invoice.payment_failed" in shop.event_types()
    assert shop.api.checkout.sessions.retrieve(session.id).subscription is None

    paid = shop.raw("POST", path, data={**CARD, "method": "card"})
    assert paid.headers["Location"].startswith("http://shop.test/done")
    assert [each.id for each in shop.api.subscriptions.list().data] == [subscription.id]
    assert again(shop, subscription).status == "active"
    (invoice,) = invoices_of(shop, subscription)
    assert (invoice.status, invoice.attempt_count) == ("paid", 2)
    assert shop.balance() == 455


def test_a_bank_that_asked_once_does_not_ask_again(shop: Shop) -> None:
    session = opened(shop)
    card = {**CARD, "number": "4000002500003155", "method": "card"}
    asked = shop.raw("POST", f"/pay/{session.id}", data=card)
    assert asked.headers["Location"] == f"/pay/{session.id}/authenticate"
    assert shop.event_types()[-1] == "invoice.payment_action_required"
    no = shop.raw("POST", asked.headers["Location"], data={"outcome": "failed"})
    assert no.status_code == 402
    shop.raw("POST", f"/pay/{session.id}", data=card)
    shop.raw("POST", asked.headers["Location"], data={"outcome": "succeeded"})
    (subscription,) = shop.api.subscriptions.list().data
    assert subscription.status == "active"
    shop.control(f"/subscriptions/{subscription.id}/renew")
    assert again(shop, subscription).latest_invoice.status == "paid"


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "active"), ("failed", "past_due")])
def test_a_bank_debit_is_enough_to_begin(shop: Shop, outcome: str, status: str) -> None:
    subscription = subscribed(shop, method="pm_usBankAccount")
    assert subscription.status == "active"
    (invoice,) = invoices_of(shop, subscription)
    assert invoice.status == "open"
    (intent,) = shop.api.payment_intents.list().data
    shop.control(f"/payment_intents/{intent.id}/settle", {"outcome": outcome})
    assert again(shop, subscription).status == status
    assert f"checkout.session.async_payment_{outcome}" in shop.event_types()


@pytest.mark.parametrize("how", ["session expires", "time passes"])
def test_who_never_pays_has_nothing(shop: Shop, how: str) -> None:
    session = opened(shop)
    shop.raw("POST", f"/pay/{session.id}", data={**DECLINED, "method": "card"})
    (subscription,) = shop.api.subscriptions.list().data
    if how == "session expires":
        shop.api.checkout.sessions.expire(session.id)
    else:
        pass_time(shop, 23 * 3600)
    ended = again(shop, subscription)
    assert (ended.status, ended.latest_invoice.status) == ("incomplete_expired", "void")
    (intent,) = shop.api.payment_intents.list().data
    assert intent.status == "canceled"
    assert shop.balance() == 0


def test_a_trial_is_paid_when_it_ends(shop: Shop) -> None:
    trial = {"trial_period_days": 14, "metadata": {"plan_id": "p1"}}
    session = opened(shop, subscription_data=trial)
    assert (session.amount_total, session.payment_status) == (0, "no_payment_required")
    page = f"/pay/{session.id}"
    assert "Start the free trial" in shop.raw("GET", page).text
    assert shop.raw("POST", page, data={**DECLINED, "method": "card"}).status_code == 402
    assert shop.raw("POST", page, data={**CARD, "method": "card"}).status_code == 303
    assert "free trial has begun" in shop.raw("GET", page).text

    (subscription,) = shop.api.subscriptions.list().data
    trial_end = subscription.trial_end
    assert (subscription.status, period(subscription)[1]) == ("trialing", trial_end)
    (first,) = invoices_of(shop, subscription)
    assert (first.status, first.amount_paid, amounts(first)) == ("paid", 0, [0])
    assert shop.api.payment_intents.list().data == []

    pass_time(shop, 11 * DAY + 60)
    assert shop.event_types()[-1] == "customer.subscription.trial_will_end"
    pass_time(shop, 3 * DAY)
    now = again(shop, subscription)
    assert (now.status, now.billing_cycle_anchor) == ("active", trial_end)
    assert period(now) == (trial_end, periods.boundary(trial_end, MONTH, 1))
    assert (now.latest_invoice.amount_paid, shop.balance()) == (499, 455)
    assert shop.event_types().count("customer.subscription.trial_will_end") == 1


def test_a_trial_that_nobody_pays_for(shop: Shop) -> None:
    subscription = subscribed(
        shop, method="pm_card_chargeCustomerFail", subscription_data={"trial_period_days": 2}
    )
    assert "customer.subscription.trial_will_end" in shop.event_types()
    pass_time(shop, 2 * DAY)
    late = again(shop, subscription)
    assert (late.status, late.latest_invoice.status) == ("past_due", "open")
    ended = shop.api.subscriptions.update(
        subscribed(shop, subscription_data={"trial_period_days": 9}).id, {"trial_end": "now"}
    )
    assert ended.status == "active"


def test_every_period_that_passes_is_paid(shop: Shop) -> None:
    subscription = subscribed(shop)
    start, end = period(subscription)
    third = periods.boundary(start, MONTH, 3)
    pass_time(shop, third - start)
    found = invoices_of(shop, subscription)
    assert [each.billing_reason for each in found] == [
        "subscription_create",
        *["subscription_cycle"] * 3,
    ]
    times = [(each.lines.data[0].period.start, each.lines.data[0].period.end) for each in found]
    assert times[0] == (start, end)
    assert all(one[1] == two[0] for one, two in pairwise(times))
    assert times[-1] == (third, periods.boundary(start, MONTH, 4))
    assert period(again(shop, subscription)) == times[-1]
    assert len({each.number for each in found}) == 4
    assert all(each.hosted_invoice_url.startswith(shop.sandbox.url) for each in found)
    assert shop.balance() == shop.lines_sum() == 4 * 455
    pass_time(shop, 60)
    assert len(invoices_of(shop, subscription)) == 4


def test_a_lost_answer_makes_one_page_and_one_price(shop: Shop) -> None:
    customer = shop.api.customers.create({})
    given = {
        "mode": "subscription",
        "customer": customer.id,
        "success_url": "http://shop.test/",
        "line_items": [inline()],
    }
    create = shop.api.checkout.sessions.create
    options = {"idempotency_key": "once"}
    shop.fault("/v1/checkout/sessions", "lost_reply")
    with pytest.raises(stripe.APIConnectionError):
        create(given, options)
    first, second = create(given, options), create(given, options)
    assert first.id == second.id
    assert len(shop.api.prices.list({}).data) == len(shop.api.checkout.sessions.list().data) == 1


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"line_items": []}, "line_items"),
        ({"line_items": [inline(), inline("Two")]}, "line_items"),
        ({"line_items": [{"price": "price_no"}]}, "line_items[0][price]"),
        ({"line_items": [{"quantity": 1}]}, "line_items[0][price]"),
        ({"line_items": [inline(cents=20)]}, "line_items"),
        ({"mode": "payment"}, "mode"),
        ({"payment_intent_data": {"description": "x"}}, "mode"),
        ({"subscription_data": {"trial_period_days": 1, "trial_end": 9}}, "subscription_data"),
        ({"subscription_data": {"trial_end": 9}}, "subscription_data[trial_end]"),
    ],
)
def test_pages_that_are_refused(shop: Shop, changes: dict[str, Any], param: str) -> None:
    error = refusal(lambda: opened(shop, **changes))
    assert (error.http_status, error.param) == (400, param)
