"""One unit of work inside one transaction: what every resource is written against."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import stripe

from api.sandbox.errors import StripeError, no_such
from api.sandbox.store import Body, Store, new_id


class Clock:
    """The sandbox's time, which can be moved forward to see what a day later brings."""

    def __init__(self) -> None:
        self.ahead = 0

    def now(self) -> int:
        """Seconds since 1970, as Stripe counts them."""
        return int(time.time()) + self.ahead


class Announcer(Protocol):
    """Whoever brings events to their endpoints."""

    def enqueue(self, event: Body) -> None:
        """Note, in the transaction of what happened, that an event is to be delivered."""

    def payload(self, event: Body) -> Body:
        """An event as it is shown."""


@dataclass
class Context:
    """What a request, a click or a control call works with."""

    store: Store
    announcer: Announcer
    clock: Clock
    base_url: str
    parameters: Body = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    request_id: str | None = None
    idempotency_key: str | None = None
    account: str | None = None  # the connected account that the request speaks for
    is_short_of_funds: bool = False
    has_events: bool = False
    _later: list[Callable[[], object]] = field(default_factory=list)

    def now(self) -> int:
        """The sandbox's time."""
        return self.clock.now()

    def make(self, kind: str, prefix: str, **fields: Any) -> Body:
        """A new object, kept."""
        body = {
            "id": new_id(prefix),
            "object": kind,
            "created": self.now(),
            "livemode": False,
            **fields,
        }
        self.store.insert(body)
        return body

    def change(self, body: Body, **fields: Any) -> Body:
        """Change an object and keep it; what it was before is returned."""
        before = dict(body)
        body.update(fields)
        self.store.save(body)
        return before

    def named(self, kind: str, name: str, param: str | None = None) -> Body:
        """The object that the URL names, or 404."""
        body = self.store.get(kind, self.path[name])
        if body is None:
            raise no_such(kind, self.path[name], param or "id", 404)
        return body

    def given(self, kind: str, param: str) -> Body:
        """The object that a parameter names, or 400."""
        body = self.store.get(kind, self.parameters[param])
        if body is None or body.get("deleted"):
            raise no_such(kind, self.parameters[param], param)
        return body

    def require(self, kind: str, object_id: str) -> Body:
        """An object that another one refers to."""
        body = self.store.get(kind, object_id)
        assert body is not None, f"{object_id} is gone"
        return body

    def emit(
        self, kind: str, body: Body, before: Body | None = None, account: str | None = None
    ) -> None:
        """Record an event about an object as it is now, and have it delivered.

        Events of a connected account go to the Connect endpoint.
        """
        data: Body = {"object": visible(body)}
        if before is not None:
            data["previous_attributes"] = _previous(visible(before), data["object"])
        event = self.make(
            "event",
            "evt",
            api_version=stripe.api_version,
            data=data,
            request={"id": self.request_id, "idempotency_key": self.idempotency_key},
            type=kind,
            **({} if account is None else {"account": account}),
        )
        self.announcer.enqueue(event)
        self.has_events = True

    def later(self, step: Callable[[], object]) -> None:
        """Do something once the answer is written down, still in the same transaction.

        This is how a refund answers "succeeded" and fails afterwards, as it does at Stripe.
        """
        self._later.append(step)

    @contextmanager
    def undoable(self) -> Iterator[None]:
        """What is done inside is undone when it is refused half-way."""
        self.store.query("savepoint work")
        try:
            yield
        except StripeError:
            self.store.query("rollback to work")
            self._later.clear()
            self.has_events = False
            raise
        finally:
            self.store.query("release work")

    def finish(self) -> None:
        """Do what was put off, and what that puts off."""
        while self._later:
            self._later.pop(0)()


def visible(body: Body) -> Body:
    """An object without what only the sandbox knows."""
    return {name: value for name, value in body.items() if not name.startswith("_")}


def _previous(before: Body, after: Body) -> Body:
    """What an update replaced, hash by hash."""
    previous: Body = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            previous[name] = _previous(old, new)
        else:
            previous[name] = old
    return previous
