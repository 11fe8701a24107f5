"""A clock that steps back: a correction, or a standby with another clock that takes over.

Ids carry the time, so a later movement may have a lower id than an earlier one. Lines of a
statement can then be out of order; money must not be, and `verify` must not cry wolf.
"""

import psycopg

from tests.conftest import NewDatabase
from tests.market import EARNED, PRICE, Market, publish_story, refusals

STEP = "2 seconds"


def run_clock_ahead(market: Market, by: str) -> None:
    """From now on ids are made by a clock that is ahead by so much."""
    market.owner.execute(
        f"alter table ledger.transfers alter column id set default uuidv7(interval '{by}')".encode()
    )


def test_a_sale_is_taken_back_once_whatever_the_clock_says(
    migrated_database: NewDatabase,
) -> None:
    url = migrated_database()
    with psycopg.connect(url, autocommit=True) as owner:
        market = Market(url, owner, publish_story(url))
        run_clock_ahead(market, STEP)
        reader = market.reader(credits=2 * PRICE)
        whole, in_parts = (market.buyer(reader, [chapter])() for chapter in (3, 4))
        run_clock_ahead(market, "0 seconds")

        outcomes = market.at_one_wallet(reader, [market.refunder(reader, whole.purchase_id)] * 2)
        assert refusals(outcomes) == [("PT409", "already_reversed")]
        for _ in range(PRICE):
            market.refunder(reader, in_parts.purchase_id, credits=1)()
        more = market.at_one_wallet(reader, [market.refunder(reader, in_parts.purchase_id)])
        assert refusals(more) == [("PT409", "already_reversed")]

        assert market.balance(reader) == 2 * PRICE
        assert market.earned() == 0
        assert market.buyer(reader, [3])().credits_spent == PRICE  # it was closed again
        assert market.earned() == EARNED
        assert market.violations() == []
