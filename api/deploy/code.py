"""Code: the files of sql/, put in place whole on every deploy, in the order of install.psql.

A file named setup.sql is no code but work that the code can do: it runs afterwards, in a
transaction of its own, so that nobody waits for it behind the locks of the deploy.
"""

from pathlib import Path

import psycopg
from psycopg import Connection

from api.deploy.errors import DeployError
from api.deploy.passwords import set_role_passwords
from api.deploy.session import FRESH_SESSION, BusyError, Report, in_one_transaction, run_file
from api.deploy.standing import Standing

# All code belongs to this role, whoever deploys it.
AS_OWNER = "set local role app_owner;"

SETUP = "setup.sql"

# PostgREST then reads the schema again; it hears of it when this transaction commits.
RELOAD = "notify pgrst, 'reload schema';"

# As the login that deploys and not as the owner: pg_cron runs a job as whoever made it.
SCHEDULE = """\
do $$
begin
    if exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
        and to_regprocedure('app.schedule_month_closing()') is not null
    then
        perform app.schedule_month_closing();
    end if;
end
$$;
"""


def read_order(folder: Path) -> list[Path]:
    """The files named by install.psql, which psql can run just as well."""
    listing = folder / "install.psql"
    if not listing.is_file():
        raise DeployError(f"{listing} is missing: deploy from a whole copy of the project.")
    paths = []
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("--"):
            continue
        if len(words) != 2 or words[0] != "\\ir":
            raise DeployError(f"install.psql:{number}: expected '\\ir <file>', found '{line}'.")
        path = folder / words[1]
        if not path.is_file():
            raise DeployError(f"install.psql:{number}: there is no file {words[1]}.")
        paths.append(path)
    return paths


def apply_code(connection: Connection, paths: list[Path], report: Report) -> None:
    """Replace all functions, views, policies and grants at once; readers see old or new."""

    def replace() -> None:
        standing = Standing(connection)
        connection.execute(AS_OWNER)
        for path in paths:
            if path.name != SETUP:
                run_file(connection, path, standing.to_run)
        connection.execute(FRESH_SESSION)
        standing.record()
        set_role_passwords(connection)
        connection.execute(RELOAD)

    report(f"putting the code in place ({len(paths)} files)")
    in_one_transaction(connection, replace, report)
    for path in paths:
        if path.name == SETUP:
            _set_up(connection, path, report)
    _schedule(connection, report)


def _set_up(connection: Connection, path: Path, report: Report) -> None:
    def work() -> None:
        connection.execute(AS_OWNER)
        run_file(connection, path)

    try:
        in_one_transaction(connection, work, report)
    except BusyError:
        report(f"{path.parent.name}/{path.name} found its tables busy: the worker will do it")


def _schedule(connection: Connection, report: Report) -> None:
    """A deploy is whole without it: where pg_cron refuses, the worker does what is due."""
    try:
        with connection.transaction():
            connection.execute(SCHEDULE)
    except psycopg.DatabaseError as error:
        refusal = str(error).partition("\n")[0]
        report(f"pg_cron did not take its job ({refusal}): the worker will do it")
