"""Events that never came: Stripe's own list is read, and what is unknown here is taken in.

A webhook can be lost for good: three days of trouble, or an endpoint that was misconfigured. The
list reaches back thirty days. It is read a day at a time, oldest day first, so that a long absence
is made up for step by step and what was done stays done.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import stripe
from psycopg.types.json import Jsonb

from api.logs import redact
from api.sessions import short_transaction
from api.stripe.client import pages
from api.stripe.reading import (
    OVERLAP,
    Progress,
    cursor,
    move_cursor,
    no_progress,
)

NAME = "events"
REACH = timedelta(days=30)
STEP = timedelta(days=1)

logger = logging.getLogger(__name__)

UNSEEN = """
    select given.id
    from unnest(%s::text[]) as given (id)
    where not exists (select from app.stripe_events as known where known.id = given.id)
"""


def read_events(
    connection: psycopg.Connection[Any],
    client: stripe.StripeClient,
    *,
    livemode: bool,
    since: datetime | None = None,
    progress: Progress = no_progress,
) -> int:
    """Take in every event since then (else since the last time) that is not here yet.

    The connection is in autocommit. Returns how many events were new.
    """
    now = datetime.now(UTC)
    begin = max(since or cursor(connection, NAME) - OVERLAP, now - REACH)
    taken_in = 0
    while begin < now:
        end = begin + STEP
        created = {"gte": int(begin.timestamp())}
        if end < now:
            created["lt"] = int(end.timestamp())
        unseen: list[dict[str, Any]] = []
        for page in pages(client.v1.events, {"created": created}):
            progress(len(page))
            unseen += _unseen(connection, page)
        for event in reversed(unseen):
            taken_in += _take_in(connection, event, livemode)
        if since is None:
            move_cursor(connection, NAME, min(end, now))
        begin = end
    return taken_in


def _unseen(
    connection: psycopg.Connection[Any], events: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    ids = [event["id"] for event in events]
    new = {id for (id,) in connection.execute(UNSEEN, (ids,))}
    return [event for event in events if event["id"] in new]


def _take_in(connection: psycopg.Connection[Any], event: dict[str, Any], livemode: bool) -> int:
    """One event; one that the database will not have stands in nobody's way.

    When the server itself is in trouble this raises, and the cursor stays where it is.
    """
    try:
        with short_transaction(connection):
            row = connection.execute(
                "select app.handle_stripe_event(%s, 'platform', %s)", (Jsonb(event), livemode)
            ).fetchone()
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        logger.error("event refused", extra={"event": event["id"], "error": redact(str(error))})
        return 0
    state = None if row is None else row[0]
    if state == "duplicate":
        return 0
    logger.info("event found in the list", extra={"event": event["id"], "state": state})
    return 1
