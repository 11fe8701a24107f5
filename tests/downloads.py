"""Readers who have stories made into files: what the tests of downloads act on.

Readers call PostgREST and the edge over HTTP, with a plan that was not paid at Stripe. The worker's
part runs when a test says so, in this process.
"""

import re
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from flask import Flask
from psycopg import sql
from psycopg.rows import dict_row
from werkzeug.serving import make_server

from api import create_app
from api.config import EdgeSettings, StripeSettings, with_login
from api.downloads.tasks import make_due_exports
from api.stack.postgres import EmbeddedPostgres
from api.tokens import sign_token
from tests.covers import running_postgrest
from tests.market import Connection, Market, acting_as, open_market, value
from tests.shop import Caller

Json = dict[str, Any]

SECRET = "a secret of the tests, long enough"
PRICE = 250
MONTHLY_LIMIT = 5
LINKS = 3
WAIT_SECONDS = 60.0
FORMATS = ("markdown", "html", "epub")
TAGS = re.compile(r"<(style|title)\b.*?</\1>|<[^>]*>", re.DOTALL)
ESCAPES = re.compile(r"\\(?=[!-/:-@\[-`{-~])")


@dataclass
class Desk:
    """One database with PostgREST and the edge before it, and without a worker."""

    market: Market
    rest: httpx.Client
    edge: httpx.Client

    @property
    def owner(self) -> Connection:
        return self.market.owner

    def caller(self, user: UUID, role: str = "authenticated") -> Caller:
        return Caller(self.rest, user, sign_token(SECRET, subject=user, role=role, hours=1))

    def service(self) -> Caller:
        return self.caller(uuid4(), "service_role")

    def anonymous(self) -> Caller:
        return Caller(self.rest, uuid4(), token=None)

    def reader(self, credits: int = PRICE, plan: str | None = "premium") -> "Reader":
        """Somebody new; their queue of files is their own, that of the database is empty."""
        user = self.market.reader(credits)
        self.owner.execute("select app.ensure_profile(%s)", (user,))
        if plan is not None:
            subscribe(self.owner, user, plan)
        return Reader(user, self, self.caller(user))

    def work(self) -> int:
        """What the worker does when it looks; how many files it has made."""
        with self.market.connect_as_owner() as connection:
            return make_due_exports(connection, threading.Event())

    def claim(self) -> Json | None:
        """What a worker takes; it then says no more."""
        with (
            self.market.connect_as_owner() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            return cursor.execute("select * from app.claim_export()").fetchone()

    def let_all_be_due(self) -> None:
        self.owner.execute("update app.exports set run_at = now() where state = 'pending'")

    def let_all_expire(self) -> None:
        self.owner.execute("update app.exports set expires_at = now() where state = 'ready'")

    def row(self, export: str) -> Json:
        with self.owner.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute("select * from app.exports where id = %s", (export,)).fetchone()
        assert row is not None
        return row

    def trace(self, text: str) -> list[Json]:
        answer = self.service().call("trace_watermark", {"content": text})
        assert answer.status_code == 200, answer.text
        rows: list[Json] = answer.json()
        return rows

    def get(self, path: str) -> httpx.Response:
        """GET an address of the edge, as any browser does: it names nobody."""
        return self.edge.get(path)


@dataclass(frozen=True)
class Reader:
    """Somebody who has files made."""

    id: UUID
    desk: Desk
    rest: Caller

    def ask(
        self, format_name: object = "epub", story: object = None, key: str | None = None
    ) -> httpx.Response:
        about = {"story_id": str(story or self.desk.market.story), "format": format_name}
        headers = {} if key is None else {"Idempotency_Key": key}
        return self.rest.call("request_export", about, **headers)

    def asked(self, format_name: str = "epub", story: object = None, key: str | None = None) -> str:
        """A request that is accepted; the export."""
        answer = self.ask(format_name, story, key)
        assert answer.status_code == 200, answer.text
        export: str = answer.json()["export_id"]
        return export

    def made(self, format_name: str = "epub", story: object = None) -> str:
        """A file that is there; it was alone in the queue."""
        export = self.asked(format_name, story)
        assert self.desk.work() == 1
        assert self.export(export)["status"] == "ready"
        return export

    def link(self, export: str) -> httpx.Response:
        return self.rest.call("make_export_link", {"export_id": export})

    def linked(self, export: str) -> str:
        """An address that is given out."""
        answer = self.link(export)
        assert answer.status_code == 200, answer.text
        path: str = answer.json()["path"]
        return path

    def fetched(self, export: str) -> httpx.Response:
        """The file, over an address of its own."""
        answer = self.desk.get(self.linked(export))
        assert answer.status_code == 200, answer.text
        return answer

    def export(self, export: str) -> Json:
        """The export as its reader sees it."""
        (row,) = self.rest.get(f"/exports?id=eq.{export}").json()
        seen: Json = row
        return seen

    @property
    def balance(self) -> int:
        return int(self.rest.get("/rpc/credit_balance").json()["balance"])

    @property
    def reserved(self) -> int:
        return int(value(self.desk.owner, "select ledger.balance(%s, 'reserved')", self.id))

    @property
    def used(self) -> int:
        """How many downloads of this month are counted."""
        return int(
            value(
                self.desk.owner,
                "select coalesce(sum(used), 0) from app.feature_usage"
                " where user_id = %s and feature = 'downloads'",
                self.id,
            )
        )

    @property
    def notices(self) -> list[str]:
        """Which ones came about downloads."""
        rows = self.rest.get("/notices?kind=like.download_*&order=id").json()
        return [row["kind"] for row in rows]


def subscribe(owner: Connection, user: UUID, plan: str) -> None:
    """A plan for a month that began yesterday."""
    owner.execute(
        "insert into app.subscriptions (user_id, plan_id, stripe_subscription_id,"
        " stripe_customer_id, is_live, status, current_period_start, current_period_end, told_at)"
        " select %s, p.id, %s, %s, false, 'active', date_trunc('day', now()) - interval '1 day',"
        " date_trunc('day', now()) + interval '29 days', now()"
        " from app.subscription_plans as p where p.slug = %s",
        (user, f"sub_{user.hex}", f"cus_{user.hex}", plan),
    )


def publish(
    desk: Desk, chapters: Sequence[tuple[str, str]], title: str = "A story", language: str = "en"
) -> UUID:
    """A story of somebody new, all of it free; each chapter a title and a text."""
    author = uuid4()
    with desk.market.connect_as_owner() as connection, acting_as(connection, author):
        story: UUID = value(
            connection, "select api.create_story(%s, language => %s)", title, language
        )
        connection.cursor().executemany(
            "select api.save_chapter(%s, %s, %s, %s)",
            [(story, number, *each) for number, each in enumerate(chapters, 1)],
        )
        connection.execute("select api.publish_story(%s)", (story,))
    desk.owner.execute(
        "update app.story_pricing set free_chapters = 10000 where story_id = %s", (story,)
    )
    return story


def text_of(content: bytes, media_type: str) -> str:
    """The text that somebody sees who opens the file, marks and all."""
    if media_type.startswith("text/markdown"):
        return ESCAPES.sub("", content.decode())
    if media_type.startswith("text/html"):
        return unescape(TAGS.sub("", content.decode()))
    with zipfile.ZipFile(BytesIO(content)) as archive:
        pages = [name for name in archive.namelist() if name.endswith(".xhtml")]
        return unescape("".join(TAGS.sub("", archive.read(page).decode()) for page in pages))


@contextmanager
def open_desk(server: EmbeddedPostgres, name: str, template: str) -> Iterator[Desk]:
    """A desk in a new database; at the end its ledger must be right."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        names = (sql.Identifier(name), sql.Identifier(template))
        connection.execute(sql.SQL("create database {} template {}").format(*names))
        with (
            open_market(server.url(name)) as market,
            running_postgrest(server.url(name), SECRET) as rest_url,
            running_edge(server.url(name)) as edge_url,
            httpx.Client(base_url=rest_url, timeout=WAIT_SECONDS) as rest,
            httpx.Client(base_url=edge_url, timeout=WAIT_SECONDS) as edge,
        ):
            # Of calls in a hurry other tests tell.
            market.owner.execute("update app.rate_limits set capacity = 10000")
            yield Desk(market, rest, edge)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def running_edge(database_url: str) -> Iterator[str]:
    """The edge in threads of this process, until the block ends; its address."""
    app = _edge(database_url)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(WAIT_SECONDS)
        server.server_close()
        app.extensions["database"].close()


def _edge(database_url: str) -> Flask:
    return create_app(
        EdgeSettings(
            database_url=with_login(database_url, "edge", None),
            jwt_secret=SECRET,
            stripe=StripeSettings("sk_test_x", webhook_secrets=("whsec_x",)),
            edge_url="http://127.0.0.1:8000",
        )
    )


def leave_nothing_waiting(desk: Desk) -> None:
    """For the end of a test: give up what waits. The ledger must still be right."""
    desk.owner.execute("update app.exports set attempts = 5 where state = 'pending'")
    desk.owner.execute(
        "select app.fail_export(id, 'the test is over', true) from app.exports"
        " where state = 'pending'"
    )
    assert desk.market.violations() == []
