"""One client's way to the servers: plain HTTP, each reply judged by what its caller may believe."""

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.torture.journal import Journal, Outcome, Reply

SECONDS = 40.0


@dataclass(frozen=True)
class Places:
    """Where the servers are."""

    rest: str
    edge: str
    stripe: str
    webui: str


class Line:
    """Calls of one client. Each has a connection of its own, so that none is found half closed."""

    def __init__(self, places: Places, journal: Journal) -> None:
        self.places = places
        self.journal = journal
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(timeout=SECONDS, limits=limits, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def call(
        self,
        kind: str,
        url: str,
        body: object = None,
        *,
        token: str | None = None,
        key: str | None = None,
        method: str = "POST",
        form: dict[str, str] | None = None,
    ) -> Reply:
        """One call, counted under its kind; a form is what a button on a page sends."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        headers |= {} if key is None else {"Idempotency-Key": key}
        content = None
        if method == "POST" and form is None:
            headers["Content-Type"] = "application/json"
            content = json.dumps({} if body is None else body).encode()
        began = time.monotonic()
        try:
            answer = self._http.request(method, url, content=content, data=form, headers=headers)
        except httpx.TransportError as error:
            said = f"{type(error).__name__}: {error}"
            reply = Reply(Outcome.LOST, None, said, began, time.monotonic())
        else:
            body = _body(answer)
            outcome = _outcome(answer.status_code, body)
            reply = Reply(outcome, answer.status_code, body, began, time.monotonic())
        # That Stripe fails is what it is told to do: only our own doors need an excuse.
        self.journal.note(kind, reply, is_ours=not url.startswith(self.places.stripe))
        return reply


def _outcome(status: int, body: Any) -> Outcome:
    if status < 400:
        return Outcome.DONE
    # A database that dies under a call gives PostgREST no code to pass on: a 400 without any.
    says_nothing = isinstance(body, dict) and body.get("code") == ""
    return Outcome.LOST if status >= 500 or says_nothing else Outcome.REFUSED


def _body(answer: httpx.Response) -> Any:
    if answer.headers.get("Content-Type", "").startswith("application/json"):
        try:
            return answer.json()
        except ValueError:
            return answer.text
    return answer.content
