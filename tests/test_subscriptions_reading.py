"""Subscriptions read from Stripe again: news in doubt, silence, a Stripe that does not answer."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from api.stack.postgres import EmbeddedPostgres
from tests.subscriptions import Subscription, read_again, settle, subscribe
from tests.tills import OwnTill, own_till


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[OwnTill]:
    with own_till(postgres_server, next(database_names), migrated_template) as till:
        yield till


@pytest.fixture
def till(house: OwnTill) -> Iterator[OwnTill]:
    yield house
    settle(house)


def told(till: OwnTill, subscription: Subscription, created: float, **changed: Any) -> str:
    """An event of ours about it; what became of it."""
    event = till.event_about(
        subscription.object | changed, "customer.subscription.updated", created=int(created)
    )
    state: str = till.webhook(event).json()["state"]
    return state


def test_two_news_of_one_second_are_settled_by_asking(till: OwnTill) -> None:
    subscription = subscribe(till.buyer())
    settle(till)
    till.owner.execute(
        "update app.subscriptions set told_at = told_at - interval '1 hour' where user_id = %s",
        (subscription.buyer.id,),
    )
    moment = subscription.row["told_at"].timestamp() + 60
    assert told(till, subscription, moment) == "applied"
    assert told(till, subscription, moment, status="past_due") == "applied"
    assert subscription.row["status"] == "past_due"  # whichever came last is believed for now
    assert subscription.row["news_at"] is not None
    assert read_again(till, "news") >= 1
    assert (subscription.row["status"], subscription.row["news_at"]) == ("active", None)
    assert read_again(till, "news") == 0


def test_what_is_read_counts_whatever_stripes_clock_says(till: OwnTill) -> None:
    """Stripe's clock is not ours: what it told may lie in our future."""
    subscription = subscribe(till.buyer())
    settle(till)
    moment = time.time() + 3600
    assert told(till, subscription, moment) == "applied"
    assert told(till, subscription, moment, status="past_due") == "applied"
    assert subscription.row["status"] == "past_due"
    assert read_again(till, "news") == 1
    assert (subscription.row["status"], subscription.row["news_at"]) == ("active", None)
    assert read_again(till, "news") == 0


def test_news_that_come_while_stripe_is_asked(till: OwnTill) -> None:
    """What Stripe answered may be older: it is asked again."""
    subscription = subscribe(till.buyer())
    settle(till)
    till.owner.execute(
        "update app.subscriptions set news_at = now() where user_id = %s", (subscription.buyer.id,)
    )
    till.sandbox.fault(f"/v1/subscriptions/{subscription.id}", "hold", method="GET")
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(read_again, till, "news")
        till.sandbox.wait_for_held()
        meanwhile = told(till, subscription, time.time() + 1, cancel_at_period_end=True)
        assert meanwhile == "applied"
        till.sandbox.let_go()
        assert reading.result() == 1
    assert subscription.row["news_at"] is not None
    assert read_again(till, "news") == 1
    assert (subscription.row["cancel_at_period_end"], subscription.row["news_at"]) == (False, None)


def test_old_news_change_nothing_and_are_looked_into(till: OwnTill) -> None:
    subscription = subscribe(till.buyer())
    settle(till)
    moment = subscription.row["told_at"].timestamp()
    assert told(till, subscription, moment - 60, status="canceled") == "applied"
    assert (subscription.row["status"], subscription.tier) == ("active", "premium")
    assert read_again(till, "news") >= 1
    assert (subscription.row["status"], subscription.row["news_at"]) == ("active", None)


def test_silence_is_looked_into(till: OwnTill) -> None:
    """A subscription ended, and nobody told us, not even Stripe's list."""
    subscription = subscribe(till.buyer())
    settle(till)
    assert read_again(till, "stale") == 0
    # As if it had been ended by an event that was lost a day ago.
    till.owner.execute(
        "update app.subscriptions set status = 'past_due', told_at = now() - interval '2 days', "
        "read_at = now() - interval '25 hours' where stripe_subscription_id = %s",
        (subscription.id,),
    )
    assert read_again(till, "stale") == 1
    assert subscription.row["status"] == "active"
    assert read_again(till, "stale") == 0


def test_a_subscription_that_stripe_does_not_know(
    till: OwnTill, caplog: pytest.LogCaptureFixture
) -> None:
    """It is for the operator, and those behind it are read all the same."""
    lost, found = subscribe(till.buyer()), subscribe(till.buyer())
    settle(till)
    change = "update app.subscriptions set news_at = now(), {} where user_id = %s"
    till.owner.execute(
        change.format("stripe_subscription_id = 'sub_gone', read_at = '-infinity'"),
        (lost.buyer.id,),
    )
    till.owner.execute(
        change.format("status = 'past_due', told_at = told_at - interval '1 day'"),
        (found.buyer.id,),
    )
    try:
        assert read_again(till, "news") == 1
        assert found.row["status"] == "active"
        assert "subscriptions that Stripe does not show" in caplog.text
    finally:
        till.owner.execute(
            "update app.subscriptions set news_at = null where stripe_subscription_id = 'sub_gone'"
        )


def test_a_stripe_that_is_away_is_asked_again(till: OwnTill) -> None:
    subscription = subscribe(till.buyer())
    settle(till)
    till.owner.execute(
        "update app.subscriptions set status = 'past_due', news_at = now(), "
        "told_at = told_at - interval '1 day' where stripe_subscription_id = %s",
        (subscription.id,),
    )
    till.sandbox.fault("/v1/subscriptions/*", "error_500", method="GET", times=None)
    with pytest.raises(stripe.APIError):
        read_again(till, "news")
    assert subscription.row["news_at"] is not None
    till.sandbox.calm()
    assert read_again(till, "news") == 1
    assert subscription.row["status"] == "active"
