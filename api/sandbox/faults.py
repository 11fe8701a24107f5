"""Failures on demand: the ones that money code has to survive.

| fault | what happens |
|---|---|
| error_500 | nothing is done, and the 500 is stored under the idempotency key |
| error_500_after | it is done, but the answer, and what is stored, is a 500 |
| error_429 | refused as too frequent; nothing is stored |
| lost_request | the connection is closed, nothing happened |
| lost_reply | it is done (and stored), the connection is closed without an answer |
| hold | it is done, the answer waits for the release |
| slow | the request waits some seconds before it is looked at |
| insufficient_balance | no funds for it: a refund becomes pending, a transfer is refused |
"""

import fnmatch
import threading
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

ON_THE_WAY = ("slow", "lost_request", "error_429", "lost_reply", "hold")
WHILE_RUNNING = ("error_500", "error_500_after", "insufficient_balance")
KINDS = ON_THE_WAY + WHILE_RUNNING


@dataclass
class Fault:
    """One kind of failure for some requests."""

    id: int
    method: str
    path: str
    fault: str
    times: int | None
    seconds: float
    struck: int = 0


class Faults:
    """Which failures are to come, and the requests that are being held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._numbers = count(1)
        self._release = threading.Event()
        self._closing = threading.Event()
        self._holding = 0

    def add(
        self, method: str, path: str, fault: str, times: int | None = 1, seconds: float = 1.0
    ) -> dict[str, Any]:
        """Let a failure strike the next requests that match; `times` None: all of them."""
        with self._lock:
            added = Fault(next(self._numbers), method.upper(), path, fault, times, seconds)
            self._faults.append(added)
            return asdict(added)

    def clear(self) -> None:
        """Forget all failures, and answer who is held."""
        with self._lock:
            self._faults.clear()
        self.release()

    def listed(self) -> dict[str, Any]:
        """The failures, how often each struck, and how many requests are held."""
        with self._lock:
            return {"faults": [asdict(each) for each in self._faults], "holding": self._holding}

    def strike(self, method: str, path: str, kinds: tuple[str, ...]) -> Fault | None:
        """The first failure of these kinds that is due for a request; it counts as struck."""
        with self._lock:
            for each in self._faults:
                if (
                    each.fault in kinds
                    and each.method in (method, "*")
                    and fnmatch.fnmatchcase(path, each.path)
                    and (each.times is None or each.struck < each.times)
                ):
                    each.struck += 1
                    return each
        return None

    def wait(self, seconds: float) -> None:
        """Be slow, unless the sandbox is closing."""
        self._closing.wait(seconds)

    def hold(self) -> None:
        """Wait for the next release."""
        with self._lock:
            self._holding += 1
            release = self._release
        release.wait()
        with self._lock:
            self._holding -= 1

    def release(self) -> int:
        """Let everybody go who is held; how many."""
        with self._lock:
            held = self._holding
            self._release.set()
            if not self._closing.is_set():
                self._release = threading.Event()
        return held

    def close(self) -> None:
        """Keep nobody waiting any more."""
        self._closing.set()
        self.release()
