"""The one client for Stripe, and what its errors mean to us."""

from collections.abc import Iterator, Mapping
from typing import Any

import requests
import stripe

from api.config import StripeSettings

CONNECT_SECONDS = 4.0
# Three tries of this length end within the minute for which a request of the outbox is leased.
READ_SECONDS = 15.0
RETRIES = 2
PAGE = 100

# Refusals that pass by themselves: the platform's balance fills up, the object is free again.
BALANCE_INSUFFICIENT = "balance_insufficient"
PASSING_CODES = frozenset({BALANCE_INSUFFICIENT, "lock_timeout", "rate_limit"})

# A newer library speaks a newer version of the API: shapes change together with this line.
STRIPE_VERSION = "2026-10-28.endive"

Object = Mapping[str, Any]
"""An object of Stripe as it came, before the library makes its own of it."""


def make_client(settings: StripeSettings) -> stripe.StripeClient:
    """A client with deadlines. It may be used from several threads."""
    session = None
    if settings.api_base is not None:
        # A proxy that is set for the machine has no business on the way to a sandbox.
        session = requests.Session()
        session.trust_env = False
    http = stripe.RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS), session=session)
    return stripe.StripeClient(
        settings.secret_key,
        stripe_version=STRIPE_VERSION,
        base_addresses=None if settings.api_base is None else {"api": settings.api_base},
        http_client=http,
        max_network_retries=RETRIES,
    )


def raw(answer: Any) -> dict[str, Any]:
    """What Stripe said, untouched."""
    data: dict[str, Any] = answer.last_response.data
    return data


def pages(service: Any, parameters: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Every page of a list, newest objects first."""
    wanted = {**parameters, "limit": PAGE}
    while True:
        page = raw(service.list(params=wanted))
        objects: list[dict[str, Any]] = page["data"]
        if objects:
            yield objects
        if not page["has_more"] or not objects:
            return
        wanted["starting_after"] = objects[-1]["id"]


def is_permanent(error: stripe.StripeError) -> bool:
    """Whether asking again would be answered in the same way.

    A key that is wrong or may not do this is for the operator to mend: the request waits for it.
    """
    if code_of(error) in PASSING_CODES:
        return False
    return isinstance(
        error, stripe.InvalidRequestError | stripe.IdempotencyError | stripe.CardError
    )


def is_gone(error: stripe.StripeError) -> bool:
    """Whether an account is none of ours any more: closed, or its owner ended the connection."""
    return isinstance(error, stripe.PermissionError) and code_of(error) == "account_invalid"


def is_spent(error: stripe.StripeError) -> bool:
    """Whether this answer was kept under the idempotency key and would come again for a day."""
    replayed = error.headers.get("idempotent-replayed") if error.headers else None
    return replayed == "true"


def code_of(error: stripe.StripeError) -> str:
    """Stripe's code for it, else the kind of error."""
    return error.code or (error.error and error.error.code) or type(error).__name__


def message_of(error: stripe.StripeError) -> str:
    """What is said of it, in one line."""
    return " ".join((error.user_message or type(error).__name__).split())
