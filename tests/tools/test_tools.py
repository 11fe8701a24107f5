"""The checks of the SQL find what they are for: a linter that sees nothing also reports nothing."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.tools import check_plpgsql, coverage, sql_text
from tests.tools.debian_postgres import DebianPostgres

CODE = """
create schema app;
create table app.tips (id bigint primary key, credits bigint not null);
create table app.notes (id bigint primary key);

create function app.price(chapters integer) returns integer language plpgsql as $$
begin
    if chapters < 1 then
        raise sqlstate 'PT400' using message = 'No chapters.';
    end if;
    return chapters * 5;
end;
$$;

create function app.forgetful() returns integer language plpgsql as $$
declare
    v_unused integer;
begin
    return (select t.amount from app.tips as t);
end;
$$;

create function app.tg_credits() returns trigger language plpgsql as $$
begin
    new.credits := 1;
    return new;
end;
$$;
create trigger tg_tips before insert on app.tips for each row execute function app.tg_credits();
create trigger tg_notes before insert on app.notes for each row execute function app.tg_credits();

create function app.tg_lonely() returns trigger language plpgsql as $$
begin
    return new;
end;
$$;
"""


@pytest.fixture
def database() -> Iterator[str]:
    """A database with a few functions, good and bad, on a server that profiles."""
    with DebianPostgres(coverage.PROFILER_SETTINGS) as server:
        server.create_database("infinite_pages")
        url = server.url()
        check_plpgsql.install_plpgsql_check(url)
        with psycopg.connect(url) as connection:
            connection.execute(CODE)
        yield url


def test_plpgsql_check_reads_functions_and_triggers(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check_plpgsql.check(database)
    printed = capsys.readouterr().out
    assert 'unused variable "v_unused"' in printed
    assert "column t.amount does not exist" in printed
    assert 'app.tg_credits() line 3: error: record "new" has no field "credits"' in printed
    assert (
        "app.tg_lonely() line 0: warning: This trigger function is used by no trigger." in printed
    )
    assert "app.price" not in printed
    assert "4 findings in 4 functions" in printed


def test_coverage_counts_what_was_rolled_back_and_what_raised(database: str) -> None:
    def price() -> coverage.FunctionCoverage:
        return next(each for each in coverage.measure(database) if "price" in each.name)

    assert price().share == 0
    with psycopg.connect(database) as connection:
        connection.execute("select app.price(2)")
        connection.rollback()
    assert list(price().missed_lines.values()) == [
        "raise sqlstate 'PT400' using message = 'No chapters.';"
    ]
    with psycopg.connect(database) as connection, pytest.raises(psycopg.Error, match="No chapters"):
        connection.execute("select app.price(0)")
    assert price().share == 1


def test_coverage_under_the_minimum_fails(capsys: pytest.CaptureFixture[str]) -> None:
    half = coverage.FunctionCoverage("app.price(integer)", 4, 2, {3: "return 1;", 4: "return 2;"})
    assert not coverage.report([half], minimum=95, shown=1)
    assert coverage.report([half], minimum=50, shown=1)
    assert "    3  return 1;" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select 1;\n", []),
        ("do $$\nBEGIN\nend;\n$$;\n", [(2, "upper case: write begin")]),
        ("do $$\nbegin\n   null;\nend;\n$$;\n", [(3, "indented by other than steps of 4 spaces")]),
        ("do $$\nbegin \nend;\n$$;\n", [(2, "white space at the end of the line")]),
        ("\tselect 1;\n", [(1, "a tab: indent with spaces")]),
        ("select 'IT''S A ''STRING', e'\\'A'; -- AND A COMMENT\n/* A\n  B */\n", []),
        ("comment on view a is $$A view\n\n  It SHOWS all.$$;\n", []),
        (f"select '{'x' * 140}';\n", [(1, "150 characters in a line: 140 are allowed")]),
    ],
)
def test_text_outside_the_house_style(
    tmp_path: Path, text: str, expected: list[tuple[int, str]]
) -> None:
    path = tmp_path / "example.sql"
    path.write_text(text)
    assert list(sql_text.findings(path)) == expected
