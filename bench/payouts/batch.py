"""Closing the month, as the worker does it and in one transaction; and what the backend used."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from time import monotonic
from typing import Any

import psutil
import psycopg

from bench.database import Database

LOOK_EVERY_SECONDS = 0.02
MEGABYTE = 1 << 20
# Early, so that it is the same on every day of the month: what is available now is paid.
STEP = "select * from app.continue_monthly_payouts(current_date, %s, true)"
WHOLE = "select creators_done from app.run_monthly_payouts(current_date, true)"

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Memory:
    """Megabytes of a backend's own memory: what it shares with the others is not in it."""

    before: float
    peak: float


@dataclass(frozen=True)
class Batch:
    """A month that was closed."""

    creators: int
    steps: int
    seconds: float
    processor_seconds: float
    memory: Memory

    @property
    def milliseconds_each(self) -> float:
        return self.seconds * 1000 / self.creators

    @property
    def processor_milliseconds_each(self) -> float:
        return self.processor_seconds * 1000 / self.creators


@dataclass(frozen=True)
class Step:
    """Some creators at a time: how many were asked for, how many there were."""

    asked: int
    creators: int
    seconds: float
    is_last: bool


class Backend:
    """A session, and the process that serves it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.process = psutil.Process(connection.info.backend_pid)

    @classmethod
    @contextmanager
    def open(cls, database: Database) -> Iterator["Backend"]:
        """A new session in autocommit, whose plans and caches are its own."""
        with psycopg.connect(database.url, autocommit=True) as connection:
            yield cls(connection)

    def megabytes(self) -> float:
        """Private memory: all that is resident, without what is shared with the others."""
        used = self.process.memory_info()
        return float(used.rss - getattr(used, "shared", 0)) / MEGABYTE

    def processor_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


class Watch:
    """Looks at a backend's memory again and again, for its peak."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.before = self.peak = backend.megabytes()

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = max(self.peak, self._backend.megabytes())

    @property
    def memory(self) -> Memory:
        return Memory(self.before, self.peak)

    def _look(self) -> None:
        while not self._stop.wait(LOOK_EVERY_SECONDS):
            self.peak = max(self.peak, self._backend.megabytes())


def close_whole(database: Database) -> Batch:
    """Pay everybody in one transaction."""
    with Backend.open(database) as backend, Watch(backend) as watch:
        before = backend.processor_seconds()
        began = monotonic()
        row = backend.connection.execute(WHOLE).fetchone()
        seconds = monotonic() - began
        used = backend.processor_seconds() - before
    assert row is not None
    return Batch(int(row[0]), 1, seconds, used, watch.memory)


def close_in_steps(database: Database, size: int) -> Batch:
    """Pay everybody, so many at a time, each step in a transaction of its own."""
    with Backend.open(database) as backend, Watch(backend) as watch:
        before = backend.processor_seconds()
        taken = list(take_steps(backend.connection, [size]))
        used = backend.processor_seconds() - before
    return Batch(
        creators=sum(step.creators for step in taken),
        steps=len(taken),
        seconds=sum(step.seconds for step in taken),
        processor_seconds=used,
        memory=watch.memory,
    )


def take_steps(connection: Connection, sizes: Sequence[int]) -> Iterator[Step]:
    """Go on until the month is closed, with steps of these sizes in turn."""
    done = 0
    for asked in cycle(sizes):
        began = monotonic()
        row = connection.execute(STEP, (asked,)).fetchone()
        seconds = monotonic() - began
        assert row is not None
        is_closed, creators_done = row[:2]
        yield Step(asked, creators_done - done, seconds, is_closed)
        if is_closed:
            return
        done = creators_done
