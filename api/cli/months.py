"""What `payouts run` shows of a month: when the next one is due, who was paid, and who was not."""

from datetime import date
from decimal import Decimal
from typing import Any

import psycopg

from api.cli.show import print_table
from api.money import dollars

CENT = 10_000  # micro-dollars
LONGEST_LIST = 200

LABELS = {
    "pending": "to be sent",
    "processing": "being sent",
    "paid": "sent",
    "held": "held for review",
    "below_minimum": "skipped: below the minimum",
    "not_verified": "skipped: not set up at Stripe",
    "on_hold": "skipped: inside the hold",
    "negative": "skipped: below zero",
    "paused": "skipped: paused by the creator",
    "under_review": "skipped: under review",
}


NEXT_MONTH = """
    select to_char(day.next - interval '1 month', 'YYYY-MM'), to_char(day.next, 'YYYY-MM-DD'), zone
    from (
        select
            zone,
            date_trunc('month', today)::date + (payout_day - 1)
                + case when extract(day from today) < payout_day then interval '0'
                    else interval '1 month' end as next
        from (
            select
                economy.payout_day, economy.business_time_zone as zone,
                (now() at time zone economy.business_time_zone)::date as today
            from app.economy
        ) as clock
    ) as day
"""


def month_to_close(connection: psycopg.Connection[Any], *, early: bool) -> date | None:
    """The month that is due, whosever task it is to close it; or else the one that is running."""
    row = connection.execute(
        "select coalesce(app.month_to_close(), case when %s then app.month_of(now()) end)", (early,)
    ).fetchone()
    return None if row is None else row[0]


def next_month_to_close(connection: psycopg.Connection[Any]) -> str:
    """Which month is due next, and when."""
    row = connection.execute(NEXT_MONTH).fetchone()
    assert row is not None
    month, day, zone = row
    return f"no month is due: {month} is closed from {day} on ({zone})"


def is_closed(connection: psycopg.Connection[Any], month: date) -> bool:
    """Whether the month needs nothing more."""
    row = connection.execute(
        "select from app.monthly_payout_batches where month = date_trunc('month', %s)::date"
        " and state = 'closed'",
        (month,),
    ).fetchone()
    return row is not None


def print_creators(connection: psycopg.Connection[Any], month: date) -> None:
    """Who is paid how much, and who is skipped with what; the largest amounts first."""
    rows = connection.execute(
        f"""
        select handle, cents, outcome, count(*) over ()
        from ({OUTCOMES}) as given
        order by cents desc, handle
        limit %(limit)s
        """.encode(),
        {"month": month, "limit": LONGEST_LIST},
    ).fetchall()
    if not rows:
        return
    print_table(
        ["creator", "amount", "outcome"],
        [
            (handle, _amount(cents), LABELS.get(outcome, outcome))
            for handle, cents, outcome, _ in rows
        ],
    )
    more = rows[0][3] - len(rows)
    if more:
        print(f"and {more:,} more")


def print_summary(connection: psycopg.Connection[Any], month: date, what: str) -> None:
    """How many were paid and skipped, why, and how much that is."""
    rows = connection.execute(
        f"""
        select outcome, count(*), sum(cents)
        from ({OUTCOMES}) as given
        group by is_skipped, outcome
        order by is_skipped, count(*) desc, outcome
        """.encode(),
        {"month": month},
    ).fetchall()
    print(f"{month:%Y-%m}: {what}")
    if not rows:
        print("nobody had anything to be paid")
        return
    print_table(
        ["outcome", "creators", "amount"],
        [
            (LABELS.get(outcome, outcome), f"{count:,}", _amount(cents))
            for outcome, count, cents in rows
        ],
    )


def _amount(cents: Decimal) -> str:
    return dollars(float(cents))


# A skipped creator's amount is the balance that stays.
OUTCOMES = f"""
    select
        profile.handle, payout.amount_cents::numeric as cents, payout.status as outcome,
        false as is_skipped
    from app.monthly_payout_batches as batch
    inner join app.payouts as payout on payout.batch_id = batch.id
    inner join app.profiles as profile on profile.id = payout.creator_id
    where batch.month = date_trunc('month', %(month)s)::date
    union all
    select profile.handle, skip.balance_microdollars / {CENT}.0, skip.reason, true
    from app.monthly_payout_batches as batch
    inner join app.payout_skips as skip on skip.batch_id = batch.id
    inner join app.profiles as profile on profile.id = skip.creator_id
    where batch.month = date_trunc('month', %(month)s)::date
"""
