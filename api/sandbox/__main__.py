"""python -m api.sandbox: the sandbox as a process of its own."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from api.sandbox import SandboxError
from api.sandbox.sandbox import require_test_key
from api.sandbox.server import LOOPBACK, Address, RunningSandbox
from api.sandbox.webhooks import Endpoint

PLATFORM_SECRET = "STRIPE_WEBHOOK_SECRET"
CONNECT_SECRET = "STRIPE_CONNECT_WEBHOOK_SECRET"


def endpoint(text: str, variable: str, *, is_connect: bool) -> Endpoint:
    """An endpoint from URL=whsec_..., or from the URL alone and the secret in the environment."""
    url, separator, secrets = text.partition("=whsec_")
    given = f"whsec_{secrets}" if separator else os.environ.get(variable, "")
    kept = tuple(secret.strip() for secret in given.split(",") if secret.strip())
    if not kept or not all(secret.startswith("whsec_") for secret in kept):
        raise SandboxError(f"{url} has no signing secret: write URL=whsec_..., or set {variable}")
    if not url.startswith(("http://", "https://")):
        raise SandboxError(f"{url} is not a URL that webhooks can be sent to")
    return Endpoint(url, kept, is_connect)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", default=8001, show_default=True, help="Where it listens; 0: a free one.")
@click.option("--host", default=LOOPBACK, show_default=True, help="For containers: 0.0.0.0.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where it keeps its state; a restart goes on from there.",
)
@click.option(
    "--secret-key",
    envvar="STRIPE_SECRET_KEY",
    required=True,
    help="The key that callers must bear: sk_test_... (better by STRIPE_SECRET_KEY).",
)
@click.option(
    "--webhook",
    "webhooks",
    multiple=True,
    help="URL=whsec_... to which events are posted; several secrets with commas between.",
)
@click.option("--connect-webhook", "connect_webhooks", multiple=True, help="Same, for Connect.")
@click.option("--public-url", help="How browsers reach it, where that is not where it listens.")
def main(
    folder: Path,
    secret_key: str,
    webhooks: tuple[str, ...],
    connect_webhooks: tuple[str, ...],
    **address: Any,
) -> None:
    """Imitate Stripe on this machine: no money moves, and live keys are refused.

    \b
    http://127.0.0.1:8001/                   what it has seen, and the pages waiting to be paid
    http://127.0.0.1:8001/_sandbox/faults    failures on demand; .../webhooks: what was delivered
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        require_test_key(os.environ.get("STRIPE_SECRET_KEY", secret_key))
        endpoints = (
            *(endpoint(each, PLATFORM_SECRET, is_connect=False) for each in webhooks),
            *(endpoint(each, CONNECT_SECRET, is_connect=True) for each in connect_webhooks),
        )
        running = RunningSandbox(folder, secret_key, endpoints, Address(**address))
    except SandboxError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"the sandbox listens on {running.url}; no money moves")
    stop.wait()
    running.close()


if __name__ == "__main__":
    main()
