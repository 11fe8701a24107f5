"""Tills of a test's own: what is broken, killed or half configured there is nobody else's.

A database, a sandbox in a thread, and edges as processes, each with its log in a file. There is no
PostgREST, and no worker either: `work` does what it would do, when the test wants it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from api.config import StripeSettings, with_login
from api.sandbox.server import running_sandbox
from api.stack.ports import answers_ok, free_port
from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from api.stripe.tasks import stripe_timetables
from tests.payments import CONNECT_WEBHOOK, WEBHOOK, Till
from tests.processes import clean_environment
from tests.teller import WAIT_SECONDS, Sandbox, undelivered

SECRET = "a secret of the tests, long enough"
STRIPE = StripeSettings(
    secret_key="sk_test_secretOfTheTests",
    webhook_secrets=("whsec_of_the_tests",),
    connect_webhook_secrets=("whsec_of_the_other_door",),
)


class Edge:
    """An edge in a process of its own; its log in a file."""

    def __init__(self, port: int, log: Path, environment: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        options = ["--bind", f"127.0.0.1:{port}", "--no-control-socket", "--threads", "8"]
        with log.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *options, "api:create_app()"],
                env={**clean_environment(), **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait(self) -> "Edge":
        def ready() -> bool:
            return self.process.poll() is not None or answers_ok(f"{self.url}/readyz")

        assert wait_until(ready, seconds=WAIT_SECONDS), self.log
        assert self.process.poll() is None, self.log
        return self

    def kill(self) -> None:
        """Master and worker at once, without a last word."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(WAIT_SECONDS)


@dataclass
class OwnTill(Till):
    """A till that the test may break."""

    folder: Path = Path()
    port: int = 0

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.sandbox.settings.environment(),
            "DATABASE_URL": with_login(self.database_url, "edge", None),
            "JWT_SECRET": self.jwt_secret,
            "EDGE_URL": self.edge_url,  # of all its edges, as behind one name
        }

    @property
    def owners_environment(self) -> dict[str, str]:
        """For the worker and the commands."""
        return self.environment | {"DATABASE_URL": self.database_url}

    def edge(self, port: int | None = None, **changed: str) -> Edge:
        """A further edge, with some settings changed; on the till's port, if the first is gone."""
        port = port or free_port()
        edge = Edge(port, self.folder / f"edge-{port}.log", self.environment | changed)
        self.closing.callback(edge.end)
        return edge.wait()

    def worker(self) -> subprocess.Popen[bytes]:
        """The worker, in a process of its own."""
        with (self.folder / "worker.log").open("a") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "worker"],
                env={**clean_environment(), **self.owners_environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

        def end() -> None:
            if worker.poll() is None:
                worker.terminate()
                worker.wait(WAIT_SECONDS)

        self.closing.callback(end)
        return worker

    def work(self) -> None:
        """What the worker does about Stripe, once; what waits for later is due now."""
        self.due()
        for timetable in stripe_timetables(self.sandbox.settings, threading.Event()):
            for task in timetable:
                assert task.work is not None
                task.work(self.owner)

    def settle(self) -> None:
        """Let everything arrive: then the ledger is right, and agrees with Stripe."""
        self.sandbox.calm()
        assert wait_until(lambda: not undelivered(self.sandbox), seconds=WAIT_SECONDS)
        self.work()
        assert self.violations() == []
        assert self.rows("select * from app.reconcile()") == []

    def pending_requests(self) -> int:
        return int(self.value("select count(*) from app.stripe_requests where state = 'pending'"))


@contextmanager
def own_till(server: EmbeddedPostgres, name: str, template: str) -> Iterator[OwnTill]:
    """A till in a new database; at the end its ledger must be right, and agree with Stripe."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        names = (sql.Identifier(name), sql.Identifier(template))
        connection.execute(sql.SQL("create database {} template {}").format(*names))
        with till_in(server.url(name)) as till:
            yield till
            till.settle()
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def till_in(database_url: str) -> Iterator[OwnTill]:
    """A till in a database that is there; what is right at the end is for the test to say."""
    port = free_port()
    edge_url = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="infinite-pages-till-") as folder,
        running_sandbox(
            Path(folder) / "stripe",
            secret_key=STRIPE.secret_key,
            webhook_url=edge_url + WEBHOOK,
            webhook_secrets=STRIPE.webhook_secrets,
            connect_webhook_url=edge_url + CONNECT_WEBHOOK,
            connect_webhook_secrets=STRIPE.connect_webhook_secrets,
        ) as running,
        psycopg.connect(database_url, autocommit=True) as owner,
        httpx.Client(timeout=30, verify=False) as http,
        ExitStack() as closing,
    ):
        sandbox = Sandbox(replace(STRIPE, api_base=running.url), http)
        till = OwnTill(
            edge_url, database_url, SECRET, sandbox, owner, http, closing,
            folder=Path(folder), port=port,
        )  # fmt: skip
        till.edge(port)
        yield till
