"""`python -m bench.covers`: what the queue of covers does when it is long."""

from pathlib import Path

import click
from rich.progress import Progress

from bench.command import output_option, run_benchmark
from bench.covers.plan import Plan
from bench.covers.report import CoversReport
from bench.covers.run import measure


@click.command()
@click.option("--rounds", type=click.IntRange(1, 100), help="Runs of everyone.  [default: 5]")
@click.option("--quick", is_flag=True, help="Everything once and small: proves that it works.")
@output_option
def main(rounds: int | None, quick: bool, output: Path | None) -> None:
    """Measure what the queue of covers does when it is long.

    A PostgreSQL 18 of its own is made in the temporary folder and removed at the end, with queues
    of 100, 10,000 and 100,000 jobs in it, and two of 10,000 that stand behind others: 50,000 that
    no worker can draw, and 2,000 that wait until they are tried again. Eight workers claim, claim
    and finish; authors ask for more. The same is done with a plain queue of one table and one
    index. Every queue keeps its length while it is worked on.

    After each run the tables must say the same as pgbench, and nobody may have been passed over.
    The whole takes about 10 minutes. Do nothing else on the machine meanwhile.

    \b
    Examples:
      python -m bench.covers                   the figures of bench/results
      python -m bench.covers --rounds 1        roughly
      python -m bench.covers --quick           does it work at all? seconds
    """
    plan = (Plan().shrunk() if quick else Plan()).with_rounds(rounds)

    def everything(folder: Path, progress: Progress) -> CoversReport:
        return measure(plan, folder, progress, is_quick=quick)

    run_benchmark(everything, free_gigabytes=plan.free_gigabytes, is_quick=quick, output=output)


if __name__ == "__main__":
    main(prog_name="python -m bench.covers")
