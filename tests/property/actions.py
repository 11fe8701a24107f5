"""What can happen: each function answers what it would do, or None where it cannot be done now."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from uuid import uuid4

from tests.property.dice import Roll
from tests.property.driver import Driver, RefundCall, Start
from tests.property.world import CHAPTERS

Happening = Callable[[], None]
Action = Callable[[Driver, Roll], Happening | None]

PAYMENT_METHODS = (
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "pm_usBankAccount",
    "pm_card_authenticationRequired",
    "pm_card_createDispute",
    "pm_card_createDisputeInquiry",
    "pm_card_refundFail",
    "pm_card_pendingRefund",
)
METHODS = ("intent", "checkout")
OUTCOMES = ("succeeded", "failed")
EVIDENCE = ("winning_evidence", "losing_evidence", "escalate_inquiry_evidence", "a letter")
CENTS = (None, 499, 333, 400, 166, 1, 999)
CREDITS = (None, 1, 10, 23, 37, 60)
PAYABLE = ("new", "requires_payment_method", "requires_action")
MOST_PAYMENTS = 3


def at_stripe(action: Action) -> Action:
    """Something that happens at Stripe, of which we are told at once, or later, or never."""

    @wraps(action)
    def wrapped(driver: Driver, roll: Roll) -> Happening | None:
        happens = action(driver, roll)
        if happens is None:
            return None

        def happens_and_is_told() -> None:
            with driver.telling(roll.is_told):
                happens()

        return happens_and_is_told

    return wrapped


def new_start(driver: Driver, roll: Roll) -> Start:
    package = roll.amount_of(driver.world.packages)[0]
    method = METHODS[roll.order[0] % len(METHODS)]
    return Start(roll.one_of(driver.readers), package, method, str(uuid4()))


def _starts(driver: Driver, *statuses: str) -> list[Start]:
    """Payments that a browser knows, in these states at Stripe."""
    known = [start for start in driver.starts if start.stripe_id is not None]
    return [start for start in known if start.status in statuses]


# Buying credits


def begin_payment(driver: Driver, roll: Roll) -> Happening | None:
    if len(driver.starts) >= MOST_PAYMENTS:
        return None
    return partial(driver.start, new_start(driver, roll), roll.mishap)


def begin_the_same_payment(driver: Driver, roll: Roll) -> Happening | None:
    """By somebody who does not know what became of the first call, or has not paid yet."""
    unknown = [start for start in driver.starts if start.stripe_id is None]
    repeatable = unknown or [start for start in driver.starts if start.status == "new"]
    if not repeatable:
        return None
    if roll.is_told:
        return partial(driver.send_in_two_places, roll.one_of(repeatable))
    return partial(driver.start, roll.one_of(repeatable), roll.mishap)


@at_stripe
def pay(driver: Driver, roll: Roll) -> Happening | None:
    payable = _starts(driver, *PAYABLE)
    if not payable:
        return None
    return partial(driver.pay, roll.one_of(payable), roll.kind_of(PAYMENT_METHODS))


@at_stripe
def authenticate(driver: Driver, roll: Roll) -> Happening | None:
    asked = _starts(driver, "requires_action")
    if not asked:
        return None
    return partial(driver.authenticate, roll.one_of(asked), roll.kind_of(OUTCOMES))


@at_stripe
def bank_settles(driver: Driver, roll: Roll) -> Happening | None:
    processing = _starts(driver, "processing")
    if not processing:
        return None
    return partial(driver.settle, roll.one_of(processing), roll.kind_of(OUTCOMES))


@at_stripe
def cancel(driver: Driver, roll: Roll) -> Happening | None:
    payable = _starts(driver, *PAYABLE)
    return partial(driver.cancel, roll.one_of(payable)) if payable else None


# Events


def deliver(driver: Driver, roll: Roll) -> Happening | None:
    """Some of the newest events that are not here yet, in any order."""
    return _delivering(driver, roll, at_once=False)


def deliver_several_at_once(driver: Driver, roll: Roll) -> Happening | None:
    return _delivering(driver, roll, at_once=True)


def _delivering(driver: Driver, roll: Roll, *, at_once: bool) -> Happening | None:
    events = _undelivered(driver, roll)

    def happens() -> None:
        driver.inbox.deliver(events, at_once=at_once)
        driver.notice()

    return happens if events else None


def deliver_copies_at_once(driver: Driver, roll: Roll) -> Happening | None:
    events = _undelivered(driver, roll)[:1] * (2 + roll.amount % 2)

    def happens() -> None:
        answers = driver.inbox.deliver(events, at_once=True)
        assert answers.count("duplicate") == len(events) - 1
        driver.notice()

    return happens if events else None


def deliver_what_cannot_be_handled(driver: Driver, roll: Roll) -> Happening | None:
    events = _undelivered(driver, roll)

    def happens() -> None:
        with driver.world.poisoned():
            driver.inbox.deliver(events)
        driver.notice(may_fail=True)

    return happens if events else None


def _undelivered(driver: Driver, roll: Roll) -> list[str]:
    events = driver.inbox.undelivered
    mixed = [events[-1 - number] for number in roll.order if number < len(events)]
    return mixed[: 1 + roll.amount % 8]


def backfill(driver: Driver, roll: Roll) -> Happening | None:
    return driver.backfill if driver.inbox.undelivered else None


def replay(driver: Driver, roll: Roll) -> Happening | None:
    inbox = driver.inbox
    events = inbox.in_state("failed") or inbox.in_state("applied", "parked", "ignored")
    return partial(driver.replay, roll.one_of(events)) if events else None


def replay_parked(driver: Driver, roll: Roll) -> Happening | None:
    return driver.replay_parked if driver.inbox.in_state("parked") else None


def worker_sends(driver: Driver, roll: Roll) -> Happening | None:
    return partial(driver.send, roll.mishap) if driver.starts else None


def worker_reads_statement(driver: Driver, roll: Roll) -> Happening | None:
    return driver.read_statement if _starts(driver, "succeeded") else None


# Money that goes back


def refund(driver: Driver, roll: Roll) -> Happening | None:
    payments = list(driver.book.payments.values())
    if not payments:
        return None
    call = RefundCall(roll.one_of(payments), roll.amount_of(CENTS), str(uuid4()))
    is_short = roll.how % 8 == 0
    return partial(driver.refund, call, "insufficient_balance" if is_short else roll.mishap)


def refund_with_the_same_key(driver: Driver, roll: Roll) -> Happening | None:
    calls = driver.refund_calls
    return partial(driver.refund, roll.one_of(calls), roll.mishap) if calls else None


@at_stripe
def refund_in_dashboard(driver: Driver, roll: Roll) -> Happening | None:
    paid = _starts(driver, "succeeded")
    if not paid:
        return None
    return partial(driver.refund_in_dashboard, roll.one_of(paid), roll.amount_of(CENTS[1:]))


@at_stripe
def bank_settles_refund(driver: Driver, roll: Roll) -> Happening | None:
    refunds = driver.at_stripe("refund")
    if not refunds:
        return None
    return partial(driver.settle_refund, roll.one_of(refunds), roll.kind_of(OUTCOMES))


@at_stripe
def dispute(driver: Driver, roll: Roll) -> Happening | None:
    paid = _starts(driver, "succeeded")
    if not paid:
        return None
    is_inquiry = roll.kind % 3 == 0
    amount = roll.amount_of(CENTS)
    return partial(driver.dispute, roll.one_of(paid), amount, is_inquiry=is_inquiry)


@at_stripe
def answer_dispute(driver: Driver, roll: Roll) -> Happening | None:
    disputes = driver.at_stripe("dispute")
    if not disputes:
        return None
    return partial(driver.answer_dispute, roll.one_of(disputes), roll.kind_of(EVIDENCE))


# Spending


def buy_chapters(driver: Driver, roll: Roll) -> Happening | None:
    readers = [reader for reader in driver.readers if driver.book.wallets[reader]]
    if not readers:
        return None
    chapters = tuple(CHAPTERS[number] for number in roll.order[: 1 + roll.amount % 4])
    return partial(driver.buy, roll.one_of(readers), roll.kind_of(driver.stories), chapters)


def return_sale(driver: Driver, roll: Roll) -> Happening | None:
    sales = driver.book.sales
    return (
        partial(driver.return_sale, roll.one_of(sales), roll.amount_of(CREDITS)) if sales else None
    )


# How often each is chosen among those that are possible.
ACTIONS: Sequence[tuple[int, Action]] = (
    (2, begin_payment),
    (1, begin_the_same_payment),
    (4, pay),
    (3, authenticate),
    (3, bank_settles),
    (1, cancel),
    (3, deliver),
    (2, deliver_several_at_once),
    (2, deliver_copies_at_once),
    (1, deliver_what_cannot_be_handled),
    (1, backfill),
    (1, replay),
    (1, replay_parked),
    (2, worker_sends),
    (1, worker_reads_statement),
    (3, refund),
    (2, refund_with_the_same_key),
    (2, refund_in_dashboard),
    (3, bank_settles_refund),
    (2, dispute),
    (4, answer_dispute),
    (4, buy_chapters),
    (2, return_sale),
)
