"""Fixtures that several test files share: a server, databases, a whole running stack."""

import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from api import deploy
from api.config import Settings
from api.stack.ports import free_port
from api.stack.postgres import EmbeddedPostgres
from api.stack.supervisor import Stack, running_stack

NewDatabase = Callable[[], str]
TEMPLATE = "migrated_template"
# Files that take minutes: begun first, so that no worker is left with one when all others are done.
LONG_FILES = ("test_property.py", "test_torture.py", "test_migrations.py", "test_bench.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (*LONG_FILES, item.path.name).index(item.path.name))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL 18 for the whole run."""
    with tempfile.TemporaryDirectory(prefix="infinite-pages-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def database_names() -> Iterator[str]:
    """Names that no other test uses."""
    return (f"test_{number}" for number in count(1))


@pytest.fixture
def new_database(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str]
) -> Iterator[NewDatabase]:
    """Makes empty databases, each known by its owner's URL."""
    yield from _factory(postgres_server, database_names, "template0")


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """A migrated database that nobody writes to; it is only copied."""
    postgres_server.create_database(TEMPLATE)
    deploy.migrate(postgres_server.url(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def migrated_database(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[NewDatabase]:
    """Makes migrated databases without demo data, each a fresh copy."""
    yield from _factory(postgres_server, database_names, migrated_template)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Everything running, with the demo data, on free ports and a state folder of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="infinite-pages-stack-") as folder,
        running_stack(throwaway_settings(Path(folder)), with_demo=True) as running,
    ):
        yield running


def throwaway_settings(state_folder: Path) -> Settings:
    """Settings for a stack that is in nobody's way."""
    return Settings.from_environment(
        {
            "STATE_DIR": str(state_folder),
            "POSTGREST_PORT": str(free_port()),
            "EDGE_PORT": str(free_port()),
            "STRIPE_SANDBOX_PORT": str(free_port()),
        }
    )


def _factory(
    server: EmbeddedPostgres, names: Iterator[str], template: str
) -> Iterator[NewDatabase]:
    made: list[str] = []

    def make() -> str:
        name = next(names)
        _run(server, "create database {} template {}", name, template)
        made.append(name)
        return server.url(name)

    yield make
    for name in made:
        _run(server, "drop database if exists {} with (force)", name)


def _run(server: EmbeddedPostgres, statement: str, *names: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
