"""`python -m bench.purchase`: what one purchase costs."""

import shutil
import tempfile
from pathlib import Path

import click
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api.cli.group import database_message
from api.deploy import DeployError
from api.stack.errors import StackError
from bench.purchase.errors import BenchError
from bench.purchase.machine import GIGABYTE
from bench.purchase.plan import Plan
from bench.purchase.report import WIDTH, Report
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
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the report here.  [default: bench/results; with --quick it is only printed]",
)
def main(
    seconds: int | None,
    rounds: int | None,
    quick: bool,
    large: bool,
    output: Path | None,
) -> None:
    """Measure what one purchase costs, beside two baselines in the same minutes.

    \b
    (a) seed  the function of the first plan: it updates the reader's row and the creator's
    (b) rows  one prepared statement that writes the same rows as a purchase, and no logic
    ours      api.purchase_story, called by a reader

    A PostgreSQL 18 of its own is made in the temporary folder and removed at the end. Each round
    runs all three, with one creator and with many, for 1, 8 and 32 clients; ratios are taken
    within a round. Then WAL, buffers and CPU of a single purchase are counted, and verify()
    proves that all of it is in the books. The whole takes about 25 minutes, with --large more.
    Do nothing else on the machine meanwhile.

    \b
    Examples:
      python -m bench.purchase                       the figures of bench/results
      python -m bench.purchase --large               and with a long past
      python -m bench.purchase --quick --large       does it work at all? a minute
      TMPDIR=/mnt/disk python -m bench.purchase      with the data on another disk
    """
    plan = Plan()
    if quick:
        plan = plan.shrunk()
    plan = plan.with_times(seconds, rounds)
    if output is None and not quick:
        output = RESULTS
    try:
        report = _run(plan, quick, large)
    except (BenchError, DeployError, StackError) as error:
        raise click.ClickException(str(error)) from None
    except psycopg.Error as error:
        raise click.ClickException(database_message(error)) from None
    console = Console(highlight=False)
    report.show(console if console.is_terminal else Console(highlight=False, width=WIDTH))
    if output is not None:
        report.write(output)
        click.echo(f"kept in {output}")
    if report.violations:
        raise SystemExit(1)


def _run(plan: Plan, quick: bool, large: bool) -> Report:
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free // GIGABYTE
    if free < plan.free_gigabytes:
        raise BenchError(
            f"{folder} has {free} GB free and the data may need {plan.free_gigabytes}: "
            "name a folder on a larger disk in TMPDIR"
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
