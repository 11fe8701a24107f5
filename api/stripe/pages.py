"""The pages to which a checkout returns, for people who buy without a frontend of their own.

They need no sign-in: the session's id cannot be guessed, and only whoever paid was sent here.
They need no script either: while a payment is on its way the page loads itself again.
"""

import re
from dataclasses import dataclass
from uuid import UUID

import psycopg
from flask import Blueprint, Response, current_app, make_response, request, url_for
from psycopg.rows import class_row

from api.db import database
from api.stripe.html import CLOSED, page

blueprint = Blueprint("pages", __name__, url_prefix="/checkout", template_folder="templates")

SESSION_ID = re.compile(r"cs_[A-Za-z0-9_]{1,250}")
ON_ITS_WAY = ("pending", "processing", "failed")

QUICK_LOOKS, QUICK_SECONDS = 10, 2
MOST_LOOKS, SLOW_SECONDS = 40, 10  # after some five minutes the page stops looking by itself


@dataclass(frozen=True)
class Result:
    """What became of a checkout, as `app.checkout_result` tells it."""

    payment_id: UUID
    status: str
    package: str
    credits: int
    balance: int
    failure_reason: str | None
    receipt_number: str | None


@blueprint.get("/return")
def returned() -> Response:
    """Where the payment stands, and what it brought."""
    session_id = _session_id()
    result = None if session_id is None else _result(session_id)
    if result is None:
        return _not_found()
    look = request.args.get("look", 1, type=int)
    refresh = None
    # Who comes here has paid. Of a card that was declined before we may have heard first.
    most_looks = {"failed": QUICK_LOOKS}.get(result.status, MOST_LOOKS)
    if result.status in ON_ITS_WAY and 1 <= look < most_looks:
        refresh = {
            "seconds": QUICK_SECONDS if look < QUICK_LOOKS else SLOW_SECONDS,
            "url": url_for(".returned", session_id=session_id, look=look + 1),
        }
    return page("checkout_return.html", result=result, session_id=session_id, refresh=refresh)


@blueprint.get("/cancel")
def canceled() -> Response:
    """Somebody changed their mind."""
    return page("checkout_cancel.html")


@blueprint.get("/receipt")
def receipt() -> Response:
    """The receipt, as the database prints it."""
    session_id = _session_id()
    html = None
    if session_id is not None:
        with database().connection() as connection:
            row = connection.execute("select app.checkout_receipt(%s)", (session_id,)).fetchone()
        html = None if row is None else row[0]
    if html is None:
        return _not_found()
    response = make_response(html)
    response.headers["Content-Security-Policy"] = f"{CLOSED}; style-src 'unsafe-inline'"
    return response


@blueprint.errorhandler(psycopg.OperationalError)
def database_is_away(error: psycopg.OperationalError) -> Response:
    """A person gets a page, and need not do anything."""
    current_app.logger.warning("database unavailable: %s", error)
    return page("checkout_away.html", status=503)


def _session_id() -> str | None:
    given = request.args.get("session_id", "")
    return given if SESSION_ID.fullmatch(given) else None


def _result(session_id: str) -> Result | None:
    with database().connection() as connection:
        cursor = connection.cursor(row_factory=class_row(Result))
        cursor.execute("select * from app.checkout_result(%s)", (session_id,))
        return cursor.fetchone()


def _not_found() -> Response:
    return page("checkout_unknown.html", status=404)
