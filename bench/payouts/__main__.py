"""`python -m bench.payouts`: what it costs to pay everybody at a month's end."""

from pathlib import Path

import click
from rich.progress import Progress

from bench.command import output_option, refusing, run_benchmark
from bench.payouts.plan import Plan
from bench.payouts.report import PayoutsReport
from bench.payouts.run import measure


@click.command()
@click.option("--creators", type=click.IntRange(1), help="Of the large world.  [default: 100000]")
@click.option("--earnings", type=click.IntRange(1), help="Of the large world.  [default: 5000000]")
@click.option("--rounds", type=click.IntRange(1, 100), help="Of readers who buy.  [default: 5]")
@click.option("--quick", is_flag=True, help="Everything once and small: proves that it works.")
@output_option
def main(
    creators: int | None,
    earnings: int | None,
    rounds: int | None,
    quick: bool,
    output: Path | None,
) -> None:
    """Measure what it costs to pay everybody at a month's end.

    A PostgreSQL 18 of its own is made in the temporary folder and removed at the end, with two
    worlds in it: 100,000 creators who sold five million chapters in the last 90 days, and a tenth
    of both. In copies of them the month is closed in steps, as the worker does it, and in one
    transaction; time and memory of the large one are set against the small one's. Then readers
    buy by turns with and without a batch beside them.

    Every batch is compared, creator by creator, with what one independent query over the
    movements says. The whole takes about 40 minutes. Do nothing else on the machine meanwhile.

    \b
    Examples:
      python -m bench.payouts                        the figures of bench/results
      python -m bench.payouts --creators 10000 --earnings 500000
      python -m bench.payouts --quick                does it work at all? a minute
      TMPDIR=/mnt/disk python -m bench.payouts       with the data on another disk
    """
    with refusing():
        plan = Plan().shrunk() if quick else Plan()
        plan = plan.with_rounds(rounds).with_sizes(creators, earnings)

    def everything(folder: Path, progress: Progress) -> PayoutsReport:
        return measure(plan, folder, progress, is_quick=quick)

    run_benchmark(everything, free_gigabytes=plan.free_gigabytes, is_quick=quick, output=output)


if __name__ == "__main__":
    main(prog_name="python -m bench.payouts")
