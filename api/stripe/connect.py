"""How a creator comes to be paid: an account at Stripe, and a page of Stripe's to fill in.

Stripe asks for the name, the papers and the bank account; nothing of that comes here. Each call
answers a new link to that page, which works once and for some minutes, for the same account.
"""

import hashlib
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import stripe
from flask import Blueprint, Response, jsonify
from itsdangerous import URLSafeTimedSerializer

from api.auth import Caller, current_caller, require_caller
from api.bodies import read_body
from api.db import database
from api.errors import ApiError
from api.limits import count_payment_call
from api.logs import say
from api.stripe import outbox
from api.stripe.client import is_gone, raw
from api.stripe.return_urls import check_return_url
from api.stripe.shop import shop

blueprint = Blueprint("connect", __name__)

PAGES = "/creators/connect"


@blueprint.post("/creators/connect")
@require_caller
def connect() -> tuple[Response, int]:
    """A link to the page at Stripe on which the caller gives what is needed to be paid."""
    caller = current_caller()
    count_payment_call(caller)
    body = read_body(["return_url", "refresh_url"], may_be_missing=True)
    given = {name: body.text(name) for name in ("return_url", "refresh_url")}
    for url in given.values():
        if url is not None:
            check_return_url(url, shop().return_origins)
    account_id = _account(caller)
    say(stripe_account_id=account_id)
    link = account_link(account_id, **given)
    return jsonify(
        stripe_account_id=account_id,
        url=link["url"],
        expires_at=datetime.fromtimestamp(link["expires_at"], UTC).isoformat(),
    ), 201


def account_link(
    account_id: str, return_url: str | None = None, refresh_url: str | None = None
) -> dict[str, Any]:
    """A new link to Stripe's page for this account; it comes back to our own pages if not told."""
    parameters: Any = {
        "account": account_id,
        "type": "account_onboarding",
        "return_url": return_url or own_page("return", account_id),
        "refresh_url": refresh_url or own_page("refresh", account_id),
        # All at once, also what is asked for only later: nobody's payouts stop half-way for that.
        "collection_options": {"fields": "eventually_due", "future_requirements": "include"},
    }
    with shop().calling() as client:
        try:
            return raw(client.v1.account_links.create(parameters))
        except stripe.PermissionError as error:
            if not is_gone(error):
                raise
    raise ApiError(
        409,
        "This account at Stripe is not connected any more.",
        "payout_account_gone",
    )


def own_page(name: str, account_id: str) -> str:
    """The address of a page of ours about this account, for whoever was sent there by Stripe."""
    query = urlencode({"token": tokens().dumps(account_id)})
    return f"{shop().edge_url}{PAGES}/{name}?{query}"


def tokens() -> URLSafeTimedSerializer:
    """Signs which account a page is about, with a key that follows from Stripe's own."""
    return URLSafeTimedSerializer(
        shop().settings.secret_key,
        salt="creators/connect",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


def _account(caller: Caller) -> str:
    """The caller's account at Stripe, made there first for somebody new."""
    account_id, request_id = _ask_for_account(caller)
    if account_id is None and request_id is not None:
        with shop().calling() as client:
            outbox.send(partial(database().connection, caller.claims), client, request_id)
        account_id, _ = _ask_for_account(caller)
    if account_id is None:
        raise ApiError(
            502,
            "Stripe cannot be reached. Send the same call again.",
            "stripe_unavailable",
        )
    return account_id


def _ask_for_account(caller: Caller) -> tuple[str | None, UUID | None]:
    with database().connection(caller.claims) as connection:
        row = connection.execute(
            "select stripe_account_id, request_id from app.connect_account(%s)",
            (shop().settings.livemode,),
        ).fetchone()
    return (None, None) if row is None else (row[0], row[1])
