"""What creators, operators and Stripe do about payouts in one interleaving.

As in `driver`, everything happens in the world first, and the model is told afterwards.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
import stripe
from psycopg.rows import dict_row

from api.stack.wait import wait_until
from tests.market import acting_as
from tests.property.account_driver import AccountDriver
from tests.property.credits import Takeback
from tests.property.driver import OPERATOR, Start
from tests.property.payout_model import Creator, Outcome, Payout
from tests.property.world import World

Answer = dict[str, Any] | str  # or the hint of the refusal
Session = psycopg.Connection[Any]
First = TypeVar("First")
Second = TypeVar("Second")

OPEN_REQUESTS = """
    select id::text, kind, subject_id, attempts from app.stripe_requests
    where user_id = any(%s) and state = 'pending' and kind in ('account', 'transfer')
"""
NEW_PAYOUTS = """
    select id, creator_id, batch_id, retries_id, amount_cents, status, stripe_account_id
    from app.payouts where creator_id = any(%s) and id <> all(%s) order by id
"""
REQUEST = "select * from api.request_payout(%s, %s)"
CORRECT = "select api.adjust_earnings(%s, %s, 'a test', %s) as balance"
CANCEL = "select api.cancel_payout(%s) as status"
SET_POLICY = """
    update app.economy
    set minimum_payout_cents = %s, payout_review_cents = %s, earnings_hold_days = %s
"""
# The account may not receive anything, or is none of ours any more.
REFUSALS = ("insufficient_capabilities_for_transfer", "resource_missing")
WAITING = """
    select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
"""
WAIT_SECONDS, INTERVAL = 30.0, 0.005
HOLD_DAYS = 7


@dataclass(eq=False)
class PayoutCall:
    """A creator's call, sent once or again with the same key."""

    creator: Creator
    cents: int | None
    key: str
    payout: Payout | None = None


class PayoutDriver(AccountDriver):
    """One interleaving, with payouts of its creators."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.calls: list[PayoutCall] = []
        self.set_policy()

    def buy_credits(self, start: Start) -> None:
        """Begin a payment and pay, of which we are told at once."""
        self.start(start)
        if start.stripe_id is not None:
            with self.telling(True):
                self.pay(start, "pm_card_visa")

    # Asking for a payout

    def request(self, call: PayoutCall) -> None:
        expected = self.expected(call)
        self.take_in(call, self.send_request(self.world.web, call), expected)

    def request_with_another_amount(self, call: PayoutCall) -> None:
        other = PayoutCall(call.creator, 123_456, call.key)
        assert self.send_request(self.world.web, other) == "idempotency_mismatch"

    def request_twice_at_once(self, call: PayoutCall, key: str) -> None:
        """By two devices, that use one key or two."""
        other = call if key == call.key else PayoutCall(call.creator, call.cents, key)
        first, second = self.at_once(
            lambda session: self.send_request(session, call),
            lambda session: self.send_request(session, other),
        )
        self.take_in(call, first, self.expected(call))
        self.take_in(other, second, self.expected(other))

    def send_request(self, connection: psycopg.Connection[Any], call: PayoutCall) -> Answer:
        dollars = None if call.cents is None else Decimal(call.cents) / 100
        return ask(connection, call.creator.id, "authenticated", REQUEST, dollars, call.key)

    def expected(self, call: PayoutCall) -> set[Outcome]:
        """What can come of a call."""
        if call.payout is not None:
            return {call.payout.cents}
        return self.book.request_answers(call.creator, call.cents)

    def take_in(self, call: PayoutCall, answer: Answer, expected: set[Outcome]) -> None:
        """Compare an answer with what could be expected, and tell the model."""
        if call not in self.calls:
            self.calls.append(call)
        if isinstance(answer, str):
            assert answer in expected, (answer, expected)
            return
        assert answer["amount_cents"] in expected, (answer, expected)
        if call.payout is None:
            call.payout = self.take_payout(answer["payout_id"])
            least, most = self.book.available(call.creator)
            assert least <= answer["available_microdollars"] <= most
        assert answer["payout_id"] == call.payout.id
        assert answer["status"] == call.payout.status or call.payout.status != "pending", answer

    def take_payout(self, payout_id: UUID) -> Payout:
        """A payout that was just made, now in the model as well."""
        rows = self.new_payouts()
        (row,) = [row for row in rows if row["id"] == payout_id]
        return self.keep_payout(row)

    def new_payouts(self) -> list[dict[str, Any]]:
        known = list(self.book.payouts)
        return self.world.rows(NEW_PAYOUTS, list(self.book.creators), known)

    def keep_payout(self, row: dict[str, Any]) -> Payout:
        creator, cents = self.book.creators[row["creator_id"]], row["amount_cents"]
        assert creator.account is not None and row["stripe_account_id"] == creator.account.id
        status = self.book.first_status(creator, cents)
        payout = Payout(row["id"], creator.id, cents, creator.account.id, status)
        self.book.payouts[payout.id] = payout
        return payout

    # What becomes of a payout

    def cancel_payout(self, payout: Payout, who: UUID | None = None) -> None:
        """By its creator, or by somebody who has no business with it."""
        answer = ask(self.world.web, who or payout.creator, "authenticated", CANCEL, payout.id)
        if who is not None:
            assert answer == "payout_not_found"
        elif payout.status == "pending":
            assert answer == {"status": "canceled"}
            payout.status = "canceled"
        else:
            is_held = payout.status == "held"
            assert answer == ("payout_held" if is_held else "payout_not_pending")

    def cancel_while_it_is_sent(self, payout: Payout) -> None:
        """The worker takes it up at the same instant."""
        self.world.make_due()
        with psycopg.connect(self.world.url, autocommit=True) as other, ThreadPoolExecutor(1) as at:
            worker = at.submit(self.world.send_due, other)
            answer = ask(self.world.web, payout.creator, "authenticated", CANCEL, payout.id)
            worker.result()
        self.inbox.look()
        if isinstance(answer, str):
            assert answer == "payout_not_pending"
        else:
            assert payout.status == "pending"
            payout.status = "canceled"
        self.notice()

    def stop(self, payout: Payout) -> None:
        answer = self._operate("select api.stop_payout(%s, 'a test')", payout.id)
        self._expect(answer, payout, ("pending", "held"), "payout_not_pending", "canceled")

    def hold(self, payout: Payout) -> None:
        answer = self._operate("select api.hold_payout(%s, 'a test')", payout.id)
        self._expect(answer, payout, ("pending", "held"), "payout_not_pending", "held")

    def release(self, payout: Payout) -> None:
        answer = self._operate("select api.release_payout(%s)", payout.id)
        self._expect(answer, payout, ("held",), "payout_not_held", "pending")

    def _expect(
        self, answer: Answer, payout: Payout, allowed: Sequence[str], hint: str, status: str
    ) -> None:
        if payout.status in allowed:
            assert not isinstance(answer, str), answer
            payout.status = status
        else:
            assert answer == hint

    def retry(self, payout: Payout) -> None:
        """By an operator; of one that was tried again already, the last try counts."""
        answer = self._operate("select api.retry_payout(%s) as payout_id", payout.id)
        while payout.status == "failed" and payout.retried_by is not None:
            payout = self.book.payouts[payout.retried_by]
            if payout.status != "failed":
                assert answer == {"payout_id": payout.id}
                return
        if payout.status in ("pending", "processing"):
            assert answer == {"payout_id": payout.id}
        elif payout.status != "failed":
            assert answer == "payout_not_failed"
        else:
            expected = self.book.retry_answers(payout)
            if isinstance(answer, str):
                assert answer in expected
            else:
                new = self.take_payout(answer["payout_id"])
                assert new.cents in expected
                payout.retried_by = new.id

    def send_in_two_workers(self) -> None:
        self.world.make_due()
        with psycopg.connect(self.world.url, autocommit=True) as other, ThreadPoolExecutor(1) as at:
            worker = at.submit(self.world.send_due, other)
            self.world.send_due()
            worker.result()
        self.inbox.look()
        self.notice()

    def send_while_it_is_told(self) -> None:
        """The answer to a transfer and the event of it come at the same instant."""
        faults = self.world.sandbox.sandbox.faults
        faults.add("POST", "/v1/transfers", "hold")
        self.world.make_due()
        before = set(self.inbox.events)
        with psycopg.connect(self.world.url, autocommit=True) as other, ThreadPoolExecutor(2) as at:
            worker = at.submit(self.world.send_due, other)
            is_there = partial(self._is_there, worker)
            assert wait_until(is_there, seconds=WAIT_SECONDS, interval=INTERVAL)
            self.inbox.look()
            told = at.submit(self.inbox.deliver, [e for e in self.inbox.events if e not in before])
            faults.clear()
            told.result()
            worker.result()
        self.inbox.look()
        self.notice()

    def _is_there(self, worker: Future[int]) -> bool:
        """Whether a worker's answer is being held, or it had nothing to send."""
        return worker.done() or self.world.sandbox.sandbox.faults.listed()["holding"] > 0

    def send_to_who_may_not_receive(self, payout: Payout, mishap: str | None = None) -> None:
        """Stripe stops the account just before."""
        self.change_account(payout.destination, "disable")
        self.send(mishap)

    def end_request(self, row: dict[str, Any]) -> None:
        """Stripe refused a transfer, or was not asked after all, or told of it by an event."""
        assert row["kind"] == "transfer", row
        payout = self.book.payouts[row["subject_id"]]
        if row["state"] != "failed":
            assert row["state"] in ("withdrawn", "succeeded")
            return
        assert row["error_code"] in REFUSALS, row
        if payout.status in ("pending", "processing"):
            payout.status = "failed"

    def notice(self, *, may_fail: bool = False) -> list[Takeback]:
        refused = super().notice(may_fail=may_fail)
        rows = self.world.rows(OPEN_REQUESTS, self.people)
        self.book.account_requests = {row["id"] for row in rows if row["kind"] == "account"}
        for row in rows:
            payout = self.book.payouts.get(row["subject_id"])
            if payout is not None and payout.status == "pending" and row["attempts"]:
                payout.status = "processing"
        return refused

    # What happens at Stripe, and to the rules

    def reverse(self, transfer_id: str, cents: int | None) -> None:
        """Somebody at Stripe's own pages takes a transfer back; Stripe may say no."""
        service = self.world.dashboard.v1.transfers.reversals
        with suppress(stripe.InvalidRequestError):
            service.create(transfer_id, {} if cents is None else {"amount": cents})
        self.inbox.look()

    def describe_transfer(self, transfer_id: str) -> None:
        self.world.dashboard.v1.transfers.update(transfer_id, {"description": str(uuid4())})
        self.inbox.look()

    def top_up(self, cents: int) -> None:
        self.world.control("balance/top_up", amount=cents)
        self.book.cents_topped_up += cents

    def correct(self, creator: Creator, microdollars: int, key: str, *, times: int = 1) -> None:
        """An operator's correction, and its repetitions."""
        answers = [self._operate(CORRECT, creator.id, microdollars, key) for _ in range(times)]
        creator.corrected += microdollars
        creator.has_moved = True
        least, most = self.book.balance_of(creator)
        for answer in answers:
            assert not isinstance(answer, str) and least <= answer["balance"] <= most

    def pause(self, creator: Creator, is_paused: bool) -> None:
        pause = "select api.pause_payouts(%s) as is_paused"
        answer = ask(self.world.web, creator.id, "authenticated", pause, is_paused)
        assert answer == {"is_paused": is_paused}
        creator.is_paused = is_paused

    def review(self, creator: Creator, is_reviewed: bool) -> None:
        reason = ", 'a test'" if is_reviewed else ""
        name = "review_creator" if is_reviewed else "end_review"
        assert not isinstance(self._operate(f"select api.{name}(%s{reason})", creator.id), str)
        creator.is_reviewed = is_reviewed

    def set_policy(self) -> None:
        """Let the rules be what the model has."""
        policy = self.book.policy
        days = HOLD_DAYS if policy.is_holding else 0
        self.world.owner.execute(SET_POLICY, (policy.minimum_cents, policy.review_cents, days))

    def _operate(self, statement: str, *arguments: object) -> Answer:
        return ask(self.world.web, OPERATOR, "service_role", statement, *arguments)

    def at_once(
        self, first: Callable[[Session], First], second: Callable[[Session], Second]
    ) -> tuple[First, Second]:
        """Two calls, of which the second comes while the first is not committed."""
        url = self.world.url
        with (
            psycopg.connect(url, autocommit=True) as one,
            psycopg.connect(url, autocommit=True) as other,
            ThreadPoolExecutor(1) as threads,
        ):
            with one.transaction():
                answer = first(one)
                late = threads.submit(second, other)
                assert wait_until(
                    lambda: late.done() or self.world.value(WAITING) > 0,
                    seconds=WAIT_SECONDS,
                    interval=INTERVAL,
                )
            return answer, late.result()


def ask(
    connection: psycopg.Connection[Any], who: UUID, role: str, statement: str, *arguments: object
) -> Answer:
    """Call the database as somebody: the row that it answers, or the hint of its refusal."""
    try:
        with (
            acting_as(connection, who, role),
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            row = cursor.execute(statement.encode(), arguments).fetchone()
    except psycopg.Error as error:
        assert error.sqlstate is not None and error.sqlstate.startswith("PT"), error
        return str(error.diag.message_hint)
    assert row is not None
    return row
