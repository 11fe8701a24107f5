"""Events on their way: signed, posted, tried again with growing delays, surviving a restart.

For tests the deliveries can be held and released by hand, doubled, shuffled, put off or dropped.
"""

import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import requests
import stripe

from api.sandbox.context import visible
from api.sandbox.store import Body, Store

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 60.0
GIVE_UP_SECONDS = 3 * 24 * 3600.0
ANSWER_SECONDS = 10.0
IDLE_SECONDS = 60.0
SHUFFLE_SECONDS = 1.0
KEPT_ANSWER = 500
AT_ONCE = 4


@dataclass(frozen=True)
class Endpoint:
    """Where events go. With several secrets every delivery bears a signature for each."""

    url: str
    secrets: tuple[str, ...]
    is_connect: bool = False


@dataclass
class Mode:
    """What is done with deliveries. `duplicate`: how many copies more; `drop`: how many not."""

    mode: str = "deliver"
    duplicate: int = 0
    shuffle: bool = False
    delay_seconds: float = 0.0
    drop: int = 0


def sign(payload: str, secrets: tuple[str, ...], timestamp: int | None = None) -> str:
    """The Stripe-Signature header, with one signature for each secret."""
    moment = int(time.time()) if timestamp is None else timestamp
    headers = [
        stripe.WebhookSignature.generate_signature_header(payload, secret, timestamp=moment)
        for secret in secrets
    ]
    return ",".join([headers[0], *(header.split(",", 1)[1] for header in headers[1:])])


class Webhooks:
    """Keeps the deliveries in the store, and brings the due ones from a thread of its own."""

    def __init__(
        self, store: Store, endpoints: tuple[Endpoint, ...], tidy: Callable[[], None]
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._tidy = tidy
        self._tidied = time.monotonic()
        self._changed = threading.Condition()
        self._is_closing = False
        self._busy: set[int] = set()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._thread: threading.Thread | None = None
        with store.transaction():
            self._mode = Mode(**(store.setting("webhooks") or {}))
            # A resend that the last run did not see through is like any other delivery.
            store.query("update deliveries set state = 'pending' where state = 'released'")

    def start(self) -> None:
        """Begin to deliver, with whatever an earlier run left."""
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop delivering; what is undelivered stays for the next start."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def wake(self) -> None:
        """Look again for what is due."""
        with self._changed:
            self._changed.notify_all()

    # Inside a transaction of the caller ---------------------------------------------------------

    def enqueue(self, event: Body) -> None:
        """Note the deliveries of a new event."""
        now = time.time()
        mode = self._mode
        for endpoint in self._endpoints:
            if endpoint.is_connect != (event.get("account") is not None):
                continue
            for _ in range(1 + mode.duplicate):
                state = "held" if mode.mode == "hold" else "pending"
                if mode.drop > 0:
                    mode.drop -= 1
                    state = "dropped"
                    self._store.remember("webhooks", asdict(mode))
                due = now + mode.delay_seconds
                if mode.shuffle:
                    due += random.uniform(0, SHUFFLE_SECONDS)
                self._insert(event["id"], endpoint.url, state, now, due)

    def _insert(self, event_id: str, url: str, state: str, now: float, due: float) -> int:
        rows = self._store.query(
            "insert into deliveries (event, endpoint, state, created, due) "
            "values (?, ?, ?, ?, ?) returning id",
            (event_id, url, state, now, due),
        )
        delivery: int = rows[0][0]
        return delivery

    def payload(self, event: Body) -> Body:
        """An event as it is shown: with the number of deliveries that are outstanding."""
        rows = self._store.query(
            "select count(*) from deliveries"
            " where event = ? and state in ('pending', 'held', 'released')",
            (event["id"],),
        )
        return {**visible(event), "pending_webhooks": rows[0][0]}

    # Outside any transaction --------------------------------------------------------------------

    def mode(self) -> dict[str, Any]:
        """What is done with deliveries now."""
        with self._store.transaction():
            return asdict(self._mode)

    def set_mode(self, mode: Mode) -> dict[str, Any]:
        """Do something else with deliveries from now on; `deliver` lets go of what was held."""
        with self._store.transaction():
            self._mode = mode
            self._store.remember("webhooks", asdict(mode))
            if mode.mode == "deliver":
                self._store.query(
                    "update deliveries set state = 'pending', due = ? where state = 'held'",
                    (time.time(),),
                )
        self.wake()
        return asdict(mode)

    def release(self, events: list[str] | None) -> list[dict[str, Any]]:
        """Deliver held events now, in this order (or all, oldest first), one after the other.

        An event that is not held any more is delivered once again, so naming one twice brings
        it twice.
        """
        if events is None:
            return [self._deliver(delivery) for delivery in self._held()]
        return [answer for event_id in events for answer in self._release_one(event_id)]

    def resend(self, event_id: str) -> list[dict[str, Any]]:
        """Deliver an event once more, now, to each of its endpoints."""
        with self._store.transaction():
            event = self._store.get("event", event_id)
            if event is None:
                raise KeyError(event_id)
            now = time.time()
            again = [
                self._insert(event_id, endpoint.url, "released", now, now)
                for endpoint in self._endpoints
                if endpoint.is_connect == (event.get("account") is not None)
            ]
        return [self._deliver(delivery) for delivery in again]

    def listed(self, event_id: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest deliveries and what came of them."""
        with self._store.transaction():
            rows = self._store.query(
                "select d.id, d.event, json_extract(o.body, '$.type'), d.endpoint, d.state, d.due"
                " from deliveries as d join objects as o on o.id = d.event"
                " where ? is null or d.event = ? order by d.id desc limit ?",
                (event_id, event_id, limit),
            )
            names = ("id", "event", "type", "endpoint", "state", "due")
            return [
                {**dict(zip(names, row, strict=True)), "attempts": self._attempts(row[0])}
                for row in rows
            ]

    def _attempts(self, delivery: int) -> list[dict[str, Any]]:
        rows = self._store.query(
            "select at, status, answer from attempts where delivery = ? order by id", (delivery,)
        )
        return [{"at": at, "status": status, "body": answer} for at, status, answer in rows]

    def _held(self, event_id: str | None = None) -> list[int]:
        with self._store.transaction():
            rows = self._store.query(
                "select id from deliveries where state = 'held' and (? is null or event = ?) "
                "order by id",
                (event_id, event_id),
            )
            held = [row[0] for row in rows]
        if self._mode.shuffle and event_id is None:
            random.shuffle(held)
        return held

    def _release_one(self, event_id: str) -> list[dict[str, Any]]:
        held = self._held(event_id)
        return [self._deliver(held[0])] if held else self.resend(event_id)

    # The thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_closing:
            if time.monotonic() - self._tidied >= IDLE_SECONDS:
                self._tidied = time.monotonic()
                self._tidy()
            with self._changed:
                if not self._is_closing:
                    self._changed.wait(self._start_due())

    def _start_due(self) -> float:
        """Hand what is due to the pool; how long nothing else will be."""
        now = time.time()
        free = AT_ONCE - len(self._busy)
        with self._store.transaction():
            rows = self._store.query(
                "select id, due from deliveries where state = 'pending' order by due, id limit ?",
                (AT_ONCE + 1,),
            )
        for delivery, due in rows:
            if delivery in self._busy:
                continue
            if due > now or free == 0:
                return max(0.01, due - now) if free else IDLE_SECONDS
            self._busy.add(delivery)
            free -= 1
            self._pool.submit(self._deliver_and_tell, delivery)
        return 0.01 if free and len(rows) > AT_ONCE else IDLE_SECONDS

    def _deliver_and_tell(self, delivery: int) -> None:
        try:
            self._deliver(delivery)
        finally:
            with self._changed:
                self._busy.discard(delivery)
                self._changed.notify_all()

    def _deliver(self, delivery: int) -> dict[str, Any]:
        with self._store.transaction():
            ((event_id, url),) = self._store.query(
                "select event, endpoint from deliveries where id = ?", (delivery,)
            )
            event = self._store.get("event", event_id)
            assert event is not None
            text = json.dumps(self.payload(event), indent=2)
        status, answer = self._post(url, text)
        with self._store.transaction():
            self._record(delivery, status, answer)
        return {"event": event_id, "status": status, "body": answer}

    def _post(self, url: str, text: str) -> tuple[int | None, str]:
        secrets = next((each.secrets for each in self._endpoints if each.url == url), None)
        if secrets is None:
            return None, "this endpoint is not configured any more"
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (sandbox)",
            "Stripe-Signature": sign(text, secrets),
        }
        with requests.Session() as session:
            session.trust_env = False  # an endpoint on this machine is not behind a proxy
            try:
                answer = session.post(
                    url,
                    data=text.encode(),
                    headers=headers,
                    timeout=ANSWER_SECONDS,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                return None, type(error).__name__
            return answer.status_code, answer.text[:KEPT_ANSWER]

    def _record(self, delivery: int, status: int | None, answer: str) -> None:
        now = time.time()
        self._store.query(
            "insert into attempts (delivery, at, status, answer) values (?, ?, ?, ?)",
            (delivery, now, status, answer),
        )
        ((state, created, attempts),) = self._store.query(
            "select state, created, (select count(*) from attempts where delivery = d.id) "
            "from deliveries as d where id = ?",
            (delivery,),
        )
        due = now + min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** (attempts - 1))
        if status is not None and 200 <= status < 300:
            state = "delivered"
        elif now - created > GIVE_UP_SECONDS:
            state = "given up"
        elif state == "released":
            state = "held" if self._mode.mode == "hold" else "pending"
        self._store.query(
            "update deliveries set state = ?, due = ? where id = ?", (state, due, delivery)
        )
