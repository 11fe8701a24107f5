"""The worker's part of Stripe: what is asked of it, and what is read from it."""

import logging
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg
import stripe

from api.config import StripeSettings
from api.sessions import short_transaction
from api.stripe import outbox
from api.stripe.accounts import NAME as ACCOUNTS
from api.stripe.accounts import STALE, WITH_NEWS, read_accounts
from api.stripe.backfill import NAME as EVENTS
from api.stripe.backfill import read_events
from api.stripe.balance import NAME as STATEMENT
from api.stripe.balance import read_statement
from api.stripe.client import make_client
from api.stripe.reading import only_reader
from api.stripe.subscription_reading import NAME as SUBSCRIPTIONS
from api.stripe.subscription_reading import Which, read_subscriptions
from api.worker import Task

logger = logging.getLogger(__name__)

# The end of a month brings thousands of transfers, each of which takes Stripe some time.
SENDERS = 4
SEND_EVERY_SECONDS = 2
EVENTS_EVERY_SECONDS = 60
STATEMENT_EVERY_SECONDS = 300
NEWS_EVERY_SECONDS = 10
STALE_EVERY_SECONDS = 600


def stripe_timetables(settings: StripeSettings, stop: threading.Event) -> list[Sequence[Task]]:
    """Timetables, each for a thread of its own: a long reading does not delay a refund.

    The first of them send, all the same things; the lease of a request keeps it to one of them.
    """
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

    def read(connection: psycopg.Connection[Any], which: str) -> int:
        with only_reader(connection, ACCOUNTS) as is_ours:
            if not is_ours:
                return 0
            return read_accounts(connection, client, stop, which=which, livemode=settings.livemode)

    def read_again(connection: psycopg.Connection[Any], which: Which) -> int:
        with only_reader(connection, SUBSCRIPTIONS) as is_ours:
            if not is_ours:
                return 0
            return read_subscriptions(
                connection, client, stop, which=which, livemode=settings.livemode
            )

    sending = Task("stripe requests sent", SEND_EVERY_SECONDS, send)
    return [
        *([sending] for _ in range(SENDERS)),
        [
            Task("stripe events found", EVENTS_EVERY_SECONDS, find_events),
            Task("stripe statement lines", STATEMENT_EVERY_SECONDS, find_lines),
        ],
        [
            Task("stripe accounts with news", NEWS_EVERY_SECONDS, partial(read, which=WITH_NEWS)),
            Task("stripe accounts read again", STALE_EVERY_SECONDS, partial(read, which=STALE)),
        ],
        [
            Task(
                "stripe subscriptions with news",
                NEWS_EVERY_SECONDS,
                partial(read_again, which="news"),
            ),
            Task(
                "stripe subscriptions read again",
                STALE_EVERY_SECONDS,
                partial(read_again, which="stale"),
            ),
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
        except outbox.PostponedError as error:
            logger.warning("not yet", extra={**about, "error": str(error)})
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
