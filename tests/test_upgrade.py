"""What a migration makes of data that is there already."""

import re
from collections.abc import Callable

import psycopg

from api.deploy import PROJECT
from tests.market import open_market

NewDatabase = Callable[[], str]

BACKFILL = re.compile(r"update ledger\.lots as l\n.*?;", re.DOTALL)
ORIGINS = "select id, origin_id from ledger.lots where source = 'refund' order by id"


def test_0006_finds_out_where_returned_credits_came_from(migrated_database: NewDatabase) -> None:
    """LB1: recalls follow credits that came back before there were recalls."""
    text = (PROJECT / "migrations" / "0006.ledger.sql").read_text()
    found = BACKFILL.search(text)
    assert found is not None
    url = migrated_database()
    with open_market(url) as market, psycopg.connect(url, autocommit=True) as owner:
        readers = [market.reader(credits=7) for _ in range(3)]
        with market.connect() as connection:
            for reader in readers:
                # Lots of 7, 3 and 4 credits, so that sales of 5 and 9 draw from two and three.
                owner.execute("select app.grant_credits(%s, 3, 'test', now() + '1 day')", (reader,))
                market.give(reader, 4)
                market.purchase(connection, reader, [3])
                market.purchase(connection, reader, [4])
        sales = owner.execute(
            "select book_id, transaction_id from ledger.transfers where kind = 'spend' order by id"
        ).fetchall()
        for credits in (2, 1, 2):
            for book, transaction in sales:
                owner.execute("select ledger.reverse(%s, %s, %s)", (book, transaction, credits))
        as_written = owner.execute(ORIGINS).fetchall()
        assert len(as_written) > len(sales) * 3 - 1
        assert all(origin is not None for _, origin in as_written)
        owner.execute("update ledger.lots set origin_id = null")
        owner.execute(found[0].encode())
        assert owner.execute(ORIGINS).fetchall() == as_written
        assert owner.execute("select * from ledger.verify()").fetchall() == []
