"""What the tests of the sandbox share: a client, an endpoint for webhooks, and short calls."""

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from api.sandbox.server import RunningSandbox, running_sandbox

SECRET = "whsec_first"
LINE = {
    "price_data": {
        "currency": "usd",
        "unit_amount": 499,
        "product_data": {"name": "Starter Pack", "description": "50 credits"},
    },
    "quantity": 1,
}
SESSION: dict[str, Any] = {
    "mode": "payment",
    "success_url": "http://shop.test/done?session_id={CHECKOUT_SESSION_ID}",
    "cancel_url": "http://shop.test/cancel",
    "line_items": [LINE],
    "metadata": {"payment_id": "p1"},
    "payment_intent_data": {"metadata": {"payment_id": "p1"}},
}


@dataclass
class Shop:
    """A sandbox, and the official client that talks to it."""

    sandbox: RunningSandbox
    client: stripe.StripeClient

    @property
    def api(self) -> Any:
        return self.client.v1

    def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """Ask for something under /_sandbox; its answer, which must be a success."""
        answer = self.raw(method, f"/_sandbox{path}", json=body)
        assert answer.ok, answer.text
        return answer.json()

    def raw(self, method: str, path: str, **options: Any) -> requests.Response:
        """Any request, without the official client."""
        return requests.request(
            method, self.sandbox.url + path, allow_redirects=False, timeout=10, **options
        )

    def fault(self, path: str, fault: str, **options: Any) -> None:
        self.control("/faults", {"method": "POST", "path": path, "fault": fault, **options})

    def paid(self, payment_method: str = "pm_card_visa", amount: int = 499) -> Any:
        """An intent that was paid with this method, its charge expanded."""
        return self.api.payment_intents.create(
            {
                "amount": amount,
                "currency": "usd",
                "confirm": True,
                "payment_method": payment_method,
                "expand": ["latest_charge"],
            }
        )

    def event_types(self) -> list[str]:
        """What happened, the oldest first."""
        return [event.type for event in self.api.events.list({"limit": 100}).data][::-1]

    def lines_sum(self) -> int:
        """The sum of the account's statement."""
        lines = self.api.balance_transactions.list({"limit": 2})
        return sum(line.net for line in lines.auto_paging_iter())

    def balance(self) -> int:
        available = self.api.balance.retrieve().available
        assert len(available) == 1
        amount: int = available[0].amount
        return amount


@contextmanager
def open_shop(folder: Path | None = None, **options: Any) -> Iterator[Shop]:
    """A sandbox with a client that sends everything once."""
    with (
        tempfile.TemporaryDirectory(prefix="infinite-pages-sandbox-") as own,
        running_sandbox(folder or Path(own), **options) as sandbox,
        requests.Session() as session,
    ):
        client = stripe.StripeClient(
            sandbox.secret_key,
            base_addresses={"api": sandbox.url},
            http_client=stripe.RequestsClient(timeout=10, session=session),
            max_network_retries=0,
        )
        yield Shop(sandbox, client)


def refusal(call: Any, *arguments: Any) -> Any:
    """What a call is refused with."""
    with pytest.raises(stripe.StripeError) as caught:
        call(*arguments)
    return caught.value


@dataclass
class Receiver:
    """An endpoint for webhooks that checks each signature and answers what it is told."""

    url: str = ""
    secret: str = SECRET
    statuses: list[int] = field(default_factory=list)
    events: list[stripe.Event] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def take(self, body: bytes, headers: Mapping[str, str]) -> int:
        """The status for one delivery; a wrong signature is 400."""
        try:
            event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], self.secret)
        except stripe.SignatureVerificationError:
            return 400
        self.headers.append(headers)
        self.events.append(event)
        return self.statuses.pop(0) if self.statuses else 200


@contextmanager
def receiving(secret: str = SECRET) -> Iterator[Receiver]:
    """An endpoint on a free port, as long as the block lasts."""
    receiver = Receiver(secret=secret)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take(body, dict(self.headers))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"seen")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/webhooks"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
