"""What Stripe tells us. The signature is checked over the raw bytes; the rest is the database's.

No call to Stripe is made here: an event is taken in and answered in one transaction.
"""

from collections.abc import Sequence

import psycopg
import stripe
from flask import Blueprint, Response, abort, jsonify, request

from api.bodies import read_payload
from api.db import database
from api.errors import ApiError
from api.logs import say
from api.stripe.shop import shop

blueprint = Blueprint("webhooks", __name__)

LARGEST_EVENT = 512 * 1024
TOLERANCE_SECONDS = 300


@blueprint.post("/webhooks/stripe")
def platform() -> Response:
    """Events of the platform's own account."""
    return _take_in("platform", shop().settings.webhook_secrets)


@blueprint.post("/webhooks/stripe/connect")
def connect() -> Response:
    """Events of connected accounts; not there unless their secret is set."""
    secrets = shop().settings.connect_webhook_secrets
    if not secrets:
        abort(404)
    return _take_in("connect", secrets)


def _take_in(endpoint: str, secrets: Sequence[str]) -> Response:
    payload = read_payload(LARGEST_EVENT)
    _require_signature(payload, secrets)
    try:
        with database().connection() as connection:
            row = connection.execute(
                "select app.handle_stripe_event(%s::jsonb, %s, %s)",
                (payload.decode(), endpoint, shop().settings.livemode),
            ).fetchone()
    except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded):
        raise _invalid_payload() from None
    state = None if row is None else row[0]
    say(endpoint=endpoint, state=state)
    return jsonify(state=state)


def _require_signature(payload: bytes, secrets: Sequence[str]) -> None:
    """Whether one of the secrets signed it, in the last five minutes; several while they change."""
    header = request.headers.get("Stripe-Signature", "")
    # What is not ASCII cannot be compared with a signature; it is none.
    for secret in secrets if header.isascii() else ():
        try:
            stripe.Webhook.construct_event(payload, header, secret, TOLERANCE_SECONDS)
        except stripe.SignatureVerificationError:
            continue
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise _invalid_payload() from None
        return
    raise ApiError(
        400,
        "This was not signed by Stripe in the last five minutes.",
        "invalid_signature",
    )


def _invalid_payload() -> ApiError:
    return ApiError(400, "This is not an event of Stripe.", "invalid_payload")
