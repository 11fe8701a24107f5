"""Money in and out in random interleavings, against a model and against Stripe's own balance.

`make torture` runs many more of them. INTERLEAVINGS says how many, SEED repeats a run.
"""

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from random import SystemRandom
from time import monotonic
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.checks import Baseline, check_step, finish
from tests.property.driver import Driver, RefundCall, Start
from tests.property.machine import Payments
from tests.property.model import Payment
from tests.property.world import CHAPTERS, World, open_world

NewDatabase = Callable[[], str]

USUAL = 500
STEPS = 18
# The ledger proves itself by reading everything, so a new one is cheaper than an old one.
INTERLEAVINGS_IN_ONE_WORLD = 40
HOW = settings(
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)
# Stories in which none of this happens would prove nothing.
HAPPENS = {
    "disputes closed",
    "disputes lost",
    "disputes open",
    "disputes won",
    "payments canceled",
    "payments pending",
    "payments succeeded",
    "recalls final",
    "recalls from sales",
    "recalls frozen",
    "recalls released",
    "recalls returned",
    "refunds failed",
    "refunds pending",
    "refunds succeeded",
    "sales closed again",
}


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

    wanted = int(os.environ.get("INTERLEAVINGS", USUAL))
    seed_of_run = int(os.environ.get("SEED") or SystemRandom().randrange(10**9))
    with capsys.disabled():
        print(f"\n{wanted} interleavings of payments with SEED={seed_of_run}", flush=True)
    began = monotonic()
    for number in count(seed_of_run):
        left = wanted - worlds.interleavings
        if left <= 0:
            break
        seed(number)(Machine)
        run_state_machine_as_test(Machine, settings=settings(HOW, max_examples=left * 3 // 4 + 1))
    with capsys.disabled():
        print(f"{worlds.interleavings} interleavings, {worlds.steps} steps, ", end="")
        print(f"{monotonic() - began:.0f} s")
        print(", ".join(f"{times} {what}" for what, times in sorted(worlds.happened.items())))
    if wanted >= USUAL:
        assert {what for what in HAPPENS if not worlds.happened[what]} == set()


# Stories that came out wrong once, each as short as it could be made.


class Story:
    """A driver whose every step is checked."""

    def __init__(self, world: World) -> None:
        self.driver = Driver(world)
        self.baseline = Baseline(world)
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
