"""One interleaving after another, made up by hypothesis and, when one fails, made small.

What can happen depends on what the database and Stripe have answered, and with two senders at once
that may differ from one time to the next. Hypothesis gives up on whatever is not the same twice, so
every step is a roll of the same dice, and only then it is seen what the dice can mean.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.property.actions import ACTIONS, PAYMENT_METHODS, Happening, new_start
from tests.property.checks import Baseline, check_step, finish
from tests.property.cover_actions import COVER_ACTIONS, PRICES
from tests.property.cover_checks import check_covers, leave_covers
from tests.property.cover_driver import CoverDriver
from tests.property.dice import Roll, rolls
from tests.property.driver import Driver, Start
from tests.property.figures import what_happened
from tests.property.months import MonthDriver
from tests.property.payout_actions import ACTIONS as PAYOUT_ACTIONS
from tests.property.payout_checks import (
    check_payout_step,
    finish_payouts,
    what_happened_to_payouts,
)
from tests.property.payout_driver import PayoutCall
from tests.property.world import CHAPTERS, World

OPENINGS = (
    "nothing",
    "tried",
    "paid",
    "credited",
    "spent",
    "spent",
    "waiting",
    "drawn",
    "disputed",
)
PAYMENT_ACTIONS = (*ACTIONS, *COVER_ACTIONS)
MOST_LEFT_OUT = 8
MOST_READY = 3
PAYOUT_OPENINGS = ("ready", "asked", "sent", "returned", "month", "refused")


def names(actions: Sequence[tuple[int, Callable[..., Any]]]) -> st.SearchStrategy[frozenset[str]]:
    """What is left out in one interleaving, to make room for the rest."""
    given = [action.__name__ for _, action in actions]
    return st.frozensets(st.sampled_from(given), max_size=MOST_LEFT_OUT * len(given) // 23)


class Interleaving(RuleBasedStateMachine):
    """One interleaving. Where it happens, and who counts, is set by the test."""

    current_world: Callable[[], World]
    count_step: Callable[[], None]
    tally: Callable[[Counter[str]], None]
    actions: Sequence[tuple[int, Callable[[Any, Roll], Happening | None]]]
    driver: Driver
    baseline: Baseline

    def __init__(self) -> None:
        super().__init__()
        self.left_out: frozenset[str] = frozenset()
        self.is_well = True

    def check(self) -> None:
        """After each step."""
        raise NotImplementedError

    def finish(self) -> Counter[str]:
        """At the end; what has happened."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Settle accounts; a world in which something was wrong is of no use to the next one."""
        world = self.driver.world
        was_well, world.is_sound = self.is_well, False
        if was_well:
            happened = self.finish()
            world.is_sound = True
            self.tally(happened)

    @rule(roll=rolls)
    def step(self, roll: Roll) -> None:
        """Something of what is possible now."""
        possible: list[tuple[str, Happening]] = []
        for weight, action in self.actions:
            happens = action(self.driver, roll)
            if happens is not None and action.__name__ not in self.left_out:
                possible += [(action.__name__, happens)] * weight
        if possible:
            self.do(*possible[roll.spin % len(possible)])

    def do(self, name: str, happens: Happening) -> None:
        """Let it happen, and compare the ledger with the model."""
        note(name)
        self.is_well = False
        happens()
        self.check()
        self.count_step()
        self.is_well = True


class Payments(Interleaving):
    """What happens to payments, and to the sales and covers that they are behind."""

    actions = PAYMENT_ACTIONS
    driver: CoverDriver

    def __init__(self) -> None:
        super().__init__()
        world = type(self).current_world()
        self.driver = CoverDriver(world)
        self.baseline = Baseline(world, world.stories)

    def check(self) -> None:
        check_step(self.driver, self.baseline)
        check_covers(self.driver)

    def finish(self) -> Counter[str]:
        finish(self.driver, self.baseline)
        check_covers(self.driver)
        happened = what_happened(self.driver.book)
        leave_covers(self.driver)
        return happened

    @initialize(roll=rolls, left_out=names(PAYMENT_ACTIONS))
    def open(self, roll: Roll, left_out: frozenset[str]) -> None:
        """Most of what happens needs a payment, or credits that were spent."""
        self.left_out = left_out
        how_far = OPENINGS[roll.action % len(OPENINGS)]
        if how_far != "nothing":
            self.do(f"opening: {how_far}", lambda: self._open(roll, how_far))

    def _open(self, roll: Roll, how_far: str) -> None:
        driver = self.driver
        driver.start(new_start(driver, roll))
        start = driver.starts[0]
        driver.pay(start, roll.kind_of(PAYMENT_METHODS) if how_far == "tried" else "pm_card_visa")
        if how_far != "paid":
            driver.backfill()
        if how_far == "spent":
            for story in driver.stories:
                driver.buy(start.reader, story, CHAPTERS[:2])
        elif how_far in ("waiting", "drawn", "disputed"):
            self._open_covers(start, how_far, is_ended=bool(roll.how % 2))

    def _open_covers(self, start: Start, how_far: str, *, is_ended: bool) -> None:
        """Covers that wait, of which one is being drawn, or whose payment is disputed."""
        driver = self.driver
        for price in PRICES[:2]:
            driver.ask_for_cover(start.reader, price)
        if how_far == "drawn":
            driver.claim_cover()
            if is_ended:
                driver.finish_cover(driver.works[0])
        elif how_far == "disputed":
            driver.dispute(start, None, is_inquiry=False)
            driver.backfill()
            if is_ended:
                driver.cancel_cover(driver.book.covers[0])


class Payouts(Interleaving):
    """What happens to creators who have earned something."""

    actions = PAYOUT_ACTIONS
    driver: MonthDriver

    def __init__(self) -> None:
        super().__init__()
        self.driver = MonthDriver(type(self).current_world())
        self.baseline = Baseline(self.driver.world, ())

    def check(self) -> None:
        check_payout_step(self.driver, self.baseline)

    def finish(self) -> Counter[str]:
        finish_payouts(self.driver, self.baseline)
        return what_happened_to_payouts(self.driver)

    @initialize(roll=rolls, left_out=names(PAYOUT_ACTIONS))
    def open(self, roll: Roll, left_out: frozenset[str]) -> None:
        """Somebody has bought from everybody, and some creators can be paid, or were."""
        self.left_out = left_out
        how_far = PAYOUT_OPENINGS[roll.action % len(PAYOUT_OPENINGS)]
        self.do(f"opening: {how_far}", lambda: self._open(roll, how_far))

    def _open(self, roll: Roll, how_far: str) -> None:
        driver = self.driver
        open_shop(driver)
        creators = driver.creators
        ready = [creators[number] for number in roll.order if number < len(creators)]
        for creator in ready[: 1 + roll.how % MOST_READY]:
            driver.get_ready(creator)
        if how_far == "month":
            driver.close_month(0, 2.0)
        elif how_far != "ready":
            driver.request(PayoutCall(ready[0], None, str(uuid4())))
        if how_far in ("sent", "returned"):
            driver.send()
        if how_far == "returned":
            sales = [sale for sale in driver.book.sales if ready[0].id in dict(sale.story.shares)]
            driver.return_sale(sales[0], None)
        elif how_far == "refused":
            (payout,) = driver.book.payouts.values()
            driver.send_to_who_may_not_receive(payout)


def open_shop(driver: MonthDriver) -> None:
    """A payment, and sales of everybody's story."""
    start = Start(driver.readers[0], driver.world.packages[1][0], "intent", str(uuid4()))
    driver.buy_credits(start)
    for story in driver.stories:
        driver.buy(start.reader, story, CHAPTERS[:3])
