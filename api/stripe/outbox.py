"""Sending a request of the outbox: never twice, never inside a transaction.

The intent, its parameters and its idempotency key are committed before anything leaves. Then:

1. The first attempt sends the request under its key K. Whatever becomes of it, Stripe keeps the
   answer under K for a day, a 500 included.
2. Every later attempt looks first whether the object is there already, by `metadata.request_id`.
   It finds what an attempt made whose answer was lost, also after Stripe has forgotten K.
3. Nothing found: the same request under the same K. If an earlier attempt is still on its way,
   Stripe gives both the same object, or tells the second one to wait.
4. Only an answer that Stripe itself marks as repeated (`Idempotent-Replayed`) and that is no answer
   to us (a 500) proves that K is spent: what was sent under it has ended for good. Then, and after
   looking once more, since it may have ended well enough to leave an object behind, the request is
   sent under K-2; is that one spent too, under K-3; at most as many keys as there were attempts.

The keys form one chain that every process walks from its beginning, so two that send the same
request at the same time use the same keys in the same order, and nothing about them has to be
stored. A new key is used only when Stripe has said that the one before it is finished, and a look
after that found nothing. What is left is a 500 whose object appears in Stripe's list only later.
That leaves a second customer, intent or session that nobody is shown, or a second refund, which
the charge itself limits and which comes to the database with the same `metadata.refund_id`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import stripe
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from api.logs import redact
from api.stripe.client import code_of, is_permanent, is_spent, message_of, pages, raw

Transact = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
"""Gives a connection in a transaction of its own, which commits when the block ends."""

CLOCK_SKEW_SECONDS = 300  # how far Stripe's clock and the database's may be apart


class UnavailableError(RuntimeError):
    """Stripe did not answer, or not to the point: the request stays and is sent again."""


class RefusedError(RuntimeError):
    """Stripe will not do this; the text is what it said."""


@dataclass(frozen=True)
class Request:
    """A request of the outbox, taken for sending."""

    id: UUID
    kind: str
    parameters: dict[str, Any]
    idempotency_key: str
    attempts: int
    state: str
    stripe_id: str | None
    created_at: datetime

    def key(self, number: int) -> str:
        """The key of that place in the chain."""
        return self.idempotency_key if number == 1 else f"{self.idempotency_key}-{number}"


@dataclass(frozen=True)
class Sent:
    """What the request became; without `object` it was answered before."""

    stripe_id: str
    object: dict[str, Any] | None


def send(transact: Transact, client: stripe.StripeClient, request_id: UUID) -> Sent:
    """Send one request now, unless it was answered before."""
    with transact() as connection:
        cursor = connection.cursor(row_factory=class_row(Request))
        cursor.execute(
            "select %s::uuid as id, begun.* from app.begin_stripe_request(%s) as begun",
            (request_id, request_id),
        )
        request = cursor.fetchone()
    assert request is not None
    if request.state == "failed":
        raise RefusedError("It was refused before.")
    if request.state != "pending":
        return Sent(request.stripe_id or "", None)
    answer = deliver(transact, client, request)
    return Sent(answer["id"], answer)


def claim(transact: Transact, batch: int, *, livemode: bool) -> list[Request]:
    """Take requests of this mode that are due; each is ours for a minute."""
    with transact() as connection:
        cursor = connection.cursor(row_factory=class_row(Request))
        cursor.execute("select * from app.claim_stripe_requests(%s, %s)", (batch, livemode))
        return cursor.fetchall()


def deliver(transact: Transact, client: stripe.StripeClient, request: Request) -> dict[str, Any]:
    """Send a request that was taken, and record what came of it."""
    try:
        answer = _obtain(client, request)
    except stripe.StripeError as error:
        message = redact(message_of(error))
        with transact() as connection:
            connection.execute(
                "select app.record_stripe_failure(%s, %s, %s, %s)",
                (request.id, code_of(error), message, is_permanent(error)),
            )
        failure = RefusedError if is_permanent(error) else UnavailableError
        raise failure(message) from error
    with transact() as connection:
        connection.execute("select app.record_stripe_answer(%s, %s)", (request.id, Jsonb(answer)))
    return answer


def _obtain(client: stripe.StripeClient, request: Request) -> dict[str, Any]:
    """The object that the request asks for: found, or made."""
    service = _service(client, request.kind)
    found = _look_up(service, request) if request.attempts > 1 else None
    number = 0
    while found is None:
        number += 1
        try:
            return _create(service, request, request.key(number))
        except stripe.StripeError as error:
            may_go_on = number < request.attempts and is_spent(error) and not is_permanent(error)
            if not may_go_on:
                raise
        found = _look_up(service, request)
    return found


def _create(service: Any, request: Request, key: str) -> dict[str, Any]:
    return raw(service.create(params=request.parameters, options={"idempotency_key": key}))


def _look_up(service: Any, request: Request) -> dict[str, Any] | None:
    """The object that carries the request's id. It cannot be older than the request."""
    begun = int(request.created_at.timestamp()) - CLOCK_SKEW_SECONDS
    for page in pages(service, _where_to_look(request, begun)):
        for each in page:
            if (each.get("metadata") or {}).get("request_id") == str(request.id):
                return each
        if page[-1]["created"] < begun:
            return None
    return None


def _where_to_look(request: Request, begun: int) -> dict[str, Any]:
    if request.kind == "customer":
        return {"created": {"gte": begun}}
    if request.kind == "refund":
        return {"payment_intent": request.parameters["payment_intent"]}
    return {"customer": request.parameters["customer"]}


def _service(client: stripe.StripeClient, kind: str) -> Any:
    services = {
        "customer": client.v1.customers,
        "payment_intent": client.v1.payment_intents,
        "checkout_session": client.v1.checkout.sessions,
        "refund": client.v1.refunds,
    }
    return services[kind]
