"""Creators who are paid: earnings quickly made, accounts at the sandbox, payouts followed.

An `Office` is a till of a test's own (`tests/tills.py`) with PostgREST before its database. There
is no worker: `send` does what it would do, when the test wants it.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from psycopg.types.json import Jsonb

from api.config import with_login
from api.stack import postgrest
from api.stack.ports import answers_ok, free_port
from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from api.stripe.client import raw
from api.tokens import sign_token
from tests.market import acting_as, value
from tests.processes import clean_environment
from tests.shop import Caller, refusal
from tests.teller import WAIT_SECONDS, Json, undelivered
from tests.tills import OwnTill, own_till

CENT = 10_000
DOLLAR = 1_000_000
MINIMUM_CENTS = 1_000
TITLE = "A story of tests"
SOLD = 35 * DOLLAR  # what a creator has of a chapter for a thousand credits: 70 % at $0.05
FUNDS = 100_000_000  # more than all tests together pay
Popen = subprocess.Popen[bytes]
TRANSFERS = "/v1/transfers"
# Faults that strike a request on its way: each request meets one of them at most.
ON_THE_WAY = ("slow", "lost_request", "error_429", "lost_reply", "hold")


@dataclass
class Office:
    """Where creators ask for their money, and operators look after it."""

    till: OwnTill
    http: httpx.Client

    # Who there is

    def caller(self, user: UUID, role: str = "authenticated") -> Caller:
        token = sign_token(self.till.jwt_secret, subject=user, role=role, hours=1)
        return Caller(self.http, user, token)

    def service(self) -> Caller:
        return self.caller(uuid4(), "service_role")

    def anonymous(self) -> Caller:
        return Caller(self.http, uuid4(), None)

    def somebody(self) -> "Creator":
        """Somebody who has earned nothing, and whom Stripe does not know."""
        creator = Creator(self, self.caller(uuid4()))
        self.execute("select app.ensure_profile(%s)", creator.id)
        return creator

    def creator(self, cents: int = 0) -> "Creator":
        """Somebody who can be paid, and to whom so much is owed, available at once."""
        creator = self.somebody()
        creator.connect()
        if cents:
            creator.owe(cents * CENT)
        return creator

    # What the database says

    def rows(self, statement: str, *arguments: object) -> list[Json]:
        return self.till.rows(statement, *arguments)

    def value(self, statement: str, *arguments: object) -> Any:
        return self.till.value(statement, *arguments)

    def execute(self, statement: str, *arguments: object) -> None:
        self.till.owner.execute(statement.encode(), arguments or None)

    def payout(self, payout_id: object) -> Json:
        (row,) = self.rows("select * from app.payouts where id = %s", payout_id)
        return row

    def requests(self, payout_id: object) -> list[Json]:
        return self.rows(
            "select * from app.stripe_requests where subject_id = %s order by id", payout_id
        )

    def month(self, back: int = 0) -> date:
        """The month that is running, or one so many before it."""
        month: date = self.value(
            "select (app.month_of(now()) - make_interval(months => %s))::date", back
        )
        return month

    def hold_days(self, days: int) -> None:
        self.execute("update app.economy set earnings_hold_days = %s", days)

    # What Stripe does

    def fund(self, cents: int = FUNDS) -> None:
        """Money for transfers, from the platform's bank."""
        self.till.sandbox.control("/balance/top_up", {"amount": cents})

    def transfers(self, payout_id: object) -> list[Json]:
        """The transfers of a payout at Stripe; there should never be two."""
        sandbox = self.till.sandbox
        return sandbox.all_of(sandbox.api.transfers, transfer_group=f"payout-{payout_id}")

    def count_creates(self) -> None:
        """Count from now on how often Stripe is asked for a transfer; after the other faults."""
        self.till.sandbox.fault(TRANSFERS, "slow", times=None, seconds=0)

    def creates(self) -> int:
        """How often that was."""
        listed = self.till.sandbox.control("/faults", method="GET")["faults"]
        return sum(
            each["struck"]
            for each in listed
            if (each["method"], each["path"]) == ("POST", TRANSFERS) and each["fault"] in ON_THE_WAY
        )

    def reverse(self, payout_id: object, cents: int | None = None) -> str:
        """Take a transfer back at Stripe, as somebody does in the dashboard; the reversal's id."""
        (transfer,) = self.transfers(payout_id)
        about: Any = {} if cents is None else {"amount": cents}
        reversal: Any = self.till.sandbox.api.transfers.reversals.create(transfer["id"], about)
        return str(reversal.id)

    # What the worker does

    def send(self) -> None:
        """What the worker does about Stripe, once; what waits for later is due now."""
        self.till.work()

    def read_accounts(self) -> None:
        """Read the accounts of which there are news: events come in any order."""
        for news in self.rows(
            "select stripe_account_id, clock_timestamp() as read_at from app.payout_accounts"
            " where news_at > read_at and deauthorized_at is null"
        ):
            account = raw(self.till.sandbox.api.accounts.retrieve(news["stripe_account_id"]))
            self.execute(
                "select app.record_payout_account(%s, false, %s)", Jsonb(account), news["read_at"]
            )

    def wait_for(self, payout_id: object, status: str) -> Json:
        def arrived() -> bool:
            return bool(self.payout(payout_id)["status"] == status)

        assert wait_until(arrived, seconds=WAIT_SECONDS), self.payout(payout_id)
        return self.payout(payout_id)

    def check_paid_once(self, payout_id: object) -> Json:
        """One transfer at Stripe, one payout here, and neither of them another sum."""
        payout = self.wait_for(payout_id, "paid")
        (transfer,) = self.transfers(payout_id)
        assert transfer["id"] == payout["stripe_transfer_id"]
        assert transfer["amount"] == payout["amount_cents"]
        assert transfer["destination"] == payout["stripe_account_id"]
        assert transfer["metadata"]["creator_id"] == str(payout["creator_id"])
        kinds = self.rows(
            "select kind, amount from ledger.transfers where reference_id = %s"
            " and kind in ('payout_sent', 'transfer') order by kind",
            payout_id,
        )
        amount = payout["amount_cents"] * CENT
        assert kinds == [
            {"kind": "payout_sent", "amount": amount},
            {"kind": "transfer", "amount": amount},
        ]
        assert self.till.violations() == []
        return payout


@dataclass
class Creator:
    """Somebody who earns."""

    office: Office
    rest: Caller
    account: str = ""
    _story: UUID | None = field(default=None, repr=False)

    @property
    def id(self) -> UUID:
        return self.rest.id

    # How they come to money, and to an account for it

    def connect(self, *, ready: bool = True) -> None:
        """Set up payouts at the edge and at Stripe, as far as that is wanted."""
        buyer = self.office.till.buyer(self.id)
        answer = buyer.post("/creators/connect", {})
        assert answer.status_code == 201, answer.text
        self.account = answer.json()["stripe_account_id"]
        if ready:
            self.control("complete")
            self.wait_for_state("ready")

    def control(self, what: str, **body: Any) -> None:
        """What becomes of the account at Stripe."""
        self.office.till.sandbox.control(f"/accounts/{self.account}/{what}", body)

    def account_now(self) -> Json:
        """What the creator is told of their account."""
        answer = self.rest.get("/rpc/payout_account")
        assert answer.status_code == 200, answer.text
        said: Json = answer.json()
        return said

    def wait_for_state(self, state: str, missing: list[str] | None = None) -> Json:
        """What they are told when all news of it have come, in whatever order, and it was read."""

        def arrived() -> bool:
            if undelivered(self.office.till.sandbox):
                return False
            self.office.read_accounts()
            return True

        assert wait_until(arrived, seconds=WAIT_SECONDS)
        said = self.account_now()
        assert said["state"] == state, said
        assert missing is None or said["missing"] == missing, said
        return said

    def owe(self, microdollars: int) -> None:
        """An operator's correction: there at once, without a hold."""
        self.office.execute(
            "select app.adjust_earnings(%s, %s, 'for a test', null)", self.id, microdollars
        )

    def sell(self, credits: int = 1000, at: datetime | None = None) -> UUID:
        """Somebody new buys a chapter of theirs at this price; the purchase.

        It can have been at another time, as long as no total was made of it.
        """
        reader = uuid4()
        self.office.execute("select app.grant_credits(%s, %s, 'for a test')", reader, credits)
        purchase = self.sell_to(reader, credits)
        if at is not None:
            self._move(purchase, at)
        return purchase

    def sell_to(self, reader: UUID, credits: int) -> UUID:
        """The same to somebody who has credits."""
        owner, story = self.office.till.owner, self.story()
        with acting_as(owner, self.id):
            owner.execute(
                "select api.set_story_pricing(%s, price_per_chapter => %s)", (story, credits)
            )
        with acting_as(owner, reader):
            statement = "select purchase_id from api.purchase_story(%s, 'chapter', '{3}')"
            purchase: UUID = value(owner, statement, story)
        return purchase

    def _move(self, purchase: UUID, at: datetime) -> None:
        owner = self.office.till.owner
        with owner.transaction():
            owner.execute("set local session_replication_role = 'replica'")
            owner.execute(
                "update ledger.transfers set created_at = %s where transaction_id = ("
                " select transaction_id from app.story_purchases where id = %s)",
                (at, purchase),
            )

    def story(self, title: str | None = None) -> UUID:
        """What they have on sale; with a title it is something new."""
        if self._story is None or title is not None:
            owner = self.office.till.owner
            with acting_as(owner, self.id):
                self._story = value(owner, "select api.create_story(%s)", title or TITLE)
                owner.cursor().executemany(
                    "select api.save_chapter(%s, %s, 'A chapter', 'Some words.')",
                    [(self._story, number) for number in range(1, 4)],
                )
                owner.execute("select api.publish_story(%s)", (self._story,))
        return self._story

    def take_back(self, purchase: UUID) -> None:
        """An operator gives the reader of a purchase their credits back."""
        owner = self.office.till.owner
        reader = value(owner, "select user_id from app.story_purchases where id = %s", purchase)
        owner.execute(
            "select app.refund_story_purchase(%s, %s, 'a test', null, null)", (reader, purchase)
        )

    # What they ask for, and what they see

    def request(self, amount: object = None, key: str | None = None) -> httpx.Response:
        about = {} if amount is None else {"amount_usd": amount}
        headers = {} if key is None else {"Idempotency_Key": key}
        return self.rest.call("request_payout", about, **headers)

    def ask(self, amount: object = None, key: str | None = None) -> str:
        """A payout that is made; its id."""
        answer = self.request(amount, key)
        assert answer.status_code == 200, answer.text
        payout: str = answer.json()["payout_id"]
        return payout

    def cancel(self, payout_id: object) -> httpx.Response:
        return self.rest.call("cancel_payout", {"payout_id": str(payout_id)})

    def summary(self) -> Json:
        answer = self.rest.get("/rpc/earnings_summary")
        assert answer.status_code == 200, answer.text
        figures: Json = answer.json()
        return figures

    @property
    def balance(self) -> int:
        """What is owed to them and not on its way, in micro-dollars."""
        return int(self.office.value("select ledger.balance(%s, 'earnings')", self.id))

    def figures(self) -> tuple[int, int, int]:
        """Owed, on the way and paid."""
        figures = self.summary()
        return (
            figures["balance_microdollars"],
            figures["on_the_way_microdollars"],
            figures["paid_microdollars"],
        )

    def payouts(self) -> list[Json]:
        """Their payouts as they see them, oldest first."""
        answer = self.rest.get("/payouts?order=id")
        assert answer.status_code == 200, answer.text
        rows: list[Json] = answer.json()
        return rows


@contextmanager
def open_office(
    server: EmbeddedPostgres, name: str, template: str, funds: int = FUNDS
) -> Iterator[Office]:
    """An office in a new database; at the end its ledger must be right, and agree with Stripe."""
    with own_till(server, name, template) as till:
        till.rest_url = _start_postgrest(till)
        with httpx.Client(base_url=till.rest_url, timeout=30) as http:
            office = Office(till, http)
            if funds:
                office.fund(funds)
            office.hold_days(0)
            yield office


def _start_postgrest(till: OwnTill) -> str:
    """PostgREST before the till's database, until the till is closed."""
    port, admin_port = free_port(), free_port()
    environment = postgrest.environment(
        database_url=with_login(till.database_url, "authenticator", None),
        jwt_secret=till.jwt_secret,
        port=port,
        admin_port=admin_port,
    )
    log = till.folder / "postgrest.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [postgrest.find_postgrest()],
            env={**clean_environment(), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def end() -> None:
        process.terminate()
        process.wait(WAIT_SECONDS)

    till.closing.callback(end)
    ready = f"http://127.0.0.1:{admin_port}/ready"
    assert wait_until(lambda: answers_ok(ready), seconds=WAIT_SECONDS), log.read_text()
    return f"http://127.0.0.1:{port}"


def refused(answer: httpx.Response, status: int, hint: str) -> Json:
    body = refusal(answer, status)
    assert body["hint"] == hint, body
    return body


def log_of(office: Office) -> str:
    return (office.till.folder / "worker.log").read_text()


@contextmanager
def workers(office: Office, number: int) -> Iterator[list[Popen]]:
    """So many workers, until the block ends."""
    started = [office.till.worker() for _ in range(number)]
    try:
        yield started
    finally:
        for worker in started:
            if worker.poll() is None:
                end(worker)


def end(worker: Popen) -> None:
    """In order; one that had hardly begun cannot say so."""
    worker.terminate()
    assert worker.wait(WAIT_SECONDS) in (0, -signal.SIGTERM)


def kill(worker: Popen) -> None:
    worker.kill()
    worker.wait()
