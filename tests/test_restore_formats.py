"""A database with everything in it, restored by each way that a dump can take.

What is compared is what must not change: the catalog, every row of money, every balance, and what
each person sees. How transaction numbers go on is proved in `tests/test_restore.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from api import deploy, worker
from api.config import DATABASE_NAME
from api.stack.postgres import EmbeddedPostgres
from tests.market import open_market, value
from tests.restores import copy_roles, new_cluster, run, try_to_run
from tests.upgrades import (
    Balances,
    Rows,
    balances,
    catalog,
    differences,
    money_rows,
    upgraded_database,
    what_people_see,
)

DEPLOYER = "deployer"


@dataclass(frozen=True)
class Picture:
    """A database as it must come back."""

    catalog: dict[str, str]  # without the books of deploys: they belong to whoever deploys
    money: dict[str, Rows]
    balances: Balances
    seen: dict[str, Rows]


def picture(url: str) -> Picture:
    with psycopg.connect(url, autocommit=True) as owner:
        assert owner.execute("select * from ledger.verify()").fetchall() == []
        return Picture(
            {name: text for name, text in catalog(url).items() if "yoyo" not in name},
            money_rows(owner),
            balances(owner),
            what_people_see(owner),
        )


@pytest.fixture(scope="module")
def source(postgres_server: EmbeddedPostgres, migrated_template: str) -> str:
    """Payments, payouts, covers: the name of a database that was upgraded to this version."""
    name = "restore_source"
    upgraded_database(postgres_server, 18, "covers", name)
    return name


@pytest.fixture(scope="module")
def before(postgres_server: EmbeddedPostgres, source: str) -> Picture:
    return picture(postgres_server.url(source))


@pytest.fixture
def target() -> Iterator[EmbeddedPostgres]:
    with new_cluster() as server:
        yield server


def restored(server: EmbeddedPostgres, user: str, before: Picture) -> None:
    """After the deploy that every restore ends with, it is the same database, and goes on."""
    url = server.url(user=user)
    deploy.migrate(url)
    now = picture(server.url())
    assert differences(now.catalog, before.catalog) == {}
    assert now == before
    worker.run(url, once=True, report=lambda line: None)
    with open_market(server.url()) as market:
        market.buyer(market.reader(credits=5), [3])()
        market.fold()
        assert market.seal() == market.movements()


def test_a_plain_dump_brings_everything_back(
    postgres_server: EmbeddedPostgres, source: str, before: Picture, target: EmbeddedPostgres
) -> None:
    copy_roles(postgres_server, target)
    target.create_database(DATABASE_NAME)
    dump = run(postgres_server, "pg_dump", postgres_server.url(source))
    # In one transaction, or not at all.
    options = ("--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--single-transaction")
    run(target, "psql", *options, "--dbname", target.url(), given=dump)
    restored(target, "postgres", before)


def test_a_deploy_heals_what_was_restored_without_owners_and_privileges(
    postgres_server: EmbeddedPostgres, source: str, before: Picture, target: EmbeddedPostgres
) -> None:
    """As managed services have it: no file of roles, and a login that is no superuser."""
    with psycopg.connect(target.url("postgres"), autocommit=True) as superuser:
        superuser.execute(f"create role {DEPLOYER} login createrole createdb")
    with psycopg.connect(target.url("postgres", DEPLOYER), autocommit=True) as login:
        login.execute("create database roles")
        deploy.migrate(target.url("roles", DEPLOYER))  # this makes the roles
        login.execute("drop database roles")
        login.execute(f"create database {DATABASE_NAME}")
    with psycopg.connect(target.url(), autocommit=True) as superuser:
        superuser.execute("create schema extensions")
        superuser.execute("create extension vector schema extensions")
        superuser.execute("grant usage on schema extensions to deployer with grant option")
    url = target.url(user=DEPLOYER)
    dump = run(postgres_server, "pg_dump", "--format", "custom", postgres_server.url(source))
    options = ("--no-owner", "--no-privileges", "--dbname", url)
    _, _, told = try_to_run(target, "pg_restore", *options, given=dump)
    refused = [line for line in told.splitlines() if "ERROR" in line]
    assert all("extension" in line for line in refused), told
    with psycopg.connect(url, autocommit=True) as owner:
        # The trap: whoever may use the schemas may now do what only operators could.
        assert value(owner, ANYBODY_MAY_GRANT)
        restored(target, DEPLOYER, before)
        assert not value(owner, ANYBODY_MAY_GRANT)


ANYBODY_MAY_GRANT = """
    select has_function_privilege(
        'anon', 'app.grant_credits(uuid, bigint, text, timestamptz, text)', 'execute')
"""


def test_a_restore_without_roles_is_told_in_one_line(target: EmbeddedPostgres) -> None:
    target.create_database(DATABASE_NAME)
    with psycopg.connect(target.url(), autocommit=True) as superuser:
        superuser.execute("create schema ledger")
        superuser.execute("create table ledger.transfers ()")
    with pytest.raises(deploy.DeployError, match="restored without its roles"):
        deploy.migrate(target.url())
