"""Make the dumps in `tests/data` anew: `python -m tests.tools.old_databases --help`.

A dump is a database of an old version, made by that version: its files are taken out of the
repository's history, its own deploy installs it, its own functions fill it. So a test that loads
the dump has what an operator of that time has, which no current code could make. The dumps are
kept because a checkout need not have the history, and because what is in them must not change.

A dump is loaded by the PostgreSQL that made it, as an operator's is who upgrades the product and
not the server; `first` is therefore there twice.
"""

import io
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import psycopg

from tests.tools.old_history import make_history
from tests.tools.throwaway import DATABASE, PROJECT, Server, throwaway_server

DATA = PROJECT / "tests" / "data"

# Run by the old version's own code, in the folder where it lies.
DEPLOY = """
import sys
from api.deploy import migrate
from api.demo.loading import load
migrate(sys.argv[1])
load(sys.argv[1], print)
"""
# The SQL suite has people and books of the same names.
RENAME = """
update app.profiles set handle = 'old_' || handle;
update app.stories set title = 'The old ' || title;
"""
# The demonstration is the whole story: a payment, a cover, a month, a payout, over real HTTP. Its
# stack is dumped before it is gone.
STORY = """
import subprocess, sys, psycopg
from api import demo
from api.config import Settings
from api.stack.ports import free_port
from api.stack.supervisor import running_stack
ports = ("POSTGREST_PORT", "EDGE_PORT", "STRIPE_SANDBOX_PORT", "WEBUI_SANDBOX_PORT")
environment = {name: str(free_port()) for name in ports} | {"STATE_DIR": sys.argv[1]}
with running_stack(Settings.from_environment(environment), with_demo=True) as stack:
    assert demo.show(stack)
    with psycopg.connect(stack.database_url) as owner:
        owner.execute(sys.argv[4])
    with open(sys.argv[3], "wb") as file:
        subprocess.run([sys.argv[2], "--dbname", stack.database_url], stdout=file, check=True)
"""


@dataclass(frozen=True)
class OldDatabase:
    """A version of the past, and how it is filled."""

    commit: str
    about: str
    versions: tuple[int, ...]
    make: Callable[[Path, Server], bytes]


def _first(folder: Path, server: Server) -> bytes:
    server.create_database(DATABASE)
    _run_old(folder, DEPLOY, server.url())
    with psycopg.connect(server.url()) as owner:
        owner.execute(RENAME)
    make_history(server.url())
    program = str(server.bin_folder / "pg_dump")
    return subprocess.run([program, server.url()], stdout=subprocess.PIPE, check=True).stdout


def _covers(folder: Path, server: Server) -> bytes:
    with tempfile.TemporaryDirectory(prefix="infinite-pages-old-") as state:
        dump = Path(state) / "dump"
        program = str(server.bin_folder / "pg_dump")
        _run_old(folder, STORY, str(Path(state) / "state"), program, str(dump), RENAME)
        return dump.read_bytes()


OLD_DATABASES = {
    "first": OldDatabase(
        "828930e",
        "the first version whose migrations stand as they are today: 0001 to 0005",
        (18, 16),
        _first,
    ),
    "covers": OldDatabase(
        "09d571e",
        "payments, payouts and covers, by the demonstration of that version: 0001 to 0013",
        (18,),
        _covers,
    ),
}


def dump_path(name: str, version: int) -> Path:
    """Where the dump of an old version is that a PostgreSQL made."""
    return DATA / f"{name}.{version}.sql.xz"


def _run_old(folder: Path, program: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        check=False,
    )
    if done.returncode != 0:
        raise click.ClickException(f"the old version in {folder} could not do it, see above")


def _take_out(commit: str, folder: Path) -> None:
    """The project as it was, without its history."""
    archive = subprocess.run(
        ["git", "archive", commit], cwd=PROJECT, stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    (folder / "node_modules").symlink_to(PROJECT / "node_modules")  # PostgREST is in there


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*OLD_DATABASES]))
def main(names: tuple[str, ...]) -> None:
    """Make the dumps NAMES (all when none is given) anew, from the repository's history.

    \b
    Example:
      python -m tests.tools.old_databases first
    """
    DATA.mkdir(exist_ok=True)
    for name in names or OLD_DATABASES:
        old = OLD_DATABASES[name]
        for version in old.versions:
            with (
                tempfile.TemporaryDirectory(prefix="infinite-pages-old-") as folder,
                throwaway_server(version) as server,
            ):
                _take_out(old.commit, Path(folder))
                dump = old.make(Path(folder), server)
            path = dump_path(name, version)
            path.write_bytes(lzma.compress(dump, preset=9))
            click.echo(f"{path.relative_to(PROJECT)}: {path.stat().st_size} bytes, {old.about}")


if __name__ == "__main__":
    main()
