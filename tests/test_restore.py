"""A dump restored into another cluster, whose transaction numbers start lower.

Folds and seals count by transaction number, so this is where they could go wrong unseen.
Here is also what the pages say that a DBA reads then.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from api import deploy
from api.config import DATABASE_NAME
from api.deploy import PROJECT
from api.stack.binaries import bin_folder
from api.stack.postgres import EmbeddedPostgres
from tests.market import EARNED, PRICE, Market, open_market, publish_story, value
from tests.processes import clean_environment
from tests.restores import copy, new_cluster
from tests.test_docs import headings, without_examples

NewDatabase = Callable[[], str]
PAGES = [PROJECT / "docs" / "operations" / f"{name}.md" for name in ("restore", "upgrade")]
SECTIONS = ["When", "What it means", "First look", "What to do", "Over when"]
HEAD_START = 30_000  # transaction numbers that the old cluster is ahead of a new one


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_whole_and_its_links_lead_somewhere(page: Path) -> None:
    assert re.findall("^## (.+)$", page.read_text(), re.MULTILINE) == SECTIONS
    for target in re.findall(r"\]\(([^)\s]+)\)", without_examples(page)):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in headings(linked), target


def test_the_commands_of_the_pages_run(migrated_database: NewDatabase) -> None:
    """On a database on which all is well: they find nothing to do, and do no harm."""
    url = migrated_database()
    lines = {
        line.strip()
        for page in PAGES
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.splitlines()
        if line.strip()
    }
    assert any("greatest(attempts, 1)" in line for line in lines)
    psql = f"{bin_folder() / 'psql'} --dbname='{url}' -v ON_ERROR_STOP=1"
    script = "\n".join(sorted(lines)).replace(".venv/bin/infinite-pages psql", psql)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=PROJECT,
        env=clean_environment() | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with psycopg.connect(url) as owner:
        assert owner.execute("select * from ledger.verify()").fetchall() == []
