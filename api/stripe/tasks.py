"""The worker's part of Stripe: what is asked of it, and what is read from it."""

import logging
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg
import stripe

from api.config import StripeSettings
from api.stripe import outbox
from api.stripe.backfill import NAME as EVENTS
from api.stripe.backfill import read_events
from api.stripe.balance import NAME as STATEMENT
from api.stripe.balance import read_statement
from api.stripe.client import make_client
from api.stripe.reading import only_reader, short_transaction
from api.worker import Task

logger = logging.getLogger(__name__)

SEND_EVERY_SECONDS = 2
EVENTS_EVERY_SECONDS = 60
STATEMENT_EVERY_SECONDS = 300


def stripe_timetables(settings: StripeSettings, stop: threading.Event) -> list[Sequence[Task]]:
    """Two timetables, each for a thread of its own: a long reading does not delay a refund."""
    client = make_client(settings)

    def send(connection: psycopg.Connection[Any]) -> int:
        return send_due_requests(connection, client, stop, livemode=settings.livemode)

    def find_events(connection: psycopg.Connection[Any]) -> int:
        with only_reader(connection, EVENTS) as is_ours:
            if not is_ours:
                return 0
            return read_events(connection, client, livemode=settings.livemode)

    def find_lines(connection: psycopg.Connection[Any]) -> int:
        with only_reader(connection, STATEMENT) as is_ours:
            return read_statement(connection, client) if is_ours else 0

    return [
        [Task("stripe requests sent", SEND_EVERY_SECONDS, send)],
        [
            Task("stripe events found", EVENTS_EVERY_SECONDS, find_events),
            Task("stripe statement lines", STATEMENT_EVERY_SECONDS, find_lines),
        ],
    ]


def send_due_requests(
    connection: psycopg.Connection[Any],
    client: stripe.StripeClient,
    stop: threading.Event,
    *,
    livemode: bool,
) -> int:
    """Send what is due, one request at a time, until nothing is or Stripe is away.

    Returns how many were answered. One at a time, for each is ours for a minute only.
    """
    transact = partial(short_transaction, connection)
    answered = 0
    while not stop.is_set():
        claimed = outbox.claim(transact, 1, livemode=livemode)
        if not claimed:
            break
        request = claimed[0]
        about = {"request": str(request.id), "kind": request.kind, "attempt": request.attempts}
        try:
            outbox.deliver(transact, client, request)
            answered += 1
        except outbox.UnavailableError as error:
            logger.warning("Stripe is away", extra={**about, "error": str(error)})
            break
        except outbox.RefusedError as error:
            logger.error("Stripe refused", extra={**about, "error": str(error)})
        except Exception:
            if connection.broken:
                raise
            # It comes again when its minute is over; what is behind it need not wait.
            logger.exception("request not sent", extra=about)
    return answered
