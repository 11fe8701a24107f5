"""What every benchmark's command does: look for room, measure, show, keep."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psycopg
from rich.console import Console
from rich.progress import Progress

from api.cli.group import database_message
from api.deploy import DeployError
from api.stack.errors import StackError
from bench.errors import BenchError
from bench.machine import GIGABYTE
from bench.progress import progress_bars
from bench.report.page import write_report
from bench.report.single import WIDTH, Report

RESULTS = Path(__file__).parent / "results"

output_option = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the report here.  [default: bench/results; with --quick it is only printed]",
)


@contextmanager
def refusing() -> Iterator[None]:
    """What can be expected to fail is told in one line."""
    try:
        yield
    except (BenchError, DeployError, StackError) as error:
        raise click.ClickException(str(error)) from None
    except psycopg.Error as error:
        raise click.ClickException(database_message(error)) from None


def run_benchmark(
    measure: Callable[[Path, Progress], Report],
    *,
    free_gigabytes: int,
    is_quick: bool,
    output: Path | None,
) -> None:
    """Measure, print the report and keep it; fails if the books do not agree."""
    with refusing(), progress_bars() as progress:
        report = measure(_roomy_folder(free_gigabytes), progress)
    console = Console(highlight=False)
    report.show(console if console.is_terminal else Console(highlight=False, width=WIDTH))
    if output is None and not is_quick:
        output = RESULTS
    if output is not None:
        report.write(output)
        write_report(output)
        click.echo(f"kept in {output}")
    if report.violations:
        raise SystemExit(1)


def _roomy_folder(free_gigabytes: int) -> Path:
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free // GIGABYTE
    if free < free_gigabytes:
        raise BenchError(
            f"{folder} has {free} GB free and the data may need {free_gigabytes}: "
            "name a folder on a larger disk in TMPDIR"
        )
    return folder
