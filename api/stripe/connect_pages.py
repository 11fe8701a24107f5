"""The pages to which Stripe returns a creator: what is still missing, and another way in.

They need no sign-in: a signed token, valid for a day, says which account they are about, and only
who was sent to Stripe for that account has one. They need no script either.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import stripe
from flask import Blueprint, Response, current_app, make_response, redirect, request, url_for
from itsdangerous import BadSignature, SignatureExpired
from psycopg.rows import class_row

from api.db import database
from api.errors import ApiError
from api.limits import count_page_call
from api.stripe.accounts import record_account
from api.stripe.client import is_gone, raw
from api.stripe.connect import PAGES, account_link, own_page, tokens
from api.stripe.html import page
from api.stripe.shop import shop

blueprint = Blueprint("connect_pages", __name__, url_prefix=PAGES, template_folder="templates")

TOKEN_SECONDS = 24 * 3600
LOOKS, LOOK_SECONDS = 24, 5  # after two minutes the page stops looking by itself
# Where Stripe has a page for its owner to go on; else it checks, or there is nothing to be done.
OPEN_STATES = ("started", "incomplete", "restricted", "ready")


@dataclass(frozen=True)
class AccountState:
    """Whether an account can be paid, as `app.payout_account_state` tells it, and as of when."""

    as_of: datetime
    is_ready: bool
    state: str
    message: str
    missing: list[str]

    @property
    def can_go_on(self) -> bool:
        """Whether its owner has something to do at Stripe."""
        return self.state in OPEN_STATES and (not self.is_ready or bool(self.missing))


class NoAccountError(Exception):
    """The token is about nothing; `status` and `reason` say what the page is to tell."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@blueprint.get("/return")
def returned() -> Response:
    """What is missing, or that all is there. Coming back alone says nothing: Stripe is asked."""
    account_id = _account_id()
    known = _state(account_id)
    is_fresh = known.state != "deauthorized" and _read_again(account_id, known.as_of)
    state = _state(account_id) if is_fresh else known
    look = request.args.get("look", 1, type=int)
    refresh = None
    if state.state == "verifying" and 1 <= look < LOOKS:
        again = url_for(".returned", token=request.args["token"], look=look + 1)
        refresh = {"seconds": LOOK_SECONDS, "url": again}
    return page(
        "connect_return.html",
        account=state,
        is_fresh=is_fresh or state.state == "deauthorized",
        refresh=refresh,
        go_on_url=own_page("refresh", account_id) if state.can_go_on else None,
    )


@blueprint.get("/refresh")
def refreshed() -> Response:
    """A new link: the one before was used, or too old."""
    account_id = _account_id()
    if _state(account_id).state == "deauthorized":
        raise NoAccountError(410, "gone")
    return make_response(redirect(account_link(account_id)["url"], 303))


def _account_id() -> str:
    """The account that the token names. What is forged costs no look into the database."""
    try:
        account_id: str = tokens().loads(request.args.get("token", ""), max_age=TOKEN_SECONDS)
    except SignatureExpired:
        raise NoAccountError(410, "expired") from None
    except BadSignature:
        raise NoAccountError(404, "unknown") from None
    count_page_call()
    return account_id


def _read_again(account_id: str, as_of: datetime) -> bool:
    """Let the database know what Stripe says now; False when Stripe could not be asked."""
    try:
        with shop().calling() as client:
            account = raw(_retrieve(client, account_id))
    except ApiError as error:
        current_app.logger.warning("account not read: %s", error.hint)
        return False
    with database().connection() as connection:
        record_account(connection, account, livemode=shop().settings.livemode, read_at=as_of)
    return True


def _retrieve(client: stripe.StripeClient, account_id: str) -> Any:
    try:
        return client.v1.accounts.retrieve(account_id)
    except stripe.PermissionError as error:
        if not is_gone(error):
            raise
    raise NoAccountError(410, "gone")


def _state(account_id: str) -> AccountState:
    with database().connection() as connection:
        cursor = connection.cursor(row_factory=class_row(AccountState))
        cursor.execute(
            "select clock_timestamp() as as_of, told.* from app.payout_account_state(%s) as told",
            (account_id,),
        )
        found = cursor.fetchone()
    if found is None or found.state == "none":
        raise NoAccountError(404, "unknown")
    return found


@blueprint.errorhandler(NoAccountError)
def no_account(error: NoAccountError) -> Response:
    """A page that says how to begin again."""
    return page("connect_unknown.html", status=error.status, reason=error.reason)


@blueprint.errorhandler(ApiError)
def refused(error: ApiError) -> Response:
    """A person gets a page, and need not do anything."""
    if error.hint == "payout_account_gone":
        return no_account(NoAccountError(410, "gone"))
    return _away(error.status, dict(error.headers))


@blueprint.errorhandler(psycopg.OperationalError)
def database_is_away(error: psycopg.OperationalError) -> Response:
    """The same when it is the database that does not answer."""
    current_app.logger.warning("database unavailable: %s", error)
    return _away(503, {})


def _away(status: int, headers: dict[str, Any]) -> Response:
    seconds = int(headers.get("Retry-After", LOOK_SECONDS))
    response = page("connect_away.html", status=status, seconds=seconds)
    response.headers.update(headers)
    return response
