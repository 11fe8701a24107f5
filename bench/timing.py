"""How long single calls took, and how many a second there were."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.errors import BenchError

MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Timing:
    """One run of a load. Rates and latencies are those after the warm-up."""

    transactions: int
    per_second: float
    median_milliseconds: float
    p95_milliseconds: float  # of the slowest twentieth, the fastest
    p99_milliseconds: float  # of the slowest hundredth, the fastest
    most_turns: int  # of the client that got furthest


class Entry(NamedTuple):
    """One call of one client: which of its turns, how long it took, and when it was over."""

    turn: int
    microseconds: int
    ended: int  # in microseconds, by a clock that all entries share


def summarize(entries: Sequence[Entry], *, warm_up: int, seconds: int) -> Timing:
    """What a run was like; `seconds` 0 takes everything after the warm-up."""
    if not entries:
        raise BenchError("no call came to its end: give it more seconds")
    began = min(entry.ended - entry.microseconds for entry in entries) + warm_up * MICROSECONDS
    ended = began + seconds * MICROSECONDS if seconds else max(entry.ended for entry in entries)
    counted = sorted(entry.microseconds for entry in entries if began < entry.ended <= ended)
    if not counted:
        raise BenchError("no call came to its end after the warm-up: give it more seconds")
    return Timing(
        transactions=len(entries),
        per_second=len(counted) * MICROSECONDS / (ended - began),
        median_milliseconds=median(counted) / 1000,
        p95_milliseconds=counted[len(counted) * 95 // 100] / 1000,
        p99_milliseconds=counted[len(counted) * 99 // 100] / 1000,
        most_turns=max(entry.turn for entry in entries),
    )


def read_log(folder: Path, *, warm_up: int, seconds: int) -> Timing:
    """Read all of a run's log files, as pgbench writes them."""
    entries = [entry for path in sorted(folder.glob("log.*")) for entry in _entries(path)]
    return summarize(entries, warm_up=warm_up, seconds=seconds)


def _entries(path: Path) -> Iterator[Entry]:
    """A line each: client, turn from 1, microseconds, script, end in seconds and microseconds."""
    with path.open() as lines:
        for line in lines:
            _, turn, microseconds, _, seconds, fraction = line.split()[:6]
            yield Entry(int(turn), int(microseconds), int(seconds) * MICROSECONDS + int(fraction))
