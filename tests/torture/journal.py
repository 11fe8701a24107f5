"""What people remember of their calls: acknowledged, refused by a rule, or lost."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from tests.torture.troubles import Troubles

PLATFORM = UUID(int=0)


class Outcome(StrEnum):
    """What somebody who calls knows afterwards."""

    DONE = "acknowledged"
    REFUSED = "refused"
    LOST = "lost"


@dataclass(frozen=True)
class Reply:
    """One call's end: a status, or why there is none."""

    outcome: Outcome
    status: int | None
    body: Any
    began: float
    ended: float

    @property
    def hint(self) -> str:
        """The slug of a refusal, or what can be said instead."""
        said = self.body
        if isinstance(said, dict) and isinstance(said.get("error"), dict):  # as Stripe says it
            said = said["error"]
        if isinstance(said, dict):
            return str(said.get("hint") or said.get("code") or said.get("message") or said)
        return str(said)


@dataclass(frozen=True)
class Kind:
    """A call with an idempotency key: where its first answer is kept, and what names its effect."""

    name: str
    function: str
    identity: str
    is_of_operator: bool = False


PURCHASE = Kind("buy", "purchase_story", "purchase_id")
TOP_UP = Kind("top up", "start_payment", "payment_id")
SUBSCRIBE = Kind("subscribe", "start_subscription", "checkout_id")
COVER = Kind("ask for a cover", "request_cover", "job_id")
EXPORT = Kind("ask for a file", "request_export", "export_id")
PAYOUT = Kind("ask for a payout", "request_payout", "payout_id")
SALE_REFUND = Kind("take a sale back", "refund_story_purchase", "transaction_id", True)
REFUND = Kind("refund a payment", "refund_payment", "refund_id", True)
GRANT = Kind("grant credits", "grant_credits", "transaction_id", True)
ADJUST = Kind("correct earnings", "adjust_earnings", "", True)
KINDS = (
    PURCHASE, TOP_UP, SUBSCRIBE, COVER, EXPORT, PAYOUT, SALE_REFUND, REFUND, GRANT, ADJUST,
)  # fmt: skip


@dataclass(eq=False)
class Deed:
    """Something that somebody wanted done once, however often they had to ask for it."""

    kind: Kind
    person: UUID  # whose money it is about
    key: str
    about: dict[str, Any]
    answers: list[Any] = field(default_factory=list)
    losses: int = 0
    refusal: str | None = None

    @property
    def place(self) -> tuple[UUID, str]:
        """The book and the key under which the database keeps the first answer."""
        if self.kind.is_of_operator:
            return PLATFORM, f"{self.person} {self.key}"
        return self.person, self.key

    @property
    def is_done(self) -> bool:
        """Whether it was acknowledged at least once."""
        return bool(self.answers)

    def named(self, answer: Any) -> str | None:
        """What an answer says was made."""
        if not self.kind.identity:
            return str(answer)
        made = answer[self.kind.identity]
        return None if made is None else str(made)

    def __str__(self) -> str:
        return f"{self.kind.name} {self.key} of {self.person}"


def _is_stripes_doing(kind: str, reply: Reply) -> bool:
    """Whether a 502 only tells what Stripe did; a bank may dispute what is just being refunded."""
    is_refusal = kind == REFUND.name and reply.hint == "stripe_refused"
    return is_refusal or reply.hint == "stripe_unavailable"


@dataclass
class Journal:
    """Everything that was called, and what was wrong."""

    troubles: Troubles
    deeds: list[Deed] = field(default_factory=list)
    tally: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    strays: list[tuple[str, Reply]] = field(default_factory=list)
    calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, kind: Kind, person: UUID, key: str, about: dict[str, Any]) -> Deed:
        """Note that somebody is about to ask for something."""
        deed = Deed(kind, person, key, about)
        with self._lock:
            self.deeds.append(deed)
        return deed

    def note(self, kind: str, reply: Reply, *, is_ours: bool) -> None:
        """Count a call; one that was lost is judged at the end, when all troubles are known."""
        with self._lock:
            self.calls += 1
            self.tally[kind, reply.outcome] += 1
            if reply.outcome is Outcome.REFUSED:
                self.refusals[kind, reply.hint] += 1
            elif reply.outcome is Outcome.LOST and is_ours and not _is_stripes_doing(kind, reply):
                self.strays.append((kind, reply))

    def violate(self, what: str) -> None:
        """Something that must never happen."""
        with self._lock:
            self.violations.append(what)

    def of(self, *kinds: Kind) -> list[Deed]:
        """All deeds of these kinds."""
        with self._lock:
            return [deed for deed in self.deeds if deed.kind in kinds]
