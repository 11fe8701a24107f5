"""Subscribing as people do it: on Stripe's page, looked after in its portal, renewed by time."""

import threading
from dataclasses import dataclass
from typing import Any

import httpx

from api.stack.wait import wait_until
from api.stripe.client import raw
from api.stripe.subscription_reading import Which, read_subscriptions
from tests.market import acting_as
from tests.payments import VISA, Buyer, Till
from tests.teller import WAIT_SECONDS, Json, undelivered
from tests.tills import OwnTill

BASIC, PREMIUM, FLOW = "basic", "premium", "flow"
CARD = {"number": "4242 4242 4242 4242", "expiry": "12/34", "code": "123"}


@dataclass(frozen=True)
class Plan:
    """What a plan costs and brings, as the price list says it."""

    slug: str
    name: str
    price_cents: int
    credits: int


def plan_of(till: Till, slug: str) -> Plan:
    (row,) = till.rows(
        "select slug, name, price_cents, credits_per_period as credits "
        "from api.subscription_plans where slug = %s",
        slug,
    )
    return Plan(**row)


def take_up(till: Till) -> None:
    """What the worker does every few seconds about events that wait for something."""
    while till.value("select app.replay_parked_subscription_events()"):
        pass
    while till.value("select app.replay_parked_stripe_events()"):
        pass


def read_again(till: Till, which: Which) -> int:
    """What the worker does about those of which it is not sure, or has not heard for long."""
    return read_subscriptions(
        till.owner, till.sandbox.client, threading.Event(), which=which, livemode=False
    )


def settle(till: OwnTill) -> None:
    """Let everything arrive, also what waits; then the ledger is right, and agrees with Stripe."""
    till.sandbox.calm()
    assert wait_until(lambda: not undelivered(till.sandbox), seconds=WAIT_SECONDS)
    take_up(till)
    till.settle()


def begin(buyer: Buyer, plan: str = PREMIUM, key: str | None = None, **more: Any) -> httpx.Response:
    """Ask for the page on which somebody subscribes."""
    headers = {} if key is None else {"Idempotency_Key": key}
    return buyer.post("/subscriptions/checkout", {"plan": plan, **more}, **headers)


def open_portal(buyer: Buyer, **body: Any) -> httpx.Response:
    return buyer.post("/subscriptions/portal", body)


def pay_page(till: Till, url: str, **changed: str) -> httpx.Response:
    """Fill in the hosted page and press its button."""
    return till.http.post(url, data={**CARD, **changed, "method": "card"}, follow_redirects=False)


def pay_session(till: Till, session_id: str, method: str = VISA) -> httpx.Response:
    """The same without the page."""
    path = f"/checkout/sessions/{session_id}/pay"
    return till.sandbox.attempt(path, {"payment_method": method})


def subscribe(buyer: Buyer, plan: str = PREMIUM, status: str = "active") -> "Subscription":
    """A subscription that has begun, with all that its first invoice brought."""
    answer = begin(buyer, plan)
    assert answer.status_code == 201, answer.text
    paid = pay_session(buyer.till, answer.json()["session_id"])
    assert paid.is_success, paid.text
    subscription = Subscription(buyer, plan).wait_for(status)
    if status == "active":
        subscription.wait_for_payments(1)
    return subscription


@dataclass(frozen=True)
class Subscription:
    """Somebody's newest subscription to a plan, here and at Stripe."""

    buyer: Buyer
    plan: str

    @property
    def till(self) -> Till:
        return self.buyer.till

    @property
    def rows(self) -> list[Json]:
        """None while nothing was heard of it."""
        return self.till.rows(
            "select s.*, p.slug from app.subscriptions as s "
            "inner join app.subscription_plans as p on p.id = s.plan_id "
            "where s.user_id = %s and p.family = "
            "(select f.family from app.subscription_plans as f where f.slug = %s) "
            "order by s.id desc limit 1",
            self.buyer.id,
            self.plan,
        )

    @property
    def row(self) -> Json:
        return self.rows[0]

    @property
    def id(self) -> str:
        """Its id at Stripe."""
        found: str = self.row["stripe_subscription_id"]
        return found

    @property
    def object(self) -> Json:
        """It as Stripe describes it."""
        return raw(self.till.sandbox.api.subscriptions.retrieve(self.id))

    @property
    def invoices(self) -> list[Json]:
        """Oldest first."""
        return self.till.sandbox.all_of(self.till.sandbox.api.invoices, subscription=self.id)[::-1]

    @property
    def payments(self) -> list[Json]:
        """What was paid for it, oldest first."""
        return self.till.rows(
            "select * from app.payments where subscription_id = %s order by id", self.row["id"]
        )

    @property
    def my_plan(self) -> Json:
        """What the public contract says of the caller's plan."""
        with acting_as(self.till.owner, self.buyer.id):
            rows = self.till.rows(
                "select * from api.my_plan() where family = "
                "(select family from api.subscription_plans where slug = %s)",
                self.plan,
            )
        return rows[0]

    @property
    def tier(self) -> str:
        tier: str = self.till.value(
            "select subscription_tier from app.profiles where id = %s", self.buyer.id
        )
        return tier

    def do(self, what: str, **body: Any) -> Json:
        """What time, banks and people do to it: renew, cancel, pause, resume, change, pay_open."""
        done: Json = self.till.sandbox.control(f"/subscriptions/{self.id}/{what}", body)
        return done

    def events(self, *types: str) -> list[Json]:
        """The events about it and its invoices, oldest first."""
        about = {self.id, *(invoice["id"] for invoice in self.invoices)}
        since = int(self.row["created_at"].timestamp()) - 10
        found = self.till.sandbox.all_of(self.till.sandbox.api.events, created={"gte": since})
        return [
            event
            for event in found[::-1]
            if event["data"]["object"].get("id") in about and (not types or event["type"] in types)
        ]

    def wait_for(self, status: str) -> "Subscription":
        def arrived() -> bool:
            return [row["status"] for row in self.rows] == [status]

        assert wait_until(arrived, seconds=WAIT_SECONDS), self.rows
        return self

    def wait_for_payments(self, count: int) -> list[Json]:
        """Payments that are known with the intents by which they were made."""

        def arrived() -> bool:
            take_up(self.till)
            intents = [each["stripe_payment_intent_id"] for each in self.payments]
            return len(intents) == count and None not in intents

        assert wait_until(arrived, seconds=WAIT_SECONDS), self.payments
        return self.payments
