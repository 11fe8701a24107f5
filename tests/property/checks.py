"""The ledger against the model: after every step what a step can change, at the end everything."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.stripe.client import raw
from tests.property.credits import Payment, Story, Takeback
from tests.property.driver import Driver, Start
from tests.property.figures import cents_at_stripe, credits_accounted_for, earned
from tests.property.world import World

MICRODOLLARS_OF_A_CENT = 10_000
ROUNDS = 5

NOW = """
    select
        (select jsonb_object_agg(p.id, jsonb_build_array(
                coalesce(ledger.balance(p.id, 'wallet'), 0),
                ledger.balance(p.id, 'frozen_credits')))
            from unnest(%s::uuid[]) as p (id)) as wallets,
        (select jsonb_object_agg(c.id, ledger.balance(c.id, 'earnings'))
            from unnest(%s::uuid[]) as c (id)) as creators,
        (select coalesce(jsonb_object_agg(p.id, p.status), '{}') from app.payments as p
            where p.user_id = any(%s)) as payments
"""
TAKEBACKS = """
    select payment_id, stripe_refund_id as stripe_id, amount_cents, status, credits
    from app.refunds where user_id = any(%s)
    union all
    select payment_id, stripe_dispute_id, amount_cents, status, credits
    from app.disputes where user_id = any(%s)
"""
LOST_CREDITS = "select * from ledger.recalls where book_id = any(%s) and missing > 0"
DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"
PENDING = """
    select count(*) from app.stripe_requests where user_id = any(%s) and state = 'pending'
"""


class Baseline:
    """What others had before this interleaving."""

    def __init__(self, world: World, stories: Sequence[Story]) -> None:
        creators = {author for story in stories for author, _ in story.shares}
        self.earned = {
            creator: world.value("select ledger.balance(%s, 'earnings')", creator)
            for creator in creators
        }
        self.stripe_cents = world.cents_at_stripe()


def check_step(driver: Driver, baseline: Baseline) -> None:
    """Balances, payments, refunds and disputes are what the model says."""
    book, world = driver.book, driver.world
    (now,) = world.rows(NOW, driver.readers, list(baseline.earned), driver.readers)
    for reader in driver.readers:
        frozen = sum(
            takeback.frozen_from_wallet
            for payment in book.payments.values()
            if payment.payer == reader
            for takeback in payment.takebacks
        )
        assert now["wallets"][str(reader)] == [book.balance(reader), frozen]
    for creator, before in baseline.earned.items():
        least, most = earned(book.sales, creator)
        assert least <= now["creators"][str(creator)] - before <= most, (least, most, before)
    assert now["payments"] == {str(p.id): p.status for p in book.payments.values()}
    _check_takebacks(driver)


def _check_takebacks(driver: Driver) -> None:
    rows = driver.world.rows(TAKEBACKS, driver.readers, driver.readers)
    known = [
        _takeback_row(payment, takeback)
        for payment in driver.book.payments.values()
        for takeback in payment.takebacks
    ]
    assert Counter(tuple(row.values()) for row in rows) == Counter(known)


def _takeback_row(payment: Payment, takeback: Takeback) -> tuple[Any, ...]:
    return (
        payment.id,
        takeback.stripe_id,
        takeback.cents,
        takeback.status,
        takeback.credits,
    )


def finish(driver: Driver, baseline: Baseline) -> None:
    """Let everything that is on its way arrive, and compare all there is."""
    world = driver.world
    _arrive(driver)
    check_step(driver, baseline)
    for payment in driver.book.payments.values():
        assert payment.status != "succeeded" or credits_accounted_for(driver.book, payment)
    assert world.rows(LOST_CREDITS, driver.readers) == []
    world.read_statement()
    assert world.rows("select * from ledger.verify()") == []
    assert world.rows("select * from app.reconcile()") == []
    at_stripe = world.cents_at_stripe()
    assert at_stripe - baseline.stripe_cents == cents_at_stripe(driver.book)
    assert world.value(DEADLOCKS) == 0
    in_ledger, by_statement = world.rows("select * from app.stripe_balance()")[0].values()
    assert (in_ledger, by_statement) == (at_stripe * MICRODOLLARS_OF_A_CENT, at_stripe)
    for reader in driver.readers:
        _check_customer(driver, reader)
    world.skip_what_was_read()


def _arrive(driver: Driver) -> None:
    world = driver.world
    for _ in range(ROUNDS):
        driver.send()
        driver.backfill()
        for event_id in driver.inbox.in_state("failed"):
            driver.replay(event_id)
        if not world.value(PENDING, driver.people):
            break
    assert world.value(PENDING, driver.people) == 0, "the outbox does not become empty"
    assert driver.inbox.in_state("failed", "parked") == []


def _check_customer(driver: Driver, reader: UUID) -> None:
    """At Stripe there is one of everything that was asked for."""
    stripe = driver.world.dashboard.v1
    started = [start for start in driver.starts if start.reader == reader and start.payment_id]
    if not started:
        return
    customers = _listed(stripe.customers)
    (customer_id,) = [
        each["id"] for each in customers if each["metadata"]["user_id"] == str(reader)
    ]
    intents = _listed(stripe.payment_intents, customer=customer_id)
    sessions = _listed(stripe.checkout.sessions, customer=customer_id)
    direct = [intent for intent in intents if "request_id" in intent["metadata"]]
    assert _payments_of(sessions) == _ids(started, "checkout")
    assert _payments_of(direct) == _ids(started, "intent")
    assert set(_payments_of(intents).values()) <= {1}
    for intent in intents:
        payment = driver.book.payments[UUID(intent["metadata"]["payment_id"])]
        assert (intent["status"] == "succeeded") == (payment.status == "succeeded")
        _check_refunds(driver, payment, intent["id"])


def _listed(service: Any, **where: str) -> list[dict[str, Any]]:
    """The newest of Stripe's objects; nobody here has more than a page of them."""
    things: list[dict[str, Any]] = raw(service.list(params={"limit": 100, **where}))["data"]
    return things


def _payments_of(things: list[dict[str, Any]]) -> Counter[str]:
    return Counter(thing["metadata"]["payment_id"] for thing in things)


def _ids(starts: list[Start], method: str) -> Counter[str]:
    return Counter(str(start.payment_id) for start in starts if start.method == method)


def _check_refunds(driver: Driver, payment: Payment, intent_id: str) -> None:
    """Stripe has the refunds that the ledger has, each request once, in the same state."""
    refunds = _listed(driver.world.dashboard.v1.refunds, payment_intent=intent_id)
    known = [t for t in payment.takebacks if t.kind == "refund" and t.stripe_id is not None]
    assert {each["id"]: each["status"] for each in refunds} == {
        takeback.stripe_id: takeback.status for takeback in known
    }
    requests = [each["metadata"].get("refund_id") for each in refunds]
    assert set(Counter(filter(None, requests)).values()) <= {1}
