"""Creators' accounts at Stripe, read and handed to the database, which decides what they mean.

What is read can be older than news that come meanwhile: with each account goes the database's time
from before Stripe was asked.
"""

import logging
import threading
from datetime import datetime
from typing import Any

import psycopg
import stripe
from psycopg.types.json import Jsonb

from api.logs import redact
from api.sessions import short_transaction
from api.stripe.client import is_gone, is_permanent, message_of, raw

NAME = "accounts"
BATCH = 1000  # some minutes of asking
WITH_NEWS = "select stripe_account_id, read_at from app.payout_accounts_with_news(%s, %s)"
STALE = "select stripe_account_id, read_at from app.stale_payout_accounts(%s, %s)"
MISS = "select app.miss_payout_account(%s, %s, %s)"

logger = logging.getLogger(__name__)


def record_account(
    connection: psycopg.Connection[Any],
    account: dict[str, Any],
    *,
    livemode: bool,
    read_at: datetime,
) -> None:
    """Hand over what Stripe answered when it was asked for an account."""
    connection.execute(
        "select app.record_payout_account(%s, %s, %s)", (Jsonb(account), livemode, read_at)
    )


def read_accounts(
    connection: psycopg.Connection[Any],
    client: stripe.StripeClient,
    stop: threading.Event,
    *,
    which: str,
    livemode: bool,
) -> int:
    """Read these accounts: `WITH_NEWS`, of which an event came, or `STALE`, for one may be lost.

    Returns how many were read. The connection is in autocommit.
    """
    wanted = connection.execute(which.encode(), (livemode, BATCH)).fetchall()
    read, refusals = 0, list[str]()
    for account_id, read_at in wanted:
        if stop.is_set():
            break
        try:
            account = raw(client.v1.accounts.retrieve(account_id))
        except stripe.StripeError as error:
            if not (is_permanent(error) or is_gone(error)):
                raise
            refusals.append(redact(f"{account_id}: {message_of(error)}"))
            with short_transaction(connection):
                connection.execute(MISS, (account_id, livemode, read_at))
            continue
        with short_transaction(connection):
            record_account(connection, account, livemode=livemode, read_at=read_at)
        read += 1
    if refusals:
        # Only Stripe's own event ends a connection: with a wrong key no account is to be seen.
        about = {"accounts": len(refusals), "first": refusals[0]}
        logger.error("accounts that Stripe does not show", extra=about)
    return read
