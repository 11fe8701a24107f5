"""`python -m bench.report`: one page and the charts, out of the figures that were kept."""

from pathlib import Path

import click

from bench.command import RESULTS
from bench.report.page import PAGE, count_aims, write_report


@click.command()
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=RESULTS,
    help="Where the .json files are.  [default: bench/results]",
)
def main(folder: Path) -> None:
    """Gather what the benchmarks have kept: one page, and a chart of each.

    Nothing is measured: the page and the charts follow from the .json files alone.
    """
    every = write_report(folder)
    click.echo(f"{count_aims(every)} The report is {folder / PAGE}")


if __name__ == "__main__":
    main(prog_name="python -m bench.report")
