"""Paying as people do it: over the edge's HTTP, with the sandbox in Stripe's place.

A `Till` is where credits are sold: an edge, the sandbox behind it and the database below. It stands
in the shared stack (`till_of`), or is a small one of a test's own (`tests/tills.py`).
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import stripe
from psycopg.rows import dict_row

from api.stack.supervisor import Stack
from api.stack.wait import wait_until
from api.stripe.client import raw
from api.tokens import sign_token
from tests.market import acting_as
from tests.teller import WAIT_SECONDS, Json, Sandbox, signature, undelivered

STARTER, STARTER_CREDITS, STARTER_CENTS = "Starter Pack", 110, 499
VISA = "pm_card_visa"
WEBHOOK = "/webhooks/stripe"
CONNECT_WEBHOOK = "/webhooks/stripe/connect"
# What the worker holds while it looks for missed events. Whoever has it is not disturbed by it.
READING_EVENTS = "select pg_advisory_lock(hashtextextended('infinite pages: stripe events', 0))"

_numbers = count(1)


def new_address() -> str:
    """An address of this machine that nobody has called from, so that nobody's limit is shared."""
    number = next(_numbers)
    return f"127.7.{number // 250}.{number % 250 + 1}"


@dataclass(frozen=True)
class Buyer:
    """Somebody who buys, with an address of their own."""

    till: "Till"
    id: UUID
    token: str | None
    http: httpx.Client = field(repr=False)

    def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        """POST JSON to the edge; header names are written with underscores."""
        return self.send(path, json.dumps(body).encode(), **headers)

    def send(self, path: str, content: bytes, **headers: str) -> httpx.Response:
        """POST a body as it stands."""
        sent = {"Content-Type": "application/json"}
        sent |= {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self.http.post(path, content=content, headers=sent)

    def purchase(
        self, package: str = STARTER, key: str | None = None, **more: Any
    ) -> httpx.Response:
        body = {"package_id": self.till.package(package), **more}
        return self.post("/credits/purchase", body, **_keyed(key))

    def checkout(
        self, package: str = STARTER, key: str | None = None, **more: Any
    ) -> httpx.Response:
        body = {"package_id": self.till.package(package), **more}
        return self.post("/credits/checkout", body, **_keyed(key))

    def refund(
        self, payment: "Payment | UUID | str", key: str | None = None, **body: Any
    ) -> httpx.Response:
        about = {"reason": "a test", **body}
        return self.post(f"/payments/{payment}/refund", about, **_keyed(key))

    def begin(self, package: str = STARTER, key: str | None = None) -> "Payment":
        """A payment by intent that waits for a card."""
        return self.payment(self.purchase(package, key))

    def payment(self, answer: httpx.Response) -> "Payment":
        """The payment that an answer is about."""
        assert answer.status_code == 201, answer.text
        payment = Payment(self, answer.json()["payment_id"])
        if "client_secret" in answer.json():
            secret = answer.json()["client_secret"]
            assert payment.intent == secret.partition("_secret_")[0]
        return payment

    def pay(self, package: str = STARTER, method: str = VISA) -> "Payment":
        """A payment by intent that went well."""
        payment = self.begin(package)
        payment.confirm(method)
        return payment.wait_for("succeeded")

    @property
    def balance(self) -> int:
        return int(self.till.value("select coalesce(ledger.balance(%s, 'wallet'), 0)", self.id))

    @property
    def statement(self) -> list[tuple[str, int]]:
        """Kind and amount of each entry of the wallet, oldest first."""
        with acting_as(self.till.owner, self.id):
            rows = self.till.rows(
                "select transaction_type, amount from api.credit_transactions order by id"
            )
        return [(row["transaction_type"], row["amount"]) for row in rows]


def _keyed(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency_Key": key}


@dataclass(frozen=True)
class Payment:
    """A payment, as the database and Stripe have it."""

    buyer: Buyer
    id: str

    def __str__(self) -> str:
        return self.id

    @property
    def till(self) -> "Till":
        return self.buyer.till

    @property
    def row(self) -> Json:
        return self.till.rows("select * from api.payments where id = %s", self.id)[0]

    @property
    def intent(self) -> str:
        intent: str = self.row["stripe_payment_intent_id"]
        return intent

    @property
    def session(self) -> str:
        session: str = self.till.value(
            "select stripe_checkout_session_id from app.payments where id = %s", self.id
        )
        return session

    @property
    def charge(self) -> str:
        charge: str = raw(self.till.sandbox.api.payment_intents.retrieve(self.intent))[
            "latest_charge"
        ]
        return charge

    def confirm(self, method: str = VISA) -> httpx.Response:
        """What stripe.js does in the browser; a card can be declined."""
        return self.till.sandbox.attempt(
            f"/payment_intents/{self.intent}/confirm", {"payment_method": method}
        )

    def pay_session(self, method: str = VISA) -> httpx.Response:
        """What somebody does on the hosted page."""
        path = f"/checkout/sessions/{self.session}/pay"
        return self.till.sandbox.attempt(path, {"payment_method": method})

    def events(self, *types: str) -> list[Json]:
        begun = int(self.row["created_at"].timestamp()) - 1
        return self.till.sandbox.events(self.intent, *types, since=begun)

    def event(self, kind: str) -> Json:
        (event,) = self.events(kind)
        return event

    def wait_for(self, status: str) -> "Payment":
        assert wait_until(lambda: self.row["status"] == status, seconds=WAIT_SECONDS), self.row
        return self

    def refunds(self) -> list[Json]:
        return self.till.rows(
            "select * from api.refunds where payment_id = %s order by id", self.id
        )

    def disputes(self) -> list[Json]:
        return self.till.rows(
            "select * from api.disputes where payment_id = %s order by id", self.id
        )

    def wait_for_refunds(self, *statuses: str) -> list[Json]:
        def arrived() -> bool:
            return [each["status"] for each in self.refunds()] == list(statuses)

        assert wait_until(arrived, seconds=WAIT_SECONDS), self.refunds()
        return self.refunds()

    def wait_for_dispute(self, status: str) -> Json:
        def arrived() -> bool:
            return [each["status"] for each in self.disputes()] == [status]

        assert wait_until(arrived, seconds=WAIT_SECONDS), self.disputes()
        return self.disputes()[0]


@dataclass
class Till:
    """Where credits are sold."""

    edge_url: str
    database_url: str
    jwt_secret: str
    sandbox: Sandbox
    owner: psycopg.Connection[Any]
    http: httpx.Client
    closing: ExitStack
    rest_url: str = ""

    def rows(self, statement: str, *arguments: object) -> list[Json]:
        cursor = self.owner.cursor(row_factory=dict_row)
        return cursor.execute(statement.encode(), arguments or None).fetchall()

    def value(self, statement: str, *arguments: object) -> Any:
        row = self.owner.execute(statement.encode(), arguments or None).fetchone()
        assert row is not None
        return row[0]

    def buyer(self, user: UUID | None = None, role: str = "authenticated") -> Buyer:
        user = user or uuid4()
        return self.caller(sign_token(self.jwt_secret, subject=user, role=role, hours=1), user=user)

    def caller(self, token: str | None, user: UUID | None = None, url: str = "") -> Buyer:
        """Whoever bears this token, at an address of their own."""
        transport = httpx.HTTPTransport(local_address=new_address(), verify=False)
        http = httpx.Client(base_url=url or self.edge_url, transport=transport, timeout=30)
        self.closing.enter_context(http)
        return Buyer(self, user or uuid4(), token, http)

    def service(self) -> Buyer:
        """The service role, which is nobody in person."""
        return self.buyer(role="service_role")

    def operator(self) -> Buyer:
        """A person who operates the platform."""
        operator = self.buyer()
        self.owner.execute("select app.ensure_profile(%s)", (operator.id,))
        self.owner.execute("insert into app.operators (user_id) values (%s)", (operator.id,))
        return operator

    def package(self, name: str) -> str:
        return str(self.value("select id from app.credit_packages where name = %s", name))

    def new_package(self, cents: int, credits: int, bonus: int = 0) -> str:
        """A package of this test alone; its name."""
        name = f"Pack {uuid4()}"
        self.owner.execute(
            "insert into app.credit_packages (name, description, credits_amount, price_cents, "
            "bonus_credits, stripe_price_id) values (%s, 'For a test', %s, %s, %s, 'price_test')",
            (name, credits, cents, bonus),
        )
        return name

    def event_state(self, event: Json) -> str | None:
        rows = self.rows("select state from app.stripe_events where id = %s", event["id"])
        return rows[0]["state"] if rows else None

    def due(self) -> None:
        """Every request that still has to be answered can be sent again now."""
        self.owner.execute(
            "update app.stripe_requests set next_attempt_at = now() where state = 'pending'"
        )

    def violations(self) -> list[Json]:
        return self.rows("select * from ledger.verify()")

    # What Stripe does, done by hand -------------------------------------------------------------

    def webhook(
        self, payload: bytes | str | Json, *, secret: str | None = None, **options: Any
    ) -> httpx.Response:
        """Post an event, signed as Stripe signs it unless `header` says otherwise."""
        body = json.dumps(payload) if isinstance(payload, dict) else payload
        content = body.encode() if isinstance(body, str) else body
        header = options.get("header")
        if header is None:
            secret = secret or self.sandbox.settings.webhook_secrets[0]
            header = signature(content, secret, at=options.get("at"))
        headers = {"Content-Type": "application/json"}
        headers |= {"Stripe-Signature": header} if header else {}
        url = f"{options.get('url', self.edge_url)}{options.get('path', WEBHOOK)}"
        return self.http.post(url, content=content, headers=headers)

    def event_about(self, told: Mapping[str, Any], kind: str, **changed: Any) -> Json:
        """An event that the sandbox did not make."""
        return {
            "id": f"evt_{uuid4().hex}",
            "object": "event",
            "api_version": stripe.api_version,
            "created": int(time.time()),
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
            "data": {"object": dict(told)},
            **changed,
        }


@contextmanager
def till_of(stack: Stack) -> Iterator[Till]:
    """The till of the shared stack, without its worker looking for events meanwhile.

    At the end the sandbox works again, all it had to say has arrived, and the ledger is right.
    """
    with (
        psycopg.connect(stack.database_url, autocommit=True) as owner,
        httpx.Client(timeout=30, verify=False) as http,
        ExitStack() as closing,
    ):
        owner.execute(READING_EVENTS.encode())
        sandbox = Sandbox(stack.stripe, http)
        till = Till(
            stack.edge_url, stack.database_url, stack.jwt_secret, sandbox, owner, http, closing,
            stack.rest_url,
        )  # fmt: skip
        try:
            yield till
        finally:
            sandbox.calm()
        assert wait_until(lambda: not undelivered(sandbox), seconds=WAIT_SECONDS)
        assert till.violations() == []
