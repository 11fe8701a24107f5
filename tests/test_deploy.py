"""The rules of a deploy, tried on a project of two tables and two functions."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from yoyo import get_backend

from api.deploy import DeployError, build_install_sql, migrate, rollback, session
from api.deploy.statements import split
from api.stack.postgres import EmbeddedPostgres
from tests.catalog import fingerprint_of

NewDatabase = Callable[[], str]

ROLES = """\
do $$
begin
    if to_regrole('app_owner') is null then
        create role app_owner nologin;
    end if;
    if to_regrole('authenticator') is null then
        create role authenticator login noinherit;
    end if;
    if to_regrole('edge') is null then
        create role edge login noinherit;
    end if;
end
$$;
"""
UNTOUCHED = """\
do $$
begin
    assert current_setting('search_path') = '"$user", public', 'search_path leaks';
    assert current_setting('work_mem') <> '77kB', 'work_mem leaks';
end
$$;
"""
FILES = {
    "migrations/0001.shelf.sql": f"""\
-- depends:
{ROLES}
create schema ledger authorization app_owner;
set role app_owner;
set search_path = ledger;
set work_mem = '77kB';
create table shelves (id integer primary key, label text default '50 %s; or so');
""",
    "migrations/0001.shelf.rollback.sql": "drop schema ledger cascade;\n",
    "migrations/0002.book.sql": f"""\
-- depends: 0001.shelf
{UNTOUCHED}
create table ledger.books (id integer primary key, shelf_id integer references ledger.shelves);
alter table ledger.books owner to app_owner;
set search_path = ledger;
set work_mem = '77kB';
""",
    "migrations/0002.book.rollback.sql": "drop table ledger.books cascade;\n",
    "sql/install.psql": "-- shelves come first\n\n\\ir shelf.sql\n\\ir book.sql\n",
    "sql/shelf.sql": f"""\
{UNTOUCHED}
create or replace function ledger.count_shelves() returns bigint
language sql stable
begin atomic
    select count(*) from ledger.shelves;
end;
""",
    "sql/book.sql": """\
create or replace view ledger.books_by_shelf as
select shelf_id, count(*) as books from ledger.books group by shelf_id;
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The small project, in a folder that a test may change."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    """An empty database."""
    return new_database()


def append(path: Path, text: str) -> None:
    """Edit a file the way people do."""
    path.write_text(path.read_text() + text)


def test_a_deploy_says_what_it_did(url: str, project: Path) -> None:
    lines: list[str] = []
    first = migrate(url, report=lines.append, project=project)
    assert first.migrations == ("0001.shelf", "0002.book")
    assert first.code_files == 2
    assert first.seconds > 0
    assert lines == [
        "applying migration 0001.shelf",
        "applying migration 0002.book",
        "putting the code in place (2 files)",
    ]
    assert migrate(url, project=project).migrations == ()


def test_files_do_not_leak_settings_into_each_other(url: str, project: Path) -> None:
    migrate(url, project=project)
    with psycopg.connect(url) as connection:
        owners = connection.execute(
            "select distinct relowner::regrole::text from pg_class "
            "where relnamespace = 'ledger'::regnamespace "
            "union select proowner::regrole::text from pg_proc "
            "where pronamespace = 'ledger'::regnamespace"
        ).fetchall()
        assert owners == [("app_owner",)]
        assert connection.execute("select to_regclass('yoyo._yoyo_migration')").fetchone() != (
            None,
        )
        assert connection.execute("select to_regclass('public._yoyo_log')").fetchone() == (None,)


def test_postgrest_is_told(url: str, project: Path) -> None:
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute("listen pgrst")
        migrate(url, project=project)
        heard = [each.payload for each in listener.notifies(timeout=10, stop_after=1)]
    assert heard == ["reload schema"]


@pytest.mark.parametrize("name", ["0001.shelf.sql", "0001.shelf.rollback.sql"])
def test_an_edited_migration_is_noticed(url: str, project: Path, name: str) -> None:
    migrate(url, project=project)
    before = fingerprint_of(url)
    append(project / "migrations" / name, "-- a second thought\n")
    for deploy in (migrate, rollback):
        with pytest.raises(DeployError) as refusal:
            deploy(url, project=project)
        assert str(refusal.value) == (
            f"{name} was edited after it was applied: restore it and write a new migration."
        )
    assert fingerprint_of(url) == before


def test_a_removed_rollback_is_noticed(url: str, project: Path) -> None:
    migrate(url, project=project)
    (project / "migrations/0002.book.rollback.sql").unlink()
    with pytest.raises(DeployError, match=r"^0002\.book\.rollback\.sql was removed after"):
        migrate(url, project=project)


def test_a_database_from_the_future_is_noticed(url: str, project: Path) -> None:
    migrate(url, project=project)
    for path in (project / "migrations").glob("0002*"):
        path.unlink()
    with pytest.raises(DeployError) as refusal:
        migrate(url, project=project)
    assert str(refusal.value) == (
        "The database has migration 0002.book, which this version does not: "
        "deploy the version that brought it, or a later one."
    )


def test_a_failed_deploy_leaves_the_old_code_whole(url: str, project: Path) -> None:
    migrate(url, project=project)
    before = fingerprint_of(url)
    shelf, book = project / "sql/shelf.sql", project / "sql/book.sql"
    shelf.write_text(shelf.read_text().replace("count(*)", "count(*) * 2"))
    append(
        book, "\ncomment on view ledger.books_by_shelf is 'new';\n\nselect\n    no_such_column;\n"
    )
    with pytest.raises(DeployError) as refusal:
        migrate(url, project=project)
    assert str(refusal.value) == f'{book}:7: column "no_such_column" does not exist.'
    assert fingerprint_of(url) == before


def test_an_error_without_a_position_has_the_line_of_its_statement(url: str, project: Path) -> None:
    migrate(url, project=project)
    book = project / "sql/book.sql"
    book.write_text(
        "-- $$ ; '\n/* one /* two */ ; */\n" + book.read_text().replace("shelf_id,", "")
    )
    with pytest.raises(DeployError) as refusal:
        migrate(url, project=project)
    assert str(refusal.value).startswith(f"{book}:3: cannot drop columns from view")


def test_a_failed_migration_leaves_nothing_behind(url: str, project: Path) -> None:
    second = project / "migrations/0002.book.sql"
    line = len(second.read_text().splitlines()) + 1
    append(second, "select 1 / 0;\n")
    with pytest.raises(DeployError) as refusal:
        migrate(url, project=project)
    assert str(refusal.value) == f"{second}:{line}: division by zero."
    with psycopg.connect(url) as connection:
        assert connection.execute("select to_regclass('ledger.books')").fetchone() == (None,)
    second.write_text(FILES["migrations/0002.book.sql"])
    assert migrate(url, project=project).migrations == ("0002.book",)


@pytest.mark.parametrize("word", ["commit", "BEGIN", "rollback"])
def test_a_file_may_not_end_the_transaction(url: str, project: Path, word: str) -> None:
    append(project / "sql/shelf.sql", f"{word};\n")
    with pytest.raises(DeployError, match=rf"shelf\.sql:\d+: '{word.lower()}' has no place here"):
        migrate(url, project=project)


def test_the_list_of_files_is_checked(url: str, project: Path) -> None:
    listing = project / "sql/install.psql"
    append(listing, "\\ir shop.sql\n")
    with pytest.raises(DeployError, match=r"^install\.psql:5: there is no file shop\.sql\.$"):
        migrate(url, project=project)
    listing.write_text("\\echo hello\n")
    with pytest.raises(DeployError, match=r"^install\.psql:1: expected '\\ir <file>'"):
        migrate(url, project=project)
    listing.unlink()
    with pytest.raises(DeployError, match=r"install\.psql is missing"):
        migrate(url, project=project)
    assert "schema ledger" not in fingerprint_of(url)


def test_rolling_back_step_by_step(url: str, project: Path) -> None:
    migrate(url, project=project)
    whole = fingerprint_of(url)
    assert rollback(url, "0001.shelf", project=project) == ("0002.book",)
    assert migrate(url, project=project).migrations == ("0002.book",)
    assert rollback(url, project=project) == ("0002.book",)
    assert rollback(url, project=project) == ("0001.shelf",)
    assert rollback(url, project=project) == ()
    migrate(url, project=project)
    assert fingerprint_of(url) == whole
    with pytest.raises(DeployError, match=r"applied are: 0002\.book, 0001\.shelf\.$"):
        rollback(url, "0003.shop", project=project)
    assert rollback(url, "zero", project=project) == ("0002.book", "0001.shelf")


def test_two_deploys_at_once(url: str, project: Path) -> None:
    """Both are started behind a third, so that they are sure to be there at the same time."""
    script = (
        "import sys; from pathlib import Path; from api.deploy import migrate\n"
        "report = lambda line: print(line, flush=True)\n"
        "print(migrate(sys.argv[1], report=report, project=Path(sys.argv[2])).migrations)"
    )
    with psycopg.connect(url, autocommit=True) as third:
        session.take_deploy_lock(third, lambda line: None)
        deploys = [
            subprocess.Popen(
                [sys.executable, "-c", script, url, str(project)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for deploy in deploys:
            assert deploy.stdout is not None
            assert deploy.stdout.readline() == "another deploy is running: waiting for it to end\n"
    said = [deploy.communicate(timeout=60)[0].splitlines() for deploy in deploys]
    assert [deploy.returncode for deploy in deploys] == [0, 0]
    assert {lines[-1] for lines in said} == {"()", "('0001.shelf', '0002.book')"}
    with psycopg.connect(url) as connection:
        applied = connection.execute(
            "select migration_id from yoyo._yoyo_log where operation = 'apply' order by 1"
        ).fetchall()
    assert applied == [("0001.shelf",), ("0002.book",)]


def test_a_busy_table_is_tried_again(
    url: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(url, project=project)
    append(project / "sql/book.sql", "alter table ledger.books enable row level security;\n")
    monkeypatch.setattr(session, "LOCK_TIMEOUT", "100ms")
    with psycopg.connect(url) as reader:
        reader.execute("select from ledger.books")
        lines: list[str] = []
        with pytest.raises(DeployError, match="Another session holds a lock this deploy needs"):
            migrate(url, report=lines.append, project=project)
        tries = [line for line in lines if "lock timeout" in line]
        assert len(tries) == session.LOCK_ATTEMPTS
        assert tries[0].endswith(
            "book.sql:3: canceling statement due to lock timeout. (try 1 of 5)"
        )

        def let_go(line: str) -> None:
            if "lock timeout" in line:
                reader.rollback()

        migrate(url, report=let_go, project=project)


def test_what_stands_is_not_made_again(url: str, project: Path) -> None:
    append(
        project / "sql/book.sql",
        "create or replace view ledger.titles as select 1 as number;\n"
        "drop policy if exists books_select_all on ledger.books;\n"
        "create policy books_select_all on ledger.books for select using (true);\n",
    )
    migrate(url, project=project)

    def objects() -> list[Any]:
        with psycopg.connect(url) as connection:
            return connection.execute(
                "select xmin::text from pg_policy union all"
                " select xmin::text from pg_rewrite where ev_class = 'ledger.titles'::regclass"
            ).fetchall()

    before = objects()
    with psycopg.connect(url) as reader:  # holds what a deploy would have to lock
        reader.execute("select from ledger.books")
        reader.execute("select from ledger.titles")
        migrate(url, project=project)
    assert objects() == before

    with psycopg.connect(url) as connection:
        connection.execute("alter policy books_select_all on ledger.books using (false)")
        connection.execute("create or replace view ledger.titles as select 2 as number")
    migrate(url, project=project)
    with psycopg.connect(url) as connection:
        assert connection.execute(
            "select number, pg_get_expr(polqual, polrelid) from ledger.titles, pg_policy"
        ).fetchall() == [(1, "true")]


def test_passwords_are_set_and_never_logged(
    postgres_server: EmbeddedPostgres, url: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_PASSWORD", "it's \\ a secret of the edge")
    monkeypatch.delenv("AUTHENTICATOR_PASSWORD", raising=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter database {connection.info.dbname} set log_statement = 'all'")
        migrate(url, project=project)
        passwords: dict[str, str | None] = dict(
            connection.execute(
                "select rolname, rolpassword from pg_authid "
                "where rolname in ('authenticator', 'edge')"
            ).fetchall()
        )
        connection.execute("alter role edge password null")
    assert passwords["authenticator"] is None
    assert str(passwords["edge"]).startswith("SCRAM-SHA-256$")
    log = postgres_server.log_path.read_text()
    assert 'alter role "edge" password' in log
    assert "a secret of the edge" not in log


@pytest.mark.parametrize(
    "given",
    ["postgresql://postgres@/x?host=/nowhere", "mysql://here", "postgres://x@127.0.0.1:1/x"],
)
def test_a_database_out_of_reach_is_one_line(given: str, project: Path) -> None:
    with pytest.raises(DeployError, match=r"^The database cannot be reached: [^\n]*\?$"):
        migrate(given, project=project)


def test_every_form_of_url(postgres_server: EmbeddedPostgres, project: Path) -> None:
    """libpq's forms, names that need percent-encoding, and keywords without a URL."""
    folder = postgres_server.socket_folder
    quoted = str(folder).replace("/", "%2F")
    postgres_server.create_database("Odd name/100%")
    for given in (
        f"postgres://postgres@/Odd%20name%2F100%25?host={folder}",
        f"postgresql://postgres@{quoted}/Odd%20name%2F100%25?connect_timeout=5",
        f"host={folder} user=postgres dbname='Odd name/100%'",
    ):
        assert migrate(given, project=project).code_files == 2


def psql(server: EmbeddedPostgres, url: str, script: Path) -> subprocess.CompletedProcess[str]:
    """Run a file as somebody who only has psql does."""
    return subprocess.run(
        [server.bin_folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, url],
        check=False,
        capture_output=True,
        text=True,
    )


def entries(url: str) -> list[tuple[Any, ...]]:
    """What the books of a database say, times and machines left out."""
    found = []
    with psycopg.connect(url) as connection:
        for columns in (
            "migration_hash, migration_id from yoyo._yoyo_migration order by applied_at_utc",
            "migration_hash, migration_id, operation from yoyo._yoyo_log order by created_at_utc",
            "version from yoyo._yoyo_version order by version",
            "migration_id, file_name, sha256 from yoyo.checksums order by file_name",
        ):
            found += connection.execute(f"select {columns}".encode()).fetchall()
    return found


def test_the_books_are_those_of_yoyo(url: str, new_database: NewDatabase, project: Path) -> None:
    """Another release of yoyo with other tables must be seen here, not in somebody's deploy."""
    migrate(url, project=project)
    of_yoyo = new_database()
    with psycopg.connect(of_yoyo) as connection:
        connection.execute("create schema yoyo")
    address = of_yoyo.replace("postgresql://", "postgresql+psycopg://") + "&schema=yoyo"
    with get_backend(address) as backend:
        backend.ensure_internal_schema_updated()
    ours = fingerprint_of(url)
    theirs = fingerprint_of(of_yoyo)
    assert len(theirs) > 20
    assert {key: ours.get(key) for key in theirs} == theirs


def test_install_sql_is_a_deploy(
    postgres_server: EmbeddedPostgres, new_database: NewDatabase, project: Path
) -> None:
    script = project / "install.sql"
    script.write_text(build_install_sql(project))
    with_psql, with_migrate = new_database(), new_database()
    ran = psql(postgres_server, with_psql, script)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    migrate(with_migrate, project=project)
    assert fingerprint_of(with_psql) == fingerprint_of(with_migrate)
    assert entries(with_psql) == entries(with_migrate)

    again = psql(postgres_server, with_psql, script)
    assert again.returncode == 3
    assert "Infinite Pages is already in this database" in again.stderr

    third = project / "migrations/0003.shop.sql"
    third.write_text("-- depends: 0002.book\ncreate table ledger.shops (id integer);\n")
    assert migrate(with_psql, project=project).migrations == ("0003.shop",)
    append(project / "migrations/0001.shelf.sql", "--\n")
    with pytest.raises(DeployError, match="was edited after it was applied"):
        migrate(with_psql, project=project)


def test_statements_end_where_psql_ends_them() -> None:
    statements = [
        "select ';', E'it\\'s; $$', \"a;\"\"b\", $1, 'x''; y';",
        "do $$ begin perform 1; end $$;",
        "do $a$ select $$;$$; $a$;",
        "create function f() returns integer begin atomic\n"
        "select case when true then 1 else 2 end; select 3; end;",
        "create or replace procedure p() begin atomic select ';'; end;",
        "create rule r as on insert to t do also (select 1; select 2);",
        "comment on table begin_end is $$;$$;",
        "select 1 /* ; /* ; */ ; */ + -- ;\n 1;",
        "select 'no semicolon'",
    ]
    text = "-- heading;\n\n" + "\n/* between; */\n".join(statements)
    found = list(split(text))
    assert [statement.text for statement in found] == statements
    lines = text.splitlines()
    for statement in found:
        assert lines[statement.line - 1] == statement.text.splitlines()[0]
