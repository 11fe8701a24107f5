"""Measure how much of the plpgsql code pgTAP runs: `python -m tests.tools.coverage --help`."""

import subprocess
import sys
from dataclasses import dataclass, field

import click
import psycopg

from tests.tools.check_plpgsql import (
    SCHEMAS,
    check,
    install_plpgsql_check,
    require_plpgsql_check,
)
from tests.tools.debian_postgres import DebianPostgres
from tests.tools.pgtap import SUITE, require_pgtap, run_suite
from tests.tools.throwaway import deploy

# The profiler counts in shared memory, which only a library loaded with the server has: the
# figures of all sessions come together there, and no rollback and no error takes them back.
PROFILER_SETTINGS = {
    "shared_preload_libraries": "plpgsql,plpgsql_check",
    "plpgsql_check.profiler": "on",
}

# Debian's PostgreSQL 15 has no pgvector that is new enough.
NEEDS_PGVECTOR = "-- Needs pgvector."

STATEMENTS = """
    select
        p.oid::regprocedure::text,
        s.lineno,
        s.exec_stmts > 0,
        trim(split_part(p.prosrc, e'\\n', s.lineno))
    from pg_proc as p
    inner join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
    cross join lateral plpgsql_check.plpgsql_profiler_function_statements_tb(
        p.oid::regprocedure
    ) as s
    where p.pronamespace::regnamespace::text = any (%s)
    order by 1, 2
"""


@dataclass
class FunctionCoverage:
    """How many of a function's statements ran, and the lines that did not."""

    name: str
    statements: int = 0
    covered: int = 0
    missed_lines: dict[int, str] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.covered / self.statements


def _forget_the_deploy(url: str) -> None:
    """Start counting anew: what migrations ran on their way is not tested by that."""
    with psycopg.connect(url) as connection:
        connection.execute("select plpgsql_check.plpgsql_profiler_reset_all()")


def measure(url: str) -> list[FunctionCoverage]:
    """Read the profiler's figures, least covered function first."""
    functions: dict[str, FunctionCoverage] = {}
    with psycopg.connect(url) as connection:
        for name, line, was_run, source in connection.execute(STATEMENTS, [SCHEMAS]):
            function = functions.setdefault(name, FunctionCoverage(name))
            function.statements += 1
            if was_run:
                function.covered += 1
            else:
                function.missed_lines[line] = source
    return sorted(functions.values(), key=lambda function: (function.share, function.name))


def report(functions: list[FunctionCoverage], minimum: float, shown: int) -> bool:
    """Print the table, the lines missed by the `shown` worst, and say if it is enough."""
    for function in functions:
        click.echo(
            f"{function.share:7.1%} {function.covered:4}/{function.statements:<4} {function.name}"
        )
    for function in functions[:shown]:
        if function.missed_lines:
            click.echo(f"\nnot run in {function.name}:")
        for line, source in sorted(function.missed_lines.items()):
            click.echo(f"{line:5}  {source}")
    covered = sum(function.covered for function in functions)
    statements = sum(function.statements for function in functions)
    if statements == 0:
        raise click.ClickException("no plpgsql function was found: is the code deployed?")
    overall = 100 * covered / statements
    click.echo(
        f"\ncoverage: {overall:.1f} % of {statements} statements in {len(functions)} functions"
        f" (at least {minimum:g} % wanted)"
    )
    return overall >= minimum


def _run_what_can_pass(server: DebianPostgres, url: str) -> bool:
    """Run all files; of those that need pgvector only what they run on their way counts."""
    files = sorted(SUITE.glob("*.sql"))
    without = [file for file in files if NEEDS_PGVECTOR in file.read_text()]
    click.echo(f"cannot pass without pgvector: {', '.join(file.name for file in without)}")
    run_suite(server, url, without, verbose=False, output=subprocess.DEVNULL)
    rest = [file for file in files if file not in without]
    return run_suite(server, url, rest, verbose=False) == 0


@click.command()
@click.option("--minimum", default=95.0, show_default=True, help="Per cent that must be reached.")
@click.option("--shown", default=10, show_default=True, help="Functions whose lines are listed.")
@click.option("--check", "with_check", is_flag=True, help="Run plpgsql_check on the same server.")
def main(minimum: float, shown: int, with_check: bool) -> None:
    """Run pgTAP under the profiler of plpgsql_check and print the statement coverage.

    Fails when a test fails, when coverage is under the minimum and, with --check, when
    plpgsql_check has a finding.
    """
    require_plpgsql_check()
    require_pgtap()
    with DebianPostgres(PROFILER_SETTINGS) as server:
        url = deploy(server)
        install_plpgsql_check(url)
        clean = check(url) if with_check else True
        _forget_the_deploy(url)
        passed = _run_what_can_pass(server, url)
        enough = report(measure(url), minimum, shown)
    sys.exit(0 if clean and passed and enough else 1)


if __name__ == "__main__":
    main()
