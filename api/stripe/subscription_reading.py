"""Subscriptions read from Stripe again, and handed to the database, which decides what they mean.

Two events of one second may come in either order, and one may be lost: then only Stripe itself can
say what is so. What is read can be older than news that come meanwhile: with each subscription goes
the database's time from before Stripe was asked.
"""

import logging
import threading
from typing import Any, Literal

import psycopg
import stripe
from psycopg.types.json import Jsonb

from api.logs import redact
from api.sessions import short_transaction
from api.stripe.client import is_permanent, message_of, raw

NAME = "subscriptions"
BATCH = 1000  # some minutes of asking

Which = Literal["news", "stale"]
"""Those of which something came in an order that is not sure, or nothing for long."""

logger = logging.getLogger(__name__)


def read_subscriptions(
    connection: psycopg.Connection[Any],
    client: stripe.StripeClient,
    stop: threading.Event,
    *,
    which: Which,
    livemode: bool,
) -> int:
    """Read these subscriptions. Returns how many were read. The connection is in autocommit."""
    wanted = connection.execute(
        "select app.subscriptions_to_read(%s, %s, %s)", (livemode, which, BATCH)
    ).fetchall()
    read, refusals = 0, list[str]()
    for (subscription_id,) in wanted:
        if stop.is_set():
            break
        begun = connection.execute("select clock_timestamp()").fetchone()
        assert begun is not None
        try:
            subscription = raw(client.v1.subscriptions.retrieve(subscription_id))
        except stripe.StripeError as error:
            if not is_permanent(error):
                raise
            refusals.append(redact(f"{subscription_id}: {message_of(error)}"))
            continue
        as_of = {**subscription, "happened_at": begun[0].isoformat()}
        with short_transaction(connection):
            connection.execute("select app.record_subscription(%s)", (Jsonb(as_of),))
        read += 1
    if refusals:
        about = {"subscriptions": len(refusals), "first": refusals[0]}
        logger.error("subscriptions that Stripe does not show", extra=about)
    return read
