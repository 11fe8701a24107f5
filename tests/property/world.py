"""One database with the edge, the worker's parts and Stripe's sandbox, for many interleavings."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import requests
from flask import Flask
from psycopg.rows import dict_row

from api import create_app
from api.config import EdgeSettings, StripeSettings, with_login
from api.sandbox.server import RunningSandbox
from api.stripe.accounts import read_accounts
from api.stripe.backfill import read_events
from api.stripe.balance import read_statement
from api.stripe.tasks import send_due_requests
from api.tokens import sign_token
from tests.market import acting_as, value
from tests.property.client import Line, make_client
from tests.property.credits import Story

JWT_SECRET = "a secret of at least thirty-two characters"
SECRET_KEY = "sk_test_property"
WEBHOOK_SECRET = "whsec_property"  # of both doors
CHAPTERS = tuple(range(1, 10))
# What divides badly shows where a micro-dollar is lost.
PRICES_AND_SHARES = ((23, (10_000,)), (37, (3333, 3333, 3334)))

# Like a process that just died: its lease is over, and the next attempt is due.
MAKE_DUE = "update app.stripe_requests set next_attempt_at = now() where state = 'pending'"
# The lists are read an hour back. Here nothing comes late, and an hour of stories is long.
SKIP_WHAT_WAS_READ = """
    update app.stripe_cursors set moved_to = now() + interval '1 hour' - interval '1 second'
"""
POISON = """
    create table public.poison ();
    create function public.refuse_while_poisoned() returns trigger language plpgsql as $$
    begin
        if exists (select from public.poison) then
            raise exception 'poisoned';
        end if;
        return new;
    end;
    $$;
    grant select on public.poison to public;
"""
POISONED_TABLES = ("payments", "refunds", "disputes", "payouts", "payout_accounts")
# A page of events that Stripe's own list does not show: those of connected accounts.
EVENTS_OF_ACCOUNTS = """
    select body from objects
    where kind = 'event' and json_extract(body, '$.account') is not null
        and sequence > (select sequence from objects where id = ?)
    order by sequence
"""
NEWEST_EVENT = "select id from objects where kind = 'event' order by sequence desc limit 1"


class World:
    """What a test acts on."""

    def __init__(self, url: str, sandbox: RunningSandbox) -> None:
        self.url = url
        self.is_sound = True
        self.sandbox = sandbox
        self.owner = psycopg.connect(url, autocommit=True)
        self.web = self.connect()
        self.line = Line()
        self.stripe = make_client(SECRET_KEY, sandbox.url, self.line)
        # What happens in Stripe's dashboard is not something that we asked for.
        self.dashboard_line = Line()
        self.dashboard = make_client(SECRET_KEY, sandbox.url, self.dashboard_line)
        self.controls = requests.Session()
        self.controls.trust_env = False
        self.app = self._make_edge()
        self._prepare_database()
        self.stories = [publish_story(self.web, *each) for each in PRICES_AND_SHARES]
        self.packages = self.owner.execute(
            "select id, price_cents, credits_amount, bonus_credits from app.credit_packages "
            "order by price_cents limit 2"
        ).fetchall()

    def close(self) -> None:
        """Let go of everything but the sandbox."""
        for each in (self.owner, self.web, self.line, self.dashboard_line, self.controls):
            each.close()
        self.app.extensions["database"].close()

    def connect(self) -> psycopg.Connection[Any]:
        """One more session of PostgREST's login."""
        return psycopg.connect(with_login(self.url, "authenticator", None), autocommit=True)

    def _make_edge(self) -> Flask:
        settings = EdgeSettings(
            database_url=with_login(self.url, "edge", None),
            jwt_secret=JWT_SECRET,
            stripe=StripeSettings(
                secret_key=SECRET_KEY,
                webhook_secrets=(WEBHOOK_SECRET,),
                connect_webhook_secrets=(WEBHOOK_SECRET,),
                api_base=self.sandbox.url,
            ),
            edge_url="http://127.0.0.1:8000",
        )
        app = create_app(settings)
        app.extensions["shop"] = replace(app.extensions["shop"], client=self.stripe)
        return app

    def _prepare_database(self) -> None:
        # What is tested is what comes of a crash of ours, not of the machine.
        self.owner.execute("set synchronous_commit = off")
        name = value(self.owner, "select current_database()")
        self.owner.execute(f'alter database "{name}" set synchronous_commit = off'.encode())
        self.owner.execute("update app.rate_limits set capacity = 1000000, per_minute = 1000000")
        self.owner.execute(POISON)
        for table in POISONED_TABLES:
            self.owner.execute(
                f"create trigger poison before insert or update on app.{table} "
                "for each row execute function public.refuse_while_poisoned()".encode()
            )

    # The edge

    def post(
        self, path: str, subject: UUID, role: str, body: dict[str, Any], key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """A call of the edge, as somebody."""
        token = sign_token(JWT_SECRET, subject=subject, role=role, hours=1)
        headers = {"Authorization": f"Bearer {token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        with self.app.test_client() as client:
            answer = client.post(path, json=body, headers=headers)
            return answer.status_code, answer.get_json()

    def deliver(self, payload: bytes, signature: str, door: str = "") -> tuple[int, dict[str, Any]]:
        """A webhook, at the platform's own door or at another one."""
        with self.app.test_client() as client:
            answer = client.post(
                f"/webhooks/stripe{door}",
                data=payload,
                headers={"Stripe-Signature": signature, "Content-Type": "application/json"},
            )
            return answer.status_code, answer.get_json()

    @contextmanager
    def poisoned(self) -> Iterator[None]:
        """Nothing can be written of payments, as with a bug of ours."""
        self.owner.execute("insert into public.poison default values")
        try:
            yield
        finally:
            self.owner.execute("delete from public.poison")

    # The worker

    def make_due(self) -> None:
        self.owner.execute(MAKE_DUE)

    def send_due(self, connection: psycopg.Connection[Any] | None = None) -> int:
        return send_due_requests(
            connection or self.owner, self.stripe, threading.Event(), livemode=False
        )

    def read_events(self) -> int:
        return read_events(self.owner, self.dashboard, livemode=False)

    def read_accounts(self, which: str) -> int:
        stop = threading.Event()
        return read_accounts(self.owner, self.dashboard, stop, which=which, livemode=False)

    def read_statement(self) -> int:
        return read_statement(self.owner, self.dashboard)

    def skip_what_was_read(self) -> None:
        self.owner.execute(SKIP_WHAT_WAS_READ)

    # Stripe

    def control(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """What browsers and banks do at the sandbox."""
        answer = self.controls.post(f"{self.sandbox.url}/_sandbox/{path}", json=body, timeout=20)
        return answer.status_code, answer.json()

    def list_events(self, **where: str | int) -> list[dict[str, Any]]:
        """Events as Stripe would deliver them. Not by the library, which is slow for so many."""
        answer = self.controls.get(
            f"{self.sandbox.url}/v1/events", params=where, auth=(SECRET_KEY, ""), timeout=20
        )
        events: list[dict[str, Any]] = answer.json()["data"]
        return events

    def events_of_accounts(self, after: str) -> list[dict[str, Any]]:
        """What happened in connected accounts, which only webhooks tell, oldest first."""
        return [json.loads(body) for (body,) in self.ask_sandbox(EVENTS_OF_ACCOUNTS, after)]

    def newest_event(self) -> str:
        """The last of all events."""
        ((event_id,),) = self.ask_sandbox(NEWEST_EVENT)
        return str(event_id)

    def objects_of_sandbox(self, statement: str, *values: str) -> list[dict[str, Any]]:
        """Objects with all that is never shown; the statement answers their id and body."""
        return [json.loads(body) for _, body in self.ask_sandbox(statement, *values)]

    def ask_sandbox(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        """What the sandbox knows that nobody can ask Stripe for."""
        store = self.sandbox.sandbox.store
        with store.transaction():
            return store.query(statement, values)

    def cents_at_stripe(self) -> int:
        balance = self.dashboard.v1.balance.retrieve()
        return sum(part["amount"] for part in (*balance["available"], *balance["pending"]))

    # What the books say

    def rows(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        with self.owner.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode(), arguments).fetchall()

    def value(self, statement: str, *arguments: object) -> Any:
        return value(self.owner, statement, *arguments)


def publish_story(
    connection: psycopg.Connection[Any], price: int, shares: tuple[int, ...]
) -> Story:
    """A story of new authors, all chapters of which have to be bought."""
    authors = [uuid4() for _ in shares]
    for author in authors[1:]:
        with acting_as(connection, author):
            connection.execute("select api.update_profile()")
    with acting_as(connection, authors[0]):
        story: UUID = value(connection, "select api.create_story('A story for tests')")
        for chapter in CHAPTERS:
            connection.execute(
                "select api.save_chapter(%s, %s, 'A chapter', 'Some words.')", (story, chapter)
            )
        connection.execute(
            "select api.set_story_pricing(%s, price_per_chapter => %s, is_free_sample => false)",
            (story, price),
        )
        connection.execute(
            "select api.set_story_authors(%s, %s, %s)", (story, authors, list(shares))
        )
        connection.execute("select api.publish_story(%s)", (story,))
    return Story(story, price, tuple(zip(authors, shares, strict=True)))


@contextmanager
def open_world(url: str, folder: Path) -> Iterator[World]:
    """A migrated database, with everything that acts on it."""
    sandbox = RunningSandbox(folder, secret_key=SECRET_KEY)
    try:
        world = World(url, sandbox)
        try:
            yield world
        finally:
            world.close()
    finally:
        sandbox.close()
