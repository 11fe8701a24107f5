"""One interleaving after another, made up by hypothesis and, when one fails, made small.

What can happen depends on what the database and Stripe have answered, and with two senders at once
that may differ from one time to the next. Hypothesis gives up on whatever is not the same twice, so
every step is a roll of the same dice, and only then it is seen what the dice can mean.
"""

from collections import Counter
from collections.abc import Callable

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.property.actions import ACTIONS, PAYMENT_METHODS, Happening, new_start
from tests.property.checks import Baseline, check_step, finish
from tests.property.dice import Roll, rolls
from tests.property.driver import Driver
from tests.property.figures import what_happened
from tests.property.world import CHAPTERS, World

OPENINGS = ("nothing", "tried", "paid", "credited", "spent", "spent")
MOST_LEFT_OUT = 8

names = st.sampled_from([action.__name__ for _, action in ACTIONS])


class Payments(RuleBasedStateMachine):
    """One interleaving. Where it happens, and who counts, is set by the test."""

    current_world: Callable[[], World]
    count_step: Callable[[], None]
    tally: Callable[[Counter[str]], None]

    def __init__(self) -> None:
        super().__init__()
        world = type(self).current_world()
        self.driver = Driver(world)
        self.baseline = Baseline(world)
        self.left_out: frozenset[str] = frozenset()
        self.is_well = True

    def teardown(self) -> None:
        """Settle accounts; a world in which something was wrong is of no use to the next one."""
        world = self.driver.world
        was_well, world.is_sound = self.is_well, False
        if was_well:
            finish(self.driver, self.baseline)
            world.is_sound = True
            self.tally(what_happened(self.driver.book))

    @initialize(roll=rolls, left_out=st.frozensets(names, max_size=MOST_LEFT_OUT))
    def open(self, roll: Roll, left_out: frozenset[str]) -> None:
        """Most of what happens needs a payment, or credits that were spent.

        What is left out in one interleaving makes room for the rest.
        """
        self.left_out = left_out
        how_far = OPENINGS[roll.action % len(OPENINGS)]
        if how_far != "nothing":
            self._do(f"opening: {how_far}", lambda: self._open(roll, how_far))

    def _open(self, roll: Roll, how_far: str) -> None:
        driver = self.driver
        driver.start(new_start(driver, roll))
        start = driver.starts[0]
        driver.pay(start, roll.kind_of(PAYMENT_METHODS) if how_far == "tried" else "pm_card_visa")
        if how_far != "paid":
            driver.backfill()
        if how_far == "spent":
            for story in driver.world.stories:
                driver.buy(start.reader, story, CHAPTERS[:2])

    @rule(roll=rolls)
    def step(self, roll: Roll) -> None:
        """Something of what is possible now."""
        possible: list[tuple[str, Happening]] = []
        for weight, action in ACTIONS:
            happens = action(self.driver, roll)
            if happens is not None and action.__name__ not in self.left_out:
                possible += [(action.__name__, happens)] * weight
        if possible:
            self._do(*possible[roll.action % len(possible)])

    def _do(self, name: str, happens: Happening) -> None:
        """Let it happen, and compare the ledger with the model."""
        note(name)
        self.is_well = False
        happens()
        check_step(self.driver, self.baseline)
        self.count_step()
        self.is_well = True
