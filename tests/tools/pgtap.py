"""Run the pgTAP files of `pgtap/` on a throwaway server: `python -m tests.tools.pgtap --help`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.tools.debian_postgres import EXTENSION_FOLDER, require_packages
from tests.tools.old_databases import dump_path
from tests.tools.throwaway import PROJECT, Server, deploy, throwaway_server
from tests.upgrades import catalog, differences, upgraded_database

SUITE = PROJECT / "pgtap"
PGTAP_SQL = EXTENSION_FOLDER / "pgtap--1.2.0.sql"

# `tests` is what helpers.psql makes for itself. Only this session gets the path: in the database
# itself nothing is changed, so code that forgets to pin its own search path is still found out.
SEARCH_PATH = "tests,tap,public"


def run_suite(
    server: Server, url: str, files: Sequence[Path], *, verbose: bool, output: int | None = None
) -> int:
    """Run pgTAP files against a deployed database and return pg_prove's exit code.

    What it prints goes to `output`, as subprocess names it: to where we print unless told.
    """
    files = files or sorted(SUITE.glob("*.sql"))
    if not files:
        raise click.ClickException("there are no pgTAP files in pgtap/: add one or name one")
    _install_pgtap(url)
    return subprocess.run(
        [
            "pg_prove",
            "--norc",
            "--failures",
            f"--psql-bin={server.bin_folder / 'psql'}",
            *(["--verbose"] if verbose else []),
            *(str(path.resolve()) for path in files),
        ],
        cwd=PROJECT,
        env=_environment(url),
        stdout=output,
        stderr=output,
        check=False,
    ).returncode


def require_pgtap() -> None:
    """Stop with the command that installs pgTAP and pg_prove where they are missing."""
    require_packages(
        {
            "postgresql-15-pgtap": PGTAP_SQL,
            "libtap-parser-sourcehandler-pgtap-perl": Path(shutil.which("pg_prove") or "missing"),
        }
    )


def _upgraded(server: Server, version: int, fresh: str) -> str:
    """An upgraded database that is made of exactly what a fresh one is made of; its URL.

    So whatever holds in it holds in a fresh one, and need not be tried there again.
    """
    if not dump_path("first", version).exists():
        raise click.ClickException(f"there is no database of the first version for {version}")
    url = upgraded_database(server, version, "first", "upgraded")
    found = differences(catalog(url), catalog(fresh))
    if found:
        raise click.ClickException(f"the upgraded database is not like a fresh one: {found}")
    return url


def _install_pgtap(url: str) -> None:
    """Load pgTAP into a schema of its own, where every role can use it.

    The plain file works on all versions; the extension would exist on Debian's server alone.
    """
    with psycopg.connect(url) as connection:
        if connection.execute("select oid from pg_namespace where nspname = 'tap'").fetchone():
            return
        connection.execute("create schema tap")
        connection.execute("set local search_path = tap")
        connection.execute(PGTAP_SQL.read_bytes())
        connection.execute("grant usage on schema tap to public")
        connection.execute("grant execute on all functions in schema tap to public")
        connection.execute("grant select on all tables in schema tap to public")


def _environment(url: str) -> dict[str, str]:
    """The connection as libpq's variables: psql inside pg_prove is given nothing else."""
    connection = conninfo_to_dict(url)
    return os.environ | {
        "PGHOST": str(connection["host"]),
        "PGPORT": str(connection.get("port", 5432)),
        "PGUSER": str(connection["user"]),
        "PGDATABASE": str(connection["dbname"]),
        "PGOPTIONS": f"-c search_path={SEARCH_PATH} -c client_min_messages=warning",
    }


@click.command()
@click.option(
    "--postgres",
    "version",
    type=click.Choice(["18", "16", "15"]),
    default="18",
    show_default=True,
    help="The version of PostgreSQL to run on.",
)
@click.option(
    "--upgraded",
    is_flag=True,
    help="On a database of the first version that was brought to this one, with all its data.",
)
@click.option("--verbose", is_flag=True, help="Print every assertion, not only those that fail.")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(version: str, upgraded: bool, verbose: bool, files: tuple[Path, ...]) -> None:
    """Run pgTAP FILES (all of pgtap/ when none is named) on a throwaway server.

    \b
    Examples:
      python -m tests.tools.pgtap
      python -m tests.tools.pgtap --postgres 16 --upgraded
      python -m tests.tools.pgtap --verbose pgtap/ledger_lots.sql
    """
    require_pgtap()
    with throwaway_server(int(version)) as server:
        url = deploy(server)
        if upgraded:
            url = _upgraded(server, int(version), fresh=url)
        click.echo(f"pgTAP on PostgreSQL {version}{', upgraded' if upgraded else ''}")
        exit_code = run_suite(server, url, files, verbose=verbose)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
