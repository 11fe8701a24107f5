"""What becomes of the sandbox's subscriptions: overdue, changed, paused, canceled, refunded."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from api.sandbox import periods
from tests.sandboxes import Shop, open_shop, refusal
from tests.subscribers import (
    CARD,
    DAY,
    DECLINED,
    again,
    amounts,
    change,
    events_after,
    invoices_of,
    item,
    pass_time,
    period,
    portal_of,
    price_of,
    subscribed,
    to_middle,
)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


def test_a_payment_that_fails_and_is_tried_again(shop: Shop) -> None:
    subscription = subscribed(shop)
    before = len(shop.event_types())
    path = f"/subscriptions/{subscription.id}"
    shop.control(f"{path}/renew", {"outcome": "failed"})
    assert events_after(shop, before) == [
        "invoice.created",
        "customer.subscription.updated",
        "payment_intent.created",
        "invoice.finalized",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
        "customer.subscription.updated",
    ]
    late = again(shop, subscription)
    assert (late.status, late.latest_invoice.status) == ("past_due", "open")
    assert period(late)[0] == period(subscription)[1]
    assert (late.latest_invoice.amount_paid, late.latest_invoice.attempt_count) == (0, 1)
    declined = shop.raw("POST", f"/_sandbox{path}/pay_open", json={"outcome": "failed"})
    assert declined.status_code == 402
    assert shop.balance() == 455

    assert shop.control(f"{path}/pay_open")["status"] == "active"
    paid = again(shop, subscription).latest_invoice
    assert (paid.id, paid.status, paid.attempt_count) == (late.latest_invoice.id, "paid", 3)
    assert shop.balance() == 2 * 455
    assert shop.raw("POST", f"/_sandbox{path}/pay_open").status_code == 400
    assert refusal(shop.api.invoices.pay, paid.id).code == "invoice_already_paid"


def test_an_overdue_invoice_is_paid_on_its_page_and_the_card_is_kept(shop: Shop) -> None:
    subscription = subscribed(shop)
    failing = {"default_payment_method": "pm_card_chargeCustomerFail"}
    shop.api.subscriptions.update(subscription.id, failing)
    shop.control(f"/subscriptions/{subscription.id}/renew")
    url = again(shop, subscription).latest_invoice.hosted_invoice_url
    assert url.startswith(f"{shop.sandbox.url}/invoice/")
    page = url.removeprefix(shop.sandbox.url)
    assert "Pay $4.99" in shop.raw("GET", page).text
    assert shop.raw("POST", page, data={**CARD, "code": "x"}).status_code == 422
    assert shop.raw("POST", page, data=DECLINED).status_code == 402
    assert shop.raw("POST", page, data=CARD).status_code == 303
    assert "Paid" in shop.raw("GET", page).text
    assert again(shop, subscription).status == "active"
    shop.control(f"/subscriptions/{subscription.id}/renew")
    assert again(shop, subscription).latest_invoice.status == "paid"
    assert shop.raw("GET", "/invoice/hosted_no").status_code == 404


def test_canceled_at_the_end_of_the_period(shop: Shop) -> None:
    subscription = subscribed(shop)
    update = shop.api.subscriptions.update
    asked = update(subscription.id, {"cancel_at_period_end": True})
    assert (asked.status, asked.cancel_at) == ("active", period(subscription)[1])
    assert asked.cancellation_details.reason == "cancellation_requested"
    kept = update(subscription.id, {"cancel_at_period_end": False})
    assert (kept.cancel_at_period_end, kept.cancel_at, kept.canceled_at) == (False, None, None)
    update(subscription.id, {"cancel_at_period_end": True})
    pass_time(shop, period(subscription)[1] - period(subscription)[0])
    ended = again(shop, subscription)
    assert (ended.status, ended.canceled_at) == ("canceled", asked.canceled_at)
    assert ended.ended_at >= period(subscription)[1]
    assert shop.event_types()[-1] == "customer.subscription.deleted"
    assert len(invoices_of(shop, subscription)) == 1
    assert shop.balance() == 455


def test_canceled_at_once(shop: Shop) -> None:
    subscription = subscribed(shop)
    details = {"cancellation_details": {"feedback": "too_expensive"}}
    ended = shop.api.subscriptions.cancel(subscription.id, details)
    assert (ended.status, ended.cancellation_details.feedback) == ("canceled", "too_expensive")
    assert refusal(shop.api.subscriptions.cancel, subscription.id).http_status == 400
    assert refusal(shop.api.subscriptions.update, subscription.id, {}).http_status == 400
    pass_time(shop, 100 * DAY)
    assert len(invoices_of(shop, subscription)) == 1
    other = subscribed(shop)
    shop.api.customers.delete(other.customer)
    assert again(shop, other).status == "canceled"
    assert shop.event_types()[-2:] == ["customer.subscription.deleted", "customer.deleted"]


def test_a_dearer_price_is_reckoned_up_at_once(shop: Shop) -> None:
    basic, premium = price_of(shop, "Basic", 500), price_of(shop, "Premium", 1500)
    subscription = subscribed(shop, basic)
    to_middle(shop, subscription)
    now = change(shop, subscription, premium, proration_behavior="always_invoice")
    assert (item(now).price.id, period(now)) == (premium.id, period(subscription))
    invoice = now.latest_invoice
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert (amounts(invoice), invoice.amount_paid) == ([-250, 750], 500)
    old, new = invoice.lines.data
    assert (old.pricing.price_details.price, new.pricing.price_details.price) == (
        basic.id,
        premium.id,
    )
    assert old.parent.invoice_item_details.proration is True
    assert old.period.end == new.period.end == period(subscription)[1]
    update = shop.api.events.list({"type": "customer.subscription.updated"}).data[0]
    changed = update.data.previous_attributes.to_dict()["items"]["data"][0]
    assert changed["price"]["id"] == basic.id


@pytest.mark.parametrize(
    ("behaviour", "next_lines"), [("create_prorations", [-250, 750, 1500]), ("none", [1500])]
)
def test_a_dearer_price_waits_for_the_next_invoice(
    shop: Shop, behaviour: str, next_lines: list[int]
) -> None:
    basic, premium = price_of(shop, "Basic", 500), price_of(shop, "Premium", 1500)
    subscription = subscribed(shop, basic)
    to_middle(shop, subscription)
    change(shop, subscription, premium, proration_behavior=behaviour)
    assert len(invoices_of(shop, subscription)) == 1
    shop.control(f"/subscriptions/{subscription.id}/renew")
    assert amounts(again(shop, subscription).latest_invoice) == next_lines
    shop.control(f"/subscriptions/{subscription.id}/renew")
    assert amounts(again(shop, subscription).latest_invoice) == [1500]


def test_what_a_cheaper_price_leaves_pays_what_comes(shop: Shop) -> None:
    basic, premium = price_of(shop, "Basic", 500), price_of(shop, "Premium", 2500)
    subscription = subscribed(shop, premium)
    to_middle(shop, subscription)
    invoice = change(shop, subscription, basic, proration_behavior="always_invoice").latest_invoice
    assert (invoice.total, invoice.amount_due, invoice.status) == (-1000, 0, "paid")
    assert shop.api.customers.retrieve(subscription.customer).balance == -1000
    dues = []
    for _ in range(3):
        shop.control(f"/subscriptions/{subscription.id}/renew")
        dues.append(again(shop, subscription).latest_invoice.amount_paid)
    assert dues == [0, 0, 500]
    assert shop.api.customers.retrieve(subscription.customer).balance == 0


def test_another_interval_begins_a_new_period(shop: Shop) -> None:
    monthly, yearly = price_of(shop, "Month", 500), price_of(shop, "Year", 5000, "year")
    subscription = subscribed(shop, monthly)
    to_middle(shop, subscription)
    now = change(shop, subscription, yearly)
    assert amounts(now.latest_invoice) == [-250, 5000]
    start, end = period(now)
    assert start == now.billing_cycle_anchor > period(subscription)[0]
    assert end == periods.boundary(start, {"interval": "year", "interval_count": 1}, 1)


def test_a_change_that_is_not_paid(shop: Shop) -> None:
    basic, premium = price_of(shop, "Basic", 500), price_of(shop, "Premium", 1500)
    subscription = subscribed(shop, basic)
    failing = {"default_payment_method": "pm_card_chargeCustomerFail"}
    shop.api.subscriptions.update(subscription.id, failing)
    now = {"proration_behavior": "always_invoice"}
    only_if_paid = {**now, "payment_behavior": "error_if_incomplete"}
    before = len(shop.event_types())
    with pytest.raises(stripe.CardError) as caught:
        change(shop, subscription, premium, **only_if_paid)
    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    assert item(again(shop, subscription)).price.id == basic.id
    assert events_after(shop, before) == []
    late = change(shop, subscription, premium, **now)
    assert (late.status, item(late).price.id) == ("past_due", premium.id)


def test_changes_that_are_refused(shop: Shop) -> None:
    subscription = subscribed(shop)
    once = shop.api.prices.create(
        {"currency": "usd", "unit_amount": 500, "product_data": {"name": "Once"}}
    )
    euros = price_of(shop, "Euro", 500, currency="eur")
    for price, said in ((once, "recurring"), (euros, "currency")):
        with pytest.raises(stripe.InvalidRequestError, match=said):
            change(shop, subscription, price)
    without_id = {"items": [{"price": euros.id}]}
    error = refusal(shop.api.subscriptions.update, subscription.id, without_id)
    assert error.param == "items[0][id]"
    assert again(shop, subscription).status == "active"


def test_paused_and_resumed(shop: Shop) -> None:
    subscription = subscribed(shop)
    paused = shop.api.subscriptions.pause(subscription.id)
    assert (paused.status, shop.event_types()[-1]) == ("paused", "customer.subscription.paused")
    pass_time(shop, 100 * DAY)
    assert len(invoices_of(shop, subscription)) == 1
    resumed = shop.control(f"/subscriptions/{subscription.id}/resume")
    assert (resumed["status"], len(invoices_of(shop, subscription))) == ("active", 2)
    assert "customer.subscription.resumed" in shop.event_types()
    assert period(again(shop, subscription))[0] > period(subscription)[1]

    shop.control(f"/subscriptions/{subscription.id}/pause")
    failing = {"default_payment_method": "pm_card_chargeCustomerFail"}
    shop.api.subscriptions.update(subscription.id, failing)
    assert shop.api.subscriptions.resume(subscription.id).status == "paused"
    paid = shop.control(f"/subscriptions/{subscription.id}/pay_open", {"outcome": "paid"})
    assert paid["status"] == "active"


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [("void", "void"), ("mark_uncollectible", "uncollectible"), ("keep_as_draft", "draft")],
)
def test_invoices_that_nobody_is_to_pay(shop: Shop, behaviour: str, status: str) -> None:
    subscription = subscribed(shop)
    resumes_at = period(subscription)[1] + DAY
    pause = {"pause_collection": {"behavior": behaviour, "resumes_at": resumes_at}}
    shop.api.subscriptions.update(subscription.id, pause)
    shop.control(f"/subscriptions/{subscription.id}/renew")
    free = again(shop, subscription)
    assert (free.status, free.latest_invoice.status) == ("active", status)
    pass_time(shop, resumes_at - period(subscription)[0])
    assert again(shop, subscription).pause_collection is None
    shop.control(f"/subscriptions/{subscription.id}/renew")
    assert again(shop, subscription).latest_invoice.status == "paid"
    assert shop.balance() == 2 * 455


def test_people_look_after_it_in_the_portal(shop: Shop) -> None:
    premium = price_of(shop, "Premium", 1499)
    hidden = price_of(shop, "Hidden", 999, active=False)
    subscription = subscribed(shop)
    path = portal_of(shop, subscription)

    def press(button: str, **more: str) -> int:
        data = {"subscription": subscription.id, "button": button, **more}
        return shop.raw("POST", path, data=data).status_code

    page = shop.raw("GET", path)
    for expected in ("Basic", "$4.99 every month", premium.id, "http://shop.test/account", "paid"):
        assert expected in page.text
    assert hidden.id not in page.text
    assert press("cancel") == 303
    ending = again(shop, subscription)
    # In the flexible mode, today's default, this is all that tells of it.
    assert (ending.cancel_at_period_end, ending.cancel_at) == (False, period(subscription)[1])
    assert "It ends on" in shop.raw("GET", path).text
    assert press("keep") == 303
    assert again(shop, subscription).cancel_at is None
    assert press("change", price=hidden.id) == 402
    assert press("change", price=premium.id) == 303
    assert item(again(shop, subscription)).price.id == premium.id
    other = subscribed(shop)
    assert press("cancel", subscription=other.id) == 402
    assert again(shop, other).cancel_at is None
    assert shop.raw("GET", "/portal/bps_no").status_code == 404
    pass_time(shop, 3600)
    assert shop.raw("GET", path).status_code == 410


def test_the_classic_mode_tells_of_the_end_in_both_ways(shop: Shop) -> None:
    subscription = subscribed(shop, subscription_data={"billing_mode": {"type": "classic"}})
    data = {"subscription": subscription.id, "button": "cancel"}
    shop.raw("POST", portal_of(shop, subscription), data=data)
    ending = again(shop, subscription)
    assert (ending.cancel_at_period_end, ending.cancel_at) == (True, period(subscription)[1])


def test_an_invoice_is_refunded_and_disputed_as_any_payment(shop: Shop) -> None:
    subscribed(shop)
    (intent,) = shop.api.payment_intents.list().data
    assert refusal(shop.api.payment_intents.cancel, intent.id).http_status == 400
    refund = shop.api.refunds.create({"payment_intent": intent.id, "amount": 100})
    assert refund.status == "succeeded"
    shop.control(f"/charges/{intent.latest_charge}/dispute", {"amount": 399})
    assert shop.event_types()[-1] == "charge.dispute.funds_withdrawn"
    assert shop.balance() == shop.lines_sum() == 455 - 100 - 399 - 1500


def test_an_invoice_is_taken_back_or_given_up(shop: Shop) -> None:
    subscription = subscribed(shop)
    invoices = shop.api.invoices
    for call, status, event in (
        (invoices.void_invoice, "void", "invoice.voided"),
        (invoices.mark_uncollectible, "uncollectible", "invoice.marked_uncollectible"),
    ):
        shop.control(f"/subscriptions/{subscription.id}/renew", {"outcome": "failed"})
        invoice = again(shop, subscription).latest_invoice
        assert (call(invoice.id).status, shop.event_types()[-1]) == (status, event)
    assert shop.api.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"}).status == "paid"
    assert again(shop, subscription).status == "active"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("renew", {"outcome": "perhaps"}, 400),
        ("renew", {"what": 1}, 400),
        ("change", {}, 400),
        ("change", {"price": "price_no"}, 400),
        ("resume", {}, 400),
    ],
)
def test_controls_that_are_refused(shop: Shop, path: str, body: Any, status: int) -> None:
    subscription = subscribed(shop)
    found = shop.raw("POST", f"/_sandbox/subscriptions/{subscription.id}/{path}", json=body)
    assert (found.status_code, "error" in found.json()) == (status, True)


def test_controls_of_nothing(shop: Shop) -> None:
    for path in ("renew", "pay_open", "cancel", "pause", "resume"):
        found = shop.raw("POST", f"/_sandbox/subscriptions/sub_no/{path}")
        assert (found.status_code, found.json()["error"]["code"]) == (404, "resource_missing")


def test_the_pages_can_be_read_by_everybody(shop: Shop) -> None:
    price_of(shop, "Premium", 1499)
    subscription = subscribed(shop)
    shop.control(f"/subscriptions/{subscription.id}/renew", {"outcome": "failed"})
    invoice = again(shop, subscription).latest_invoice.hosted_invoice_url
    for path in (portal_of(shop, subscription), invoice.removeprefix(shop.sandbox.url), "/"):
        page = shop.raw("GET", path)
        assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
        ids = re.findall(r'\bid="([^"]+)"', page.text)
        assert len(ids) == len(set(ids))
        fields = set(re.findall(r'<(?:input|select) id="([^"]+)"', page.text))
        assert set(re.findall(r'<label for="([^"]+)"', page.text)) == fields
        assert set(re.findall(r'aria-labelledby="([^"]+)"', page.text)) <= set(ids)
        assert not re.search(r"sk_test|whsec_|_secret_|<script", page.text)
