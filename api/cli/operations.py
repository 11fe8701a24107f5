"""Commands for whoever looks after it."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import click

from api.cli.show import print_table
from api.cli.target import connect
from api.config import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As the API answers it, for programs.")
def status(as_json: bool) -> None:
    """Show how everything is, in figures.

    Payments, webhooks, queues, payouts, the ledger, as api.operations_summary() tells of them;
    monitoring reads the same from the edge's /metrics. It is cheap: ask as often as you like.

    \b
    Examples:
      infinite-pages status
      infinite-pages status --json | jq .payouts
    """
    with connect(Settings.from_environment()) as connection:
        row = connection.execute("select app.operations_summary()").fetchone()
        assert row is not None
    summary: dict[str, Any] = row[0]
    if as_json:
        click.echo(json.dumps(summary, indent=2, sort_keys=True))
        return
    print_table(("figure", "is"), list(_lines(summary, "")))


def _lines(part: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Every figure on a line of its own, called by the way that leads to it; ages to be read."""
    for key, value in sorted(part.items()):
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{key}.")
        elif key.endswith("_seconds") and value is not None:
            yield f"{prefix}{key}", timedelta(seconds=value)
        else:
            yield f"{prefix}{key}", value
