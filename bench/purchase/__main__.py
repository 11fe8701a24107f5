"""`python -m bench.purchase`: what one purchase costs."""

from pathlib import Path

import click
from rich.progress import Progress

from bench.command import output_option, run_benchmark
from bench.purchase.plan import Plan
from bench.purchase.report import PurchaseReport
from bench.purchase.run import measure


@click.command()
@click.option(
    "--seconds",
    type=click.IntRange(1, 600),
    help="Measure each run for so long, after its warm-up.  [default: 10]",
)
@click.option("--rounds", type=click.IntRange(1, 100), help="Repeat so often.  [default: 5]")
@click.option("--quick", is_flag=True, help="Everything once and small: proves that it works.")
@click.option("--large", is_flag=True, help="Also with five million movements in the ledger.")
@output_option
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

    def everything(folder: Path, progress: Progress) -> PurchaseReport:
        return measure(plan, folder, progress, is_quick=quick, is_large=large)

    run_benchmark(everything, free_gigabytes=plan.free_gigabytes, is_quick=quick, output=output)


if __name__ == "__main__":
    main(prog_name="python -m bench.purchase")
