"""Failures on demand: the ones that whoever asks for pictures has to survive.

| fault | what happens |
|---|---|
| slow | drawing takes some seconds more, whatever else happens; it can be interrupted |
| hang | nothing goes on and no answer comes until the release; an interrupt is not noticed |
| out_of_memory | 500 half-way, and the task stays active |
| server_error | the same with another error |
| model_swap | drawn with another model than the one asked for, as the info says |
| garbage | what should be an image is none |
| blank | an image of one color |
| wrong_size | an image half as large |
| empty_info | there is no info, as from servers of another make |
| connection_cut | it is drawn, but the answer breaks off in the middle |
| unauthorized | 401, nothing is done |
| missing | 404, as if the server had no such thing |
| no_progress | the same for /internal/progress |
"""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from api.sandbox.faults import Fault, Faults

DRAWING = "/sdapi/v1/txt2img"
PROGRESS = "/internal/progress"
WHILE_DRAWING = ("out_of_memory", "model_swap", "garbage", "blank", "wrong_size", "empty_info")
ANYWHERE = ("slow", "hang", "server_error", "connection_cut", "unauthorized", "missing")
NO_PROGRESS = "no_progress"
KINDS = (*WHILE_DRAWING, *ANYWHERE, NO_PROGRESS)
# What strikes by chance, if nothing else is said. All of these end by themselves.
BY_CHANCE = (
    "out_of_memory", "server_error", "model_swap",
    "garbage", "blank", "wrong_size", "connection_cut",
)  # fmt: skip
DEFAULT_PATHS = {NO_PROGRESS: PROGRESS, "missing": "/sdapi/v1/sd-models"}


@dataclass
class Chance:
    """A share of all pictures that is to fail, each in one of some ways."""

    share: float
    seed: int
    kinds: Sequence[str]
    seconds: float
    asked: int = 0
    struck: int = 0
    random: Random = field(default_factory=Random, repr=False)


class WebuiFaults(Faults):
    """Failures for the next requests, and failures by chance."""

    def __init__(self) -> None:
        super().__init__()
        self._chance_lock = threading.Lock()
        self._chance: Chance | None = None

    def leave_to_chance(
        self, share: float, kinds: Sequence[str], seed: int, seconds: float
    ) -> dict[str, Any]:
        """Let a share of all pictures fail from now on; 0 ends it."""
        with self._chance_lock:
            self._chance = Chance(share, seed, tuple(kinds), seconds, random=Random(seed))
        return self.listed()

    def for_drawing(self) -> Fault | None:
        """What goes wrong with the next picture: a failure on demand first, else by chance.

        Being slow comes on top of any other failure.
        """
        slow = self.strike("POST", DRAWING, ("slow",))
        other = tuple(kind for kind in KINDS if kind != "slow")
        struck = self.strike("POST", DRAWING, other) or self._by_chance()
        if struck is None or struck.fault == "slow":
            return struck or slow
        return replace(struck, seconds=slow.seconds if slow else 0.0)

    def _by_chance(self) -> Fault | None:
        with self._chance_lock:
            chance = self._chance
            if chance is None:
                return None
            chance.asked += 1
            if chance.random.random() >= chance.share:
                return None
            chance.struck += 1
            kind = chance.random.choice(chance.kinds)
            return Fault(0, "POST", DRAWING, kind, None, chance.seconds, 1)

    def listed(self) -> dict[str, Any]:
        with self._chance_lock:
            chance = asdict(self._chance) if self._chance else None
        if chance:
            del chance["random"]
        return {**super().listed(), "chance": chance}

    def clear(self) -> None:
        with self._chance_lock:
            self._chance = None
        super().clear()
