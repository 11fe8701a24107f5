"""What pgbench's log of single transactions says: how many a second, and how long each took."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.errors import BenchError

MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Timing:
    """One run of pgbench. Rates and latencies are those after the warm-up."""

    transactions: int
    per_second: float
    median_milliseconds: float
    slow_milliseconds: float  # of the slowest hundredth, the fastest
    most_turns: int  # of the client that got furthest


@dataclass(frozen=True)
class _Entry:
    turn: int
    microseconds: int
    ended: int


def read_log(folder: Path, *, warm_up: int, seconds: int) -> Timing:
    """Read all of a run's log files; `seconds` 0 takes everything after the warm-up."""
    entries = [entry for path in sorted(folder.glob("log.*")) for entry in _entries(path)]
    if not entries:
        raise BenchError("pgbench made no transaction: give it more seconds")
    began = min(entry.ended - entry.microseconds for entry in entries) + warm_up * MICROSECONDS
    ended = began + seconds * MICROSECONDS if seconds else max(entry.ended for entry in entries)
    counted = sorted(entry.microseconds for entry in entries if began < entry.ended <= ended)
    if not counted:
        raise BenchError("pgbench made no transaction after its warm-up: give it more seconds")
    return Timing(
        transactions=len(entries),
        per_second=len(counted) * MICROSECONDS / (ended - began),
        median_milliseconds=median(counted) / 1000,
        slow_milliseconds=counted[len(counted) * 99 // 100] / 1000,
        most_turns=max(entry.turn for entry in entries),
    )


def _entries(path: Path) -> Iterator[_Entry]:
    """A line each: client, turn from 1, microseconds, script, end in seconds and microseconds."""
    with path.open() as lines:
        for line in lines:
            _, turn, microseconds, _, seconds, fraction = line.split()[:6]
            yield _Entry(int(turn), int(microseconds), int(seconds) * MICROSECONDS + int(fraction))
