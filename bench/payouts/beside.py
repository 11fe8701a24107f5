"""Readers who buy while a batch is running, and the same readers without it, round by round."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from time import monotonic

from bench.payouts.batch import Backend, Connection, take_steps
from bench.payouts.plan import Plan
from bench.pgbench import Load
from bench.purchase.arena import Arena
from bench.purchase.plan import Scenario, Variant
from bench.spread import Spread
from bench.timing import Timing

SHARE = 0.6  # of the batch that the rounds may take, measured by how fast it is without readers
RUNNING = 0.9  # of the time, or the figure says nothing


@dataclass(frozen=True)
class Round:
    """The same load without a batch and with one."""

    number: int
    alone: Timing
    beside: Timing
    creators: int  # the batch got so much further
    running: float  # the part of the time in which there was one

    @property
    def ratio(self) -> float:
        return self.beside.per_second / self.alone.per_second


@dataclass(frozen=True)
class Readers:
    """All rounds."""

    seconds: int
    rounds: list[Round]

    @property
    def ratio(self) -> Spread | None:
        """What is left of their rate; nothing, if the batch was over too soon to tell."""
        if min(each.running for each in self.rounds) < RUNNING:
            return None
        return Spread.of([each.ratio for each in self.rounds])


class Background:
    """A batch in a thread of its own, that goes on while it may."""

    def __init__(self, connection: Connection, step: int) -> None:
        self._steps = take_steps(connection, [step])
        self._error: Exception | None = None
        self._is_closed = False
        self.creators = 0
        self.busy_seconds = 0.0
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Take one step after the other until the block ends."""
        stop = threading.Event()
        thread = threading.Thread(target=self._go_on, args=(stop,), daemon=True)
        began = monotonic()
        thread.start()
        try:
            yield
        finally:
            self.seconds += monotonic() - began
            stop.set()
            thread.join()
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Take what is left."""
        for _ in self._steps:
            pass

    def _go_on(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set() and not self._is_closed:
                step = next(self._steps)
                self.creators += step.creators
                self.busy_seconds += step.seconds
                self._is_closed = step.is_last
        except Exception as error:  # raised again where the readers are
            self._error = error


def buy_beside(
    arena: Arena, plan: Plan, milliseconds_each: float, report: Callable[[Round], None]
) -> Readers:
    """Alternate, and each time begin with the other; the batch lasts through all rounds."""
    batch_seconds = plan.creators * milliseconds_each / 1000
    room = int(batch_seconds * SHARE / plan.rounds) - plan.warm_up
    seconds = min(plan.seconds, max(1, room))
    load = Load(plan.clients, seconds=seconds, warm_up=plan.warm_up)
    arena.server.checkpoint()
    _buy(arena, load)  # so that the whole pages that the WAL takes after it are in no round
    arena.execute("select ledger.fold()")  # as the worker does every minute
    rounds: list[Round] = []
    with Backend.open(arena) as backend:
        batch = Background(backend.connection, plan.step)
        for number in range(1, plan.rounds + 1):
            rounds.append(_round(arena, load, batch, number))
            report(rounds[-1])
        batch.finish()
    return Readers(seconds, rounds)


def _round(arena: Arena, load: Load, batch: Background, number: int) -> Round:
    creators, busy, seconds = batch.creators, batch.busy_seconds, batch.seconds
    timings: dict[bool, Timing] = {}
    for is_beside in (number % 2 == 0, number % 2 == 1):
        with batch.running() if is_beside else nullcontext():
            timings[is_beside] = _buy(arena, load)
    return Round(
        number=number,
        alone=timings[False],
        beside=timings[True],
        creators=batch.creators - creators,
        running=min(1.0, (batch.busy_seconds - busy) / (batch.seconds - seconds)),
    )


def _buy(arena: Arena, load: Load) -> Timing:
    return arena.run(Variant.OURS, Scenario.MANY, load).timing
