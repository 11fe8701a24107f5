"""Commands about paying creators: closing a month, and looking after single payouts."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import click
import psycopg

from api.cli import months
from api.cli.group import database_message
from api.cli.show import counting_to_the_end, print_table
from api.cli.statements import FORMATS, show_statement, statement_of
from api.cli.target import connect, connect_in_steps
from api.config import Settings
from api.money import dollars
from api.payouts import steps
from api.tokens import find_person

STATES = ["pending", "processing", "paid", "failed", "held", "canceled"]
MONTH = click.DateTime(["%Y-%m"])


@click.group()
def payouts() -> None:
    """Close months, and look after what creators are paid.

    The worker closes each month by itself and sends what is due. These are for looking, and for
    when something needs a hand.

    \b
    Examples:
      infinite-pages payouts run --dry-run
      infinite-pages payouts list --state failed
      infinite-pages payouts hold creator --reason "who is it really?"
      infinite-pages payouts statement creator --month 2026-10
    """


@payouts.command()
@click.option(
    "--month", type=MONTH, metavar="YYYY-MM", help="Which month. Without it: the one that is due."
)
@click.option("--dry-run", is_flag=True, help="Show who would be paid, and change nothing.")
@click.option(
    "--early", is_flag=True, help="Close the month that is running, with what is available now."
)
def run(month: datetime | None, dry_run: bool, early: bool) -> None:
    """Close a month: pay everybody, or say why not.

    Everybody who earned is paid what is available, or skipped for a reason.

    Goes on where an earlier run stopped; a month that is closed stays as it is. Safe beside the
    worker and beside itself: nobody is paid twice. The worker sends the transfers.

    With --dry-run everything is done and taken back: creators who ask for a payout meanwhile wait
    until it is over.

    \b
    Examples:
      infinite-pages payouts run --dry-run
      infinite-pages payouts run
      infinite-pages payouts run --month 2026-10
    """
    with connect_in_steps(Settings.from_environment()) as connection:
        wanted = months.month_to_close(connection, early=early) if month is None else month.date()
        if wanted is None:
            click.echo(months.next_month_to_close(connection))
        elif months.is_closed(connection, wanted):
            months.print_summary(connection, wanted, "was closed before")
        elif dry_run:
            with connection.transaction(force_rollback=True):
                _close(connection, wanted, early)
                months.print_creators(connection, wanted)
                months.print_summary(connection, wanted, "a rehearsal, nothing was changed")
        else:
            _close(connection, wanted, early)
            months.print_summary(connection, wanted, "closed")


def _close(connection: psycopg.Connection[Any], month: date, early: bool) -> None:
    with counting_to_the_end("creators") as watch:
        for step in steps(connection, month, early=early):
            watch(step.creators_done, step.creators_total)


@payouts.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only payouts in this state.")
@click.option("--creator", metavar="HANDLE", help="Only those of this creator.")
@click.option("--month", type=MONTH, metavar="YYYY-MM", help="Only those of this month's batch.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_payouts(
    state: str | None, creator: str | None, month: datetime | None, limit: int
) -> None:
    """List payouts, newest first.

    \b
    pending      the worker sends it
    processing   Stripe was asked, and has not answered yet
    paid         Stripe has transferred it
    failed       Stripe refused it for good; the money is the creator's balance again
    held         it waits for you: `payouts release` it, or `payouts cancel` it
    canceled     it was taken back before it was sent

    \b
    Examples:
      infinite-pages payouts list
      infinite-pages payouts list --state held
      infinite-pages payouts list --creator creator --month 2026-10
    """
    with connect(Settings.from_environment()) as connection:
        creator_id = None if creator is None else find_person(connection, creator).id
        rows = connection.execute(
            """
            select
                payout.id, profile.handle, payout.amount_cents - payout.reversed_cents,
                payout.status, coalesce(to_char(batch.month, 'YYYY-MM'), 'on request'),
                coalesce(
                    payout.hold_reason,
                    nullif(concat_ws(': ', payout.failure_code, payout.failure_reason), ''),
                    payout.stripe_transfer_id, waiting.error),
                now() - payout.created_at
            from app.payouts as payout
            inner join app.profiles as profile on profile.id = payout.creator_id
            left join app.monthly_payout_batches as batch on batch.id = payout.batch_id
            left join lateral (
                select nullif(concat_ws(': ', request.error_code, request.error_message), '')
                from app.stripe_requests as request
                where request.subject_id = payout.id and request.kind = 'transfer'
                order by request.id desc
                limit 1
            ) as waiting (error) on payout.status in ('pending', 'processing')
            where (%(state)s::text is null or payout.status = %(state)s)
                and (%(creator_id)s::uuid is null or payout.creator_id = %(creator_id)s)
                and (%(month)s::date is null or batch.month = %(month)s)
            order by payout.id desc
            limit %(limit)s
            """,
            {
                "state": state,
                "creator_id": creator_id,
                "month": None if month is None else month.date(),
                "limit": limit,
            },
        ).fetchall()
    if not rows:
        is_any = state is None and creator is None and month is None
        click.echo("nobody was paid yet" if is_any else "no payout is like that")
        return
    print_table(
        ["payout", "creator", "amount", "state", "of", "became / why", "age"],
        [(id, who, dollars(cents), *rest) for id, who, cents, *rest in rows],
    )


@payouts.command()
@click.argument("payout_ids", nargs=-1, required=True, type=click.UUID, metavar="PAYOUT...")
def retry(payout_ids: tuple[UUID, ...]) -> None:
    """Try payouts again, by their ids.

    One that failed becomes a new payout of the same amount, if that much is available. One that is
    on its way is sent at once, and not when it would have been time.
    Exit code 1 if one of them cannot be tried.

    \b
    Examples:
      infinite-pages payouts list --state failed
      infinite-pages payouts retry 0197f3a2-5c1e-7b3a-9f60-3d1f0f6a2b11
    """
    settings = Settings.from_environment()
    all_right = True
    for payout_id in payout_ids:
        try:
            with connect(settings) as connection:
                row = connection.execute("select app.retry_payout(%s)", (payout_id,)).fetchone()
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            click.echo(f"{payout_id}: {database_message(error)}", err=True)
            all_right = False
        else:
            assert row is not None
            said = "due now" if row[0] == payout_id else f"tried again as {row[0]}"
            click.echo(f"{payout_id}: {said}")
    if not all_right:
        raise SystemExit(1)


@payouts.command()
@click.argument("subject", metavar="PAYOUT|HANDLE")
@click.option("--reason", required=True, help="The creator reads it, and it is kept.")
def hold(subject: str, reason: str) -> None:
    """Hold a payout, or pay a creator nothing for now.

    A payout can be held while it was not sent.

    With a handle the creator is under review: batches skip them, and they cannot ask for a
    payout. What was made before goes on. It ends with `payouts release`.

    \b
    Examples:
      infinite-pages payouts hold 0197f3a2-5c1e-7b3a-9f60-3d1f0f6a2b11 --reason "much at once"
      infinite-pages payouts hold creator --reason "who is it really?"
    """
    with connect(Settings.from_environment()) as connection:
        payout_id = _payout_id(subject)
        if payout_id is not None:
            connection.execute("select app.hold_payout(%s, %s)", (payout_id, reason))
        else:
            creator = find_person(connection, subject)
            connection.execute("select app.review_creator(%s, %s)", (creator.id, reason))
    click.echo(f"{subject}: {'held' if payout_id else 'under review'}")


@payouts.command()
@click.argument("subject", metavar="PAYOUT|HANDLE")
def release(subject: str) -> None:
    """Let a payout that is held go, or end the review of a creator.

    \b
    Examples:
      infinite-pages payouts release 0197f3a2-5c1e-7b3a-9f60-3d1f0f6a2b11
      infinite-pages payouts release creator
    """
    with connect(Settings.from_environment()) as connection:
        payout_id = _payout_id(subject)
        if payout_id is not None:
            connection.execute("select app.release_payout(%s)", (payout_id,))
        else:
            creator = find_person(connection, subject)
            connection.execute("select app.end_review(%s)", (creator.id,))
    click.echo(f"{subject}: {'released' if payout_id else 'not under review any more'}")


@payouts.command()
@click.argument("payout_id", type=click.UUID, metavar="PAYOUT")
@click.option("--reason", required=True, help="The creator reads it, and it is kept.")
def cancel(payout_id: UUID, reason: str) -> None:
    """Take back a payout that was not sent yet.

    Its money is the creator's balance again.

    \b
    Example:
      infinite-pages payouts cancel 0197f3a2-5c1e-7b3a-9f60-3d1f0f6a2b11 --reason "asked to wait"
    """
    with connect(Settings.from_environment()) as connection:
        connection.execute("select app.stop_payout(%s, %s)", (payout_id, reason))
    click.echo(f"{payout_id}: canceled")


@payouts.command()
@click.argument("handle")
@click.option(
    "--month", type=MONTH, metavar="YYYY-MM", help="Which month. Without it: the last one."
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
def statement(handle: str, month: datetime | None, form: str) -> None:
    """Show a creator's month, line by line.

    What there was, what was sold, taken back and paid, and what is left: as the creator sees it.
    CSV is for a spreadsheet, HTML for printing.

    \b
    Examples:
      infinite-pages payouts statement creator
      infinite-pages payouts statement creator --month 2026-10 --format csv > october.csv
    """
    with connect(Settings.from_environment()) as connection:
        creator = find_person(connection, handle)
        found = statement_of(connection, creator.id, None if month is None else month.date())
    show_statement(handle, found, form)


def _payout_id(given: str) -> UUID | None:
    """The id, if it is one and no handle."""
    try:
        return UUID(given)
    except ValueError:
        return None
