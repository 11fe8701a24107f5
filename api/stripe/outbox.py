"""Sending a request of the outbox: never twice, never inside a transaction.

The intent, its parameters and its idempotency key are committed before anything leaves. Then:

1. The first attempt sends the request under its key K. Whatever becomes of it, Stripe keeps the
   answer under K for a day, a 500 included.
2. Every later attempt looks first whether the object is there already, by `metadata.request_id`.
   It finds what an attempt made whose answer was lost, also after Stripe has forgotten K.
3. Nothing found: the same request under the same K. If an earlier attempt is still on its way,
   Stripe gives both the same object, or tells the second one to wait.
4. Only an answer that Stripe itself marks as repeated (`Idempotent-Replayed`) and that is none for
   good (a 500, or a balance that was too small) proves that K is spent: what was sent under it has
   ended. Then, and after looking once more, since a 500 may have left an object behind, the request
   is sent under K-2; is that one spent too, under K-3; at most as many keys as there were attempts.
5. After a day Stripe forgets K, and a chain that began with K again would pass by a call that is on
   its way under K-5. So a chain of keys lasts for twenty hours from when the request was made. The
   next one has keys of its own, K-20h, K-20h-2 and so on, and begins half an hour later, when
   whatever was sent under the old ones has ended and can be seen.
6. A transfer that is tried again is not sent while the balance cannot pay it: this spends no key.
7. Deleting a customer makes nothing: it is asked for without a key until Stripe has none.

The keys form one chain that every process walks from its beginning, so two that send the same
request at the same time use the same keys in the same order, and nothing about them has to be
stored. A new key is used only when Stripe has said that the one before it is finished, and a look
after that found nothing. What is left is a 500 whose object appears in Stripe's list only later.
That leaves a second customer, account, intent or session that nobody is shown, a second refund,
which the charge itself limits and which comes to the database with the same `metadata.refund_id`,
or a second transfer, which comes to the database with the same `metadata.payout_id`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import stripe
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from api.logs import redact
from api.stripe.client import (
    BALANCE_INSUFFICIENT,
    code_of,
    is_permanent,
    is_spent,
    message_of,
    pages,
    raw,
)

Transact = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
"""Gives a connection in a transaction of its own, which commits when the block ends."""

CLOCK_SKEW_SECONDS = 300  # how far Stripe's clock and the database's may be apart
CHAIN = timedelta(hours=20)  # Stripe keeps a key for 24 hours at least
PAUSE = timedelta(minutes=30)  # longer than a call takes and clocks differ


class UnavailableError(RuntimeError):
    """Stripe did not answer, or not to the point: the request stays and is sent again."""


class PostponedError(UnavailableError):
    """Stripe is there, but this has to wait; what is behind it need not."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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

    @property
    def age(self) -> timedelta:
        """How long ago it was made."""
        return datetime.now(UTC) - self.created_at

    def key(self, chain: int, number: int) -> str:
        """The key of that place in that chain; both count from 1, which adds nothing."""
        key = self.idempotency_key
        if chain > 1:
            key += f"-{(chain - 1) * (CHAIN // timedelta(hours=1))}h"
        return key if number == 1 else f"{key}-{number}"


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
    except PostponedError as postponed:
        _record_failure(transact, request, postponed.code, str(postponed), False)
        raise
    except stripe.StripeError as error:
        code, message = code_of(error), redact(message_of(error))
        _record_failure(transact, request, code, message, is_permanent(error))
        if is_permanent(error):
            raise RefusedError(message) from error
        if code == BALANCE_INSUFFICIENT:
            raise PostponedError(code, message) from error
        raise UnavailableError(message) from error
    with transact() as connection:
        connection.execute("select app.record_stripe_answer(%s, %s)", (request.id, Jsonb(answer)))
    return answer


def _record_failure(
    transact: Transact, request: Request, code: str, message: str, is_for_good: bool
) -> None:
    with transact() as connection:
        connection.execute(
            "select app.record_stripe_failure(%s, %s, %s, %s)",
            (request.id, code, message, is_for_good),
        )


def _obtain(client: stripe.StripeClient, request: Request) -> dict[str, Any]:
    """The object that the request asks for: found, or made."""
    if request.kind == "customer_deletion":
        return _delete_customer(client, request.parameters["customer"])
    service = _service(client, request.kind)
    # A database that was restored does not know how often it had asked.
    if request.attempts > 1 or request.age >= CHAIN:
        found = _look_up(service, request)
        if found is not None:
            return found
        if request.kind == "transfer":
            _require_balance(client, request)
    chain = _chain(request)
    number = 0
    while True:
        number += 1
        try:
            return _create(service, request, request.key(chain, number))
        except stripe.StripeError as error:
            may_go_on = number < request.attempts and is_spent(error) and not is_permanent(error)
            if not may_go_on:
                raise
        found = _look_up(service, request)
        if found is not None:
            return found


def _chain(request: Request) -> int:
    """Which chain of keys it is the turn of."""
    chains, into = divmod(request.age, CHAIN)
    if chains >= 1 and into < PAUSE and request.attempts > 1:
        raise PostponedError("keys_expire", "It waits until its old keys are certainly finished.")
    return max(chains, 0) + 1


def _require_balance(client: stripe.StripeClient, request: Request) -> None:
    """Do not ask Stripe for a transfer that its balance cannot pay."""
    currency, amount = request.parameters["currency"], request.parameters["amount"]
    parts = raw(client.v1.balance.retrieve())["available"]
    available = sum(part["amount"] for part in parts if part["currency"] == currency)
    if available < amount:
        message = f"Stripe's balance has {available} available of the {amount} that this takes."
        raise PostponedError(BALANCE_INSUFFICIENT, message)


def _delete_customer(client: stripe.StripeClient, customer_id: str) -> dict[str, Any]:
    """Asking twice does no harm, so this needs no key; what is deleted already is done."""
    try:
        return raw(client.v1.customers.delete(customer_id))
    except stripe.InvalidRequestError as error:
        if code_of(error) != "resource_missing":
            raise
        customer = raw(client.v1.customers.retrieve(customer_id))
        # So Stripe answers about one that it never knew, too; a deleted one can still be read.
        if not customer.get("deleted"):
            raise
        return customer


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
    if request.kind in ("customer", "account"):
        return {"created": {"gte": begun}}
    if request.kind == "transfer":
        return {"transfer_group": request.parameters["transfer_group"]}
    if request.kind == "refund":
        return {"payment_intent": request.parameters["payment_intent"]}
    return {"customer": request.parameters["customer"]}


def _service(client: stripe.StripeClient, kind: str) -> Any:
    services = {
        "customer": client.v1.customers,
        "account": client.v1.accounts,
        "payment_intent": client.v1.payment_intents,
        "checkout_session": client.v1.checkout.sessions,
        "subscription_checkout": client.v1.checkout.sessions,
        "refund": client.v1.refunds,
        "transfer": client.v1.transfers,
    }
    return services[kind]
