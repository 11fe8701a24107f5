"""Commands about the ledger."""

from datetime import UTC, datetime

import click

from api.cli.show import print_table
from api.cli.target import connect
from api.config import Settings
from api.tokens import find_person


@click.command()
@click.argument("handle")
@click.argument("credits", type=click.IntRange(min=1))
@click.option("--reason", default="granted from the command line", help="Kept with the transfer.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="When unspent credits lapse (UTC). Without it they never do.",
)
@click.option("--key", help="Idempotency key: the same key grants only once.")
def grant(
    handle: str, credits: int, reason: str, expires: datetime | None, key: str | None
) -> None:
    """Give CREDITS to the person called HANDLE.

    \b
    Examples:
      infinite-pages grant reader 20
      infinite-pages grant reader 50 --reason "contest won" --key contest-2026-11
      infinite-pages grant reader 5 --expires 2027-01-31
    """
    if expires is not None:
        expires = expires.replace(tzinfo=UTC)
    with connect(Settings.from_environment()) as connection:
        person = find_person(connection, handle)
        row = connection.execute(
            "select transaction_id, balance_after from app.grant_credits(%s, %s, %s, %s, %s)",
            (person.id, credits, reason, expires, key),
        ).fetchone()
        assert row is not None
    transaction_id, balance = row
    click.echo(f"{handle} was granted {credits} credits and has {balance} ({transaction_id})")


@click.command()
def verify() -> None:
    """Prove that the ledger balances.

    Exit code 1 and a table of what was found if it does not. What was found is kept:
    `infinite-pages status` and the edge's /metrics tell of the last run.

    \b
    Examples:
      infinite-pages verify
      infinite-pages verify || notify-the-operator
    """
    with connect(Settings.from_environment()) as connection:
        violations = connection.execute(
            "select check_name, subject, detail from app.run_verification()"
        ).fetchall()
    if not violations:
        click.echo("balanced: 0 violations")
        return
    print_table(("check", "subject", "detail"), violations)
    click.echo(f"not balanced, {len(violations)} found: see docs/operations/verify-not-empty.md")
    raise SystemExit(1)
