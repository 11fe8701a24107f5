"""The pages to which Stripe returns who subscribed, or who looked after a subscription.

As with the pages of a checkout for credits: the session's id lets people in, there is no script,
and while something is on its way the page loads itself again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from flask import Blueprint, Response, current_app, request, url_for
from psycopg.rows import class_row

from api.db import database
from api.stripe.html import page
from api.stripe.pages import MOST_LOOKS, QUICK_LOOKS, QUICK_SECONDS, SESSION_ID, SLOW_SECONDS
from api.stripe.subscriptions import PAGES

blueprint = Blueprint("subscription_pages", __name__, url_prefix=PAGES, template_folder="templates")

ON_ITS_WAY = ("pending", "incomplete")


@dataclass(frozen=True)
class Result:
    """What became of a checkout, as `app.subscription_checkout_result` tells it."""

    plan: str
    status: str
    credits: int
    current_period_end: datetime | None
    cancel_at_period_end: bool
    balance: int

    @property
    def period_end(self) -> str | None:
        """The day on which the period ends, or the free days do."""
        if self.current_period_end is None:
            return None
        day = self.current_period_end.astimezone(UTC)
        return f"{day.day} {day:%B %Y}"


@blueprint.get("/return")
def returned() -> Response:
    """Whether the subscription has begun, and until when it is paid."""
    session_id = request.args.get("session_id", "")
    result = _result(session_id) if SESSION_ID.fullmatch(session_id) else None
    if result is None:
        return page("subscription_unknown.html", status=404)
    look = request.args.get("look", 1, type=int)
    refresh = None
    if result.status in ON_ITS_WAY and 1 <= look < MOST_LOOKS:
        refresh = {
            "seconds": QUICK_SECONDS if look < QUICK_LOOKS else SLOW_SECONDS,
            "url": url_for(".returned", session_id=session_id, look=look + 1),
        }
    return page("subscription_return.html", result=result, session_id=session_id, refresh=refresh)


@blueprint.get("/canceled")
def canceled() -> Response:
    """Somebody left the page without subscribing."""
    return page("subscription_canceled.html")


@blueprint.get("/done")
def done() -> Response:
    """Somebody comes back from the portal, whatever they did there."""
    return page("subscription_done.html")


@blueprint.errorhandler(psycopg.OperationalError)
def database_is_away(error: psycopg.OperationalError) -> Response:
    """A person gets a page, and need not do anything."""
    current_app.logger.warning("database unavailable: %s", error)
    return page("checkout_away.html", status=503)


def _result(session_id: str) -> Result | None:
    with database().connection() as connection:
        cursor = connection.cursor(row_factory=class_row(Result))
        cursor.execute("select * from app.subscription_checkout_result(%s)", (session_id,))
        return cursor.fetchone()
