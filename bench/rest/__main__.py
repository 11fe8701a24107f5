"""`python -m bench.rest`: what a purchase costs over HTTP."""

from pathlib import Path

import click
from rich.progress import Progress

from bench.command import output_option, run_benchmark
from bench.rest.plan import Plan
from bench.rest.report import RestReport
from bench.rest.run import measure


@click.command()
@click.option(
    "--seconds",
    type=click.IntRange(1, 600),
    help="Measure each run for so long, after its warm-up.  [default: 10]",
)
@click.option("--rounds", type=click.IntRange(1, 100), help="Repeat so often.  [default: 7]")
@click.option("--quick", is_flag=True, help="Everything once and small: proves that it works.")
@output_option
def main(seconds: int | None, rounds: int | None, quick: bool, output: Path | None) -> None:
    """Measure what a purchase costs over HTTP, beside a call that does nothing.

    A PostgreSQL 18 of its own is made in the temporary folder and removed at the end, with
    PostgREST before it. By turns, over the same number of connections and with the same tokens,
    readers buy chapters and call a function that is empty, with 1, 8 and 32 clients; ratios are
    taken within a round. Every purchase that was answered must be in the wallets. The whole takes
    about 12 minutes. Do nothing else on the machine meanwhile.

    \b
    Examples:
      python -m bench.rest              the figures of bench/results
      python -m bench.rest --quick      does it work at all? half a minute
    """
    plan = (Plan().shrunk() if quick else Plan()).with_times(seconds, rounds)

    def everything(folder: Path, progress: Progress) -> RestReport:
        return measure(plan, folder, progress, is_quick=quick)

    run_benchmark(everything, free_gigabytes=plan.free_gigabytes, is_quick=quick, output=output)


if __name__ == "__main__":
    main(prog_name="python -m bench.rest")
