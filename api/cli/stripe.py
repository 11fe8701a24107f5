"""Commands about Stripe: what came from it, what it was asked, and whether the books agree."""

from datetime import UTC, datetime

import click
import psycopg

from api.cli.group import database_message
from api.cli.show import counting_lines, print_table
from api.cli.target import connect, connect_in_steps, stripe_settings
from api.config import Settings
from api.money import dollars

EVENT_STATES = ["applied", "parked", "ignored", "failed"]
REQUEST_STATES = ["pending", "succeeded", "failed", "withdrawn"]
CENT = 10_000  # micro-dollars


@click.group()
def stripe() -> None:
    """Look into what came from Stripe and what it was asked.

    \b
    Examples:
      infinite-pages stripe events --state failed
      infinite-pages stripe replay evt_1Abc
      infinite-pages stripe requests --state pending
      infinite-pages stripe backfill --since 2026-11-01
    """


@stripe.command()
@click.option("--state", type=click.Choice(EVENT_STATES), help="Only events in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def events(state: str | None, limit: int) -> None:
    """List what Stripe told us, newest first.

    \b
    applied    it took effect
    parked     it waits for something that has to come first
    ignored    nobody here cares for its kind
    failed     it could not be applied: mend the cause, then `stripe replay` it

    \b
    Examples:
      infinite-pages stripe events
      infinite-pages stripe events --state failed --limit 100
    """
    with connect(Settings.from_environment()) as connection:
        rows = connection.execute(
            """
            select id, type, state, coalesce('waits for ' || waits_for, error), now() - received_at
            from app.stripe_events
            where %(state)s::text is null or state = %(state)s
            order by received_at desc, id desc
            limit %(limit)s
            """,
            {"state": state, "limit": limit},
        ).fetchall()
    if not rows:
        click.echo("nothing came from Stripe yet" if state is None else f"no event is {state}")
        return
    print_table(["id", "type", "state", "waits for / error", "age"], rows)


@stripe.command()
@click.argument("event_ids", nargs=-1, required=True, metavar="EVENT_ID...")
def replay(event_ids: tuple[str, ...]) -> None:
    """Let events take effect again.

    Safe at any time: what has happened does not happen twice. Exit code 1 if one of them fails
    again or is not known.

    \b
    Examples:
      infinite-pages stripe replay evt_1Abc
      infinite-pages stripe replay evt_1Abc evt_1Def
    """
    all_right = True
    settings = Settings.from_environment()
    for event_id in event_ids:
        try:
            with connect(settings) as connection:
                connection.execute("select app.replay_stripe_event(%s)", (event_id,))
                row = connection.execute(
                    "select state, error from app.stripe_events where id = %s", (event_id,)
                ).fetchone()
            assert row is not None
            state, error_message = row
            failed = state == "failed"
            click.echo(
                f"{event_id}: {state}: {error_message}" if failed else f"{event_id}: {state}"
            )
            all_right = all_right and not failed
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            click.echo(f"{event_id}: {database_message(error)}", err=True)
            all_right = False
    if not all_right:
        raise SystemExit(1)


@stripe.command()
@click.argument("line_id")
@click.option("--reason", required=True, help="Kept in the audit log.")
def explain(line_id: str, reason: str) -> None:
    """Account for a line of Stripe's statement that nothing here caused.

    LINE_ID is the txn_... that `infinite-pages reconcile` shows in its last column: the sale of
    another shop on the same account, say, or money that was settled by hand. It is posted, so that
    the books agree again. The line must be a day old, for its own event may still come.

    \b
    Example:
      infinite-pages stripe explain txn_1Abc --reason "sold at the fair, by card reader"
    """
    with connect(Settings.from_environment()) as connection:
        connection.execute("select app.explain_stripe_line(%s, %s)", (line_id, reason))
    click.echo(f"{line_id}: accounted for")


@stripe.command()
@click.option("--state", type=click.Choice(REQUEST_STATES), help="Only requests in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def requests(state: str | None, limit: int) -> None:
    """List what Stripe was asked, newest first.

    Those that are pending are sent again by the worker, later and later.

    \b
    Examples:
      infinite-pages stripe requests
      infinite-pages stripe requests --state pending
    """
    with connect(Settings.from_environment()) as connection:
        rows = connection.execute(
            """
            select
                id, kind, state, attempts,
                coalesce(stripe_id, concat_ws(': ', error_code, error_message)),
                now() - created_at
            from app.stripe_requests
            where %(state)s::text is null or state = %(state)s
            order by id desc
            limit %(limit)s
            """,
            {"state": state, "limit": limit},
        ).fetchall()
    if not rows:
        click.echo("Stripe was asked nothing yet" if state is None else f"no request is {state}")
        return
    print_table(["id", "kind", "state", "tries", "became / error", "age"], rows)


@stripe.command()
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="From then on (UTC), at most 30 days back. Without it: since the last time.",
)
def backfill(since: datetime | None) -> None:
    """Find events that never came.

    Reads Stripe's own list and takes in what is not here. The worker does this every minute; do it
    by hand after a long trouble with webhooks. Safe to repeat.

    \b
    Examples:
      infinite-pages stripe backfill
      infinite-pages stripe backfill --since 2026-11-01
    """
    from api.stripe.backfill import read_events
    from api.stripe.client import make_client

    settings = Settings.from_environment()
    if since is not None:
        since = since.replace(tzinfo=UTC)
    with connect_in_steps(settings) as connection, counting_lines("reading events") as progress:
        account = stripe_settings(settings)
        found = read_events(
            connection,
            make_client(account),
            livemode=account.livemode,
            since=since,
            progress=progress,
        )
    click.echo(f"events that had not come: {found}")


@click.command()
def reconcile() -> None:
    """Prove that the ledger agrees with Stripe.

    Reads Stripe's statement, then matches each of its lines with a movement of the ledger, and
    Stripe's balance with the ledger's. Exit code 1, and what is missing on which side, if they do
    not agree. A payment of this very moment can be on one side first: look again.

    \b
    Examples:
      infinite-pages reconcile
      infinite-pages reconcile || notify-the-operator
    """
    from api.stripe.balance import balance_cents, read_statement
    from api.stripe.client import make_client

    settings = Settings.from_environment()
    with connect_in_steps(settings) as connection:
        client = make_client(stripe_settings(settings))
        with counting_lines("reading Stripe's statement") as progress:
            imported = read_statement(connection, client, progress=progress)
        differences = connection.execute(
            "select side, stripe_id, type, amount_cents, detail from app.reconcile()"
        ).fetchall()
        row = connection.execute(
            "select ledger_microdollars, statement_cents from app.stripe_balance()"
        ).fetchone()
        at_stripe = balance_cents(client)
    assert row is not None
    ledger_microdollars, on_statement = row
    click.echo(f"new lines of Stripe's statement: {imported}")
    click.echo(f"Stripe's balance        {dollars(at_stripe)}")
    click.echo(f"sum of its statement    {dollars(on_statement)}")
    click.echo(f"the ledger's account    {dollars(ledger_microdollars / CENT)}")
    agree = ledger_microdollars == at_stripe * CENT == on_statement * CENT
    if differences:
        print_table(
            ["only on this side", "id", "type", "amount", "what it is"],
            [(side, id, kind, dollars(cents), what) for side, id, kind, cents, what in differences],
        )
    if not agree or differences:
        click.echo(f"not reconciled: {len(differences)} without a counterpart")
        raise SystemExit(1)
    click.echo("reconciled: every line has its counterpart")
