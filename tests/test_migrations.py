"""The project's own migrations and code: up, down, up again, and by psql alone."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from api import worker
from api.deploy import PROJECT, build_install_sql, code, migrate, migrations, rollback
from api.stack.postgres import EmbeddedPostgres
from tests.catalog import fingerprint, fingerprint_of

NewDatabase = Callable[[], str]

OURS = ("ledger", "app", "api")
NAMES = [migration.id for migration in migrations.read(PROJECT / "migrations")]


@pytest.fixture(scope="module")
def head(postgres_server: EmbeddedPostgres, migrated_template: str) -> dict[str, str]:
    """What a database looks like after its first deploy."""
    return fingerprint_of(postgres_server.url(migrated_template))


def schemas(url: str) -> list[str]:
    """Which of the project's schemas are there."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select nspname from pg_namespace where nspname = any (%s)", (list(OURS),)
        )
        return [name for (name,) in rows]


def test_a_fresh_database_has_everything(head: dict[str, str]) -> None:
    for name in ("schema ledger", "relation app.profiles", "policy", "function api."):
        assert any(key.startswith(name) for key in head), name


@pytest.mark.parametrize(
    "change",
    [
        "grant select on app.audit_log to anon",
        "revoke usage on schema api from anon",
        "revoke execute on function api.me() from authenticated",
        "alter function api.me() owner to postgres",
        "comment on column api.stories.title is 'else'",
        "alter view api.stories reset (security_invoker)",
        "alter table app.profiles disable row level security",
        "alter table app.profiles alter column is_creator drop default",
        "alter table app.profiles drop constraint profiles_handle_check",
        "drop policy stories_select_anon on app.stories",
        "alter table ledger.transfers disable trigger user",
        "create index on app.stories (title)",
        "create or replace function app.claims() returns jsonb language sql return '{}'::jsonb",
        "alter type ledger.posting add attribute more integer",
        "alter default privileges for role app_owner grant execute on functions to public",
    ],
)
def test_the_fingerprint_shows_every_kind_of_change(
    postgres_server: EmbeddedPostgres, migrated_template: str, head: dict[str, str], change: str
) -> None:
    with psycopg.connect(postgres_server.url(migrated_template)) as connection:
        connection.execute(change.encode())
        assert fingerprint(connection) != head
        connection.rollback()


def test_down_to_zero_and_up_again(migrated_database: NewDatabase, head: dict[str, str]) -> None:
    url = migrated_database()
    assert rollback(url, "zero") == tuple(reversed(NAMES))
    assert schemas(url) == []
    assert [key for key in fingerprint_of(url) if "yoyo" not in key] == []
    assert list(migrate(url).migrations) == NAMES
    assert fingerprint_of(url) == head


@pytest.mark.parametrize("name", NAMES)
def test_down_to_each_migration_and_up_again(
    migrated_database: NewDatabase, head: dict[str, str], name: str
) -> None:
    """A rollback takes away no more than the next deploy brings back."""
    url = migrated_database()
    rollback(url, name)
    migrate(url)
    assert fingerprint_of(url) == head


def test_putting_the_code_in_place_again_changes_nothing(
    migrated_database: NewDatabase, head: dict[str, str]
) -> None:
    url = migrated_database()
    assert migrate(url).migrations == ()
    assert fingerprint_of(url) == head


def test_install_sql_makes_the_same_database(
    postgres_server: EmbeddedPostgres,
    new_database: NewDatabase,
    head: dict[str, str],
    tmp_path: Path,
) -> None:
    url = new_database()
    script = tmp_path / "install.sql"
    script.write_text(build_install_sql())
    ran = subprocess.run(
        [postgres_server.bin_folder / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", script, url],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert fingerprint_of(url) == head
    assert migrate(url).migrations == ()
    assert fingerprint_of(url) == head


def test_every_file_is_listed_once() -> None:
    listed = code.read_order(PROJECT / "sql")
    assert len(set(listed)) == len(listed)
    assert set(listed) == set((PROJECT / "sql").rglob("*.sql"))


def test_every_migration_can_be_undone() -> None:
    written = {path.name for path in (PROJECT / "migrations").glob("*.sql")}
    assert written == {f"{name}{end}" for name in NAMES for end in (".sql", ".rollback.sql")}


@pytest.fixture(scope="module", params=[18, 16])
def plain_login(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of its own whose only deployer is no superuser, as on RDS."""
    # Not under pytest's own folder: its servers' user may not look in there.
    with tempfile.TemporaryDirectory(prefix="infinite-pages-plain-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data", request.param)
        server.start()
        try:
            with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
                connection.execute("create role deployer login createrole createdb")
                connection.execute(sql.SQL("create database infinite_pages owner deployer"))
            yield server.url(user="deployer")
        finally:
            server.stop()


def test_a_deploy_needs_no_superuser(plain_login: str, head: dict[str, str]) -> None:
    migrate(plain_login)
    worker.run(plain_login, once=True)
    found = fingerprint_of(plain_login)
    assert {key for key in found if key.startswith("function")} == {
        key for key in head if key.startswith("function")
    }
    rollback(plain_login, "zero")
    assert schemas(plain_login) == []
