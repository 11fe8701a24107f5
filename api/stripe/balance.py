"""Stripe's own statement, read into the database line by line."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import stripe
from psycopg.types.json import Jsonb

from api.sessions import short_transaction
from api.stripe.client import pages, raw
from api.stripe.reading import (
    OVERLAP,
    Progress,
    cursor,
    move_cursor,
    no_progress,
)

NAME = "balance_transactions"
CURRENCY = "usd"
BEGINNING = datetime.fromtimestamp(0, UTC)


def read_statement(
    connection: psycopg.Connection[Any],
    client: stripe.StripeClient,
    *,
    progress: Progress = no_progress,
) -> int:
    """Take in the lines since the last time. Returns how many were new.

    The connection is in autocommit. Lines are imported once each, so a reading that broke off is
    simply begun again.
    """
    now = datetime.now(UTC)
    read_to = cursor(connection, NAME)
    where: dict[str, Any] = {}
    if read_to > BEGINNING:
        where = {"created": {"gte": int((read_to - OVERLAP).timestamp())}}
    imported = 0
    for page in pages(client.v1.balance_transactions, where):
        with short_transaction(connection):
            row = connection.execute(
                "select app.import_stripe_balance_transactions(%s)", (Jsonb(page),)
            ).fetchone()
        imported += 0 if row is None else row[0]
        progress(len(page))
    move_cursor(connection, NAME, now)
    return imported


def balance_cents(client: stripe.StripeClient) -> int:
    """What Stripe holds for us by its own word, whether it can be used already or not."""
    balance = raw(client.v1.balance.retrieve())
    parts = [*balance["available"], *balance["pending"]]
    return sum(int(part["amount"]) for part in parts if part["currency"] == CURRENCY)
