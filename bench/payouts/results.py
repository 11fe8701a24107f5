"""What was measured, and whether it is what it ought to be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.aims import Aim, at_least, at_most
from bench.payouts.batch import Batch, Step
from bench.payouts.beside import Readers
from bench.payouts.world import READINGS, Past
from bench.reading import Touched
from bench.spread import Spread

# For ten times the work: indexes are deeper, and less of it is in the cache.
LINEAR = 12.0
SAME_MEMORY = 1.5
SAME_READING = 2.0  # in proportion to what was sold it would be ten
QUICK_MILLISECONDS = 100.0
LEAST_OF_READERS = 0.8


@dataclass(frozen=True)
class Closings:
    """The same way to close the month in both worlds, in the small one several times."""

    small: list[Batch]
    large: Batch

    @property
    def seconds_ratio(self) -> Spread:
        """Times as long for ten times the creators and earnings."""
        return Spread.of([self.large.seconds / each.seconds for each in self.small])

    @property
    def processor_ratio(self) -> Spread:
        """The same without the time in which others had the processor."""
        return Spread.of(
            [self.large.processor_seconds / each.processor_seconds for each in self.small]
        )

    @property
    def memory_ratio(self) -> Spread:
        """Times as much memory at its peak."""
        return Spread.of([self.large.memory.peak / each.memory.peak for each in self.small])


@dataclass(frozen=True)
class StepSize:
    """What a creator costs with so many at a time."""

    asked: int
    milliseconds_each: float
    step_milliseconds: float  # half of the steps took longer
    longest_milliseconds: float  # so long somebody may wait for a lock of the batch


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    small: Past
    large: Past
    whole: Closings
    steps: Closings
    sizes: list[StepSize]
    readers: Readers


def compare_sizes(steps: Sequence[Step]) -> list[StepSize]:
    """Steps of several sizes in turn, all through the same creators. The first opens the month."""
    return [
        StepSize(
            asked,
            sum(step.seconds for step in taken) * 1000 / sum(step.creators for step in taken),
            median(step.seconds for step in taken) * 1000,
            max(step.seconds for step in taken) * 1000,
        )
        for asked in sorted({step.asked for step in steps})
        if (taken := [step for step in steps[1:] if step.asked == asked and step.creators])
    ]


def judge(results: Results) -> list[Aim]:
    """Put every aim beside its figure."""
    aims = []
    for how, closings in (("in steps", results.steps), ("in one transaction", results.whole)):
        aims += [
            at_most(LINEAR, f"seconds {how}, large / small", closings.seconds_ratio),
            at_most(LINEAR, f"CPU seconds {how}, large / small", closings.processor_ratio),
            at_most(SAME_MEMORY, f"memory {how}, large / small", closings.memory_ratio),
        ]
    return [
        *aims,
        at_least(LEAST_OF_READERS, "purchases beside a batch / without", results.readers.ratio),
        *_aims_of_reading(results.small.reading, results.large.reading),
    ]


def _aims_of_reading(small: dict[str, Touched], large: dict[str, Touched]) -> Iterator[Aim]:
    for reading in READINGS:
        less, more = small[reading.name], large[reading.name]
        milliseconds = Spread.of([more.milliseconds])
        yield at_most(QUICK_MILLISECONDS, f"{reading.name}: milliseconds", milliseconds)
        if reading.has_aim:
            growth = Spread.of([more.buffers / less.buffers])
            yield at_most(SAME_READING, f"{reading.name}: buffers, large / small", growth)
