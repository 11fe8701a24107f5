"""Covers whose credits are taken back with their payment, at the instant at which they are made.

What Stripe says is made up. A refusal that a test does not name fails it.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
import stripe
from psycopg.types.json import Jsonb

from tests.conftest import NewDatabase
from tests.covers import MODELS, PRICE, SERVER, Author, Call, Studio, at_one_instant, in_turn
from tests.market import LOCK_WALLET, open_market, refusals, value
from tests.payments import STARTER_CENTS, STARTER_CREDITS
from tests.teller import Json

ROUNDS = 6
LOST = [("PT409", "lease_lost")]
OVER = [("PT409", "cover_job_over")]
LOCK_RESERVATION = (
    "select from ledger.reservations as r inner join app.cover_jobs as j"
    " on j.transaction_id = r.id where j.id = %s for update of r"
)


@pytest.fixture
def studio(migrated_database: NewDatabase) -> Iterator[Studio]:
    with open_market(migrated_database()) as market:
        yield Studio(market)


@dataclass(frozen=True)
class Payment:
    """The payment for all the credits that somebody has, and what Stripe says of it."""

    studio: Studio
    author: Author
    id: UUID

    def _about(self, kind: str, prefix: str, **more: object) -> Json:
        paid = {"amount": STARTER_CENTS, "currency": "usd", "livemode": False}
        names = {"payment_intent": f"pi_{self.id.hex}", "charge": f"ch_{self.id.hex}"}
        about = {"payment_id": str(self.id), "user_id": str(self.author.id)}
        told = {"object": kind, "id": f"{prefix}_{self.id.hex}", **paid, **names}
        return {**told, "metadata": about, **more}

    def _hear(self, kind: str, told: Json) -> Call:
        event = {"id": f"evt_{uuid4().hex}", "object": "event", "type": kind, "livemode": False}
        event |= {"api_version": stripe.api_version, "created": int(time.time())}
        statement = "select app.handle_stripe_event(%s, 'platform', false)"
        return self.studio.work(statement, Jsonb(event | {"data": {"object": told}}))

    def succeed(self) -> Call:
        charge = {"latest_charge": f"ch_{self.id.hex}", "amount_received": STARTER_CENTS}
        told = self._about("payment_intent", "pi", status="succeeded", **charge)
        return self._hear("payment_intent.succeeded", told)

    def refund(self) -> Call:
        """Stripe has paid it all back: whatever it had bought is gone."""
        paid = {"status": "succeeded", "balance_transaction": f"txn_{self.id.hex}"}
        return self._hear("refund.updated", self._about("refund", "re", **paid))

    def dispute(self, status: str) -> Call:
        """`needs_response` freezes what it had bought, `won` gives it back, `lost` takes it."""
        lines = [{"type": "adjustment", "amount": -STARTER_CENTS, "fee": 1500}]
        told = self._about("dispute", "dp", status=status, balance_transactions=lines)
        return self._hear("charge.dispute.updated", told)


def pay(studio: Studio) -> Payment:
    """Somebody new buys a starter pack, and has nothing else."""
    author = studio.author(credits=0)
    customer = f"cus_{author.id.hex}"
    claims = json.dumps({"sub": str(author.id), "role": "authenticated"})
    with studio.owner.transaction():
        studio.execute("select set_config('request.jwt.claims', %s, true)", claims)
        request = studio.value("select request_id from app.stripe_customer(false)")
        told = {"object": "customer", "id": customer, "livemode": False}
        answer = Jsonb(told | {"metadata": {"request_id": str(request)}})
        studio.execute("select app.begin_stripe_request(%s)", request)
        studio.execute("select app.record_stripe_answer(%s, %s)", request, answer)
        payment = studio.value(
            "select s.payment_id from app.credit_packages as p, lateral app.start_payment("
            "p.id, 'intent', %s, false, 'https://app.example', 'https://app.example', null) as s"
            " where p.name = 'Starter Pack'",
            customer,
        )
    made = Payment(studio, author, payment)
    assert made.succeed()() == "applied"
    assert studio.figures(author) == (STARTER_CREDITS, 0)
    return made


@pytest.mark.parametrize("is_refund_first", [True, False])
@pytest.mark.parametrize("step", ["finish", "cancel"])
def test_a_refund_and_the_end_of_a_job(studio: Studio, step: str, is_refund_first: bool) -> None:
    payment = pay(studio)
    author = payment.author
    work = studio.claimed(author)
    job = work.job_id
    end = studio.finish(work) if step == "finish" else studio.cancel(author, job)
    calls = [payment.refund(), end] if is_refund_first else [end, payment.refund()]
    outcomes = in_turn(studio, calls, LOCK_WALLET, author.id)
    late = LOST if step == "finish" else OVER
    assert refusals(outcomes) == (late if is_refund_first else [])
    assert "applied" in outcomes
    is_made = step == "finish" and not is_refund_first
    assert studio.job(job)["state"] == ("completed" if is_made else "canceled")
    assert len(studio.covers(author)) == (1 if is_made else 0)
    assert studio.figures(author) == (0, 0)
    assert None not in studio.attempts(job)


def test_a_refund_and_whatever_the_worker_does(studio: Studio) -> None:
    for number in range(4 * ROUNDS):
        payment = pay(studio)
        work = studio.claimed(payment.author)
        steps = (studio.finish(work), studio.fail(work), studio.release(work), studio.beat(work))
        refunded, step = at_one_instant([payment.refund(), steps[number % 4]])
        assert refunded == "applied"
        assert refusals([step]) in ([], LOST)
        is_made = number % 4 == 0 and isinstance(step, UUID)
        assert studio.job(work.job_id)["state"] == ("completed" if is_made else "canceled")
        assert None not in studio.attempts(work.job_id)
        assert studio.figures(payment.author) == (0, 0)
        assert studio.claim()() is None


def test_a_job_is_not_taken_while_its_payment_goes_back(studio: Studio) -> None:
    """Whoever comes in the middle of it finds nothing."""
    payment = pay(studio)
    job = studio.request(payment.author)()
    with ThreadPoolExecutor(1) as threads:
        with studio.market.gate(1, LOCK_RESERVATION, job):
            refunding = threads.submit(payment.refund())
            studio.market.wait_for_queue(1)
            work = studio.claim()()
        assert refunding.result() == "applied"
    assert work is None
    assert studio.job(job)["state"] == "canceled"
    assert studio.attempts(job) == []


def test_a_job_is_given_back_while_its_payment_goes_back(studio: Studio) -> None:
    """In the middle of it: one waits for the other, and neither for ever."""
    payment = pay(studio)
    work = studio.claimed(payment.author)
    calls = [payment.refund(), studio.release(work)]
    assert in_turn(studio, calls, LOCK_RESERVATION, work.job_id) == ["applied", False]
    assert studio.job(work.job_id)["state"] == "canceled"
    assert studio.attempts(work.job_id) == ["canceled"]


@pytest.mark.parametrize("decision", ["won", "lost"])
def test_a_dispute_and_the_end_of_a_job(studio: Studio, decision: str) -> None:
    """Opened and decided at the same instants as the job is finished, canceled, or left open."""
    for number in range(ROUNDS):
        payment = pay(studio)
        author = payment.author
        work = studio.claimed(author)
        steps = (studio.finish(work), studio.cancel(author, work.job_id), studio.beat(work))
        opened, step = at_one_instant([payment.dispute("needs_response"), steps[number % 3]])
        assert (opened, refusals([step])) == ("applied", [])
        assert studio.figures(author)[0] == 0
        steps = (studio.beat(work), studio.recover(), studio.finish(work))
        decided, step = at_one_instant([payment.dispute(decision), steps[number % 3]])
        assert (decided, refusals([step])) in (("applied", []), ("applied", LOST))
        is_made = studio.job(work.job_id)["state"] == "completed"
        assert is_made is (len(studio.covers(author)) == 1)
        left = STARTER_CREDITS - (PRICE if is_made else 0) if decision == "won" else 0
        assert studio.figures(author) == (left, 0)
        assert studio.violations() == []


def test_a_payment_goes_back_while_its_job_is_taken(studio: Studio) -> None:
    """The claim is not committed yet: the refund waits for it, and ends the attempt as well."""
    payment = pay(studio)
    job = studio.request(payment.author)()
    with ThreadPoolExecutor(1) as threads, studio.market.connect_as_owner() as worker:
        with worker.transaction():
            claimed = value(
                worker, "select job_id from app.claim_cover(%s, %s)", SERVER, list(MODELS)
            )
            refunding = threads.submit(payment.refund())
            studio.market.wait_for_queue(1)
        assert refunding.result() == "applied"
    assert claimed == job
    assert studio.job(job)["state"] == "canceled"
    assert studio.attempts(job) == ["canceled"]
    assert studio.violations() == []
