"""What an upgrade makes of data that is there already.

The databases of old versions are dumps; `tests/tools/old_databases.py` says how they were made.
The SQL suite runs on one of them too: `python -m tests.tools.pgtap --postgres 16 --upgraded`.
"""

import re
from collections.abc import Callable, Iterator

import psycopg
import pytest

from api import worker
from api.deploy import PROJECT, migrate
from api.stack.postgres import EmbeddedPostgres
from tests.market import PRICE, open_market, value
from tests.tools.old_history import AUTHORS, PRIVATE_CLAIMS, READERS
from tests.upgrades import (
    balances,
    catalog,
    differences,
    load_old_database,
    money_rows,
    narrowed,
    upgraded_database,
    what_people_see,
)

NewDatabase = Callable[[], str]

BACKFILL = re.compile(r"update ledger\.lots as l\n.*?;", re.DOTALL)
ORIGINS = "select id, origin_id from ledger.lots where source = 'refund' order by id"
# In 16 ids are made by a function of ours, and "not null" is no constraint with a name.
OF_16 = re.compile(r"^column [a-z_.]+\.id$|^constraint .*_not_null")
LAPSED = 9  # credits that lapsed in the first version, and that nobody had swept


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


@pytest.fixture(scope="module")
def head(postgres_server: EmbeddedPostgres, migrated_template: str) -> dict[str, str]:
    """What a fresh database of this version is made of; its roles are in the server, too."""
    return catalog(postgres_server.url(migrated_template))


@pytest.fixture
def name(database_names: Iterator[str]) -> str:
    return next(database_names)


@pytest.mark.parametrize("version", ["first", "covers"])
def test_an_old_database_becomes_this_one(
    postgres_server: EmbeddedPostgres, head: dict[str, str], name: str, version: str
) -> None:
    """To the credit and the micro-dollar what it was, and made of what a fresh one is made of."""
    url = load_old_database(postgres_server, 18, version, name)
    with psycopg.connect(url, autocommit=True) as owner:
        assert owner.execute("select * from ledger.verify()").fetchall() == []
        money, seen, held = money_rows(owner), what_people_see(owner), balances(owner)
    assert len(money["ledger.transfers"]) > 70

    assert migrate(url).migrations
    assert differences(catalog(url), head) == {}
    with psycopg.connect(url, autocommit=True) as owner:
        assert owner.execute("select * from ledger.verify()").fetchall() == []
        assert narrowed(money_rows(owner), like=money) == narrowed(money, like=money)
        now_seen = narrowed(what_people_see(owner), like=seen)
        assert now_seen == narrowed(seen, like=seen)
        assert balances(owner).items() >= held.items()

    worker.run(url, once=True, report=lambda line: None)
    with open_market(url) as market:
        market.buyer(market.reader(credits=PRICE), [3])()
        market.fold()
        assert market.seal() == market.movements()
    assert migrate(url).migrations == ()


def test_what_the_first_version_left_undone_is_done(
    postgres_server: EmbeddedPostgres, head: dict[str, str], name: str
) -> None:
    url = upgraded_database(postgres_server, 18, "first", name)
    with psycopg.connect(url, autocommit=True) as owner:
        # Credits came back before it was written down which lots they had been drawn from.
        returned = owner.execute(ORIGINS).fetchall()
        assert returned and all(origin is not None for _, origin in returned)
        # What tokens said of operators is not kept any more.
        audited = "select count(*), count(*) filter (where claims ?| %s) from app.audit_log"
        entries, private = owner.execute(audited, (["email", "phone"],)).fetchall()[0]
        assert "email" in PRIVATE_CLAIMS
        assert (entries > len(READERS), private) == (True, 0)
        # Creators have their months, from the first sale on.
        for author in AUTHORS:
            by_month = "select sum(microdollars)::bigint from ledger.earning_months(%s)"
            earned = value(owner, "select ledger.balance(%s, 'earnings')", author)
            assert value(owner, by_month, author) == earned > 0

        wallet = "select ledger.balance(%s, 'wallet')"
        before = value(owner, wallet, READERS[7])
        worker.run(url, once=True, report=lambda line: None)
        assert value(owner, wallet, READERS[7]) == before - LAPSED
        assert owner.execute("select * from ledger.verify()").fetchall() == []


def test_a_dump_of_an_older_server_can_be_upgraded_on_a_newer_one(
    postgres_server: EmbeddedPostgres, head: dict[str, str], name: str
) -> None:
    """From 16 to 18 at once. How ids are made stays as 16 had it: their order is the same."""
    url = upgraded_database(postgres_server, 16, "first", name)
    others = {each for each in differences(catalog(url), head) if not OF_16.search(each)}
    assert others == {"function app.new_id()"}
    with open_market(url) as market:
        market.buyer(market.reader(credits=PRICE), [3])()
        market.fold()
        assert market.seal() == market.movements()
