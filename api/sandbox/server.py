"""The sandbox's HTTP server, for a process of its own or for a thread of a test."""

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack
from urllib.parse import urlsplit

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from api.sandbox import SandboxError
from api.sandbox.stripe import create_sandbox
from api.sandbox.webhooks import Endpoint

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LOOPBACK = "127.0.0.1"
logger = logging.getLogger(__name__)
# Whoever has one of these may see what became of a payment, fill in somebody's account, or look
# after their subscription.
SECRET_PART = re.compile(r"\b(cs_test|alink|bps|hosted)_\w+")


class Handler(WSGIRequestHandler):
    """Logs a line for each request, without what its query string may hold."""

    timeout = 30  # a connection on which nothing comes does not keep the server from ending

    def connection_dropped(
        self, error: BaseException, environ: "WSGIEnvironment | None" = None
    ) -> None:
        """Close: also a connection that is to get no answer ends here."""
        self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        # What is only looked at is not worth a line: the worker looks every minute.
        level = logging.DEBUG if self.command == "GET" else logging.INFO
        path = SECRET_PART.sub(r"\1_...", urlsplit(self.path).path)
        logger.log(level, "%s %s %s", self.command, path, code)

    def log_error(self, format: str, *args: object) -> None:
        logger.debug(format, *args)


class Server(ThreadedWSGIServer):
    """A thread for each request, all of which have ended when the server is closed."""

    daemon_threads = False
    block_on_close = True


@dataclass(frozen=True)
class Address:
    """Where it listens; port 0 is a free one. `public_url`: how browsers reach it, if not there."""

    host: str = LOOPBACK
    port: int = 0
    public_url: str | None = None


class RunningSandbox:
    """A sandbox that answers; `close` ends it, and another one can go on in its folder."""

    def __init__(
        self,
        folder: Path,
        secret_key: str,
        endpoints: tuple[Endpoint, ...] = (),
        address: Address | None = None,
    ) -> None:
        where = address or Address()
        self.secret_key = secret_key
        app, self.sandbox = create_sandbox(folder, secret_key, endpoints, where.public_url)
        try:
            self._server = Server(where.host, where.port, app, Handler)
        except (OSError, SystemExit):
            self.sandbox.close()
            raise SandboxError(f"{where.host}:{where.port} cannot be listened on") from None
        self.url = f"http://{where.host}:{self._server.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="sandbox"
        )
        self._thread.start()

    def close(self) -> None:
        """Answer what is being held, end every thread, and let go of the file."""
        self.sandbox.faults.close()
        self._server.shutdown()
        self._thread.join()
        self.sandbox.close()


class WebhookOptions(TypedDict, total=False):
    """Where a test wants its webhooks."""

    webhook_url: str | None
    webhook_secrets: Sequence[str]
    connect_webhook_url: str | None
    connect_webhook_secrets: Sequence[str]


@contextmanager
def running_sandbox(
    folder: Path,
    *,
    secret_key: str = "sk_test_sandbox",
    port: int = 0,
    **webhooks: Unpack[WebhookOptions],
) -> Iterator[RunningSandbox]:
    """A sandbox on a free loopback port (or this one), as long as the block lasts."""
    endpoints = []
    if (url := webhooks.get("webhook_url")) is not None:
        endpoints.append(Endpoint(url, tuple(webhooks["webhook_secrets"])))
    if (url := webhooks.get("connect_webhook_url")) is not None:
        secrets = tuple(webhooks["connect_webhook_secrets"])
        endpoints.append(Endpoint(url, secrets, is_connect=True))
    running = RunningSandbox(folder, secret_key, tuple(endpoints), Address(port=port))
    try:
        yield running
    finally:
        running.close()
