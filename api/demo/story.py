"""The whole story over HTTP: sales, the money behind them, covers, payouts, and the books.

It is told on a stack whose demo data is fresh. Every figure is printed, and compared with the one
written down in `figures`.
"""

from typing import Any

import psycopg
from rich.console import Console

from api.config import StripeSettings
from api.demo import figures
from api.demo.cast import Cast, RunningStack
from api.demo.checklist import Checklist, cents, money
from api.demo.client import AnswerError
from api.demo.cover import tell_cover
from api.demo.payment import tell_payment
from api.demo.payout import tell_payout
from api.demo.sale import tell_sale
from api.stack.wait import wait_until
from api.stripe.balance import balance_cents, read_statement
from api.stripe.client import make_client

SEAL_SECONDS = 10.0


def show(stack: RunningStack, console: Console | None = None) -> bool:
    """Tell the story; whether every figure was what it must be."""
    checklist = Checklist(console or Console(highlight=False))
    try:
        cast = Cast(stack)
        tell_sale(cast, checklist)
        tell_payment(cast, checklist)
        tell_cover(stack.database_url, cast, checklist)
        tell_payout(stack.database_url, cast, checklist)
        _close_the_books(stack, cast, checklist)
    except AnswerError as error:
        checklist.broke_off(str(error))
    return checklist.close()


def _close_the_books(stack: RunningStack, cast: Cast, checklist: Checklist) -> None:
    """Stripe's statement is held against the ledger; then it is folded, sealed and verified."""
    checklist.step("Stripe's statement is held against the ledger.")
    settings = StripeSettings(stack.stripe_secret_key, api_base=stack.stripe_url)
    client = make_client(settings)
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        read_statement(connection, client)
        held = connection.execute(
            "select ledger_microdollars / 10000 from app.stripe_balance()"
        ).fetchone()
        assert held is not None
        differences = len(cast.admin.call("reconcile"))
        checklist.figure("Stripe holds, by the ledger", held[0], figures.AT_STRIPE, cents)
        checklist.figure("Stripe holds, by its word", balance_cents(client), held[0], cents)
        checklist.figure("lines that only one side has", differences, 0)

        checklist.step("The books are folded, sealed and verified.")
        # A transaction that still runs, wherever, keeps fold and seal below its own position.
        wait_until(lambda: _folded_and_sealed(connection, cast), seconds=SEAL_SECONDS)
    sealed = (_sealed(cast), len(cast.admin.rows("transfers")))
    earned = cast.creator.call("earnings_summary")["balance_microdollars"]
    violations = len(cast.admin.call("verify"))
    all_of_them = (figures.MOVEMENTS, figures.MOVEMENTS)
    checklist.figure("sealed of the ledger's movements", sealed, all_of_them, _part_of)
    checklist.figure("left to the author, folded", earned, figures.EARNED_AT_THE_END, money)
    checklist.figure("violations that verify finds", violations, 0)


def _folded_and_sealed(connection: psycopg.Connection[Any], cast: Cast) -> bool:
    connection.execute("select ledger.fold(), ledger.seal()")
    return _sealed(cast) >= figures.MOVEMENTS


def _sealed(cast: Cast) -> int:
    return sum(seal["transfers"] for seal in cast.admin.rows("seals"))


def _part_of(counts: tuple[int, int]) -> str:
    return "{} of {}".format(*counts)
