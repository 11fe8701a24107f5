"""`python -m bench.library`: what it costs to keep reading in a large library."""

from pathlib import Path

import click
from rich.progress import Progress

from bench.command import output_option, refusing, run_benchmark
from bench.library.plan import Plan
from bench.library.report import LibraryReport
from bench.library.run import measure


@click.command()
@click.option("--readers", type=click.IntRange(1), help="Of the large world.  [default: 100000]")
@click.option("--rounds", type=click.IntRange(1, 100), help="Of readers who come.  [default: 9]")
@click.option("--quick", is_flag=True, help="Everything once and small: proves that it works.")
@output_option
def main(readers: int | None, rounds: int | None, quick: bool, output: Path | None) -> None:
    """Measure what it costs to keep reading in a large library.

    A PostgreSQL 18 of its own is made in the temporary folder and removed at the end, with two
    worlds in it: 100,000 readers with a million rows of progress, and 1,000 readers with 10,000.
    Counted is what one reader's calls touch in both; timed are the calls of random readers, in
    both by turns. The whole takes about five minutes.

    \b
    Examples:
      python -m bench.library                        the figures of bench/results
      python -m bench.library --readers 1000000      ten million rows
      python -m bench.library --quick                does it work at all? half a minute
    """
    with refusing():
        plan = Plan().shrunk() if quick else Plan()
        plan = plan.with_rounds(rounds).with_readers(readers)

    def everything(folder: Path, progress: Progress) -> LibraryReport:
        return measure(plan, folder, progress, is_quick=quick)

    run_benchmark(everything, free_gigabytes=plan.free_gigabytes, is_quick=quick, output=output)


if __name__ == "__main__":
    main(prog_name="python -m bench.library")
