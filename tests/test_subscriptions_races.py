"""Subscriptions raced: uses of a feature, news of Stripe on many connections, one key many times.

Nothing here talks to Stripe: events are handed to the database as the edge does. Every test ends
with a proof of the whole ledger.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from api.config import with_login
from tests.conftest import NewDatabase
from tests.market import (
    Answer,
    Market,
    acting_as,
    answers,
    in_parallel,
    open_market,
    outcome_of,
    refusals,
    value,
)
from tests.teller import Json

SESSIONS = 32
ROUNDS = 10
DAY = 86_400
LIMIT = 5  # downloads a month with Premium
NAMES = count(1)
TYPES = {"payment_intent": "payment_intent.succeeded", "invoice": "invoice.paid"}


@pytest.fixture
def market(migrated_database: NewDatabase) -> Iterator[Market]:
    with open_market(migrated_database()) as market:
        yield market


@dataclass(frozen=True)
class Member:
    """Somebody who subscribes to Premium, and all that Stripe says of it."""

    market: Market
    id: UUID
    name: str

    @property
    def customer(self) -> str:
        return f"cus_{self.name}"

    def subscription(self, **changes: object) -> Json:
        now = int(time.time())
        period = {"current_period_start": now - DAY, "current_period_end": now + 29 * DAY}
        item = {"price": {"id": "price_premium"}, "quantity": 1, **period}
        return {
            "object": "subscription",
            "id": f"sub_{self.name}",
            "customer": self.customer,
            "status": "active",
            "livemode": False,
            "items": {"data": [item]},
            "metadata": {"plan_id": self.plan("premium")},
            **changes,
        }

    def plan(self, slug: str) -> str:
        found = value(
            self.market.owner, "select id from app.subscription_plans where slug = %s", slug
        )
        return str(found)

    def invoice(self, name: str, lines: Sequence[Json], paid: int) -> Json:
        return {
            "object": "invoice",
            "id": f"in_{self.name}_{name}",
            "customer": self.customer,
            "status": "paid",
            "currency": "usd",
            "livemode": False,
            "amount_paid": paid,
            "parent": {"subscription_details": {"subscription": f"sub_{self.name}"}},
            "lines": {"data": list(lines)},
        }

    def line(self, plan: str, cents: int, *, is_part: bool = False) -> Json:
        return {
            "amount": cents,
            "quantity": 1,
            "metadata": {"plan_id": self.plan(plan)},
            "parent": {"invoice_item_details": {"proration": is_part}},
            "period": {"end": int(time.time()) + 29 * DAY},
        }

    def month(self, name: str = "first") -> Json:
        return self.invoice(name, [self.line("premium", 1499)], 1499)

    def payment(self, name: str = "first") -> Json:
        intent = {"type": "payment_intent", "payment_intent": f"pi_{self.name}_{name}"}
        return {
            "object": "invoice_payment",
            "id": f"inpay_{self.name}_{name}",
            "invoice": f"in_{self.name}_{name}",
            "status": "paid",
            "payment": intent,
        }

    def intent(self, name: str = "first") -> Json:
        return {
            "object": "payment_intent",
            "id": f"pi_{self.name}_{name}",
            "status": "succeeded",
            "amount_received": 1499,
            "currency": "usd",
            "latest_charge": f"ch_{self.name}_{name}",
            "metadata": {},
        }

    def refund(self, cents: int, name: str = "first") -> Json:
        return {
            "object": "refund",
            "id": f"re_{self.name}_{name}",
            "status": "succeeded",
            "amount": cents,
            "currency": "usd",
            "payment_intent": f"pi_{self.name}_{name}",
        }

    def deliver(self, told: Json) -> Callable[[], str]:
        """An event about this, for a thread: over a connection of the edge's own."""
        event = {
            "id": f"evt_{next(NAMES)}",
            "type": TYPES.get(told["object"], f"{told['object']}.updated"),
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": told},
        }

        def call() -> str:
            url = with_login(self.market.url, "edge", None)
            with psycopg.connect(url, autocommit=True) as connection:
                state: str = value(
                    connection,
                    "select app.handle_stripe_event(%s, 'platform', false)",
                    Jsonb(event),
                )
                return state

        return call

    def use(self, uses: int = 1) -> Callable[[], int]:
        """A backend counts downloads; how often that was by then."""

        def call() -> int:
            with (
                self.market.connect() as connection,
                acting_as(connection, self.id, "service_role"),
            ):
                statement = "select used from api.use_feature(%s, 'downloads', %s)"
                return int(value(connection, statement, self.id, uses))

        return call

    @property
    def used(self) -> int:
        statement = "select coalesce(sum(used), 0) from app.feature_usage where user_id = %s"
        return int(value(self.market.owner, statement, self.id))

    @property
    def allowances(self) -> list[tuple[int, int]]:
        """What each invoice came to, and what it brought."""
        return self.market.owner.execute(
            "select credits, granted from app.invoice_allowances where user_id = %s order by id",
            (self.id,),
        ).fetchall()


def member(market: Market) -> Member:
    """Somebody new, whom Stripe knows as a customer."""
    found = Member(market, market.reader(), f"m{next(NAMES)}")
    market.owner.execute("select app.ensure_profile(%s)", (found.id,))
    market.owner.execute(
        "insert into app.stripe_customers (user_id, is_live, stripe_customer_id) "
        "values (%s, false, %s)",
        (found.id, found.customer),
    )
    return found


def subscriber(market: Market) -> Member:
    found = member(market)
    assert found.deliver(found.subscription())() == "applied"
    return found


def at_one_lock(
    market: Market, calls: Sequence[Callable[[], Answer]], statement: str, *arguments: object
) -> list[Answer | psycopg.Error]:
    """Let calls start together: all queue for one lock before one of them gets it."""
    with ThreadPoolExecutor(len(calls)) as threads:
        with market.gate(len(calls), statement, *arguments):
            outcomes = [threads.submit(outcome_of, call) for call in calls]
        return [outcome.result() for outcome in outcomes]


def unfinished(market: Market) -> list[tuple[str, str]]:
    return market.owner.execute(
        "select state, coalesce(error, object_id) from app.stripe_events "
        "where state in ('parked', 'failed')"
    ).fetchall()


# Uses ---------------------------------------------------------------------------------------------


def test_first_uses_by_32_sessions_never_exceed_the_limit(market: Market) -> None:
    for _ in range(3):
        reader = subscriber(market)
        outcomes = in_parallel([reader.use()] * SESSIONS)
        assert sorted(answers(outcomes)) == list(range(1, LIMIT + 1))
        assert refusals(outcomes) == [("PT429", "limit_reached")] * (SESSIONS - LIMIT)
        assert reader.used == LIMIT


def test_later_uses_that_queue_for_one_row_never_exceed_the_limit(market: Market) -> None:
    reader = subscriber(market)
    assert reader.use()() == 1
    calls = [reader.use(uses) for uses in (1, 3) * (SESSIONS // 2)]
    row = "select from app.feature_usage where user_id = %s for update"
    outcomes = at_one_lock(market, calls, row, reader.id)
    assert len(answers(outcomes)) + len(refusals(outcomes)) == SESSIONS
    assert set(refusals(outcomes)) == {("PT429", "limit_reached")}
    assert max(answers(outcomes)) == reader.used
    # Whoever came first: three and one fill it up, or four times one does.
    assert reader.used == LIMIT


def test_uses_of_many_people_do_not_meet(market: Market) -> None:
    readers = [subscriber(market) for _ in range(8)]
    outcomes = in_parallel([reader.use() for reader in readers for _ in range(4)])
    assert refusals(outcomes) == []
    assert [reader.used for reader in readers] == [4] * 8


# News ---------------------------------------------------------------------------------------------


def test_one_invoice_on_eight_connections_grants_once(market: Market) -> None:
    reader = subscriber(market)
    calls = [reader.deliver(reader.month()) for _ in range(8)]
    lock = "select app.lock_stripe_object(%s)"
    outcomes = at_one_lock(market, calls, lock, f"sub_{reader.name}")
    assert outcomes == ["applied"] * 8
    assert reader.allowances == [(300, 300)]
    assert market.balance(reader.id) == 300
    paid = "select count(*) from app.payments where user_id = %s"
    assert value(market.owner, paid, reader.id) == 1


def test_all_that_is_to_be_said_of_a_subscription_at_one_instant(market: Market) -> None:
    """Nothing is left waiting, whoever came first, and nobody waits for each other in a ring."""

    def replay() -> str:
        with market.connect_as_owner() as connection:
            connection.execute("select app.replay_parked_subscription_events()")
        return "applied"

    for _ in range(ROUNDS):
        reader = member(market)
        told = [
            reader.subscription(), reader.month(), reader.payment(), reader.intent(),
            reader.refund(500), reader.month(), reader.subscription(), reader.month("second"),
            reader.payment("second"), reader.intent("second"),
        ]  # fmt: skip
        calls = [*(reader.deliver(each) for each in told), replay, replay]
        outcomes = in_parallel(calls)
        assert refusals(outcomes) == []
        assert set(answers(outcomes)) <= {"applied", "parked", "ignored"}
        assert unfinished(market) == []
        assert reader.allowances == [(300, 300), (300, 300)]
        assert market.balance(reader.id) == 600 - 100  # $5.00 of $14.99 went back
        charges = market.owner.execute(
            "select stripe_charge_id from app.payments where user_id = %s order by 1", (reader.id,)
        ).fetchall()
        assert charges == [(f"ch_{reader.name}_first",), (f"ch_{reader.name}_second",)]


def test_a_plan_changed_to_and_fro_brings_no_credits_twice(market: Market) -> None:
    """Invoices out of the customer's balance, all at once and in any order."""
    for _ in range(ROUNDS // 2):
        reader = subscriber(market)
        up = [
            reader.line("basic", -499, is_part=True),
            reader.line("premium", 1499, is_part=True),
        ]
        down = [
            reader.line("premium", -1499, is_part=True),
            reader.line("basic", 499, is_part=True),
        ]
        first = reader.invoice("first", [reader.line("basic", 499)], 499)
        told = [first, reader.invoice("up", up, 1000)]
        told += [reader.invoice(f"down{number}", down, 0) for number in range(3)]
        told += [reader.invoice(f"up{number}", up, 0) for number in range(3)]
        outcomes = in_parallel([reader.deliver(each) for each in told])
        assert outcomes == ["applied"] * len(told)
        brought = sum(credits for credits, _ in reader.allowances)
        granted = sum(granted for _, granted in reader.allowances)
        assert brought == 300  # what was paid for in the end
        assert granted == market.balance(reader.id) >= 300
        # When the last news have come, the next month pays back what was granted too early.
        assert reader.deliver(reader.month("next"))() == "applied"
        assert market.balance(reader.id) == max(600, granted)
        assert market.violations() == []


def test_ending_while_it_is_used(market: Market) -> None:
    """A subscription ends while downloads are counted: each was allowed or refused, none lost."""
    for _ in range(ROUNDS):
        reader = subscriber(market)
        end = reader.deliver(reader.subscription(status="canceled"))
        calls: list[Callable[[], object]] = [end, *[reader.use()] * 4]
        outcomes = in_parallel(calls)
        assert set(refusals(outcomes)) <= {("PT403", "plan_required")}
        assert reader.used == len(answers(outcomes)) - 1
        with pytest.raises(psycopg.Error, match="Your plan does not include this"):
            reader.use()()


# Beginning ----------------------------------------------------------------------------------------


def begin(reader: Member, key: str | None, plan: str = "premium") -> Callable[[], UUID]:
    """A call for a thread: the edge begins a subscription for somebody."""

    def call() -> UUID:
        url = with_login(reader.market.url, "edge", None)
        with (
            psycopg.connect(url, autocommit=True) as connection,
            acting_as(connection, reader.id, "edge"),
        ):
            found: UUID = value(
                connection,
                "select checkout_id from app.start_subscription("
                "%s, %s, false, 'https://app.example/back', 'https://app.example/stop', %s)",
                plan,
                reader.customer,
                key,
            )
            return found

    return call


def test_one_key_sixteen_times_begins_one_subscription(market: Market) -> None:
    reader = member(market)
    outcomes = market.at_one_wallet(reader.id, [begin(reader, "a key")] * 16)
    assert refusals(outcomes) == []
    assert len(set(answers(outcomes))) == 1
    for table, column in (("subscription_checkouts", "id"), ("stripe_requests", "subject_id")):
        found = value(
            market.owner, f"select count(*) from app.{table} where user_id = %s", reader.id
        )
        assert found == 1, column


def test_one_key_for_two_plans_begins_one_of_them(market: Market) -> None:
    reader = member(market)
    calls = [begin(reader, "a key", plan) for plan in ("basic", "premium") * 4]
    outcomes = market.at_one_wallet(reader.id, calls)
    assert refusals(outcomes) == [("PT409", "idempotency_mismatch")] * 4
    assert len(set(answers(outcomes))) == 1


def test_beginning_while_one_begins(market: Market) -> None:
    """The news of a subscription and a wish for another: refused as soon as it is known."""
    for _ in range(ROUNDS):
        reader = member(market)
        calls: list[Callable[[], object]] = [
            begin(reader, None), reader.deliver(reader.subscription()), begin(reader, None),
        ]  # fmt: skip
        outcomes = in_parallel(calls)
        assert set(refusals(outcomes)) <= {("PT409", "already_subscribed")}
        with pytest.raises(psycopg.Error, match="You have a subscription already"):
            begin(reader, None)()
