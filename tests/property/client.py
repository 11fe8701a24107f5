"""A client of Stripe that remembers what it was told, and that can die at the worst moments."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
import stripe

from api.stripe.client import STRIPE_VERSION

BEFORE = "before the call"
AFTER = "after the call"


class Crash(BaseException):
    """The process is gone. Not an Exception: nobody handles it."""


class Line(stripe.RequestsClient):
    """The line to Stripe, over real HTTP and one connection a thread."""

    def __init__(self) -> None:
        super().__init__(timeout=(4.0, 20.0))
        self.heard: dict[str, dict[str, Any]] = {}
        self._made: set[str] = set()
        self._sessions: list[requests.Session] = []
        self._crash: str | None = None

    @contextmanager
    def crashing(self, moment: str | None) -> Iterator[None]:
        """Whoever sends something inside dies, before it leaves or when the answer is there."""
        self._crash = moment
        try:
            yield
        finally:
            self._crash = None

    def request(  # type: ignore[override]  # the library's own subclass has this signature too
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send a request; the newest state of each object in the answer is remembered."""
        moment = self._crash if method == "post" else None
        if moment == BEFORE:
            raise Crash(moment)
        self._open_session()
        content, status, answered = super().request(method, url, headers, post_data)
        if moment == AFTER:
            raise Crash(moment)
        if status == 200:
            self._remember(method, json.loads(content))
        return content, status, answered

    def close(self) -> None:
        """Hang up, in all threads."""
        for session in self._sessions:
            session.close()

    def _open_session(self) -> None:
        if getattr(self._thread_local, "session", None) is None:
            session = requests.Session()
            session.trust_env = False
            self._thread_local.session = session
            self._sessions.append(session)

    def _remember(self, method: str, answer: dict[str, Any]) -> None:
        """Keep what will be recorded: the answer to a request, else what a search came upon.

        A search may show the object of a request that was answered before, as it is by now.
        """
        if method == "post" and "id" in answer:
            self._made.add(answer["id"])
            self.heard[answer["id"]] = answer
        for thing in answer.get("data", []):
            if thing["id"] not in self._made:
                self.heard[thing["id"]] = thing


def make_client(key: str, url: str, line: Line) -> stripe.StripeClient:
    """The real client, but one that does not try again by itself: our outbox has to."""
    return stripe.StripeClient(
        key,
        stripe_version=STRIPE_VERSION,
        base_addresses={"api": url},
        http_client=line,
        max_network_retries=0,
    )
