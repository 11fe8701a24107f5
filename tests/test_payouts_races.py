"""Payouts at one instant: every race ends with the right rows, and nobody is paid twice."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import NewDatabase
from tests.market import (
    LOCK_WALLET,
    acting_as,
    answers,
    in_parallel,
    open_market,
    refusals,
    value,
)
from tests.payouts import CENT, DOLLAR, SOLD
from tests.payroll import (
    Payroll,
    Sale,
    answer,
    at_one_instant,
    buy,
    check_everybody_once,
    hear,
    leave_the_rest,
    sell,
    transfer_of,
)

ROUNDS = 12
EVERYTHING = None
LOCK_EARNINGS = "select ledger.lock_earnings(array[%s]::uuid[])"


@pytest.fixture
def payroll(migrated_database: NewDatabase) -> Iterator[Payroll]:
    with open_market(migrated_database()) as market:
        yield Payroll(market)


# One creator, many requests -----------------------------------------------------------------------


def test_everything_is_asked_for_by_many_at_once(payroll: Payroll) -> None:
    creator = payroll.creator(5000)
    outcomes = payroll.market.at_one_wallet(creator, [payroll.request(creator)] * 8)
    (payout,) = answers(outcomes)
    assert refusals(outcomes) == [("PT422", "below_minimum_payout")] * 7
    assert [row["amount_cents"] for row in payroll.payouts(creator)] == [5000]
    assert payroll.figures(creator) == (0, 50 * DOLLAR, 0)
    assert payroll.pending_requests(payout) == 1


def test_parts_that_are_more_than_there_is(payroll: Payroll) -> None:
    creator = payroll.creator(5005)
    outcomes = payroll.market.at_one_wallet(creator, [payroll.request(creator, "10")] * 8)
    assert len(answers(outcomes)) == 5
    assert refusals(outcomes) == [("PT422", "not_enough_available")] * 3
    assert payroll.figures(creator) == (5 * CENT, 50 * DOLLAR, 0)


def test_one_key_many_times(payroll: Payroll) -> None:
    creator = payroll.creator(5000)
    calls = [payroll.request(creator, "10", "a key")] * 16
    outcomes = payroll.market.at_one_wallet(creator, calls)
    assert refusals(outcomes) == []
    assert len(set(answers(outcomes))) == 1
    assert payroll.figures(creator) == (40 * DOLLAR, 10 * DOLLAR, 0)


def test_one_key_for_two_amounts(payroll: Payroll) -> None:
    creator = payroll.creator(5000)
    calls = [payroll.request(creator, amount, "a key") for amount in ("10", "20") * 8]
    outcomes = payroll.market.at_one_wallet(creator, calls)
    assert refusals(outcomes) == [("PT409", "idempotency_mismatch")] * 8
    assert len(set(answers(outcomes))) == 1
    assert len(payroll.payouts(creator)) == 1


def test_many_creators_at_once(payroll: Payroll) -> None:
    """They share nothing but the platform, whose rows nobody locks."""
    creators = payroll.creators(16)
    assert refusals(in_parallel([payroll.request(creator) for creator in creators])) == []
    assert {payroll.figures(creator) for creator in creators} == {(0, 50 * DOLLAR, 0)}


def test_a_correction_and_a_request_at_once(payroll: Payroll) -> None:
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        adjust = payroll.service(
            "select api.adjust_earnings(%s, %s, 'a slip')", creator, -45 * DOLLAR
        )
        outcomes = at_one_instant([payroll.request(creator), adjust])
        owed, on_the_way, _ = payroll.figures(creator)
        if isinstance(outcomes[0], psycopg.Error):
            assert refusals(outcomes) == [("PT422", "below_minimum_payout")]
            assert (owed, on_the_way) == (5 * DOLLAR, 0)
        else:
            assert (owed, on_the_way) == (-45 * DOLLAR, 50 * DOLLAR)


# Batches ------------------------------------------------------------------------------------------


def test_a_request_and_a_batch_at_once(payroll: Payroll) -> None:
    """Both wait for the creator's lock; whoever gets it pays, and the other finds nothing."""
    winners: set[bool] = set()
    for month in payroll.months():
        creator = payroll.creator(5000)
        with ThreadPoolExecutor(2) as threads:
            calls = [payroll.request(creator), payroll.close(month)]
            with payroll.market.gate(2, LOCK_EARNINGS, creator):
                if len(winners) == 1:  # let the other one come first
                    calls.reverse()
                running = []
                for queue_length, call in enumerate(calls, start=1):
                    running.append(threads.submit(call))
                    payroll.market.wait_for_queue(queue_length)
            errors = [each.exception() for each in running]
        (row,) = payroll.payouts(creator)
        assert row["amount_cents"] == 5000
        assert payroll.figures(creator) == (0, 50 * DOLLAR, 0)
        assert payroll.pending_requests(row["id"]) == 1
        if row["batch_id"] is None:
            assert errors == [None, None]
        else:
            assert refusals([each for each in errors if each]) == [
                ("PT422", "below_minimum_payout")
            ]
        assert payroll.rows("select * from app.payout_skips where creator_id = %s", creator) == []
        winners.add(row["batch_id"] is None)
    assert winners == {True, False}


@pytest.mark.parametrize("creators_a_step", [1, 7, 1000])
def test_batches_of_one_month_at_one_instant(payroll: Payroll, creators_a_step: int) -> None:
    creators = payroll.creators(40, 2500)
    for month in payroll.months()[:3]:
        steps = at_one_instant([payroll.close(month, creators_a_step)] * 4)
        assert refusals(steps) == []
        check_everybody_once(payroll.owner, creators, month, 2500)
        assert {payroll.figures(creator)[0] for creator in creators} == {0}
        for creator in creators:
            payroll.owner.execute(
                "select app.adjust_earnings(%s, %s, 'again', null)", (creator, 2500 * CENT)
            )


def test_whole_months_and_steps_at_one_instant(payroll: Payroll) -> None:
    """By the service, by pg_cron and by workers at once; the month that is due is the last one."""
    creators = payroll.creators(40, 2500)
    payroll.owner.execute("update app.economy set payout_day = 1")
    (month, *_) = payroll.months()
    outcomes = at_one_instant(
        [
            payroll.service("select payouts from api.run_monthly_payouts(%s)", month),
            payroll.work("select app.close_due_month()"),
            payroll.work("select app.close_due_month()"),
            payroll.close(month, 5),
            payroll.service("select payouts from api.run_monthly_payouts(%s)", month),
        ]
    )
    assert refusals(outcomes) == []
    assert outcomes[0] == outcomes[-1] == 40
    check_everybody_once(payroll.owner, creators, month, 2500)
    assert payroll.work("select app.close_due_month(), app.due_payout_month()")() == [(None, None)]


def test_batches_of_different_months_at_one_instant(payroll: Payroll) -> None:
    """The money is there once: one of them pays each creator, and the others find nothing."""
    creators = payroll.creators(40, 2500)
    months = payroll.months()[:4]
    assert refusals(at_one_instant([payroll.close(month, 7) for month in months])) == []
    paid = payroll.rows("select creator_id from app.payouts order by creator_id")
    assert [row["creator_id"] for row in paid] == creators
    batches = payroll.rows("select * from app.monthly_payout_batches")
    assert [batch["state"] for batch in batches] == ["closed"] * 4
    assert sum(batch["payouts"] for batch in batches) == 40
    assert payroll.rows("select * from app.payout_skips") == []


def test_a_pause_and_a_batch_at_once(payroll: Payroll) -> None:
    for month in payroll.months():
        creator = payroll.creator(5000)
        pause = payroll.call(creator, "authenticated", "select api.pause_payouts()")
        assert refusals(at_one_instant([payroll.close(month), pause])) == []
        skips = payroll.rows("select reason from app.payout_skips where creator_id = %s", creator)
        if payroll.payouts(creator):
            assert skips == []
            assert payroll.figures(creator) == (0, 50 * DOLLAR, 0)
        else:
            assert skips == [{"reason": "paused"}]
            assert payroll.figures(creator) == (50 * DOLLAR, 0, 0)
        payroll.owner.execute("update app.payout_settings set paused_at = now()")


def test_refunds_and_payouts_at_one_instant(payroll: Payroll) -> None:
    """Paid before the refund, the balance is negative; refunded before, there is nothing to pay."""
    payroll.owner.execute("update app.economy set earnings_hold_days = 0")
    sales = [sell(payroll, creator) for creator in payroll.creators(24, 1)]
    month = value(payroll.owner, "select app.month_of(now())")
    by_request, by_batch = sales[:12], sales[12:]
    calls = [payroll.market.refunder(sale.reader, sale.purchase) for sale in sales]
    calls += [payroll.request(sale.creator) for sale in by_request]
    close = payroll.work("select app.continue_monthly_payouts(%s, 1, true)", month)
    outcomes = at_one_instant([*calls, lambda: [close() for _ in range(25)]])
    assert set(refusals(outcomes)) <= {("PT422", "below_minimum_payout")}
    for sale in by_request + by_batch:
        owed, on_the_way, paid = payroll.figures(sale.creator)
        assert (owed + on_the_way, paid) == (CENT, 0)
        assert on_the_way in (0, SOLD + CENT)
        assert len(payroll.payouts(sale.creator)) == (1 if on_the_way else 0)
    assert payroll.rows("select state from app.monthly_payout_batches") == [{"state": "closed"}]


def test_a_sale_that_commits_late_belongs_to_the_next(payroll: Payroll) -> None:
    """Open while the month is closed: it was not paid, and nothing of it is lost."""
    payroll.owner.execute("update app.economy set earnings_hold_days = 0")
    creator = payroll.market.creator
    with acting_as(payroll.owner, creator):
        payroll.owner.execute(
            "select api.set_story_pricing(%s, price_per_chapter => 1000)", (payroll.market.story,)
        )
    reader = payroll.market.reader(credits=2000)
    payroll.owner.execute(
        "insert into app.payout_accounts (user_id, is_live, stripe_account_id, payouts_enabled,"
        " transfers_status, read_at) values (%s, false, 'acct_late', true, 'active', now())",
        (creator,),
    )
    payroll.market.buyer(reader, [3])()
    with payroll.market.connect() as connection, connection.transaction():
        payroll.market.purchase(connection, reader, [4])
        month = value(payroll.owner, "select app.month_of(now())")
        statement = "select payouts, total_cents from app.run_monthly_payouts(%s, true)"
        assert payroll.owner.execute(statement, (month,)).fetchone() == (1, 3500)
    assert payroll.figures(creator) == (SOLD, SOLD, 0)
    payroll.market.fold()
    assert payroll.figures(creator) == (SOLD, SOLD, 0)
    payroll.request(creator)()
    assert payroll.figures(creator) == (0, 2 * SOLD, 0)


# Stopping what is being sent ----------------------------------------------------------------------


def stop_call(payroll: Payroll, what: str, creator: UUID, payout: UUID) -> Callable[[], Any]:
    if what == "cancel":
        return payroll.cancel(creator, payout)
    statement = {
        "hold": "select api.hold_payout(%s, 'wait')::text",
        "stop": "select api.stop_payout(%s, 'no')::text",
    }[what]
    return payroll.service(statement, payout)


@pytest.mark.parametrize("what", ["cancel", "hold", "stop"])
def test_stopping_a_payout_that_is_being_claimed(payroll: Payroll, what: str) -> None:
    """Either it is stopped and nobody sends it, or it is sent and nobody can stop it."""
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        payout: UUID = payroll.request(creator)()
        stop = stop_call(payroll, what, creator, payout)
        stopped, claimed, other = at_one_instant([stop, payroll.claim(), payroll.claim()])
        assert not isinstance(claimed, psycopg.Error) and not isinstance(other, psycopg.Error)
        status = payroll.payout(payout)["status"]
        if isinstance(stopped, psycopg.Error):
            assert refusals([stopped]) == [("PT409", "payout_not_pending")]
            assert len(claimed + other) == 1
            assert status == "processing"
            assert payroll.pending_requests(payout) == 1
            assert payroll.figures(creator) == (0, 50 * DOLLAR, 0)
        else:
            assert claimed + other == []
            assert status == ("held" if what == "hold" else "canceled")
            assert payroll.pending_requests(payout) == 0
            back = 0 if what == "hold" else 50 * DOLLAR
            assert payroll.figures(creator) == (back, 50 * DOLLAR - back, 0)
        leave_the_rest(payroll)


def test_everybody_stops_a_payout_at_once(payroll: Payroll) -> None:
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        payout: UUID = payroll.request(creator)()
        outcomes = at_one_instant(
            [
                payroll.cancel(creator, payout),
                payroll.service("select api.stop_payout(%s, 'no')::text", payout),
                payroll.cancel(creator, payout),
                payroll.service("select api.hold_payout(%s, 'wait')::text", payout),
            ]
        )
        # It may be held before it is stopped, and is canceled once: by its creator, or for them.
        assert {hint for _, hint in refusals(outcomes)} <= {"payout_not_pending", "payout_held"}
        assert len(refusals(outcomes)) in (2, 3)
        assert payroll.payout(payout)["status"] == "canceled"
        assert payroll.figures(creator) == (50 * DOLLAR, 0, 0)
        kinds = payroll.rows(
            "select kind from ledger.transfers where reference_id = %s order by id", payout
        )
        assert [row["kind"] for row in kinds] == ["payout", "payout_returned"]


def test_a_payout_is_released_once(payroll: Payroll) -> None:
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        payout: UUID = payroll.request(creator)()
        payroll.service("select api.hold_payout(%s, 'wait')::text", payout)()
        release = payroll.service("select api.release_payout(%s)::text", payout)
        outcomes = at_one_instant([release] * 4)
        assert refusals(outcomes) == [("PT409", "payout_not_held")] * 3
        assert payroll.payout(payout)["status"] == "pending"
        assert payroll.pending_requests(payout) == 1


@pytest.mark.parametrize("what", ["cancel", "hold", "stop"])
def test_stopping_a_payout_that_is_being_released(payroll: Payroll, what: str) -> None:
    """Whoever comes while it is released stops what was released: nobody sends it."""
    creator = payroll.creator(5000)
    payout: UUID = payroll.request(creator)()
    payroll.service("select api.hold_payout(%s, 'wait')::text", payout)()
    with ThreadPoolExecutor(1) as threads:
        with payroll.market.connect_as_owner() as releasing, releasing.transaction():
            releasing.execute("select app.release_payout(%s)", (payout,))
            stopping = threads.submit(stop_call(payroll, what, creator, payout))
            payroll.market.wait_for_queue(1)
        stopping.result()
    assert payroll.payout(payout)["status"] == ("held" if what == "hold" else "canceled")
    assert payroll.pending_requests(payout) == 0
    assert payroll.claim()() == []
    back = 0 if what == "hold" else 50 * DOLLAR
    assert payroll.figures(creator) == (back, 50 * DOLLAR - back, 0)


def test_a_payout_is_released_and_canceled_at_one_instant(payroll: Payroll) -> None:
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        payout: UUID = payroll.request(creator)()
        payroll.service("select api.hold_payout(%s, 'wait')::text", payout)()
        at_one_instant(
            [
                payroll.service("select api.release_payout(%s)::text", payout),
                payroll.cancel(creator, payout),
                payroll.claim(),
            ]
        )
        is_canceled = payroll.payout(payout)["status"] == "canceled"
        assert payroll.pending_requests(payout) == (0 if is_canceled else 1)
        back = 50 * DOLLAR if is_canceled else 0
        assert payroll.figures(creator) == (back, 50 * DOLLAR - back, 0)
        leave_the_rest(payroll)


# Everything at once -------------------------------------------------------------------------------


class Bustle:
    """People and workers who do what they do until it is over, each in a thread."""

    def __init__(self, payroll: Payroll, sales: list[Sale]) -> None:
        self.payroll = payroll
        self.sales = sales
        self.over = Event()

    def calls(self) -> list[Callable[[], int]]:
        fold = self.payroll.work("select ledger.fold()")
        seal = self.payroll.work("select ledger.seal()")
        return [
            *(self.until_over(partial(self.buy, number)) for number in (0, 1, 2)),
            *(self.until_over(partial(self.ask_and_cancel, number)) for number in (0, 3)),
            *(self.until_over(self.send) for _ in range(2)),
            self.until_over(fold),
            self.until_over(seal),
        ]

    def until_over(self, call: Callable[[], object]) -> Callable[[], int]:
        """Again and again; refused it may be, but nothing else may go wrong. How often."""

        def run() -> int:
            for calls in count():
                if self.over.is_set():
                    return calls
                try:
                    call()
                except psycopg.Error as refused:
                    if not (refused.sqlstate or "").startswith("PT"):
                        raise
            raise AssertionError("it never ends")

        return run

    def buy(self, number: int) -> None:
        """Somebody new; every second sale is taken back."""
        reader = uuid4()
        self.payroll.work("select app.grant_credits(%s, 1000, 'for a test')", reader)()
        purchase = buy(self.payroll, reader, self.sales[number].story)
        if number % 2:
            self.payroll.market.refunder(reader, purchase)()

    def ask_and_cancel(self, number: int) -> None:
        creator = self.sales[number].creator
        payout = self.payroll.request(creator, "10")()
        self.payroll.cancel(creator, payout)()

    def send(self) -> None:
        """What a sender does, without Stripe, which refuses some and takes a dollar back of all."""
        for (request,) in self.payroll.claim()():
            statement = "select subject_id from app.stripe_requests where id = %s"
            ((payout,),) = self.payroll.work(statement, request)()
            if request.int % 5 == 0:
                statement = "select app.record_stripe_failure(%s, 'account_invalid', 'no', true)"
                self.payroll.work(statement, request)()
                self.payroll.service("select api.retry_payout(%s)", payout)()
            else:
                answer(self.payroll, {"id": request}, transfer_of(self.payroll, payout))()
                hear(self.payroll, transfer_of(self.payroll, payout, (100,)))()


def test_payouts_among_sales_folds_and_refunds(payroll: Payroll) -> None:
    """Nothing waits for itself, and what creators have adds up to what was sold and corrected."""
    payroll.owner.execute("update app.economy set earnings_hold_days = 0")
    bustle = Bustle(payroll, [sell(payroll, creator) for creator in payroll.creators(12, 3000)])
    calls = bustle.calls()
    with ThreadPoolExecutor(len(calls)) as threads:
        running = [threads.submit(call) for call in calls]
        try:
            for month in payroll.months()[:6]:
                two = at_one_instant([payroll.close(month, 3), payroll.close(month, 5)])
                assert refusals(two) == []
        finally:
            bustle.over.set()
        assert all(each.result() > 0 for each in running)
    assert payroll.market.violations() == []
    payroll.market.fold()
    for sale in bustle.sales:
        check_that_it_adds_up(payroll, sale.creator)


def check_that_it_adds_up(payroll: Payroll, creator: UUID) -> None:
    earned = value(
        payroll.owner,
        "select coalesce(sum(case when credit_kind = 'earnings' then amount else -amount end), 0)"
        " from ledger.transfers where kind in ('earning', 'clawback', 'correction')"
        " and %s in (debit_owner_id, credit_owner_id)",
        creator,
    )
    rows = payroll.payouts(creator)
    waiting = [row["amount_cents"] for row in rows if row["status"] in ("pending", "processing")]
    kept = [row["amount_cents"] - row["reversed_cents"] for row in rows if row["status"] == "paid"]
    figures = payroll.figures(creator)
    assert sum(figures) == earned
    assert figures[1:] == (sum(waiting) * CENT, sum(kept) * CENT)


def test_a_waiting_wallet_keeps_no_batch_waiting(payroll: Payroll) -> None:
    """A creator who buys something for long is paid all the same: other rows."""
    creators = payroll.creators(3, 2500)
    (month, *_) = payroll.months()
    with payroll.market.connect_as_owner() as holder, holder.transaction():
        holder.execute(LOCK_WALLET, (creators[1],))
        payroll.close(month)()
    check_everybody_once(payroll.owner, creators, month, 2500)
