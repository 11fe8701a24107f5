"""What was measured, and whether it is what it ought to be."""

from dataclasses import dataclass

from bench.aims import Aim, at_least, at_most
from bench.covers.looking import CLAIM, GROWN, PEEKS, STAR
from bench.covers.plan import Plan, Queue, Task
from bench.covers.race import Race
from bench.reading import Touched
from bench.spread import Spread

FLAT = 0.8
NEARLY_FREE = 0.9
# A few more levels of an index are not growth; in proportion, it would be a thousand.
SAME = 2.0
SMALL = 3.0  # for what touches next to nothing in a short queue, or no vacuum has been there
REQUESTS = 0.5  # those in front are counted, up to 10,000
QUICK_MILLISECONDS = 100.0


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    race: Race
    looks: dict[Queue, dict[str, Touched]]
    short: Touched
    grown: Touched

    def buffers_ratio(self, name: str, one: Queue, other: Queue) -> Spread:
        """How many more pages the same call touches in another queue."""
        return Spread.of([self.looks[one][name].buffers / self.looks[other][name].buffers])


def judge(results: Results, plan: Plan) -> list[Aim]:
    """Put every aim beside its figure."""
    little, middle, large = plan.little, plan.middle, plan.large
    aims = []
    for queue in (middle, large):
        sizes = f"{queue.name} / {little.name}"
        aims += [
            at_least(
                FLAT, f"{task} a second, {sizes}", results.race.ratio((task, queue), (task, little))
            )
            for task in (Task.CLAIM, Task.FINISH)
        ]
        aims.append(
            at_most(SAME, f"{CLAIM}: buffers, {sizes}", results.buffers_ratio(CLAIM, queue, little))
        )
    for limit, queue in ((NEARLY_FREE, plan.behind_unserved), (FLAT, plan.behind_postponed)):
        aims += [
            at_least(
                limit,
                f"{Task.CLAIM} a second, {queue.name} / alone",
                results.race.ratio((Task.CLAIM, queue), (Task.CLAIM, middle)),
            ),
            at_most(
                SAME,
                f"{CLAIM}: buffers, {queue.name} / alone",
                results.buffers_ratio(CLAIM, queue, middle),
            ),
        ]
    ends = f"{large.name} / {little.name}"
    grown = Spread.of([results.grown.buffers / results.short.buffers])
    return [
        *aims,
        at_most(SMALL, f"{GROWN}: buffers, {ends}", grown),
        at_least(
            REQUESTS,
            f"{Task.REQUEST} a second, {ends}",
            results.race.ratio((Task.REQUEST, large), (Task.REQUEST, little)),
        ),
        at_most(
            QUICK_MILLISECONDS,
            f"{STAR}: milliseconds, {large.name}",
            Spread.of([results.looks[large][STAR].milliseconds]),
        ),
        *(
            at_most(
                SMALL,
                f"{peek.name}: buffers, {ends}",
                results.buffers_ratio(peek.name, large, little),
            )
            for peek in PEEKS
            if peek.has_aim and peek.name != STAR
        ),
    ]
