"""Money in and out in random interleavings, against a model and against Stripe's own balance.

`make interleavings` runs many more of them. INTERLEAVINGS says how many, SEED repeats a run.
"""

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import SystemRandom
from time import monotonic
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.checks import Baseline, check_step, finish
from tests.property.credits import Payment
from tests.property.driver import Driver, RefundCall, Start
from tests.property.machine import Interleaving, Payments, Payouts, open_shop
from tests.property.months import MonthDriver
from tests.property.payout_checks import check_payout_step, finish_payouts
from tests.property.payout_driver import PayoutCall
from tests.property.world import CHAPTERS, World, open_world

NewDatabase = Callable[[], str]


@dataclass(frozen=True)
class Part:
    """Some of the interleavings. A part in which something never happens would prove little.

    What is rare may stay away by chance: then more are played, up to `MOST` times as many.
    """

    name: str
    usual: int
    steps: int
    happens: frozenset[str]


OF_PAYMENTS = Part(
    "payments",
    usual=350,
    steps=18,
    happens=frozenset(
        {
            *(f"covers {state}" for state in ("pending", "completed", "failed", "canceled")),
            "covers given back late",
            "covers tried again",
            "disputes closed",
            "disputes lost",
            "disputes open",
            "disputes won",
            "payments canceled",
            "payments pending",
            "payments succeeded",
            "recalls final",
            "recalls from covers",
            "recalls from sales",
            "recalls frozen",
            "recalls released",
            "recalls returned",
            "refunds failed",
            "refunds pending",
            "refunds succeeded",
            "sales closed again",
        }
    ),
)
OF_PAYOUTS = Part(
    "payouts",
    usual=150,
    steps=24,
    happens=frozenset(
        {
            "accounts connected anew",
            "months closed",
            "negative balances",
            "payouts canceled",
            "payouts failed",
            "payouts held",
            "payouts of a month",
            "payouts paid",
            "payouts tried again",
            "skipped below_minimum",
            "skipped negative",
            "skipped not_verified",
            "skipped on_hold",
            "transfers taken back in part",
            "transfers taken back whole",
        }
    ),
)
USUAL = OF_PAYMENTS.usual + OF_PAYOUTS.usual
MOST = 4
# The ledger proves itself by reading everything, so a new one is cheaper than an old one.
INTERLEAVINGS_IN_ONE_WORLD = 40
HOW = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)


class Worlds:
    """A world for each so many interleavings, and what happened in all of them."""

    def __init__(self, new_database: NewDatabase, folder: Path) -> None:
        self._new_database = new_database
        self._folder = folder
        self._open = ExitStack()
        self._world: World | None = None
        self.interleavings = 0
        self.steps = 0
        self.happened: Counter[str] = Counter()

    def current(self) -> World:
        """The world for one more interleaving; never one in which something was wrong."""
        is_old = self.interleavings % INTERLEAVINGS_IN_ONE_WORLD == 0
        if self._world is None or is_old or not self._world.is_sound:
            self.close()
            folder = self._folder / str(self.interleavings)
            self._world = self._open.enter_context(open_world(self._new_database(), folder))
        self.interleavings += 1
        return self._world

    def count_step(self) -> None:
        self.steps += 1

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def silence() -> Iterator[None]:
    """What goes wrong on purpose fills no log."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def worlds(migrated_database: NewDatabase, silence: None) -> Iterator[Worlds]:
    with tempfile.TemporaryDirectory(prefix="infinite-pages-property-") as folder:
        made = Worlds(migrated_database, Path(folder))
        yield made
        made.close()


def test_the_ledger_agrees_with_the_model_and_with_stripe(
    worlds: Worlds, capsys: pytest.CaptureFixture[str]
) -> None:
    """IP3, IP15: whatever happens in whatever order, every cent and credit is where it belongs."""

    class Machine(Payments):
        current_world = worlds.current
        count_step = staticmethod(worlds.count_step)
        tally = staticmethod(worlds.happened.update)

    with capsys.disabled():
        play(Machine, worlds, OF_PAYMENTS)


def test_every_creator_is_paid_what_they_earned_and_once(
    worlds: Worlds, capsys: pytest.CaptureFixture[str]
) -> None:
    """IP6, IP7: the same for what goes out: payouts, months, transfers and what comes back."""

    class Machine(Payouts):
        current_world = worlds.current
        count_step = staticmethod(worlds.count_step)
        tally = staticmethod(worlds.happened.update)

    with capsys.disabled():
        play(Machine, worlds, OF_PAYOUTS)


def play(machine: type[Interleaving], worlds: Worlds, part: Part) -> None:
    """Play a part of the interleavings, and say how it went."""
    wanted_in_all = int(os.environ.get("INTERLEAVINGS", USUAL))
    wanted = max(1, wanted_in_all * part.usual // USUAL)
    seed_of_run = int(os.environ.get("SEED") or SystemRandom().randrange(10**9))
    print(f"\n{wanted} interleavings of {part.name} with SEED={seed_of_run}", flush=True)
    began = monotonic()
    never = part.happens if wanted >= part.usual else frozenset[str]()
    for number in count(seed_of_run):
        never = frozenset(what for what in never if not worlds.happened[what])
        left = wanted - worlds.interleavings
        if left <= 0:
            if not never or worlds.interleavings >= MOST * wanted:
                break
            left = part.usual // 10
        seed(number)(machine)
        how = settings(HOW, max_examples=left * 3 // 4 + 1, stateful_step_count=part.steps)
        try:
            run_state_machine_as_test(machine, settings=how)
        except BaseException as error:
            # What is printed is lost where tests run side by side.
            error.add_note(f"INTERLEAVINGS={wanted_in_all} SEED={seed_of_run}")
            raise
    print(f"{worlds.interleavings} interleavings, {worlds.steps} steps, ", end="")
    print(f"{monotonic() - began:.0f} s")
    print(", ".join(f"{times} {what}" for what, times in sorted(worlds.happened.items())))
    assert never == frozenset()


# Stories that came out wrong once, each as short as it could be made.


class Story:
    """A driver whose every step is checked."""

    def __init__(self, world: World) -> None:
        self.driver = Driver(world)
        self.baseline = Baseline(world, world.stories)
        self.payment = self._pay()

    def _pay(self, payment_method: str = "pm_card_visa") -> Start:
        package = self.driver.world.packages[0][0]
        start = Start(self.driver.readers[0], package, "intent", str(uuid4()))
        self.driver.start(start)
        self.driver.pay(start, payment_method)
        self.driver.backfill()
        self.check()
        return start

    @property
    def booked(self) -> Payment:
        """The payment in the books."""
        (payment,) = self.driver.book.payments.values()
        return payment

    def refund(self, cents: int | None, mishap: str | None = None) -> None:
        """An operator's refund."""
        self.driver.refund(RefundCall(self.booked, cents, str(uuid4())), mishap)
        self.check()

    def buy_all(self) -> None:
        """Spend most of the credits."""
        self.driver.buy(self.payment.reader, self.driver.world.stories[0], CHAPTERS[:4])
        self.check()

    def check(self) -> None:
        check_step(self.driver, self.baseline)

    def end(self) -> None:
        finish(self.driver, self.baseline)


@pytest.fixture
def story(worlds: Worlds) -> Story:
    return Story(worlds.current())


@pytest.mark.parametrize("is_spent", [False, True])
def test_a_dispute_takes_what_a_refused_refund_gives_back(story: Story, is_spent: bool) -> None:
    """LB1: the refund had frozen the credits first, and Stripe refused it for the dispute."""
    driver = story.driver
    if is_spent:
        story.buy_all()
    story.refund(None, mishap="crash_before")
    driver.dispute(story.payment, None, is_inquiry=False)
    driver.backfill()
    story.check()
    driver.send()
    story.check()
    refund, dispute = story.booked.takebacks
    assert (refund.status, dispute.status, dispute.credits) == ("failed", "open", 110)
    story.end()


@pytest.mark.parametrize("mishap", ["crash_before", "crash_after"])
def test_two_refunds_of_the_same_money(story: Story, mishap: str) -> None:
    """LB1: one in the dashboard for more than an operator's had left, and one of them fails."""
    driver = story.driver
    story.buy_all()
    story.refund(300, mishap=mishap)
    driver.refund_in_dashboard(story.payment, 300)
    driver.backfill()
    story.check()
    driver.send()
    story.check()
    for refund_id in driver.at_stripe("refund"):
        driver.settle_refund(refund_id, "failed")
        driver.backfill()
        story.check()
    story.end()


@pytest.mark.parametrize("by_operator", [False, True])
def test_a_refund_that_failed_before_anything_was_heard_of_it(
    story: Story, by_operator: bool
) -> None:
    """IP15: the news come backwards; the money went out and came back all the same."""
    driver = story.driver
    if by_operator:
        story.refund(100, mishap="crash_after")
    else:
        driver.refund_in_dashboard(story.payment, 100)
    (refund_id,) = driver.at_stripe("refund")
    driver.settle_refund(refund_id, "failed")
    for event_id in reversed(driver.inbox.undelivered):
        driver.inbox.deliver([event_id])
        driver.notice()
        story.check()
    story.end()


# Stories of payouts that the dice hardly ever tell.


class PayoutStory:
    """A creator who asks to be paid everything, and every step is checked."""

    def __init__(self, world: World) -> None:
        self.driver = MonthDriver(world)
        self.baseline = Baseline(world, ())
        open_shop(self.driver)
        self.creator = self.driver.creators[0]
        self.driver.get_ready(self.creator)
        self.driver.request(PayoutCall(self.creator, None, str(uuid4())))
        (self.payout,) = self.driver.book.payouts.values()
        self.check()

    def check(self) -> None:
        check_payout_step(self.driver, self.baseline)

    def end(self) -> None:
        finish_payouts(self.driver, self.baseline)


@pytest.fixture
def payout_story(worlds: Worlds) -> PayoutStory:
    return PayoutStory(worlds.current())


@pytest.mark.parametrize("change", ["disable", "deauthorize"])
def test_an_answer_is_lost_and_then_the_account(payout_story: PayoutStory, change: str) -> None:
    """DG8: Stripe would refuse the transfer now, and has made it."""
    driver = payout_story.driver
    driver.send("lost_reply")
    payout_story.check()
    assert payout_story.payout.status == "processing"
    driver.change_account(payout_story.payout.destination, change)
    driver.send()
    payout_story.check()
    assert payout_story.payout.status == "paid"
    payout_story.end()


def test_a_transfer_is_taken_back_before_it_is_known(payout_story: PayoutStory) -> None:
    """DG8: the first that is heard of it is that it was reversed, in part."""
    driver, payout = payout_story.driver, payout_story.payout
    driver.send("crash_after")
    (transfer_id,) = driver.transfer_ids()
    driver.reverse(transfer_id, 5)
    driver.inbox.deliver(driver.inbox.undelivered[-1:])
    driver.notice()
    payout_story.check()
    assert (payout.status, payout.cents_back) == ("paid", 5)
    payout_story.end()


def test_more_reversals_than_stripe_shows(payout_story: PayoutStory) -> None:
    """DG8: the newest event does not tell of the first reversal; it comes right after that one."""
    driver, payout = payout_story.driver, payout_story.payout
    driver.send()
    for _ in range(11):
        driver.reverse(str(payout.transfer_id), 1)
    newest = driver.inbox.undelivered[-1]
    driver.inbox.deliver([newest])
    driver.notice()
    payout_story.check()
    assert (driver.inbox.in_state("failed"), payout.cents_back) == ([newest], 0)
    driver.backfill()
    assert payout.cents_back == 10
    payout_story.end()
    assert payout.cents_back == 11


def test_a_refused_payout_is_tried_again_and_again(payout_story: PayoutStory) -> None:
    """IP7: its money is there again each time, and leaves once, whoever asks how often."""
    driver, payout = payout_story.driver, payout_story.payout
    for _ in range(2):
        driver.send_to_who_may_not_receive(list(driver.book.payouts.values())[-1])
        payout_story.check()
        assert driver.book.on_the_way(payout_story.creator) == 0
        with driver.telling(True):
            driver.change_account(payout.destination, "complete")
        driver.read_accounts()
        for _ in range(2):
            driver.retry(payout)
            payout_story.check()
    driver.send()
    statuses = [each.status for each in driver.book.payouts.values()]
    assert statuses == ["failed", "failed", "paid"]
    payout_story.end()
