"""Going back to a moment: the first purchase is there, the second is not, and what only Stripe
knows comes back. The steps are those of `docs/operations/restore.md`.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from api import deploy, worker
from api.config import DATABASE_NAME
from api.stack.wait import wait_until
from tests.creators import new_earner
from tests.market import EARNED, PRICE, Market, Story, acting_as, open_market, publish_story, value
from tests.payments import STARTER_CREDITS
from tests.processes import run_command
from tests.restores import ArchivedCluster, archived_cluster
from tests.teller import WAIT_SECONDS, Json, undelivered
from tests.tills import OwnTill, till_in

CENTS = 1500
FUNDS = 10_000


@pytest.fixture
def cluster() -> Iterator[ArchivedCluster]:
    """With a backup of last night, a deployed and empty database in it."""
    with archived_cluster() as cluster:
        cluster.server.create_database(DATABASE_NAME)
        deploy.migrate(cluster.server.url())
        cluster.back_up()
        yield cluster


def sell(market: Market, chapters: int = 1) -> None:
    for _ in range(chapters):
        market.buyer(market.reader(credits=PRICE), [3])()


def position(cluster: ArchivedCluster, what: str) -> str:
    with psycopg.connect(cluster.server.url("postgres"), autocommit=True) as connection:
        return str(value(connection, f"select {what}"))


def test_the_first_sale_is_there_and_the_second_is_not(cluster: ArchivedCluster) -> None:
    """Twice from one backup: to a place in the log, then to a moment before it."""
    url = cluster.server.url()
    story = publish_story(url)
    with open_market(url, story) as market:
        sell(market, 3)
        market.fold()
        market.seal()
        sell(market)  # neither folded nor sealed
        moment = position(cluster, "clock_timestamp()")
        sell(market)
        place = position(cluster, "pg_current_wal_flush_lsn()")
        sell(market)  # the one that should not have been
        market.fold()
        market.seal()
    cluster.finish_segment()
    for sales, target in (
        (5, {"recovery_target_lsn": place}),
        (4, {"recovery_target_time": moment}),
    ):
        cluster.lose()
        cluster.restore(**target)
        goes_on(url, story, sales)


def goes_on(url: str, story: Story, sales: int) -> None:
    """So many sales are there, nothing is half there, and the worker takes up where it was."""
    with open_market(url, story) as market:
        assert market.violations() == []
        assert market.earned() == sales * EARNED
        assert market.movements() == 3 * sales  # the gift, the sale, what it earned
        assert value(market.owner, "select sum(transfers) from ledger.seals") == 9
        assert deploy.migrate(url).migrations == ()
        worker.run(url, once=True, report=lambda line: None)
        assert market.earned() == sales * EARNED
        assert market.folded_position() > 0
        assert market.seal() == market.movements()
        sell(market)
        market.fold()
        assert market.earned() == (sales + 1) * EARNED
        assert market.seal() == market.movements()


def said(till: OwnTill, *words: str, code: int = 0) -> str:
    ran = run_command(*words, environment=till.owners_environment)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout


def lines_of(said: str) -> list[str]:
    """The lines of Stripe's statement that `reconcile` misses here."""
    assert "ledger  " not in said.partition("only on this side")[2]
    return re.findall("txn_[A-Za-z0-9]+", said)


def new_payout(till: OwnTill) -> str:
    """Somebody with an account at Stripe asks for what they have earned; the payout's id."""
    account = till.sandbox.api.accounts.create(
        {"capabilities": {"transfers": {"requested": True}}, "type": "express"}
    ).id
    till.sandbox.control(f"/accounts/{account}/complete")
    assert wait_until(lambda: not undelivered(till.sandbox), seconds=WAIT_SECONDS)
    earner = new_earner(till.owner, CENTS, account=account)
    with acting_as(till.owner, earner.id):
        return str(till.value("select payout_id from api.request_payout(%s::numeric)", CENTS / 100))


def transfers(till: OwnTill, payout: str) -> list[Json]:
    return till.sandbox.all_of(till.sandbox.api.transfers, transfer_group=f"payout-{payout}")


# Before anything is sent: whoever sends looks at Stripe first, as after a lost answer. And no
# number of a receipt is given out twice.
BEFORE_THE_EDGE_STARTS = (
    "update app.stripe_requests set attempts = greatest(attempts, 1) where state = 'pending'",
    "update app.seller set receipt_prefix = 'R2'",
)


def test_stripe_brings_back_what_was_paid_since(cluster: ArchivedCluster) -> None:
    url = cluster.server.url()
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    backfill = ("stripe", "backfill", "--since", today)
    with till_in(url) as till:
        till.sandbox.control("/balance/top_up", {"amount": FUNDS})
        kept = till.buyer().pay()
        begun = till.buyer().begin()
        asked = new_payout(till)
        moment = position(cluster, "clock_timestamp()")

        # What the database will not know.
        begun.confirm()
        begun.wait_for("succeeded")
        unknown = till.buyer().pay()
        till.service().refund(kept)
        kept.wait_for_refunds("succeeded")
        till.settle()
        assert [each["amount"] for each in transfers(till, asked)] == [CENTS]
        numbers = {each.row["receipt_number"] for each in (begun, unknown)}

        cluster.finish_segment()
        cluster.lose()
        cluster.restore(recovery_target_time=moment)
        with psycopg.connect(url, autocommit=True) as till.owner:
            assert till.violations() == []
            assert [each.buyer.balance for each in (kept, begun)] == [STARTER_CREDITS, 0]
            assert till.rows("select * from app.payments where id = %s", unknown.id) == []
            said(till, "migrate")
            for statement in BEFORE_THE_EDGE_STARTS:
                till.owner.execute(statement.encode())
            assert int(said(till, *backfill).rpartition(" ")[2]) > 0
            assert begun.row["status"] == "succeeded"
            assert begun.row["receipt_number"] not in numbers
            assert begun.buyer.balance == STARTER_CREDITS
            assert [each["status"] for each in kept.refunds()] == ["succeeded"]
            assert kept.buyer.balance == 0
            assert till.value("select status from app.payouts where id = %s", asked) == "paid"
            assert said(till, *backfill).endswith(": 0\n")
            assert begun.buyer.statement == [("purchase", 100), ("bonus", 10)]

            # A payment that was begun later is at Stripe alone. It is given back there.
            till.sandbox.api.refunds.create({"payment_intent": unknown_intent(till, unknown.id)})
            unexplained = lines_of(said(till, "reconcile", code=1))
            assert len(unexplained) == 2
            a_day_goes_by(till)
            for line in unexplained:
                said(till, "stripe", "explain", line, "--reason", "paid and given back: restored")
            assert "reconciled" in said(till, "reconcile")

            # The edge and the worker are back: nothing happens twice, and sales go on.
            assert till.buyer().pay().row["receipt_number"].startswith("R2-")
            till.settle()
            assert [each["amount"] for each in transfers(till, asked)] == [CENTS]
            till.owner.execute("select ledger.fold(), ledger.seal()")
            assert till.violations() == []


def unknown_intent(till: OwnTill, payment: str) -> str:
    """As an operator finds it, by the payment's id, which the parked event waits for."""
    found: str = till.value(
        "select object_id from app.stripe_events"
        " where waits_for = %s and type = 'payment_intent.succeeded'",
        payment,
    )
    return found


def a_day_goes_by(till: OwnTill) -> None:
    with till.owner.transaction():
        till.owner.execute("set local session_replication_role = replica")
        till.owner.execute(
            "update app.stripe_balance_transactions set created_at = created_at - interval '1 day'"
        )
