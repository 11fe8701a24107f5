"""What some clients tell others: what can be taken back, refunded or disputed."""

import threading
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar
from uuid import UUID

Thing = TypeVar("Thing")
KEPT = 400


@dataclass(frozen=True)
class Story:
    """Something to buy, and from whom."""

    id: str
    creator: UUID
    is_for_all: bool  # also for people whose payments come to nothing


@dataclass(frozen=True)
class Sale:
    """A purchase that was acknowledged."""

    reader: UUID
    purchase_id: str


@dataclass(frozen=True)
class Paid:
    """A payment that its payer has paid for, and may yet get back."""

    payer: UUID
    payment_id: str
    charge: str | None  # as far as the payer was told


class Heap(Generic[Thing]):
    """The newest of some things, to draw from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._things: deque[Thing] = deque(maxlen=KEPT)

    def add(self, thing: Thing) -> None:
        with self._lock:
            self._things.append(thing)

    def draw(self, chance: Random) -> Thing | None:
        """Any of them; it stays."""
        with self._lock:
            return chance.choice(self._things) if self._things else None

    def take(self, chance: Random) -> Thing | None:
        """Any of them; nobody else gets it."""
        with self._lock:
            if not self._things:
                return None
            thing = chance.choice(self._things)
            self._things.remove(thing)
            return thing


@dataclass
class Board:
    """Where it hangs."""

    stories: list[Story] = field(default_factory=list)
    creators: list[UUID] = field(default_factory=list)
    sales: Heap[Sale] = field(default_factory=Heap)
    payments: Heap[Paid] = field(default_factory=Heap)
    disputes: Heap[str] = field(default_factory=Heap)
    readers: Heap[UUID] = field(default_factory=Heap)
    troubled: set[UUID] = field(default_factory=set)
    erased: set[UUID] = field(default_factory=set)
    progress: dict[tuple[UUID, str, int], int] = field(default_factory=dict)
