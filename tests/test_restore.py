"""A dump restored into another cluster, whose transaction numbers start lower.

Folds and seals count by transaction number, so this is where they could go wrong unseen.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from api import deploy
from api.config import DATABASE_NAME
from api.stack.postgres import EmbeddedPostgres
from tests.market import EARNED, PRICE, Market, open_market, publish_story, value

HEAD_START = 30_000  # transaction numbers that the old cluster is ahead of a new one


@contextmanager
def new_cluster() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="infinite-pages-restore-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def old_cluster() -> Iterator[EmbeddedPostgres]:
    with new_cluster() as server:
        use_up_transactions(server, HEAD_START)
        server.create_database(DATABASE_NAME)
        deploy.migrate(server.url())
        yield server


def use_up_transactions(server: EmbeddedPostgres, number: int) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            f"do $$ begin for i in 1..{number} loop "
            "perform pg_current_xact_id(); commit; end loop; end $$".encode()
        )


def next_transaction(server: EmbeddedPostgres) -> int:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        return int(value(connection, "select pg_current_xact_id()::text::bigint"))


def copy(source: EmbeddedPostgres, target: EmbeddedPostgres) -> None:
    """Dump and restore as an administrator does: the roles first, then the database."""
    roles = run(source, "pg_dumpall", "--roles-only", "--dbname", source.url("postgres"))
    # The new cluster has its first superuser already.
    roles = roles.replace(b"CREATE ROLE postgres;\n", b"")
    run(target, "psql", "--set", "ON_ERROR_STOP=1", "--dbname", target.url("postgres"), given=roles)
    dump = run(source, "pg_dump", "--format", "custom", "--dbname", source.url())
    target.create_database(DATABASE_NAME)
    run(target, "pg_restore", "--exit-on-error", "--dbname", target.url(), given=dump)


def run(server: EmbeddedPostgres, program: str, *options: str, given: bytes = b"") -> bytes:
    command = [str(server.bin_folder / program), *options]
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def sell(market: Market, number: int) -> None:
    for _ in range(number):
        market.buyer(market.reader(credits=PRICE), [3])()


def test_sales_go_on_in_a_cluster_with_lower_numbers(old_cluster: EmbeddedPostgres) -> None:
    story = publish_story(old_cluster.url())
    with open_market(old_cluster.url(), story) as market, new_cluster() as server:
        sell(market, 4)
        market.fold()
        market.seal()
        sell(market, 3)  # neither folded nor sealed when the dump is made
        copy(old_cluster, server)
        assert next_transaction(server) < HEAD_START
        with open_market(server.url(), story) as restored:
            assert [check for check, _, _ in restored.violations()] == ["restored"]
            assert restored.earned() == 7 * EARNED
            deploy.migrate(server.url())
            assert restored.violations() == []
            assert restored.earned() == 7 * EARNED
            sell(restored, 2)
            assert restored.earned() == 9 * EARNED
            restored.fold()
            assert restored.earned() == 9 * EARNED
            assert restored.seal() == restored.movements()
            sell(restored, 1)
            assert restored.earned() == 10 * EARNED


def test_a_second_restore_goes_on_as_well(old_cluster: EmbeddedPostgres) -> None:
    story = publish_story(old_cluster.url())
    with new_cluster() as second, new_cluster() as third:
        with open_market(old_cluster.url(), story) as market:
            sell(market, 2)
            market.fold()
            market.seal()
        copy(old_cluster, second)
        deploy.migrate(second.url())
        with open_market(second.url(), story) as restored:
            sell(restored, 2)
            use_up_transactions(second, 100)
            sell(restored, 1)
            restored.fold()
            assert restored.seal() == restored.movements()
        copy(second, third)
        deploy.migrate(third.url())
        with open_market(third.url(), story) as restored:
            sell(restored, 2)
            restored.fold()
            assert restored.earned() == 7 * EARNED
            assert restored.seal() == restored.movements()


def test_a_cluster_between_the_last_fold_and_the_last_seal(old_cluster: EmbeddedPostgres) -> None:
    story = publish_story(old_cluster.url())
    with open_market(old_cluster.url(), story) as market, new_cluster() as server:
        sell(market, 2)
        market.fold()
        folded = market.folded_position()
        use_up_transactions(old_cluster, 20_000)
        sell(market, 2)
        sealed = market.seal()
        assert sealed == market.movements()
        copy(old_cluster, server)
        use_up_transactions(server, folded + 1_000 - next_transaction(server))
        deploy.migrate(server.url())
        with open_market(server.url(), story) as restored:
            sell(restored, 2)
            restored.fold()
            assert restored.earned() == 6 * EARNED
            assert restored.seal() == restored.movements()


def test_sales_before_the_restore_was_noticed_are_counted(old_cluster: EmbeddedPostgres) -> None:
    story = publish_story(old_cluster.url())
    with open_market(old_cluster.url(), story) as market, new_cluster() as server:
        sell(market, 3)
        market.fold()  # nothing is sealed yet: a seal would rightly call these sales intruders
        copy(old_cluster, server)
        with open_market(server.url(), story) as restored:
            sell(restored, 2)
            assert restored.earned() == 5 * EARNED
            deploy.migrate(server.url())
            assert restored.earned() == 5 * EARNED
            assert restored.violations() == []
            sell(restored, 1)
            restored.fold()
            assert restored.earned() == 6 * EARNED
            assert restored.seal() == restored.movements()
