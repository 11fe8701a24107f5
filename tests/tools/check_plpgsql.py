"""Check every plpgsql function with plpgsql_check: `python -m tests.tools.check_plpgsql --help`."""

import sys
from dataclasses import dataclass

import click
import psycopg
from psycopg.rows import class_row

from tests.tools.debian_postgres import EXTENSION_FOLDER, DebianPostgres, require_packages
from tests.tools.throwaway import deploy

SCHEMAS = ["ledger", "app", "api"]

# Findings that are right in general and wrong in one place: (function, message) and why.
ALLOWED: dict[tuple[str, str], str] = {
    (
        "app.export_person(uuid)",
        "text type variable is not sanitized The EXECUTE expression is SQL injection vulnerable."
        " Hint: Use quote_ident, quote_literal or format function to secure variable.",
    ): "a condition made by format with %I, of columns in the catalog",
}

# A trigger function is checked once for each table it serves, with that table's rows as new and
# old. The copies of a trigger on partitions add nothing. One that serves no table has no rows to
# be checked with: it comes out with a null table, and is a finding of its own.
SUBJECTS = """
    select
        p.oid,
        p.oid::regprocedure::text as name,
        p.prorettype = 'trigger'::regtype as is_trigger,
        coalesce(t.tgrelid, 0) as table_oid,
        t.tgoldtable as old_table,
        t.tgnewtable as new_table
    from pg_proc as p
    inner join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
    left join pg_trigger as t on t.tgfoid = p.oid and t.tgparentid = 0
    where p.pronamespace::regnamespace::text = any (%(schemas)s)
"""

FINDINGS = f"""
    select
        s.name as function,
        coalesce(f.lineno, 0) as line,
        f.level,
        f.message || coalesce(' ' || f.detail, '') || coalesce(' Hint: ' || f.hint, '') as message
    from ({SUBJECTS}) as s
    cross join lateral plpgsql_check.plpgsql_check_function_tb(
        s.oid::regprocedure,
        s.table_oid::regclass,
        fatal_errors => false,
        other_warnings => true,
        extra_warnings => true,
        security_warnings => true,
        compatibility_warnings => true,
        performance_warnings => %(performance)s,
        oldtable => s.old_table,
        newtable => s.new_table,
        use_incomment_options => false
    ) as f
    where s.table_oid <> 0 or not s.is_trigger
    union
    select s.name, 0, 'warning', 'This trigger function is used by no trigger.'
    from ({SUBJECTS}) as s
    where s.table_oid = 0 and s.is_trigger
    order by 1, 2, 3, 4
"""


@dataclass(frozen=True)
class Finding:
    """One remark of plpgsql_check; `line` counts from the first line of the function's body."""

    function: str
    line: int
    level: str
    message: str

    def __str__(self) -> str:
        return f"{self.function} line {self.line}: {self.level}: {self.message}"


def check(url: str, *, performance: bool = False) -> bool:
    """Print what plpgsql_check finds in a deployed database; say whether that was nothing."""
    with psycopg.connect(url, autocommit=True) as connection:
        parameters = {"schemas": SCHEMAS, "performance": performance}
        cursor = connection.cursor(row_factory=class_row(Finding))
        found = cursor.execute(FINDINGS, parameters).fetchall()
        functions = {name for _, name, *_ in connection.execute(SUBJECTS, parameters)}
    remaining = [finding for finding in found if (finding.function, finding.message) not in ALLOWED]
    for finding in remaining:
        click.echo(str(finding))
    click.echo(f"plpgsql_check: {len(remaining)} findings in {len(functions)} functions")
    return not remaining


def require_plpgsql_check() -> None:
    """Stop with the command that installs plpgsql_check where it is missing."""
    control_file = EXTENSION_FOLDER / "plpgsql_check.control"
    require_packages({"postgresql-15-plpgsql-check": control_file})


def install_plpgsql_check(url: str) -> None:
    """Make the extension in a schema of its own, apart from what it looks at."""
    with psycopg.connect(url) as connection:
        connection.execute("create schema plpgsql_check")
        connection.execute("create extension plpgsql_check with schema plpgsql_check")


@click.command()
@click.option("--performance", is_flag=True, help="Report what may be slow as well.")
def main(performance: bool) -> None:
    """Check all plpgsql functions on a throwaway PostgreSQL 15.

    Types, names, unused variables, dead code, volatility, SQL injection: everything that
    plpgsql_check warns of is a failure, unless the list at the top of the module says why not.
    """
    require_plpgsql_check()
    with DebianPostgres() as server:
        url = deploy(server)
        install_plpgsql_check(url)
        clean = check(url, performance=performance)
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
