"""The sandbox as tests use it: its controls, its objects, and events made by hand."""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx
import stripe

from api.config import StripeSettings
from api.stack.wait import wait_until
from api.stripe.client import make_client, pages, raw

WAIT_SECONDS = 20.0

Json = dict[str, Any]


class Sandbox:
    """The sandbox: its controls, and what it holds as the official client sees it."""

    def __init__(self, settings: StripeSettings, http: httpx.Client) -> None:
        self.settings = settings
        self.client = make_client(settings)
        self._http = http

    @property
    def api(self) -> Any:
        return self.client.v1

    def control(self, path: str, body: Json | None = None, method: str = "POST") -> Any:
        """Ask for something under /_sandbox; its answer, which must be a success."""
        answer = self.attempt(path, body, method)
        assert answer.is_success, answer.text
        return answer.json()

    def attempt(self, path: str, body: Json | None = None, method: str = "POST") -> httpx.Response:
        """The same where a refusal is expected, as of a card."""
        url = f"{self.settings.api_base}/_sandbox{path}"
        return self._http.request(method, url, json=body)

    def fault(self, path: str, fault: str, **more: Any) -> None:
        self.control("/faults", {"path": path, "fault": fault, **more})

    def struck(self) -> int:
        """How often a fault has come true."""
        listed = self.control("/faults", method="GET")
        return sum(each["struck"] for each in listed["faults"])

    def holding(self) -> int:
        holding: int = self.control("/faults", method="GET")["holding"]
        return holding

    def wait_for_held(self, requests: int = 1) -> None:
        assert wait_until(lambda: self.holding() == requests, seconds=WAIT_SECONDS)

    def let_go(self) -> None:
        self.control("/faults/release")

    def webhooks(self, mode: str = "deliver", **more: Any) -> None:
        self.control("/webhooks/mode", {"mode": mode, **more})

    def release(self, events: Sequence[Json] | None = None) -> list[str]:
        """Deliver held events in this order; what the edge made of each."""
        wanted = None if events is None else {"events": [event["id"] for event in events]}
        return [_state(each) for each in self.control("/webhooks/release", wanted)]

    def resend(self, event: Json) -> list[str]:
        return [_state(each) for each in self.control("/webhooks/resend", {"event": event["id"]})]

    def events(self, about: str, *types: str, since: int = 0) -> list[Json]:
        """The events about an intent, session or payment, oldest first."""
        found = []
        for page in pages(self.client.v1.events, {"created": {"gte": since}}):
            for event in page:
                told = event["data"]["object"]
                names = {told["id"], told.get("payment_intent")}
                names.add((told.get("metadata") or {}).get("payment_id"))
                if about in names and (not types or event["type"] in types):
                    found.append(event)
        return found[::-1]

    def balance(self) -> int:
        parts = raw(self.api.balance.retrieve())["available"]
        return sum(part["amount"] for part in parts)

    def all_of(self, service: Any, **where: Any) -> list[Json]:
        return [each for page in pages(service, where) for each in page]

    def calm(self) -> None:
        """Back to a Stripe that works."""
        self.control("/faults", method="DELETE")
        self.webhooks()


def _state(delivery: Json) -> str:
    """What the edge answered: the state of the event, or its refusal."""
    assert delivery["status"] is not None, delivery
    body = json.loads(delivery["body"])
    return str(body["state"] if delivery["status"] == 200 else f"{delivery['status']} {body}")


def signature(content: bytes, secret: str, at: float | None = None) -> str:
    """The header of a delivery; of bytes that are no text too, which the library cannot sign."""
    moment = int(time.time() if at is None else at)
    try:
        header: str = stripe.WebhookSignature.generate_signature_header(
            content.decode(), secret, timestamp=moment
        )
    except UnicodeDecodeError:
        signed = f"{moment}.".encode() + content
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return f"t={moment},v1={digest}"
    return header


def undelivered(sandbox: Sandbox) -> list[Json]:
    """Deliveries that are still to come."""
    listed = sandbox.control("/webhooks?limit=500", method="GET")["deliveries"]
    return [each for each in listed if each["state"] in ("pending", "held", "released")]
