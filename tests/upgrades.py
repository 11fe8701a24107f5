"""Databases of old versions, as an operator has them before an upgrade.

How they were made is told by `tests/tools/old_databases.py`. They hold the old version's code as
well as its data, so what people saw can be asked of it before the upgrade, and of the new version
afterwards.
"""

import lzma
import re
import subprocess
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from api.deploy import migrate
from tests.catalog import fingerprint_of
from tests.market import acting_as, value
from tests.tools.old_databases import dump_path
from tests.tools.throwaway import Server

Row = dict[str, Any]
Rows = list[Row]
Balances = dict[tuple[UUID, str], int]

# What a person sees of their money, in every version so far.
VIEWS = (
    "credit_transactions",
    "story_purchases",
    "story_entitlements",
    "creator_earnings",
    "creator_clawbacks",
)
SUMMARIES = ("credit_balance", "earnings_summary")

# Of these no version may change a row: columns come, none goes, and what they say stays.
MONEY = (
    "ledger.transfers",
    "ledger.lots",
    "ledger.draws",
    "ledger.requests",
    "ledger.seals",
    "app.story_purchases",
    "app.story_entitlements",
)
# Later versions kept money here too; an older one does not have them.
LATER_MONEY = (
    "ledger.recalls",
    "ledger.recall_lines",
    "ledger.reservations",
    "app.payments",
    "app.refunds",
    "app.disputes",
    "app.payouts",
    "app.monthly_payout_batches",
    "app.cover_jobs",
    "app.story_covers",
    "app.stripe_events",
    "app.stripe_requests",
    "app.stripe_balance_transactions",
)


# What two databases of one version may differ in: the months that there are partitions for,
# brackets in checks (PostgreSQL drops some when it reads a dump), and, after a restore, where the
# positions of movements go on.
_PARTITION = re.compile(r"ledger\.transfers_\d{4}_\d{2}")
_POSITION = re.compile(r'column ledger\.transfers\w*\."?position"?')


def catalog(url: str) -> dict[str, str]:
    """What the database is made of, but for what need not be alike."""
    return {
        name: re.sub("[()]", "", text) if name.startswith("constraint ") else text
        for name, text in fingerprint_of(url).items()
        if not _PARTITION.search(name) and not _POSITION.fullmatch(name)
    }


def differences(one: dict[str, str], other: dict[str, str]) -> dict[str, tuple[object, object]]:
    """What two catalogs do not agree about."""
    return {
        name: (one.get(name), other.get(name))
        for name in one.keys() | other.keys()
        if one.get(name) != other.get(name)
    }


def load_old_database(server: Server, version: int, name: str, database: str) -> str:
    """Put an old version's database into a server that has the project's roles; its URL.

    `version` is the PostgreSQL that the dump is of.

    The cluster goes on as if it had been its own all the time: a dump in a cluster with lower
    transaction numbers is a restore, which is another matter (`tests/test_restore.py`).
    """
    server.create_database(database)
    url = server.url(database)
    done = subprocess.run(
        [server.bin_folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-d", url],
        input=lzma.decompress(dump_path(name, version).read_bytes()),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    with psycopg.connect(url, autocommit=True) as owner:
        last = value(owner, "select max(position) from ledger.transfers")
        use_up_transactions(owner, last + 1)
    return url


def upgraded_database(server: Server, version: int, name: str, database: str) -> str:
    """The same, brought to this version; its URL."""
    url = load_old_database(server, version, name, database)
    migrate(url)
    return url


def use_up_transactions(connection: psycopg.Connection[Any], until: int) -> None:
    """Let the cluster's next transaction have at least this number."""
    connection.execute(
        f"do $$ begin while pg_current_xact_id()::text::bigint < {until} loop "
        "commit; end loop; end $$".encode()
    )


def people(owner: psycopg.Connection[Any]) -> list[UUID]:
    """Everybody who ever had an account."""
    found = owner.execute(
        "select distinct owner_id from ledger.accounts "
        "where owner_id <> '00000000-0000-0000-0000-000000000000' order by 1"
    )
    return [owner_id for (owner_id,) in found]


def what_people_see(owner: psycopg.Connection[Any]) -> dict[str, Rows]:
    """Every person's statements and sums, as the version in the database answers them."""
    seen: dict[str, Rows] = {}
    cursor = owner.cursor(row_factory=dict_row)
    for person in people(owner):
        queries = {view: f"select * from api.{view} order by 1, 2" for view in VIEWS}
        queries |= {name: f"select * from api.{name}()" for name in SUMMARIES}
        for name, query in queries.items():
            with acting_as(owner, person):
                seen[f"{name} of {person}"] = cursor.execute(query.encode()).fetchall()
    return seen


def balances(owner: psycopg.Connection[Any]) -> Balances:
    """Each account as the ledger states it, and not as a fold happens to have left its row."""
    found = owner.execute(
        "select owner_id, kind, ledger.balance(owner_id, kind) from ledger.accounts order by 1, 2"
    )
    return {(owner_id, kind): int(balance) for owner_id, kind, balance in found}


def money_rows(owner: psycopg.Connection[Any]) -> dict[str, Rows]:
    """Every row of the tables that are about money."""
    cursor = owner.cursor(row_factory=dict_row)
    return {
        table: cursor.execute(f"select * from {table} as t order by t::text".encode()).fetchall()
        for table in (*MONEY, *LATER_MONEY)
        if value(owner, "select to_regclass(%s) is not null", table)
    }


def narrowed(rows: dict[str, Rows], like: dict[str, Rows]) -> dict[str, Rows]:
    """Only those queries and columns that `like` has, so that what is new does not count."""
    return {
        name: sorted(({column: row[column] for column in like[name][0]} for row in found), key=repr)
        for name, found in rows.items()
        if like.get(name)
    }
