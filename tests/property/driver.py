"""What people, operators, banks and our own processes do in one interleaving.

Each action happens in the world first. What came of it is then told to the model, and what can be
known of the answer is checked against it.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import stripe

from tests.market import acting_as
from tests.property.client import AFTER, BEFORE, Crash
from tests.property.credits import Payment, Sale, Story, Takeback
from tests.property.inbox import Inbox
from tests.property.model import Book
from tests.property.world import World

CRASHES = {"crash_before": BEFORE, "crash_after": AFTER}
FAULTS = ("lost_request", "lost_reply", "error_500", "error_500_after", "error_429")
MISHAPS = (*CRASHES, *FAULTS)
OPERATOR = UUID("00000000-0000-4000-8000-00000000000f")
REFUSED_FOR_NOW = (502, 503)

NEW_PAYMENTS = """
    select id, user_id, amount_cents, credits_purchased, bonus_credits
    from app.payments where user_id = any(%s) and id <> all(%s) order by id
"""
NEW_REFUND_REQUESTS = """
    select r.id::text, r.payment_id, r.amount_cents
    from app.refunds as r
    where r.user_id = any(%s) and r.id::text <> all(%s)
        and exists (select from app.stripe_requests as q where q.subject_id = r.id)
"""
NEW_ANSWERS = """
    select id, kind, subject_id, state, stripe_id, error_code, error_message
    from app.stripe_requests
    where user_id = any(%s) and state <> 'pending' and id <> all(%s)
    order by answered_at
"""


@dataclass(eq=False)
class Start:
    """Somebody's wish to buy credits, sent once or again with the same key."""

    reader: UUID
    package: UUID
    method: str
    key: str
    payment_id: UUID | None = None
    stripe_id: str | None = None  # of the intent or session, once the browser knows it
    status: str = "new"  # of the intent at Stripe
    charge_id: str | None = None


@dataclass(eq=False)
class RefundCall:
    """An operator's call, sent once or again with the same key."""

    payment: Payment
    cents: int | None
    key: str


class Driver:
    """One interleaving, with people of its own."""

    def __init__(self, world: World, book: Book | None = None) -> None:
        self.world = world
        self.book = book or Book()
        self.stories = world.stories
        self.readers = [uuid4(), uuid4()]
        self.people = list(self.readers)  # all who have something to do with Stripe
        self.book.wallets = {reader: [] for reader in self.readers}
        world.line.heard.clear()
        world.dashboard_line.heard.clear()
        self.inbox = Inbox(world, self.book)
        self.starts: list[Start] = []
        self.refund_calls: list[RefundCall] = []
        self._own_refunds: set[str] = set()
        self._answered: set[UUID] = set()

    # Buying credits

    def start(self, start: Start, mishap: str | None = None) -> None:
        """Call the edge to begin a payment, or to go on with it."""
        path = "/credits/purchase" if start.method == "intent" else "/credits/checkout"
        with self._mishap(mishap):
            answer = self._call(
                path, start.reader, "authenticated", {"package_id": str(start.package)}, start.key
            )
        new = self._notice_payments()
        if start not in self.starts:
            self.starts.append(start)
        assert len(new) <= (start.payment_id is None), "one key, one payment"
        if new:
            start.payment_id = new[0]
        self.inbox.look()
        if answer is not None:
            self._check_start(start, *answer, mishap)
        self.notice()

    def _check_start(
        self, start: Start, status: int, body: dict[str, Any], mishap: str | None
    ) -> None:
        if mishap is not None and status in REFUSED_FOR_NOW:
            assert body["hint"] == "stripe_unavailable", body
            return
        assert status == 201, (status, body)
        assert UUID(body["payment_id"]) == start.payment_id
        if start.method == "intent":
            start.stripe_id = body["client_secret"].split("_secret_")[0]
        elif body["url"] is not None:
            start.stripe_id = body["url"].rsplit("/", 1)[1]

    def pay(self, start: Start, payment_method: str) -> None:
        """What the browser does with what the edge gave it."""
        kind = "payment_intents" if start.method == "intent" else "checkout/sessions"
        action = "confirm" if start.method == "intent" else "pay"
        path = f"{kind}/{start.stripe_id}/{action}"
        self._see(start, *self.world.control(path, payment_method=payment_method))

    def authenticate(self, start: Start, outcome: str) -> None:
        self._bank(start, "authenticate", outcome)

    def settle(self, start: Start, outcome: str) -> None:
        self._bank(start, "settle", outcome)
        if start.method == "checkout" and outcome == "failed":
            start.status = "over"  # the page was completed and is not shown again

    def _bank(self, start: Start, action: str, outcome: str) -> None:
        path = f"payment_intents/{self.intent_of(start)}/{action}"
        self._see(start, *self.world.control(path, outcome=outcome))

    def _see(self, start: Start, status: int, body: dict[str, Any]) -> None:
        assert status in (200, 402), body
        intent = body if status == 200 else body["error"]["payment_intent"]
        start.status, start.charge_id = intent["status"], intent["latest_charge"]
        self.inbox.look()

    def intent_of(self, start: Start) -> str:
        assert start.payment_id is not None and start.stripe_id is not None
        if start.method == "intent":
            return start.stripe_id
        session = self.world.dashboard.v1.checkout.sessions.retrieve(start.stripe_id)
        return str(session.payment_intent)

    def cancel(self, start: Start) -> None:
        """The merchant ends it at Stripe."""
        assert start.stripe_id is not None
        if start.method == "intent":
            self.world.dashboard.v1.payment_intents.cancel(start.stripe_id)
        else:
            self.world.dashboard.v1.checkout.sessions.expire(start.stripe_id)
        start.status = "canceled"
        self.inbox.look()

    # Money that goes back

    def refund(self, call: RefundCall, mishap: str | None = None) -> None:
        """An operator's refund, by the edge."""
        is_first = call not in self.refund_calls
        expected = self._refund_refusal(call) if is_first else None
        body: dict[str, Any] = {"reason": "a test"}
        if call.cents is not None:
            body["amount_cents"] = call.cents
        path = f"/payments/{call.payment.id}/refund"
        with self._mishap(mishap):
            answer = self._call(path, OPERATOR, "service_role", body, call.key)
        made = self._notice_refund_requests()
        if expected is not None:
            assert answer is not None and not made
            assert (answer[0], answer[1]["hint"]) == expected
            return
        assert len(made) == is_first, "one key, one refund"
        if is_first:
            left = self.book.refundable(call.payment) + made[0].cents
            assert made[0].cents == (left if call.cents is None else call.cents)
            self.refund_calls.append(call)
        self.inbox.look()
        refused = self.notice()
        if answer is not None:
            # What Stripe did not take the worker sends; what it refuses it refuses for good.
            assert answer[0] == 201 or answer[1]["hint"] == "stripe_refused", answer
            assert not refused or answer[1].get("hint") == "stripe_refused", answer

    def _refund_refusal(self, call: RefundCall) -> tuple[int, str] | None:
        left = self.book.refundable(call.payment)
        if call.payment.status != "succeeded":
            return 409, "payment_not_succeeded"
        if left <= 0:
            return 409, "already_refunded"
        if call.cents is not None and call.cents > left:
            return 422, "refund_too_large"
        return None

    def refund_in_dashboard(self, start: Start, cents: int) -> None:
        """Somebody at Stripe's own pages; Stripe may say no."""
        with suppress(stripe.InvalidRequestError):
            self.world.dashboard.v1.refunds.create(
                {"charge": str(start.charge_id), "amount": cents}
            )
        self.inbox.look()

    def settle_refund(self, refund_id: str, outcome: str) -> None:
        self.world.control(f"refunds/{refund_id}/settle", outcome=outcome)
        self.inbox.look()

    def dispute(self, start: Start, cents: int | None, *, is_inquiry: bool) -> None:
        self.world.control(f"charges/{start.charge_id}/dispute", amount=cents, inquiry=is_inquiry)
        self.inbox.look()

    def answer_dispute(self, dispute_id: str, evidence: str) -> None:
        """Hand in evidence; where none is taken any more, the bank decides."""
        try:
            self.world.dashboard.v1.disputes.update(
                dispute_id, {"evidence": {"uncategorized_text": evidence}}
            )
        except stripe.InvalidRequestError:
            outcome = "won" if evidence == "winning_evidence" else "lost"
            self.world.control(f"disputes/{dispute_id}/decide", outcome=outcome)
        self.inbox.look()

    def at_stripe(self, kind: str) -> list[str]:
        """The refunds or disputes that were spoken of."""
        things = [event["data"]["object"] for event in self.inbox.events.values()]
        return list({thing["id"]: None for thing in things if thing["object"] == kind})

    # Spending

    def buy(self, reader: UUID, story: Story, chapters: tuple[int, ...]) -> None:
        new = tuple(sorted(set(chapters) - self.book.owned(reader, story)))
        cost = story.price * len(new)
        try:
            with acting_as(self.world.web, reader):
                row = self.world.web.execute(
                    "select purchase_id, credits_spent, balance "
                    "from api.purchase_story(%s, 'chapter', %s)",
                    (story.id, list(chapters)),
                ).fetchone()
        except psycopg.Error as error:
            assert error.diag.message_hint == "insufficient_credits", error
            assert cost > self.book.balance(reader)
            return
        assert row is not None
        purchase_id, spent, balance = row
        assert spent == cost
        if cost:
            self.book.buy(purchase_id, reader, story, new)
        assert balance == self.book.balance(reader)

    def return_sale(self, sale: Sale, credits: int | None) -> None:
        left = sale.credits - sale.taken
        try:
            with acting_as(self.world.web, OPERATOR, "service_role"):
                self.world.web.execute(
                    "select api.refund_story_purchase(%s, %s, 'a test', %s)",
                    (sale.person, sale.id, credits),
                )
        except psycopg.Error as error:
            expected = "already_reversed" if left == 0 else "reversal_too_large"
            assert error.diag.message_hint == expected, error
            assert left == 0 or (credits or 0) > left
            return
        self.book.return_sale(sale, left if credits is None else credits)

    # Our own processes

    def send(self, mishap: str | None = None) -> None:
        """The worker sends whatever is due; its time has come for everything."""
        self.world.make_due()
        with self._mishap(mishap), suppress(Crash):
            self.world.send_due()
        self.inbox.look()
        self.notice()

    def send_in_two_places(self, start: Start) -> None:
        """The worker and the payer's second call, at the same instant."""
        self.world.make_due()
        with psycopg.connect(self.world.url, autocommit=True) as other, ThreadPoolExecutor(1) as at:
            worker = at.submit(self.world.send_due, other)
            self.start(start, "at the same time")
            worker.result()
        # Whichever of them came first, now the browser knows.
        self.start(start)

    def backfill(self) -> None:
        self.world.read_events()
        self.notice()
        assert self.inbox.only_by_webhook(self.inbox.undelivered)

    def fold(self) -> None:
        self.world.owner.execute("select ledger.fold()")

    def read_statement(self) -> None:
        self.world.read_statement()

    def replay(self, event_id: str) -> None:
        self.world.owner.execute("select app.replay_stripe_event(%s)", (event_id,))
        self.notice()

    def replay_parked(self) -> None:
        self.world.owner.execute("select app.replay_parked_stripe_events()")
        self.notice()

    # What the ledger was told

    @contextmanager
    def telling(self, arrives: bool) -> Iterator[None]:
        """Where it arrives, Stripe tells at once of what happens inside."""
        before = set(self.inbox.events)
        yield
        new = [event_id for event_id in self.inbox.events if event_id not in before]
        if arrives and new:
            self.inbox.deliver(new)
            self.notice()

    def notice(self, *, may_fail: bool = False) -> list[Takeback]:
        """Tell the model of the answers and events that were taken in; the refunds refused."""
        refused = []
        for row in self.world.rows(NEW_ANSWERS, self.people, list(self._answered)):
            self._answered.add(row["id"])
            answer = self.world.line.heard.get(row["stripe_id"])
            if row["state"] == "succeeded" and answer is not None:
                assert self.book.learn(answer) == "applied"
            elif (row["state"], row["kind"]) == ("failed", "refund"):
                refused.append(self._refuse(str(row["subject_id"]), row["error_message"]))
            else:
                self.end_request(row)
        self.inbox.notice(may_fail=may_fail)
        return refused

    def end_request(self, row: dict[str, Any]) -> None:
        """It was refused, or withdrawn, or an event answered it."""
        raise AssertionError(row)

    def _refuse(self, own_id: str, message: str) -> Takeback:
        for payment in self.book.payments.values():
            for takeback in payment.takebacks:
                if takeback.own_id == own_id:
                    self._check_refusal(payment, takeback, message)
                    if takeback.status == "pending":
                        self.book.fail_refund(payment, takeback)
                    return takeback
        raise AssertionError(f"an unknown refund was refused: {own_id}")

    def _check_refusal(self, payment: Payment, takeback: Takeback, message: str) -> None:
        """Stripe refuses only what cannot be done."""
        charges = self.world.dashboard.v1.charges.list({"payment_intent": str(payment.intent_id)})
        charge = next(each for each in charges.data if each.paid)
        left = charge.amount - charge.amount_refunded
        assert charge.disputed or left < takeback.cents, message

    def _notice_payments(self) -> list[UUID]:
        rows = self.world.rows(NEW_PAYMENTS, self.readers, list(self.book.payments))
        for row in rows:
            self.book.begin(Payment(*row.values()))
        return [row["id"] for row in rows]

    def _notice_refund_requests(self) -> list[Takeback]:
        made = []
        for row in self.world.rows(NEW_REFUND_REQUESTS, self.readers, list(self._own_refunds)):
            self._own_refunds.add(row["id"])
            payment = self.book.payments[row["payment_id"]]
            made.append(self.book.ask_for_refund(payment, row["id"], row["amount_cents"]))
        return made

    # How things go wrong

    def _call(
        self, path: str, subject: UUID, role: str, body: dict[str, Any], key: str
    ) -> tuple[int, dict[str, Any]] | None:
        """An answer of the edge, or None where the edge died."""
        try:
            return self.world.post(path, subject, role, body, key)
        except Crash:
            return None

    @contextmanager
    def _mishap(self, mishap: str | None) -> Iterator[None]:
        """Let something go wrong with the first thing that is sent to Stripe."""
        faults = self.world.sandbox.sandbox.faults
        if mishap in FAULTS or mishap == "insufficient_balance":
            faults.add("POST", "/v1/*", mishap)
        with self.world.line.crashing(CRASHES.get(mishap or "")):
            yield
        faults.clear()
