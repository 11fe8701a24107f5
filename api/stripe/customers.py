"""Who pays is a customer at Stripe, made there before the first payment."""

from functools import partial
from uuid import UUID

from api.auth import Caller
from api.db import database
from api.errors import ApiError
from api.stripe import outbox
from api.stripe.shop import shop


def customer_of(caller: Caller) -> str:
    """The caller's customer at Stripe, made there first for somebody new."""
    customer_id, request_id = _ask_for_customer(caller)
    if customer_id is None and request_id is not None:
        with shop().calling() as client:
            outbox.send(partial(database().connection, caller.claims), client, request_id)
        customer_id, _ = _ask_for_customer(caller)
    if customer_id is None:
        raise ApiError(
            502,
            "Stripe cannot be reached. Send the same call again, with the same Idempotency-Key.",
            "stripe_unavailable",
        )
    return customer_id


def _ask_for_customer(caller: Caller) -> tuple[str | None, UUID | None]:
    with database().connection(caller.claims) as connection:
        row = connection.execute(
            "select stripe_customer_id, request_id from app.stripe_customer(%s)",
            (shop().settings.livemode,),
        ).fetchone()
    return (None, None) if row is None else (row[0], row[1])
