"""Commands about the database itself."""

import os
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from api.cli.target import owner_url
from api.config import Settings


@click.command()
def migrate() -> None:
    """Bring the database to this version.

    State is migrated once, code is put in place every time. Safe to repeat and to run from two
    places at once. PostgREST reloads by itself.

    \b
    Examples:
      infinite-pages migrate
      DATABASE_URL=postgresql://owner:secret@db.example.com/postgres infinite-pages migrate
    """
    from api import deploy

    console = Console(highlight=False)
    target = owner_url(Settings.from_environment())
    with console.status("deploying"):
        done = deploy.migrate(target, report=lambda line: console.print(escape(line)))
    migrations = ", ".join(done.migrations) or "none pending"
    console.print(f"migrations: {escape(migrations)}")
    console.print(f"code: {done.code_files} files in place, {done.seconds:.1f} s in all")


@click.command()
def url() -> None:
    """Print the owner's connection URL, and nothing else.

    \b
    Examples:
      infinite-pages url
      pg_dump "$(infinite-pages url)" > backup.sql
    """
    click.echo(owner_url(Settings.from_environment()))


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help"],  # -h is psql's own
    }
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database as its owner.

    ARGUMENTS are passed on to psql.

    \b
    Examples:
      infinite-pages psql
      infinite-pages psql -c 'select * from ledger.verify()'
      infinite-pages psql -X -A -t -f report.sql
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from api.stack.binaries import bin_folder

    given = conninfo_to_dict(owner_url(Settings.from_environment()))
    target = {name: str(value) for name, value in given.items() if name != "password"}
    if given.get("password"):  # a command line can be read by everybody on the machine
        os.environ["PGPASSWORD"] = str(given["password"])
    binary = str(bin_folder() / "psql")
    os.execv(binary, [binary, f"--dbname={make_conninfo(**target)}", *arguments])


@click.command("install-sql")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write to this file instead of standard output.",
)
def install_sql(output: Path | None) -> None:
    """Print one SQL file that installs everything.

    For people who only have psql, and for a database without Infinite Pages; later versions
    come with `migrate`.

    \b
    Examples:
      infinite-pages install-sql --output install.sql
      psql -q -v ON_ERROR_STOP=1 -f install.sql "$DATABASE_URL"
    """
    from api import deploy

    text = deploy.build_install_sql()
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text)
        click.echo(f"wrote {output}", err=True)
