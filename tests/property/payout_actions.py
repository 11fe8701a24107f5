"""What can happen to creators and their payouts, beside what can happen to payments."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from uuid import uuid4

from tests.property import actions
from tests.property.actions import Happening
from tests.property.dice import Roll
from tests.property.months import MonthDriver
from tests.property.payout_driver import PayoutCall
from tests.property.payout_model import Payout

PayoutAction = Callable[[MonthDriver, Roll], Happening | None]

CENTS = (None, None, None, None, 40, 41, 100, 1)
CORRECTIONS = (5_000_000, 1_239_999, -400_001, -3_000_000, 10_000, -1)
REVERSALS = (None, 1, 40, 100)
MINIMUMS = (40, 1, 100)
REVIEWS = (None, 60, None)
SHARES_OF_ALL = (0.3, 0.5, 2.0, 0.1, 1.0)
MONTHS_BACK = (0, 0, 1, 0, 12, 0, 0, 13)
DOCUMENT = "individual.verification.document"
CHANGES: tuple[tuple[str, dict[str, object]], ...] = (
    ("complete", {}),
    ("complete", {"verifies": [DOCUMENT]}),
    ("require", {"fields": [DOCUMENT], "past_due": True}),
    ("complete", {}),
    ("disable", {}),
    ("pay_out", {}),
    ("complete", {}),
    ("bank_refuses", {}),
)
MOST_CALLS = 8


def at_stripe(action: PayoutAction) -> PayoutAction:
    """The same as in `actions`, for what has to do with creators."""

    @wraps(action)
    def wrapped(driver: MonthDriver, roll: Roll) -> Happening | None:
        happens = action(driver, roll)
        if happens is None:
            return None

        def happens_and_is_told() -> None:
            with driver.telling(roll.is_told):
                happens()

        return happens_and_is_told

    return wrapped


def _payouts(driver: MonthDriver, *statuses: str) -> list[Payout]:
    return [payout for payout in driver.book.payouts.values() if payout.status in statuses]


# Accounts


def connect_account(driver: MonthDriver, roll: Roll) -> Happening | None:
    lacking = [each for each in driver.creators if each.obstacle == "payout_account_required"]
    creators = lacking if lacking and roll.kind % 4 < 3 else driver.creators
    return partial(driver.connect, roll.one_of(creators), roll.mishap)


@at_stripe
def change_account(driver: MonthDriver, roll: Roll) -> Happening | None:
    accounts = driver.account_ids()
    if not accounts:
        return None
    account_id = roll.one_of(accounts)
    known = driver.book.account(account_id)
    is_needed = (known is None or not known.is_ready) and roll.how % 4 < 3
    change, details = roll.kind_of(CHANGES[:1] if is_needed else CHANGES)
    return partial(driver.change_account, account_id, change, **details)


@at_stripe
def lose_account(driver: MonthDriver, roll: Roll) -> Happening | None:
    """Nobody takes away what they have not been shown."""
    accounts = [c.account for c in driver.creators if c.account is not None]
    return partial(driver.lose_account, roll.one_of(accounts).id) if accounts else None


def replace_account(driver: MonthDriver, roll: Roll) -> Happening | None:
    """The creator takes it away, of which we are told, and connects another one."""
    with_account = [creator for creator in driver.creators if creator.account is not None]
    if not with_account:
        return None
    creator = roll.one_of(with_account)

    def happens() -> None:
        assert creator.account is not None
        with driver.telling(True):
            driver.lose_account(creator.account.id)
        driver.get_ready(creator)

    return happens


def read_accounts(driver: MonthDriver, roll: Roll) -> Happening | None:
    if not driver.account_ids():
        return None
    return partial(driver.read_accounts, after_a_week=roll.kind % 3 == 2)


def read_accounts_while_they_change(driver: MonthDriver, roll: Roll) -> Happening | None:
    changes = change_account(driver, roll)
    return None if changes is None else partial(driver.read_while_it_changes, changes)


# Payouts


def request_payout(driver: MonthDriver, roll: Roll) -> Happening | None:
    return partial(driver.request, new_call(driver, roll)) if has_room(driver) else None


def request_the_same_payout(driver: MonthDriver, roll: Roll) -> Happening | None:
    if not driver.calls:
        return None
    call = roll.one_of(driver.calls)
    if call.payout is not None and roll.is_told:
        return partial(driver.request_with_another_amount, call)
    return partial(driver.request, call)


def request_twice_at_once(driver: MonthDriver, roll: Roll) -> Happening | None:
    if not has_room(driver):
        return None
    call = new_call(driver, roll)
    key = call.key if roll.is_told else str(uuid4())
    return partial(driver.request_twice_at_once, call, key)


def has_room(driver: MonthDriver) -> bool:
    return len(driver.calls) < MOST_CALLS


def new_call(driver: MonthDriver, roll: Roll) -> PayoutCall:
    """Mostly of somebody who can be paid, and most often of somebody with enough."""
    able = [creator for creator in driver.creators if creator.obstacle is None]
    if roll.how % 4 < 3:
        able = [creator for creator in able if driver.book.has_enough(creator)] or able
    creator = roll.one_of(able if able and roll.kind % 4 < 3 else driver.creators)
    return PayoutCall(creator, roll.amount_of(CENTS), str(uuid4()))


def cancel_payout(driver: MonthDriver, roll: Roll) -> Happening | None:
    payouts = _payouts(driver, "pending", "held") or list(driver.book.payouts.values())
    if not payouts:
        return None
    payout = roll.one_of(payouts)
    return partial(driver.cancel_payout, payout, driver.readers[0] if roll.kind % 8 == 7 else None)


def cancel_while_it_is_sent(driver: MonthDriver, roll: Roll) -> Happening | None:
    payouts = _payouts(driver, "pending")
    return partial(driver.cancel_while_it_is_sent, roll.one_of(payouts)) if payouts else None


def operate_on_payout(driver: MonthDriver, roll: Roll) -> Happening | None:
    payouts = _payouts(driver, "pending", "held") if roll.is_told else []
    payouts = payouts or list(driver.book.payouts.values())
    if not payouts:
        return None
    operation = roll.kind_of((driver.hold, driver.release, driver.stop, driver.retry))
    return partial(operation, roll.one_of(payouts))


def retry_payout(driver: MonthDriver, roll: Roll) -> Happening | None:
    """As it was, or once the account is in order again."""
    payouts = _payouts(driver, "failed")
    if not payouts:
        return None
    payout = roll.one_of(payouts)
    account = driver.book.creators[payout.creator].account

    def happens() -> None:
        if account is not None and not account.is_gone and roll.is_told:
            with driver.telling(True):
                driver.change_account(account.id, "complete")
            driver.read_accounts()
        driver.retry(payout)

    return happens


def send_payouts(driver: MonthDriver, roll: Roll) -> Happening | None:
    if not _payouts(driver, "pending", "processing"):
        return None
    if roll.how % 8 == 6:
        return driver.send_in_two_workers
    return partial(driver.send, "insufficient_balance" if roll.how % 8 == 4 else roll.mishap)


def send_while_it_is_told(driver: MonthDriver, roll: Roll) -> Happening | None:
    return driver.send_while_it_is_told if _payouts(driver, "pending", "processing") else None


def send_to_who_may_not_receive(driver: MonthDriver, roll: Roll) -> Happening | None:
    """Stripe has stopped the account, of which we hear later."""
    payouts = _payouts(driver, "pending", "processing")
    if not payouts:
        return None
    return partial(driver.send_to_who_may_not_receive, roll.one_of(payouts), roll.mishap)


@at_stripe
def reverse_transfer(driver: MonthDriver, roll: Roll) -> Happening | None:
    transfers = driver.transfer_ids()
    if not transfers:
        return None
    return partial(driver.reverse, roll.one_of(transfers), roll.amount_of(REVERSALS))


@at_stripe
def describe_transfer(driver: MonthDriver, roll: Roll) -> Happening | None:
    transfers = driver.transfer_ids()
    return partial(driver.describe_transfer, roll.one_of(transfers)) if transfers else None


# Sales, months, operators, rules


def buy_credits(driver: MonthDriver, roll: Roll) -> Happening | None:
    """From beginning to end, so that there is more to earn."""
    if len(driver.starts) >= actions.MOST_PAYMENTS:
        return None
    return partial(driver.buy_credits, actions.new_start(driver, roll))


def close_month(driver: MonthDriver, roll: Roll) -> Happening | None:
    back, share = roll.kind_of(MONTHS_BACK), roll.amount_of(SHARES_OF_ALL)
    return partial(driver.close_month, back, share, is_early=roll.how % 4 < 3)


def close_month_at_once(driver: MonthDriver, roll: Roll) -> Happening | None:
    """In two sessions, or beside a request."""
    back, share = roll.kind_of(MONTHS_BACK[:-1]), roll.amount_of(SHARES_OF_ALL)
    if roll.is_told or not has_room(driver):
        return partial(driver.close_month_in_two_sessions, back, share)
    call, is_second = new_call(driver, roll), roll.how % 2 == 0
    return partial(driver.close_month_beside, back, share, call, is_second=is_second)


def correct_earnings(driver: MonthDriver, roll: Roll) -> Happening | None:
    creator, amount = roll.one_of(driver.creators), roll.amount_of(CORRECTIONS)
    return partial(driver.correct, creator, amount, str(uuid4()), times=1 + roll.kind % 2)


def pause_or_review(driver: MonthDriver, roll: Roll) -> Happening | None:
    change = driver.pause if roll.is_told else driver.review
    return partial(change, roll.one_of(driver.creators), roll.kind % 2 == 1)


def change_policy(driver: MonthDriver, roll: Roll) -> Happening | None:
    def happens() -> None:
        policy = driver.book.policy
        policy.minimum_cents = roll.amount_of(MINIMUMS)
        policy.review_cents = roll.kind_of(REVIEWS)
        policy.is_holding = roll.how % 6 == 5
        driver.set_policy()

    return happens


def top_up(driver: MonthDriver, roll: Roll) -> Happening | None:
    return partial(driver.top_up, 1 + roll.amount % 1000)


def fold(driver: MonthDriver, roll: Roll) -> Happening | None:
    return driver.fold


# How often each is chosen among those that are possible.
ACTIONS: Sequence[tuple[int, PayoutAction]] = (
    (8, send_payouts),
    (6, request_payout),
    (2, send_while_it_is_told),
    (2, send_to_who_may_not_receive),
    (5, reverse_transfer),
    (4, close_month),
    (4, change_account),
    (3, operate_on_payout),
    (3, retry_payout),
    (3, actions.deliver),
    (3, actions.buy_chapters),
    (2, request_twice_at_once),
    (3, close_month_at_once),
    (2, correct_earnings),
    (2, change_policy),
    (2, actions.deliver_several_at_once),
    (2, actions.answer_dispute),
    (1, connect_account),
    (1, lose_account),
    (1, replace_account),
    (1, read_accounts),
    (1, read_accounts_while_they_change),
    (1, request_the_same_payout),
    (1, cancel_payout),
    (1, cancel_while_it_is_sent),
    (1, describe_transfer),
    (1, pause_or_review),
    (1, top_up),
    (1, fold),
    (1, buy_credits),
    (1, actions.deliver_copies_at_once),
    (1, actions.deliver_what_cannot_be_handled),
    (1, actions.backfill),
    (1, actions.replay),
    (1, actions.worker_reads_statement),
    (1, actions.refund),
    (1, actions.refund_in_dashboard),
    (1, actions.dispute),
    (1, actions.return_sale),
)
