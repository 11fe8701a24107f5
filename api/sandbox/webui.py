"""python -m api.sandbox.webui: a server that behaves like a Stable Diffusion WebUI.

It speaks the API of AUTOMATIC1111's over real HTTP and draws real pictures, from shapes instead of
a model, so that covers can be asked for, watched, and seen to fail on a machine without a GPU.
"""

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from api.sandbox import SandboxError
from api.sandbox.server import LOOPBACK, Handler, Server
from api.sandbox.webui_api import webui_api
from api.sandbox.webui_control import webui_control, webui_page
from api.sandbox.webui_errors import WebuiError, json_response
from api.sandbox.webui_faults import WebuiFaults
from api.sandbox.webui_models import Settings
from api.sandbox.webui_tasks import Gpu

LARGEST_BODY = 1024 * 1024
SECONDS = 3.0


class QuietHandler(Handler):
    """Says nothing of those who only ask how far a picture is."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line for each request that does something."""
        if not self.path.startswith("/internal/"):
            super().log_request(code, size)


class RunningWebui:
    """A server that draws; `close` ends it."""

    def __init__(
        self, host: str = LOOPBACK, port: int = 0, seconds: float = 0, auth: str | None = None
    ) -> None:
        if auth is not None and not re.fullmatch(r"[^:]+:.+", auth):
            raise SandboxError("what callers must send is written user:password")
        self.faults = WebuiFaults()
        self.settings = Settings()
        self.gpu = Gpu(seconds, self.settings, self.faults)
        try:
            self._server = Server(host, port, self._app(auth), QuietHandler)
        except (OSError, SystemExit):
            raise SandboxError(f"{host}:{port} cannot be listened on") from None
        self.url = f"http://{host}:{self._server.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="webui"
        )
        self._thread.start()

    def _app(self, auth: str | None) -> Flask:
        app = Flask("api.sandbox.webui", static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
        app.register_blueprint(webui_api(self.gpu, self.settings, self.faults, auth))
        app.register_blueprint(webui_control(self.gpu, self.faults))
        app.register_blueprint(webui_page(self.gpu))
        app.register_error_handler(HTTPException, _http_error)
        return app

    def close(self) -> None:
        """Stop drawing, answer whoever waits, and end every thread."""
        self.faults.close()
        self.gpu.close()
        self._server.shutdown()
        self._thread.join()


def _http_error(error: HTTPException) -> Response:
    """Errors of the web server as the WebUI's own would write them."""
    status = error.code or 500
    if status >= 500:
        failure = WebuiError(
            status, "InternalServerError", errors="the sandbox failed; see its log"
        )
        return json_response(status, failure.body)
    return json_response(status, {"detail": error.name if status != 404 else "Not Found"})


@contextmanager
def running_webui(
    port: int = 0, seconds: float = 0, auth: str | None = None
) -> Iterator[RunningWebui]:
    """A server on a free loopback port (or this one), as long as the block lasts."""
    running = RunningWebui(port=port, seconds=seconds, auth=auth)
    try:
        yield running
    finally:
        running.close()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", default=7860, show_default=True, help="Where it listens; 0: a free one.")
@click.option("--host", default=LOOPBACK, show_default=True, help="For containers: 0.0.0.0.")
@click.option(
    "--auth",
    envvar="WEBUI_SANDBOX_AUTH",
    help="user:password that callers of /sdapi must send (better by WEBUI_SANDBOX_AUTH).",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600),
    default=SECONDS,
    show_default=True,
    help="How long one picture takes.",
)
def main(port: int, host: str, auth: str | None, seconds: float) -> None:
    """Imitate a Stable Diffusion WebUI on this machine, without a GPU.

    \b
    http://127.0.0.1:7860/                   the last pictures
    http://127.0.0.1:7860/_sandbox/faults    failures on demand; .../tasks: what was asked for
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        if "_live_" in os.environ.get("STRIPE_SECRET_KEY", ""):
            raise SandboxError(
                "STRIPE_SECRET_KEY is a live key: nobody pays for the sandbox's pictures; "
                "set STABLE_DIFFUSION_WEBUI_URL to a real WebUI"
            )
        running = RunningWebui(host, port, seconds, auth)
    except SandboxError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"the sandbox draws on {running.url}; there is no model behind it")
    stop.wait()
    running.close()


if __name__ == "__main__":
    main()
