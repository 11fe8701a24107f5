"""What the benchmarks have kept: their JSON, in the order in which `make bench` runs them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ORDER = ("purchase", "rest", "payouts", "covers", "library", "cache")

Json = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """The figures of one run: `name` is its file's, `bench` what was run."""

    name: str
    found: Json

    @property
    def bench(self) -> str:
        """A file may say more after a hyphen: purchase-large is a run of purchase."""
        return self.name.partition("-")[0]

    @property
    def machine(self) -> Json:
        """Where, when and of what."""
        machine: Json = self.found["machine"]
        return machine

    @property
    def aims(self) -> list[Json]:
        """What was wanted, and what came."""
        aims: list[Json] = self.found["aims"]
        return aims


def read_results(folder: Path) -> list[Kept]:
    """Every benchmark's JSON in this folder."""
    return sorted(_each(folder), key=lambda kept: (ORDER.index(kept.bench), kept.name))


def _each(folder: Path) -> Iterator[Kept]:
    for path in folder.glob("*.json"):
        kept = Kept(path.stem, json.loads(path.read_text()))
        if kept.bench in ORDER:
            yield kept
