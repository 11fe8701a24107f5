"""Going back a migration where people have used what it brought.

A rollback may take away what no money is behind. Where money is, it refuses in a sentence and
leaves everything as it is: `docs/operations/upgrade.md`.
"""

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from api.deploy import DeployError, migrate, rollback
from api.stack.postgres import EmbeddedPostgres
from tests.catalog import fingerprint_of
from tests.downloads import subscribe
from tests.market import Connection, acting_as, publish_story, value
from tests.upgrades import balances, money_rows, upgraded_database

NewDatabase = Callable[[], str]
CREDITS = 1000


def somebody(owner: Connection, credits: int = 0) -> UUID:
    person = uuid4()
    owner.execute("select app.ensure_profile(%s)", (person,))
    if credits:
        owner.execute("select app.grant_credits(%s, %s, 'for a test')", (person, credits))
    return person


def pay_for_a_period(owner: Connection, url: str) -> None:
    reader = somebody(owner)
    subscribe(owner, reader, "premium")
    owner.execute(
        "insert into app.invoice_allowances"
        " (stripe_invoice_id, subscription_id, user_id, credits, granted)"
        " select 'in_test', id, user_id, 0, 0 from app.subscriptions where user_id = %s",
        (reader,),
    )


def ask_for_a_download(owner: Connection, url: str) -> None:
    story = publish_story(url)
    reader = somebody(owner, CREDITS)
    subscribe(owner, reader, "premium")
    with acting_as(owner, reader):
        owner.execute("select api.request_export(%s, 'epub')", (story.id,))


def ask_for_a_text(owner: Connection, url: str) -> None:
    story = publish_story(url)
    owner.execute("select app.grant_credits(%s, %s, 'for a test')", (story.creator, CREDITS))
    wanted = '{"genre": "fantasy", "model": "writer-1", "prompt": "A lamp goes out."}'
    with acting_as(owner, story.creator):
        owner.execute("select api.request_generation(%s, %s)", (story.id, wanted))


def be_forgotten(owner: Connection, url: str) -> None:
    with acting_as(owner, somebody(owner)):
        owner.execute("select api.erase_me()")


@pytest.mark.parametrize(
    ("use", "keeps", "says"),
    [
        (pay_for_a_period, "0014.reading", "There are payments of subscriptions"),
        (ask_for_a_download, "0015.subscriptions", "There are downloads that were paid for"),
        (ask_for_a_text, "0016.downloads", "There are generations that were paid for"),
        (be_forgotten, "0017.cache", "People were erased"),
    ],
)
def test_what_was_paid_for_is_not_taken_away(
    migrated_database: NewDatabase, use: Callable[[Connection, str], None], keeps: str, says: str
) -> None:
    """The rollback stops at the migration that was used; the next deploy brings the rest back."""
    url = migrated_database()
    before = fingerprint_of(url)
    with psycopg.connect(url, autocommit=True) as owner:
        use(owner, url)
        money = money_rows(owner)
        with pytest.raises(DeployError, match=f"{says}: go back to a backup instead"):
            rollback(url, keeps)
        assert money_rows(owner) == money
        migrate(url)
        assert fingerprint_of(url) == before
        assert money_rows(owner) == money
        assert owner.execute("select * from ledger.verify()").fetchall() == []


@pytest.fixture
def busy_database(
    postgres_server: EmbeddedPostgres, migrated_template: str, database_names: Iterator[str]
) -> str:
    """Payments, payouts and covers, of before there was a library."""
    return upgraded_database(postgres_server, 18, "covers", next(database_names))


def test_what_nobody_has_used_goes_and_no_money_with_it(busy_database: str) -> None:
    """Everything since covers is undone on a database full of payments, and comes back."""
    url = busy_database
    before = fingerprint_of(url)
    with psycopg.connect(url, autocommit=True) as owner:
        money, held = money_rows(owner), balances(owner)
        # Reading has no money behind it, and is lost.
        reader, story = somebody(owner), publish_story(url)
        with acting_as(owner, reader):
            owner.execute("select api.save_progress(%s, 1, 50)", (story.id,))
        undone = rollback(url, "0013.covers")
        assert undone[-1] == "0014.reading"
        assert balances(owner) == held
        # The columns that payments had got are gone, their rows are not.
        assert len(money_rows(owner)["app.payments"]) == len(money["app.payments"]) > 0
        migrate(url)
        assert fingerprint_of(url) == before
        assert money_rows(owner) == money
        assert owner.execute("select * from ledger.verify()").fetchall() == []
        assert value(owner, "select count(*) from app.reading_progress") == 0


def test_covers_and_what_is_below_them_stay(busy_database: str) -> None:
    url = busy_database
    with psycopg.connect(url, autocommit=True) as owner:
        held = balances(owner)
        with pytest.raises(DeployError, match="go back to a backup instead"):
            rollback(url, "zero")
        assert balances(owner) == held
        migrate(url)
        assert owner.execute("select * from ledger.verify()").fetchall() == []
