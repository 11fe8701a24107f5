"""`python -m bench.purchase`: what one purchase costs."""

import shutil
import tempfile
from pathlib import Path

import click
import psycopg
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api.cli.group import database_message
from api.deploy import DeployError
from api.stack.errors import StackError
from bench.purchase.errors import BenchError
from bench.purchase.machine import GIGABYTE
from bench.purchase.plan import Plan
from bench.purchase.report import Report
from bench.purchase.run import measure

RESULTS = Path(__file__).resolve().parents[1] / "results"


@click.command()
@click.option(
    "--seconds",
    type=click.IntRange(1, 600),
    help="Measure each run for so long, after its warm-up.  [default: 10]",
)
@click.option("--rounds", type=click.IntRange(1, 100), help="Repeat so often.  [default: 5]")
@click.option("--quick", is_flag=True, help="Everything once and small: proves that it works.")
@click.option("--large", is_flag=True, help="Also with five million movements in the ledger.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Put the data here while it runs: choose the disk.  [default: the system's temporary one]",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the report here.  [default: bench/results; with --quick it is only printed]",
)
def main(
    seconds: int | None,
    rounds: int | None,
    quick: bool,
    large: bool,
    folder: Path | None,
    output: Path | None,
) -> None:
    """Measure what one purchase costs, beside two baselines in the same minutes.

    \b
    (a) seed  the function of the first plan: it updates the reader's row and the creator's
    (b) rows  one prepared statement that writes the same rows as a purchase, and no logic
    ours      api.purchase_story, called by a reader

    A PostgreSQL 18 of its own is made for it and removed at the end. Each round runs all three,
    with one creator and with many, for 1, 8 and 32 clients; ratios are taken within a round.
    Then WAL, buffers and CPU of a single purchase are counted, and verify() proves that all of
    it is in the books. The whole takes about 25 minutes, with --large about 15 more. Do nothing
    else on the machine meanwhile.

    \b
    Examples:
      python -m bench.purchase                       the figures of bench/results
      python -m bench.purchase --large               and with a long past
      python -m bench.purchase --quick --large       does it work at all? a minute
      python -m bench.purchase --folder /mnt/disk    on another disk
    """
    plan = Plan()
    if quick:
        plan = plan.shrunk()
    plan = plan.with_times(seconds, rounds)
    if output is None and not quick:
        output = RESULTS
    try:
        report = _run(plan, folder, quick, large)
    except (BenchError, DeployError, StackError) as error:
        raise click.ClickException(str(error)) from None
    except psycopg.Error as error:
        raise click.ClickException(database_message(error)) from None
    report.show(Console(highlight=False))
    if output is not None:
        report.write(output)
        click.echo(f"kept in {output}")
    if report.violations:
        raise SystemExit(1)


def _run(plan: Plan, folder: Path | None, quick: bool, large: bool) -> Report:
    free = shutil.disk_usage(folder or tempfile.gettempdir()).free // GIGABYTE
    if free < plan.free_gigabytes:
        raise BenchError(
            f"{folder or tempfile.gettempdir()} has {free} GB free and the data may need "
            f"{plan.free_gigabytes}: name a larger disk with --folder"
        )
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        return measure(plan, folder, progress, is_quick=quick, is_large=large)


if __name__ == "__main__":
    main(prog_name="python -m bench.purchase")
