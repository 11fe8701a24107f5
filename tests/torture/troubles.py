"""When something was down: only then may a call end with a broken connection or a 5xx."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# A pool may hold connections that died with the server; the first to use one hears of it.
GRACE_SECONDS = 5.0


@dataclass(eq=False)
class Trouble:
    """Something that is down, since when and until when."""

    began: float
    ended: float = float("inf")


class Troubles:
    """All troubles of a run, by kind."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._all: list[Trouble] = []

    @contextmanager
    def during(self, kind: str) -> Iterator[None]:
        """Something is down until the block ends; the block waits until it works again."""
        trouble = Trouble(time.monotonic())
        with self._lock:
            self.kinds[kind] += 1
            self._all.append(trouble)
        yield
        # Where the block raises, nothing works again, and everything after it is excused.
        trouble.ended = time.monotonic()

    def count(self, kind: str, number: int = 1) -> None:
        """A fault that is no excuse, such as a reply of Stripe's that was dropped."""
        with self._lock:
            self.kinds[kind] += number

    def excuse(self, began: float, ended: float) -> bool:
        """Whether something was down while this call was made, or just before."""
        with self._lock:
            return any(
                each.began <= ended and began <= each.ended + GRACE_SECONDS for each in self._all
            )
