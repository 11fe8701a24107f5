"""A creator's monthly statement, as the operator sees it: the creator's own, from the database."""

import json
from datetime import date
from typing import Any
from uuid import UUID

import click
import psycopg

from api.cli.show import print_table
from api.money import dollars

CENT = 10_000  # micro-dollars
FORMATS = ["text", "json", "csv", "html"]


def statement_of(connection: psycopg.Connection[Any], creator_id: UUID, month: date | None) -> Any:
    """The statement of a month that has begun, or of the last one: as JSON, CSV and a page."""
    row = connection.execute(
        """
        select
            to_jsonb(statement.*), app.statement_csv(statement.*), app.statement_html(statement.*)
        from (
            select coalesce(%s::date, (app.month_of(now()) - interval '1 month')::date)
        ) as asked (month)
        cross join lateral app.creator_statements(%s, asked.month) as statement
        where asked.month <= app.month_of(now())
        """,
        (month, creator_id),
    ).fetchone()
    if row is None:
        raise click.ClickException(f"{month:%Y-%m} has not begun: name a month that has")
    return dict(zip(("json", "csv", "html"), row, strict=True))


def show_statement(handle: str, statement: Any, form: str) -> None:
    """Print it in the form that was asked for."""
    if form == "text":
        _show_text(handle, statement["json"])
    elif form == "json":
        click.echo(json.dumps(statement["json"], indent=2))
    else:
        click.echo(statement[form], nl=False)


def _show_text(handle: str, statement: dict[str, Any]) -> None:
    click.echo(f"statement of {handle} for {statement['month'][:7]}")
    opening = ("", "opening balance", "", _amount(statement["opening_microdollars"]))
    closing = ("", "closing balance", "", _amount(statement["closing_microdollars"]))
    lines = [
        (line["section"], line["description"], line["movements"], _amount(line["microdollars"]))
        for line in statement["lines"]
    ]
    print_table(["section", "what", "movements", "amount"], [opening, *lines, closing])


def _amount(microdollars: int) -> str:
    return dollars(microdollars / CENT)
