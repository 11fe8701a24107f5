"""The whole stack in one process tree: started in order, watched, stopped in reverse."""

import contextlib
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from api import config, demo, deploy, tokens
from api.config import CoverSettings, Settings, StripeSettings
from api.config.covers import STORE_VARIABLE, cover_environment
from api.config.smtp import smtp_environment
from api.stack import postgrest
from api.stack.child import Child, exit_reason
from api.stack.errors import StackError
from api.stack.lock import state_lock
from api.stack.log import LogLine, no_log
from api.stack.ports import LOOPBACK, answers_ok, free_port, require_free
from api.stack.postgres import EmbeddedPostgres
from api.stack.tail import Tail
from api.stack.wait import wait_until

READY_SECONDS = 60.0
STRIPE_URL = "https://api.stripe.com"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """The embedded server of a state folder, running or not."""
    return EmbeddedPostgres(settings.state_folder / "postgres")


@dataclass(frozen=True)
class Package:
    """Credits that are on sale."""

    id: UUID
    name: str


def first_package(database_url: str) -> Package | None:
    """The package that is offered first, if one is on sale."""
    with psycopg.connect(database_url) as connection:
        cursor = connection.cursor(row_factory=class_row(Package))
        return cursor.execute(
            "select id, name from app.credit_packages where is_active order by sort_order limit 1"
        ).fetchone()


def publish_covers_at(database_url: str, edge_url: str) -> None:
    """Have the database give out addresses of covers that a browser finds.

    A fresh database knows only the path, and one that was here before the address of its last run,
    which may have had another port. An address that somebody chose is left alone.
    """
    with psycopg.connect(database_url) as connection:
        connection.execute(
            """
            update app.economy set cover_base_url = %(here)s
            where cover_base_url <> %(here)s
                and (cover_base_url = '/covers/' or cover_base_url ~ '^http://127[.]0[.]0[.]1[:/]')
            """,
            {"here": f"{edge_url}/covers/"},
        )


class Stack:
    """PostgreSQL, PostgREST, the edge and the worker, once `running_stack` has started them.

    Without a key for Stripe its sandbox is one of them, and without a WebUI the WebUI's.
    """

    def __init__(self, settings: Settings, *, with_demo: bool, log: LogLine) -> None:
        self.settings = settings
        self.rest_url = f"http://{LOOPBACK}:{settings.postgrest_port}"
        self.edge_url = f"http://{LOOPBACK}:{settings.edge_port}"
        self.database_url = ""
        self.stripe: StripeSettings = settings.stripe.require_webhook_secret()
        self.story: demo.DemoStory | None = None
        self.package: Package | None = None
        self.covers: CoverSettings | None = None
        self.postgres: EmbeddedPostgres | None = None
        self.children: list[Child] = []
        self._with_demo = with_demo
        self._log = log
        self._tail: Tail | None = None
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    @property
    def folder(self) -> Path:
        """Where the state is kept."""
        return self.settings.state_folder

    @property
    def jwt_secret(self) -> str:
        """The secret that PostgREST and the edge share."""
        return self.settings.jwt_secret

    @property
    def uses_sandbox(self) -> bool:
        """Whether Stripe is the sandbox, and no money moves."""
        return self.settings.uses_sandbox

    @property
    def uses_webui_sandbox(self) -> bool:
        """Whether covers are drawn by the sandbox."""
        return self.settings.uses_webui_sandbox

    @property
    def stripe_url(self) -> str:
        """Where Stripe, or what stands in for it, listens."""
        return self.stripe.api_base or STRIPE_URL

    @property
    def stripe_secret_key(self) -> str:
        """The key with which Stripe is called."""
        return self.stripe.secret_key

    @property
    def webhook_secret(self) -> str:
        """What signs the events for the edge."""
        return self.stripe.webhook_secrets[0]

    def token(self, handle: str) -> str:
        """A token for one of the people in the database."""
        with psycopg.connect(self.database_url) as connection:
            return tokens.issue_token(connection, self.jwt_secret, handle)

    def wait_for_end(self) -> str:
        """Block until a part ends by itself; say which, how, and its last words."""
        name = self._ended.get()
        code, last_lines = self._how_it_ended(name)
        return "\n".join([f"{name} {exit_reason(code)}; its last lines were:", *last_lines])

    def start(self) -> None:
        """Start everything in order, each part when the one before it is ready."""
        binary = postgrest.find_postgrest()
        require_free(self.settings.postgrest_port, "POSTGREST_PORT")
        require_free(self.settings.edge_port, "EDGE_PORT")
        if self.uses_sandbox:
            require_free(self.settings.sandbox_port, "STRIPE_SANDBOX_PORT")
        if self.uses_webui_sandbox and self.settings.webui_port_given is not None:
            require_free(self.settings.webui_port, "WEBUI_SANDBOX_PORT")
        if self.settings.database_url is None:
            self.postgres = embedded_postgres(self.settings)
            self.database_url = self._start_postgres(self.postgres)
        else:
            self.database_url = self.settings.database_url
            for role in ("authenticator", "edge"):  # a missing password is said before migrating
                self.settings.login_url(self.database_url, role)
        deploy.migrate(self.database_url, report=lambda line: self._log("migrate", line))
        publish_covers_at(self.database_url, self.settings.edge_url)
        if self._with_demo:
            self.story = demo.load(self.database_url, lambda line: self._log("demo", line))
        self.package = first_package(self.database_url)
        self._start_postgrest(binary)
        if self.uses_sandbox:
            self._start_sandbox()
        self._start_edge()
        webui_port = self._start_webui() if self.uses_webui_sandbox else self.settings.webui_port
        self.covers = self.settings.covers(webui_port)
        self._start_worker()

    def stop(self) -> None:
        """Stop what runs, the last started first."""
        for child in reversed(self.children):
            self._log("stack", f"stopping {child.name}")
            child.stop()
        if self.postgres is not None:
            self._log("stack", "stopping postgres")
            self.postgres.stop()
        if self._tail is not None:
            self._tail.stop()

    def _start_postgres(self, server: EmbeddedPostgres) -> str:
        if server.pid is not None:  # its supervisor was killed: we hold the state folder's lock
            self._log("postgres", f"stopping the server an earlier run left behind ({server.pid})")
            server.stop()
        self._tail = Tail("postgres", server.log_path, self._log)
        server.start()
        watcher = threading.Thread(target=self._watch_postgres, args=(server,), daemon=True)
        watcher.start()
        if not server.has_database(config.DATABASE_NAME):
            server.create_database(config.DATABASE_NAME)
        return server.url(config.DATABASE_NAME)

    def _watch_postgres(self, server: EmbeddedPostgres) -> None:
        server.wait()
        self._ended.put("postgres")

    def _start_postgrest(self, binary: str) -> None:
        admin_port = free_port()
        environment = postgrest.environment(
            database_url=self.settings.login_url(self.database_url, "authenticator"),
            jwt_secret=self.jwt_secret,
            port=self.settings.postgrest_port,
            admin_port=admin_port,
        )
        ready_url = f"http://{LOOPBACK}:{admin_port}/ready"
        self._start_child("postgrest", [binary], environment, lambda: answers_ok(ready_url))

    def _start_sandbox(self) -> None:
        port = self.settings.sandbox_port
        command = [sys.executable, "-m", "api.sandbox", "--port", str(port)]
        command += ["--folder", str(self.settings.sandbox_folder)]
        command += ["--webhook", f"{self.edge_url}/webhooks/stripe"]
        command += ["--connect-webhook", f"{self.edge_url}/webhooks/stripe/connect"]
        ready_url = f"http://{LOOPBACK}:{port}/readyz"
        environment = self.stripe.environment()
        self._start_child("sandbox", command, environment, lambda: answers_ok(ready_url))

    def _start_edge(self) -> None:
        environment = {
            **self.stripe.environment(),
            "DATABASE_URL": self.settings.login_url(self.database_url, "edge"),
            "JWT_SECRET": self.jwt_secret,
            "EDGE_URL": self.settings.edge_url,
            "CHECKOUT_RETURN_URLS": ",".join(self.settings.return_origins),
            STORE_VARIABLE: self.settings.cover_store_url,
        }
        options = ["--bind", f"{LOOPBACK}:{self.settings.edge_port}", "--no-control-socket"]
        options += ["--workers", "1", "--threads", "32", "--graceful-timeout", "5"]
        command = [sys.executable, "-m", "gunicorn", *options, "api:create_app()"]
        ready_url = f"{self.edge_url}/readyz"
        self._start_child("edge", command, environment, lambda: answers_ok(ready_url))

    def _start_webui(self) -> int:
        """Start the sandbox that draws covers; the port where it listens."""
        port = self._choose_webui_port()
        command = [sys.executable, "-m", "api.sandbox.webui", "--port", str(port)]
        ready_url = f"http://{LOOPBACK}:{port}/internal/ping"
        environment = {
            # A live key that only the environment holds is not the one in use.
            **self.stripe.without_webhook_secrets().environment(),
            "WEBUI_SANDBOX_AUTH": "",
        }
        self._start_child("webui", command, environment, lambda: answers_ok(ready_url))
        return port

    def _choose_webui_port(self) -> int:
        """The port that is set, else the usual one, else any.

        On the usual one a WebUI of one's own may listen, or any other program made with Gradio,
        which is no reason not to start.
        """
        port = self.settings.webui_port
        if self.settings.webui_port_given is not None:
            return port
        try:
            require_free(port, "WEBUI_SANDBOX_PORT")
        except StackError:
            self._log("webui", f"port {port} is taken, so the sandbox listens on another one;")
            self._log("webui", "if that is your WebUI, name it in STABLE_DIFFUSION_WEBUI_URL")
            return free_port()
        return port

    def _start_worker(self) -> None:
        command = [sys.executable, "-m", "api.cli", "worker"]
        environment = {
            **self.stripe.without_webhook_secrets().environment(),
            **smtp_environment(self.settings.smtp),
            **cover_environment(self.covers),
            "DATABASE_URL": self.database_url,
        }
        self._start_child("worker", command, environment, lambda: True)

    def _start_child(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        is_ready: Callable[[], bool],
    ) -> None:
        child = Child(name, command, environment, self._log, self._ended.put)
        self.children.append(child)
        in_time = wait_until(
            lambda: child.exit_code is not None or is_ready(), seconds=READY_SECONDS
        )
        if child.exit_code is not None:
            raise StackError(self.wait_for_end())
        if not in_time:
            raise StackError(f"{name} did not become ready within {READY_SECONDS:.0f} seconds")

    def _how_it_ended(self, name: str) -> tuple[int, list[str]]:
        if name == "postgres":
            assert self.postgres is not None and self._tail is not None
            return self.postgres.wait(), list(self._tail.last_lines)
        child = next(child for child in self.children if child.name == name)
        return child.exit_code or 0, list(child.last_lines)


@contextmanager
def running_stack(settings: Settings, *, with_demo: bool, log: LogLine = no_log) -> Iterator[Stack]:
    """A started stack; it is stopped in order however the block ends."""
    try:
        settings.state_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"STATE_DIR cannot be used: {error}") from None
    with state_lock(settings.state_folder):
        stack = Stack(settings, with_demo=with_demo, log=log)
        try:
            stack.start()
            yield stack
        finally:
            with _stop_signals_ignored():  # an impatient second Ctrl-C must not leave a half
                stack.stop()


@contextmanager
def stop_signals_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal interrupt the block as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with _handlers(interrupt):
        yield


@contextmanager
def _stop_signals_ignored() -> Iterator[None]:
    with _handlers(signal.SIG_IGN):
        yield


@contextmanager
def _handlers(handler: Callable[[int, object], None] | signal.Handlers) -> Iterator[None]:
    with contextlib.ExitStack() as restore:
        for number in STOP_SIGNALS:
            restore.callback(signal.signal, number, signal.signal(number, handler))
        yield
