"""`python -m bench.cache`: how well and how fast the cache finds what was generated before."""

from pathlib import Path

import click
from rich.progress import Progress

from bench.cache.plan import Plan
from bench.cache.report import CacheReport
from bench.cache.run import measure
from bench.command import output_option, refusing, run_benchmark


@click.command()
@click.option("--large", type=click.IntRange(1), help="Entries with meanings.  [default: 1000000]")
@click.option("--words", type=click.IntRange(1), help="Entries in all.  [default: 1000000]")
@click.option("--quick", is_flag=True, help="Everything small: proves that it works.")
@output_option
def main(large: int | None, words: int | None, quick: bool, output: Path | None) -> None:
    """Measure how well and how fast the cache finds what was generated before.

    A PostgreSQL 18 of its own is made in the temporary folder and removed at the end, with two
    caches in it: one of 10,000 entries and one of a million, all of them with a meaning. Then
    near-duplicates are asked for. What the index finds is compared with what comparing with every
    entry finds, and what a lookup takes in the large cache with what it takes in the little one.
    The whole takes about 25 minutes, and 20 GB of disk.

    \b
    Examples:
      python -m bench.cache                  the figures of bench/results
      python -m bench.cache --large 100000   a tenth of them, the others found by words only
      python -m bench.cache --quick          does it work at all? half a minute
    """
    with refusing():
        plan = (Plan().shrunk() if quick else Plan()).with_sizes(large, words)

    def everything(folder: Path, progress: Progress) -> CacheReport:
        return measure(plan, folder, progress, is_quick=quick)

    run_benchmark(everything, free_gigabytes=plan.free_gigabytes, is_quick=quick, output=output)


if __name__ == "__main__":
    main(prog_name="python -m bench.cache")
