"""What Stripe made for a request of the caller's that was committed before."""

from functools import partial
from typing import Any
from uuid import UUID

from api.auth import Caller
from api.db import database
from api.stripe import outbox
from api.stripe.client import raw
from api.stripe.shop import shop


def object_at_stripe(caller: Caller, request_id: UUID) -> dict[str, Any]:
    """The payment intent or checkout session of the request: made now, or read again."""
    with shop().calling() as client:
        sent = outbox.send(partial(database().connection, caller.claims), client, request_id)
        if sent.object is not None:
            return sent.object
        if sent.stripe_id.startswith("cs_"):
            return raw(client.v1.checkout.sessions.retrieve(sent.stripe_id))
        return raw(client.v1.payment_intents.retrieve(sent.stripe_id))
