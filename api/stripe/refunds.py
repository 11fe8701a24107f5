"""Giving money back: for the service role and for operators.

The refund and its credits are settled in the database before Stripe is asked. When Stripe does not
answer, the refund stands and the worker sends it: the caller is told that it is pending, for
somebody who reads of a failure asks for a second one.
"""

from functools import partial
from uuid import UUID

from flask import Blueprint, Response, current_app, jsonify

from api.auth import current_caller, require_caller
from api.bodies import idempotency_key, read_body
from api.db import database
from api.errors import ApiError
from api.logs import say
from api.stripe import outbox
from api.stripe.shop import shop

blueprint = Blueprint("refunds", __name__)

# What Stripe says of a refund, in the words of app.refunds; anything else is pending.
STATUSES = {"succeeded": "succeeded", "failed": "failed", "canceled": "failed"}


@blueprint.post("/payments/<uuid:payment_id>/refund")
@require_caller
def refund(payment_id: UUID) -> tuple[Response, int]:
    """Send the money of a payment back, whole or in part."""
    caller = current_caller()
    body = read_body(["amount_cents", "reason"])
    arguments = (
        payment_id,
        body.number("amount_cents"),
        body.required_text("reason"),
        idempotency_key(),
    )
    transact = partial(database().connection, caller.claims)
    with transact() as connection:
        row = connection.execute(
            "select refund_id, request_id, status, refunded_cents, recalled_credits "
            "from app.refund_payment(%s, %s, %s, %s)",
            arguments,
        ).fetchone()
    assert row is not None
    refund_id, request_id, status, cents, credits = row
    if status == "pending":
        status = _send(transact, request_id)
    say(refund_id=str(refund_id))
    return jsonify(refund_id=refund_id, status=status, amount_cents=cents, credits=credits), 201


def _send(transact: outbox.Transact, request_id: UUID) -> str:
    """The refund's status once Stripe was asked."""
    try:
        with shop().calling() as client:
            sent = outbox.send(transact, client, request_id)
    except ApiError as error:
        if error.hint != "stripe_unavailable":
            raise
        current_app.logger.warning("Stripe is away: the worker sends this refund")
        return "pending"
    return "pending" if sent.object is None else STATUSES.get(sent.object["status"], "pending")
