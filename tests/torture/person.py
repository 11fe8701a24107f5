"""Somebody with a token who calls, and asks again with the same key when an answer was lost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from threading import Event
from typing import Any
from uuid import UUID

from api.tokens import sign_token
from tests.torture.journal import Deed, Journal, Kind, Outcome, Reply
from tests.torture.line import Line

TOKEN_HOURS = 24
GIVES_UP = 0.15  # of answers that were lost nobody asks for the rest
ASKS_TWICE = 0.06  # with one key, at the same instant
ASKS_AGAIN = 0.08  # with the same key, when the answer is there
MOST_TRIES = 40
PAUSE_SECONDS = (0.1, 1.5)
LOOKS = 40


@dataclass
class Scene:
    """What all clients share."""

    journal: Journal
    secret: str = field(repr=False)
    stripe_key: str = field(repr=False)
    over: Event
    packages: dict[str, str] = field(default_factory=dict)


@dataclass
class Person:
    """Somebody, on some client's line."""

    scene: Scene
    line: Line
    chance: Random
    id: UUID
    role: str = "authenticated"
    token: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.token = sign_token(
            self.scene.secret, subject=self.id, role=self.role, hours=TOKEN_HOURS
        )

    # One call -----------------------------------------------------------------------------------

    def rpc(self, kind: str, function: str, body: object, key: str | None = None) -> Reply:
        url = f"{self.line.places.rest}/rpc/{function}"
        return self.line.call(kind, url, body, token=self.token, key=key)

    def edge(self, kind: str, path: str, body: object, key: str | None = None) -> Reply:
        return self.line.call(kind, self.line.places.edge + path, body, token=self.token, key=key)

    def get(self, kind: str, path: str) -> Reply:
        url = self.line.places.rest + path
        return self.line.call(kind, url, token=self.token, method="GET")

    def stripe(self, kind: str, path: str, body: object = None) -> Reply:
        """What the payer, their bank or time does at Stripe."""
        return self.line.call(kind, f"{self.line.places.stripe}/_sandbox{path}", body)

    def read_stripe(self, path: str) -> Reply:
        """What somebody sees who has the key."""
        url = f"{self.line.places.stripe}/v1{path}"
        return self.line.call("read at Stripe", url, token=self.scene.stripe_key, method="GET")

    # Until there is an answer -------------------------------------------------------------------

    def persist(self, call: Callable[[], Reply], tries: int = MOST_TRIES) -> Reply:
        """Call until there is an answer, for as long as somebody has the patience."""
        reply = call()
        for _ in range(tries - 1):
            if reply.outcome is not Outcome.LOST:
                break
            self.pause()
            reply = call()
        return reply

    def pause(self) -> None:
        """Not at once again. When all is over there is nothing to wait for but the answer."""
        seconds = self.chance.uniform(*PAUSE_SECONDS)
        if self.scene.over.is_set():
            Event().wait(seconds)
        else:
            self.scene.over.wait(seconds)

    def allow(self, kind: str, reply: Reply, *hints: str) -> Reply:
        """A refusal for another reason than these is a violation."""
        if reply.outcome is Outcome.REFUSED and reply.hint not in hints:
            self.scene.journal.violate(f"{kind}: refused with {reply.status} {reply.body}")
        return reply

    def look(self, kind: str, path: str, found: Callable[[Any], bool]) -> Any:
        """Look now and then until something can be seen; None when it took too long."""
        for _ in range(LOOKS):
            reply = self.get(kind, path)
            if reply.outcome is Outcome.DONE and reply.body and found(reply.body):
                return reply.body
            if self.scene.over.is_set():
                break
            self.scene.over.wait(0.25)
        return None

    # Once, however often ------------------------------------------------------------------------

    def do(
        self,
        kind: Kind,
        call: Callable[[str], Reply],
        *allowed: str,
        person: UUID | None = None,
        **about: Any,
    ) -> Any:
        """Something with an idempotency key; the first answer, or None without one."""
        key = f"k-{self.chance.getrandbits(96):024x}"
        deed = self.scene.journal.begin(kind, person or self.id, key, about)
        if self.chance.random() < ASKS_TWICE:
            with ThreadPoolExecutor(2) as both:
                replies = list(both.map(call, (key, key)))
        else:
            replies = [call(key)]
        for reply in replies:
            self._take(deed, reply, allowed)
        tries = 1
        while not deed.answers and deed.refusal is None and tries < MOST_TRIES:
            if self.chance.random() < GIVES_UP:
                return None
            self.pause()
            tries += 1
            self._take(deed, call(key), allowed)
        if deed.answers and self.chance.random() < ASKS_AGAIN:
            self._take(deed, call(key), allowed)
        return deed.answers[-1] if deed.answers else None

    def _take(self, deed: Deed, reply: Reply, allowed: tuple[str, ...]) -> None:
        journal = self.scene.journal
        if reply.outcome is Outcome.LOST:
            deed.losses += 1
        elif reply.outcome is Outcome.REFUSED:
            self.allow(deed.kind.name, reply, *allowed)
            deed.refusal = reply.hint
            if deed.answers:
                journal.violate(f"{deed}: refused as {reply.hint} after it was acknowledged")
        else:
            deed.answers.append(reply.body)
            first, last = deed.named(deed.answers[0]), deed.named(reply.body)
            if first != last:
                journal.violate(f"{deed}: one key was answered {first}, then {last}")
