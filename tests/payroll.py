"""Many creators in a database, without an edge or a sandbox: what the races of payouts act on.

Calls are made the way PostgREST makes them; what Stripe says is made up.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import count
from threading import Barrier
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.market import Market, acting_as, outcome_of, value
from tests.payouts import CENT
from tests.teller import Json

EVERYTHING = None
Answer = TypeVar("Answer")


@dataclass
class Payroll:
    """Creators who are paid, in a database of the test's own."""

    market: Market

    @property
    def owner(self) -> psycopg.Connection[Any]:
        return self.market.owner

    # Who there is, and what there is

    def creators(self, number: int, cents: int = 5000) -> list[UUID]:
        return new_creators(self.owner, number, cents)

    def creator(self, cents: int = 5000) -> UUID:
        return self.creators(1, cents)[0]

    def months(self) -> list[date]:
        """Months that can be closed, newest first."""
        statement = "select (app.month_of(now()) - make_interval(months => %s))::date"
        return [value(self.owner, statement, back) for back in range(1, 13)]

    def rows(self, statement: str, *arguments: object) -> list[Json]:
        cursor = self.owner.cursor(row_factory=dict_row)
        return cursor.execute(statement.encode(), arguments or None).fetchall()

    def payouts(self, creator: UUID) -> list[Json]:
        return self.rows("select * from app.payouts where creator_id = %s order by id", creator)

    def payout(self, payout: UUID) -> Json:
        (row,) = self.rows("select * from app.payouts where id = %s", payout)
        return row

    def figures(self, creator: UUID) -> tuple[int, int, int]:
        """Owed, on the way and paid."""
        owed, on_the_way, paid = (
            int(value(self.owner, "select ledger.balance(%s, %s)", creator, kind))
            for kind in ("earnings", "payouts", "paid")
        )
        return owed, on_the_way, paid

    def pending_requests(self, payout: UUID) -> int:
        statement = (
            "select count(*) from app.stripe_requests where subject_id = %s and state = 'pending'"
        )
        return int(value(self.owner, statement, payout))

    def waiting(self) -> int:
        """How many sessions wait for a lock."""
        statement = (
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
        return int(value(self.owner, statement))

    # Calls for threads, each over a connection of its own

    def call(self, user: UUID, role: str, statement: str, *arguments: object) -> Callable[[], Any]:
        """A call as PostgREST makes it."""

        def run() -> Any:
            with self.market.connect() as connection, acting_as(connection, user, role):
                return value(connection, statement, *arguments)

        return run

    def request(
        self, creator: UUID, amount: object = EVERYTHING, key: str | None = None
    ) -> Callable[[], Any]:
        statement = "select payout_id from api.request_payout(%s, %s)"
        return self.call(creator, "authenticated", statement, amount, key)

    def cancel(self, creator: UUID, payout: UUID) -> Callable[[], Any]:
        return self.call(creator, "authenticated", "select api.cancel_payout(%s)", payout)

    def service(self, statement: str, *arguments: object) -> Callable[[], Any]:
        return self.call(uuid4(), "service_role", statement, *arguments)

    def work(self, statement: str, *arguments: object) -> Callable[[], list[Any]]:
        """What the worker or the edge does, in a transaction of its own."""

        def run() -> list[Any]:
            with self.market.connect_as_owner() as connection:
                return connection.execute(statement.encode(), arguments or None).fetchall()

        return run

    def close(self, month: date, creators: int = 1000) -> Callable[[], int]:
        """Go on with a month until it is closed; how many steps that took."""

        def run() -> int:
            with self.market.connect_as_owner() as connection:
                for steps in count(1):
                    is_closed = value(
                        connection,
                        "select is_closed from app.continue_monthly_payouts(%s, %s)",
                        month,
                        creators,
                    )
                    if is_closed:
                        return steps
            raise AssertionError("it never ends")

        return run

    def claim(self) -> Callable[[], list[Any]]:
        return self.work("select id from app.claim_stripe_requests(1, false)")


@dataclass(frozen=True)
class Sale:
    """What somebody bought for a thousand credits, and from whom."""

    creator: UUID
    story: UUID
    reader: UUID
    purchase: UUID


def sell(payroll: Payroll, creator: UUID) -> Sale:
    """Put a story of theirs on sale, and let somebody buy it."""
    owner, reader = payroll.owner, payroll.market.reader(credits=1000)
    with acting_as(owner, creator):
        story = value(owner, "select api.create_story('A story of tests')")
        owner.execute("select api.save_chapter(%s, 1, 'A chapter', 'Some words.')", (story,))
        owner.execute(
            "select api.set_story_pricing(%s, price_per_chapter => 1000, free_chapters => 0)",
            (story,),
        )
        owner.execute("select api.publish_story(%s)", (story,))
    return Sale(creator, story, reader, buy(payroll, reader, story))


def buy(payroll: Payroll, reader: UUID, story: UUID) -> UUID:
    statement = "select purchase_id from api.purchase_story(%s, 'chapter', '{1}')"
    purchase: UUID = payroll.call(reader, "authenticated", statement, story)()
    return purchase


def leave_the_rest(payroll: Payroll) -> None:
    """What is in the outbox now is not claimed by this test any more."""
    payroll.owner.execute(
        "update app.stripe_requests set next_attempt_at = 'infinity' where state = 'pending'"
    )


# What Stripe says


def request_of(payroll: Payroll, payout: UUID) -> Json:
    (row,) = payroll.rows(
        "select * from app.stripe_requests where subject_id = %s and state = 'pending'", payout
    )
    return row


def transfer_of(payroll: Payroll, payout: UUID, reversed_cents: tuple[int, ...] = ()) -> Json:
    """The transfer of a payout as Stripe shows it, so much of it taken back."""
    (asked,) = payroll.rows(
        "select parameters from app.stripe_requests where subject_id = %s order by id desc limit 1",
        payout,
    )
    told: Json = asked["parameters"]
    name = f"tr_{payout.hex}"
    return {
        "id": name,
        "object": "transfer",
        "amount": told["amount"],
        "amount_reversed": sum(reversed_cents),
        "currency": told["currency"],
        "created": int(time.time()),
        "destination": told["destination"],
        "metadata": told["metadata"],
        "transfer_group": told["transfer_group"],
        "reversals": {
            "object": "list",
            "has_more": False,
            "data": [
                {
                    "id": f"trr_{number}_{payout.hex}",
                    "object": "transfer_reversal",
                    "amount": cents,
                    "currency": told["currency"],
                    "created": int(time.time()),
                    "transfer": name,
                }
                for number, cents in enumerate(reversed_cents)
            ],
        },
    }


def event_about(told: Json, kind: str = "transfer.created") -> Jsonb:
    return Jsonb(
        {
            "id": f"evt_{uuid4().hex}",
            "object": "event",
            "type": kind,
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": told},
        }
    )


def hear(payroll: Payroll, told: Json, kind: str = "transfer.created") -> Callable[[], list[Any]]:
    """An event about it, as the webhook takes it in."""
    return payroll.work("select app.handle_stripe_event(%s)", event_about(told, kind))


def answer(payroll: Payroll, request: Json, told: Json) -> Callable[[], list[Any]]:
    return payroll.work("select app.record_stripe_answer(%s, %s)", request["id"], Jsonb(told))


def sent(payroll: Payroll, creator: UUID) -> UUID:
    """A payout that Stripe was asked for and has not answered."""
    leave_the_rest(payroll)
    payout: UUID = payroll.request(creator)()
    assert len(payroll.claim()()) == 1
    assert payroll.payout(payout)["status"] == "processing"
    return payout


def movements(payroll: Payroll, payout: UUID) -> list[tuple[str, int]]:
    rows = payroll.rows(
        "select t.kind, t.amount from ledger.transfers as t"
        " where t.reference_id = %s or t.reference_id in ("
        "   select r.id from app.payout_reversals as r where r.payout_id = %s)"
        " order by t.id, t.kind",
        payout,
        payout,
    )
    return sorted((row["kind"], row["amount"]) for row in rows)


def failed(payroll: Payroll, creator: UUID) -> UUID:
    payout = sent(payroll, creator)
    payroll.owner.execute(
        "select app.record_stripe_failure(%s, 'account_invalid', 'no', true)",
        (request_of(payroll, payout)["id"],),
    )
    assert payroll.payout(payout)["status"] == "failed"
    return payout


# Together


def new_creators(owner: psycopg.Connection[Any], number: int, cents: int) -> list[UUID]:
    """So many people who are owed so much and can be paid; Stripe knows none of their accounts.

    In the order in which a batch comes to them.
    """
    found = owner.execute(
        """
        with people as materialized (
            select app.new_id() as id from generate_series(1, %(number)s)
        ),
        profiles as (
            insert into app.profiles (id, handle)
            select p.id, app.first_handle(p.id) from people as p
        )
        insert into app.payout_accounts (
            user_id, is_live, stripe_account_id, details_submitted, payouts_enabled,
            transfers_status, read_at)
        select p.id, false, 'acct_' || replace(p.id::text, '-', ''), true, true, 'active', now()
        from people as p
        returning user_id
        """,
        {"number": number},
    ).fetchall()
    creators = sorted(creator for (creator,) in found)
    owner.execute(
        "select app.adjust_earnings(c.id, %s, 'for a test', null)"
        " from unnest(%s::uuid[]) as c (id)",
        (cents * CENT, creators),
    )
    return creators


def long_ago(owner: psycopg.Connection[Any]) -> None:
    """Let all that has moved have moved a month ago; no total was made of it yet."""
    with owner.transaction():
        owner.execute("set local session_replication_role = 'replica'")
        owner.execute("update ledger.transfers set created_at = created_at - interval '1 month'")


def check_everybody_once(
    owner: psycopg.Connection[Any], creators: list[UUID], month: date, cents: int
) -> None:
    """Each of them has one payout of this sum by this month's batch, which counted them right."""
    paid = owner.execute(
        "select p.creator_id, p.amount_cents from app.payouts as p"
        " inner join app.monthly_payout_batches as b on b.id = p.batch_id"
        " where b.month = %s order by p.creator_id",
        (month,),
    ).fetchall()
    assert paid == [(creator, cents) for creator in creators]
    batch = owner.execute(
        "select state, creators_done, payouts, total_cents from app.monthly_payout_batches"
        " where month = %s",
        (month,),
    ).fetchone()
    assert batch is not None
    assert batch[0] == "closed"
    assert batch[1] >= len(creators)
    assert batch[2:] == (len(creators), len(creators) * cents)
    requests = owner.execute(
        "select count(*), count(distinct r.subject_id) from app.stripe_requests as r"
        " inner join app.payouts as p on p.id = r.subject_id"
        " inner join app.monthly_payout_batches as b on b.id = p.batch_id"
        " where b.month = %s and r.kind = 'transfer'",
        (month,),
    ).fetchone()
    assert requests == (len(creators), len(creators))
    assert owner.execute("select * from ledger.verify()").fetchall() == []


def at_one_instant(calls: Sequence[Callable[[], Answer]]) -> list[Answer | psycopg.Error]:
    """Let calls begin together, each in a thread; the answers, or how the database refused."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Answer]) -> Answer | psycopg.Error:
        barrier.wait()
        return outcome_of(call)

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))
