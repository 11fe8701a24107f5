"""Payouts in the ledger and at Stripe, against the model."""

from collections import Counter
from typing import Any
from uuid import UUID

from tests.market import acting_as
from tests.property.checks import Baseline, check_step, finish
from tests.property.months import MonthDriver
from tests.property.payout_model import MICRODOLLARS_OF_A_CENT, Creator, Payout, standing

NOW = """
    select
        c.id, ledger.balance(c.id, 'earnings') as earnings,
        ledger.balance(c.id, 'payouts') as payouts, ledger.balance(c.id, 'paid') as paid,
        ledger.lifetime_earned(c.id) as lifetime,
        a.stripe_account_id, a.transfers_status, a.payouts_enabled,
        a.deauthorized_at is not null as is_gone
    from unnest(%s::uuid[]) as c (id)
    left join app.payout_accounts as a on a.user_id = c.id
"""
PAYOUTS = """
    select
        p.id, p.status, p.amount_cents, p.stripe_transfer_id, p.reversed_cents,
        (select r.id from app.payouts as r where r.retries_id = p.id) as retried_by
    from app.payouts as p where p.creator_id = any(%s)
"""
STATEMENTS = "select * from app.creator_statements(%s)"
SUMMARY = """
    select balance_microdollars, pending_microdollars, available_microdollars,
        on_the_way_microdollars, paid_microdollars, negative_microdollars
    from api.earnings_summary()
"""
SECTIONS = ("sales", "refunds", "adjustments", "payouts")
GOODBYE = "application"


def check_payout_step(driver: MonthDriver, baseline: Baseline) -> None:
    """Everybody's balances, payouts and accounts are what the model says."""
    check_step(driver, baseline)
    creators = list(driver.book.creators)
    for row in driver.world.rows(NOW, creators):
        _check_creator(driver, driver.book.creators[row.pop("id")], row)
    rows = driver.world.rows(PAYOUTS, creators)
    assert {row["id"]: tuple(row.values())[1:] for row in rows} == {
        payout.id: _payout_row(payout) for payout in driver.book.payouts.values()
    }


def _check_creator(driver: MonthDriver, creator: Creator, row: dict[str, Any]) -> None:
    book = driver.book
    least, most = book.balance_of(creator)
    assert least <= row["earnings"] <= most, (least, most, row)
    assert row["payouts"] == book.on_the_way(creator) * MICRODOLLARS_OF_A_CENT
    assert row["paid"] == book.paid_out(creator) * MICRODOLLARS_OF_A_CENT
    assert row["lifetime"] == row["earnings"] + row["payouts"] + row["paid"]
    account = creator.account
    known: tuple[Any, ...] = (None, None, None, False)
    if account is not None:
        known = (account.id, account.transfers, account.is_paid_out, account.is_gone)
    assert tuple(row.values())[4:] == known, (row, known)


def _payout_row(payout: Payout) -> tuple[Any, ...]:
    return (
        payout.status,
        payout.cents,
        payout.transfer_id,
        payout.cents_back,
        payout.retried_by,
    )


def finish_payouts(driver: MonthDriver, baseline: Baseline) -> None:
    """Let everything arrive, close what was begun, and compare all there is."""
    driver.close_all_months()
    inbox = driver.inbox
    # What nobody could ask Stripe for: whoever ended the connection is not to be seen any more.
    goodbyes = [
        event_id
        for event_id in inbox.undelivered
        if inbox.events[event_id]["data"]["object"]["object"] == GOODBYE
    ]
    if goodbyes:
        inbox.deliver(goodbyes)
        driver.notice()
    owed = sum(map(driver.book.on_the_way, driver.creators))
    driver.top_up(max(owed - driver.world.cents_at_stripe(), 0) + 1)
    finish(driver, baseline)
    driver.read_accounts(after_a_week=True)
    check_payout_step(driver, baseline)
    _check_stripe(driver)
    for creator in driver.creators:
        _check_summary(driver, creator)
        _check_statements(driver, creator)
    driver.leave()


def _check_stripe(driver: MonthDriver) -> None:
    """One transfer for each payout that was paid, and none for any other."""
    transfers = driver.transfers_at_stripe()
    paid = [payout for payout in driver.book.payouts.values() if payout.status == "paid"]
    assert Counter(
        (each["id"], UUID(each["metadata"]["payout_id"]), each["amount"], each["destination"])
        for each in transfers
    ) == Counter((each.transfer_id, each.id, each.cents, each.destination) for each in paid)
    assert {each["id"]: each["amount_reversed"] for each in transfers} == {
        each.transfer_id: each.cents_back for each in paid
    }
    for account in driver.accounts_at_stripe():
        there = [payout for payout in paid if payout.destination == account["id"]]
        received = sum(payout.cents - payout.cents_back for payout in there)
        gone = driver.to_bank[account["id"]]
        assert driver.cents_of_account(account["id"]) == received - gone
        known = driver.book.account(account["id"])
        if known is not None and not known.is_gone:
            assert account["_gone"] is None
            assert (known.transfers, known.is_paid_out) == standing(account)


def _check_summary(driver: MonthDriver, creator: Creator) -> None:
    book, world = driver.book, driver.world
    with acting_as(world.web, creator.id):
        (summary,) = world.web.execute(SUMMARY).fetchall()
    balance, pending, available, on_the_way, paid, negative = summary
    least, most = book.available(creator)
    assert least <= available <= most
    assert (balance, negative) == (pending + available, min(balance, 0))
    assert on_the_way == book.on_the_way(creator) * MICRODOLLARS_OF_A_CENT
    assert paid == book.paid_out(creator) * MICRODOLLARS_OF_A_CENT


def _check_statements(driver: MonthDriver, creator: Creator) -> None:
    """They add up: each by itself, one with the next, and all with what has happened."""
    book = driver.book
    statements = driver.world.rows(STATEMENTS, creator.id)[::-1]
    closing, totals, sales_made = 0, Counter[str](), 0
    for statement in statements:
        assert statement["opening_microdollars"] == closing
        lines: Counter[str] = Counter()
        for line in statement["lines"]:
            lines[line["section"]] += line["microdollars"]
            sales_made += line["movements"] if line["section"] == "sales" else 0
        sections = {name: statement[f"{name}_microdollars"] for name in SECTIONS}
        assert sections == {name: lines[name] for name in SECTIONS}
        closing += sum(sections.values())
        assert statement["closing_microdollars"] == closing
        totals.update(sections)
    earnings = [sale.story.earnings(sale.credits).get(creator.id, 0) for sale in book.sales]
    set_aside = book.on_the_way(creator) + book.paid_out(creator)
    least, most = book.balance_of(creator)
    assert least <= closing <= most
    assert sales_made == sum(1 for amount in earnings if amount)
    assert totals["sales"] == sum(earnings)
    assert totals["adjustments"] == creator.corrected
    assert totals["payouts"] == -set_aside * MICRODOLLARS_OF_A_CENT


def what_happened_to_payouts(driver: MonthDriver) -> Counter[str]:
    """How often there was what, to see that the stories are not all about nothing."""
    book = driver.book
    tally = Counter(f"payouts {payout.status}" for payout in book.payouts.values())
    for payout in book.payouts.values():
        tally["payouts tried again"] += payout.retried_by is not None
        if payout.reversals:
            is_whole = payout.cents_back == payout.cents
            tally[f"transfers taken back {'whole' if is_whole else 'in part'}"] += 1
    for batch in book.batches.values():
        tally["months closed"] += 1
        tally["payouts of a month"] += len(batch.paid)
        tally.update(f"skipped {reason}" for reason in batch.skipped.values())
    accounts = driver.accounts_at_stripe()
    tally["accounts"] += len(accounts)
    owners = Counter(each["metadata"]["user_id"] for each in accounts)
    tally["accounts connected anew"] += sum(number - 1 for number in owners.values())
    tally["negative balances"] += sum(book.balance_of(each)[0] < 0 for each in driver.creators)
    tally["sales"] += len(book.sales)
    return tally
