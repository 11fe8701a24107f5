"""What becomes of a subscription: renewals, failures, changes, and news in any order."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from api.stripe.client import raw
from tests.shop import refusal
from tests.subscriptions import (
    BASIC,
    PREMIUM,
    Subscription,
    begin,
    open_portal,
    pay_session,
    plan_of,
    read_again,
    settle,
    subscribe,
    take_up,
)
from tests.teller import WAIT_SECONDS, Json
from tests.tills import OwnTill, own_till


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[OwnTill]:
    with own_till(postgres_server, next(database_names), migrated_template) as till:
        price_plans(till)
        yield till


@pytest.fixture
def till(house: OwnTill) -> Iterator[OwnTill]:
    yield house
    settle(house)


def price_plans(till: OwnTill) -> None:
    """Give the plans for reading a price each at Stripe, so that one is changed for another."""
    api = till.sandbox.api
    product = raw(api.products.create({"name": "Infinite Pages"}))["id"]
    for plan in (plan_of(till, BASIC), plan_of(till, PREMIUM)):
        price = api.prices.create(
            {
                "product": product,
                "currency": "usd",
                "unit_amount": plan.price_cents,
                "recurring": {"interval": "month"},
            }
        )
        till.owner.execute(
            "update app.subscription_plans set stripe_price_id = %s where slug = %s",
            (price.id, plan.slug),
        )


def price_of(till: OwnTill, slug: str) -> str:
    price: str = till.value(
        "select stripe_price_id from app.subscription_plans where slug = %s", slug
    )
    return price


def notices(subscription: Subscription) -> set[str]:
    rows = subscription.till.rows(
        "select kind from app.notices where user_id = %s", subscription.buyer.id
    )
    return {row["kind"] for row in rows}


# What time, banks and people do -------------------------------------------------------------------


def test_each_period_brings_its_credits_once(till: OwnTill) -> None:
    buyer = till.buyer()
    subscription = subscribe(buyer)
    first_end = subscription.row["current_period_end"]
    for paid in (2, 3):
        subscription.do("renew", outcome="paid")
        subscription.wait_for_payments(paid)
    assert wait_until(
        lambda: subscription.row["current_period_end"] > first_end + timedelta(days=50),
        seconds=WAIT_SECONDS,
    )
    for event in subscription.events():
        assert "failed" not in till.sandbox.resend(event)
    granted = plan_of(till, PREMIUM).credits
    assert buyer.balance == 3 * granted
    assert [each["amount_cents"] for each in subscription.payments] == [1499] * 3
    assert [each["amount_paid"] for each in subscription.invoices] == [1499] * 3
    assert len({each["receipt_serial"] for each in subscription.payments}) == 3
    ends = [each["credits_expire_at"] for each in subscription.payments]
    assert ends == sorted(ends)
    assert ends[0] == first_end
    assert ends[-1] == subscription.row["current_period_end"]


def test_a_payment_that_fails_and_is_made_up_for(till: OwnTill) -> None:
    buyer = till.buyer()
    subscription = subscribe(buyer)
    subscription.do("renew", outcome="failed")
    subscription.wait_for("past_due")
    assert wait_until(
        lambda: "subscription_payment_failed" in notices(subscription), seconds=WAIT_SECONDS
    )
    assert subscription.my_plan["tier"] == "premium"  # it goes on for now
    granted = plan_of(till, PREMIUM).credits
    assert (len(subscription.payments), buyer.balance) == (1, granted)
    subscription.do("pay_open")
    subscription.wait_for("active").wait_for_payments(2)
    assert buyer.balance == 2 * granted


def test_paused_and_resumed(till: OwnTill) -> None:
    subscription = subscribe(till.buyer())
    subscription.do("pause")
    subscription.wait_for("paused")
    assert (subscription.my_plan["tier"], subscription.tier) == ("free", "free")
    subscription.do("resume")
    subscription.wait_for("active")
    assert subscription.tier == "premium"


def test_ending_with_the_period(till: OwnTill) -> None:
    subscription = subscribe(till.buyer())
    api = till.sandbox.api
    api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert wait_until(lambda: subscription.row["cancel_at_period_end"], seconds=WAIT_SECONDS)
    assert subscription.my_plan["cancel_at_period_end"] is True
    assert subscription.tier == "premium"
    subscription.do("renew")
    subscription.wait_for("canceled")
    assert subscription.tier == "free"
    assert "subscription_ended" in notices(subscription)
    assert len(subscription.payments) == 1


@pytest.mark.parametrize("to", ["up", "down"])
def test_another_plan_of_the_family(till: OwnTill, to: str) -> None:
    old, new = (BASIC, PREMIUM) if to == "up" else (PREMIUM, BASIC)
    buyer = till.buyer()
    subscription = subscribe(buyer, old)
    before = buyer.balance
    subscription.do("change", price=price_of(till, new))
    assert wait_until(lambda: subscription.row["slug"] == new, seconds=WAIT_SECONDS)
    assert subscription.tier == new
    # What Stripe reckons up comes with the next invoice, or at once; it is what is credited.
    subscription.do("renew", outcome="paid")
    wait_for_invoices(subscription)
    paid = sum(each["amount_paid"] for each in subscription.invoices)
    assert sum(each["amount_cents"] for each in subscription.payments) == paid
    assert buyer.balance >= before
    assert buyer.balance == sum(each["credits_purchased"] for each in subscription.payments)


def wait_for_invoices(subscription: Subscription) -> None:
    """Every invoice that was paid with money is a payment."""
    paid = [each for each in subscription.invoices if each["amount_paid"] > 0]
    subscription.wait_for_payments(len(paid))


def test_a_customer_who_was_removed_at_stripe(till: OwnTill) -> None:
    """What they had ends, and they may come again as another customer."""
    buyer = till.buyer()
    subscription = subscribe(buyer)
    removed = subscription.row["stripe_customer_id"]
    till.sandbox.api.customers.delete(removed)
    subscription.wait_for("canceled")
    assert refusal(begin(buyer), 502)["hint"] == "stripe_refused"  # now it is known
    assert subscribe(buyer).row["stripe_customer_id"] != removed


def test_what_is_known_goes_on_without_its_customer(till: OwnTill) -> None:
    """Somebody was erased, or removed at Stripe: their subscription still ends."""
    subscription = subscribe(till.buyer())
    till.owner.execute(
        "delete from app.stripe_customers where user_id = %s", (subscription.buyer.id,)
    )
    subscription.do("cancel")
    subscription.wait_for("canceled")
    assert subscription.tier == "free"


def test_the_portal_changes_what_is_here(till: OwnTill) -> None:
    """As somebody does it in a browser: with the page's own forms."""
    subscription = subscribe(till.buyer(), BASIC)
    url = open_portal(subscription.buyer).json()["url"]

    def press(button: str, **more: str) -> None:
        given = {"subscription": subscription.id, "button": button, **more}
        assert till.http.post(url, data=given).status_code == 303

    def ends() -> bool:
        return bool(subscription.my_plan["cancel_at_period_end"])

    press("cancel")
    assert wait_until(ends, seconds=WAIT_SECONDS)
    assert subscription.tier == "basic"
    press("keep")
    assert wait_until(lambda: not ends(), seconds=WAIT_SECONDS)
    press("change", price=price_of(till, PREMIUM))
    assert wait_until(lambda: subscription.tier == "premium", seconds=WAIT_SECONDS)
    first, more = subscription.wait_for_payments(2)
    assert first["amount_cents"] == 499
    assert 990 <= more["amount_cents"] <= 1000  # nearly all of the difference
    premium = plan_of(till, PREMIUM).credits
    assert premium - 2 <= subscription.buyer.balance <= premium


# News lost, doubled and mixed up ------------------------------------------------------------------


def test_webhooks_that_never_come(till: OwnTill) -> None:
    buyer = till.buyer()
    session_id = begin(buyer).json()["session_id"]
    till.sandbox.webhooks(drop=1000)
    assert pay_session(till, session_id).is_success
    assert till.value("select count(*) from app.subscriptions where user_id = %s", buyer.id) == 0
    till.work()
    take_up(till)
    subscription = Subscription(buyer, PREMIUM)
    assert subscription.row["status"] == "active"
    assert subscription.wait_for_payments(1)
    assert buyer.balance == plan_of(till, PREMIUM).credits
    till.sandbox.webhooks(drop=1000)
    subscription.do("renew", outcome="paid")
    till.work()
    take_up(till)
    subscription.wait_for_payments(2)
    assert buyer.balance == 2 * plan_of(till, PREMIUM).credits


def held_events(till: OwnTill, since: set[str]) -> list[Json]:
    """What has happened but was not told yet, oldest first."""
    found = till.sandbox.all_of(till.sandbox.api.events)
    return [event for event in found[::-1] if event["id"] not in since]


def known_events(till: OwnTill) -> set[str]:
    return {row["id"] for row in till.rows("select id from app.stripe_events")}


@pytest.mark.parametrize("order", ["backwards", "twice", "every other one"])
def test_news_in_another_order(till: OwnTill, order: str) -> None:
    buyer = till.buyer()
    session_id = begin(buyer).json()["session_id"]
    known = known_events(till)
    till.sandbox.webhooks("hold")
    assert pay_session(till, session_id).is_success
    events = held_events(till, known)
    assert len(events) >= 5
    shuffled = {
        "backwards": events[::-1],
        "twice": [*events[::-1], *events],
        "every other one": [*events[1::2], *events[::2]],
    }[order]
    for event in shuffled:
        answer = till.webhook(event).json()
        assert answer["state"] in ("applied", "ignored", "parked", "duplicate"), (event, answer)
    take_up(till)
    till.sandbox.webhooks()
    read_again(till, "news")
    subscription = Subscription(buyer, PREMIUM)
    assert subscription.row["status"] == "active"
    subscription.wait_for_payments(1)
    assert buyer.balance == plan_of(till, PREMIUM).credits
    assert subscription.row["news_at"] is None
    left = till.rows(
        "select type, error from app.stripe_events where id = any(%s) and state in "
        "('parked', 'failed')",
        [event["id"] for event in events],
    )
    assert left == []


def test_delayed_doubled_and_shuffled(till: OwnTill) -> None:
    till.sandbox.webhooks(duplicate=2, shuffle=True, delay_seconds=0.3)
    subscriptions = [subscribe(till.buyer(), plan) for plan in (BASIC, PREMIUM)]
    for subscription in subscriptions:
        subscription.do("renew", outcome="failed")
        subscription.do("pay_open")
    till.sandbox.webhooks()
    for subscription in subscriptions:
        subscription.wait_for_payments(2)
    settle(till)
    for subscription in subscriptions:
        take_up(till)
        read_again(till, "news")
        assert subscription.row["status"] == "active"
        assert subscription.buyer.balance == 2 * plan_of(till, subscription.plan).credits
