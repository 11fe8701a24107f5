"""Lint the SQL of the project: `python -m tests.tools.lint_sql --help`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from tests.tools import sql_text
from tests.tools.throwaway import PROJECT

FOLDERS = ["migrations", "sql", "pgtap"]
SUFFIXES = {".sql", ".psql"}
LONG_FILE = 400


def check_text(files: list[Path]) -> bool:
    """Look at the text of every file, and warn of those too long to be read in one go."""
    count = 0
    for path in files:
        name = path.relative_to(PROJECT)
        for line, message in sql_text.findings(path):
            click.echo(f"{name}:{line}: {message}")
            count += 1
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONG_FILE:
            click.echo(f"{name}: warning: {lines} lines; split files above {LONG_FILE}")
    click.echo(f"text: {count} findings in {len(files)} files")
    return count == 0


def run_sqlfluff() -> bool:
    """Parse and lint everything by the rules of `.sqlfluff`; what cannot be parsed is an error."""
    return _run("sqlfluff", "lint", "--processes", "2", "--disable-progress-bar", *FOLDERS)


def run_squawk() -> bool:
    """Look for migrations that are dangerous on a live database, by the rules of `.squawk.toml`."""
    return _run("squawk", "migrations/*.sql")


def _run(program: str, *arguments: str) -> bool:
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which(program, path=beside_python) or shutil.which(program)
    if found is None:
        raise click.ClickException(f"{program} is missing: install requirements-dev.txt")
    # sqlfluff's worker processes now and then leave a semaphore to Python, which warns of it.
    environment = os.environ | {"PYTHONWARNINGS": "ignore:resource_tracker:UserWarning"}
    command = [found, *arguments]
    clean = subprocess.run(command, cwd=PROJECT, env=environment, check=False).returncode == 0
    click.echo(f"{program}: {'clean' if clean else 'has findings, see above'}")
    return clean


@click.command()
def main() -> None:
    """Check sql/, migrations/ and pgtap/: their text, sqlfluff, and squawk for migrations."""
    files = [
        path
        for folder in FOLDERS
        for path in sorted((PROJECT / folder).rglob("*"))
        if path.suffix in SUFFIXES
    ]
    results = [check_text(files), run_sqlfluff(), run_squawk()]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
