"""Taking out a subscription on a page of Stripe's, and looking after it on another.

What a plan costs and who may have it the database says. The checkout is committed before Stripe is
asked, so a call that broke off is continued by the same call with the same Idempotency-Key. A link
to the portal is nothing that lasts: each call makes a new one.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, jsonify
from psycopg.rows import class_row

from api.auth import Caller, current_caller, require_caller
from api.bodies import idempotency_key, read_body
from api.db import database
from api.limits import count_payment_call
from api.logs import say
from api.stripe.asking import object_at_stripe
from api.stripe.client import raw
from api.stripe.customers import customer_of
from api.stripe.return_urls import check_return_url
from api.stripe.shop import shop

blueprint = Blueprint("subscriptions", __name__)

PAGES = "/subscriptions"


@dataclass(frozen=True)
class StartedSubscription:
    """What `app.start_subscription` answers: the first time, and again for the same key."""

    checkout_id: UUID
    request_id: UUID
    state: str
    stripe_checkout_session_id: str | None
    plan_name: str
    price_cents: int
    currency: str


@blueprint.post("/subscriptions/checkout")
@require_caller
def checkout() -> tuple[Response, int]:
    """A page of Stripe's where the caller subscribes; `url` is null once it was used."""
    caller = current_caller()
    count_payment_call(caller)
    body = read_body(["plan", "success_url", "cancel_url"])
    plan = body.required_text("plan")
    success_url = body.text("success_url")
    if success_url is None:
        success_url = f"{shop().edge_url}{PAGES}/return?session_id={{CHECKOUT_SESSION_ID}}"
    cancel_url = body.text("cancel_url")
    if cancel_url is None:
        cancel_url = f"{shop().edge_url}{PAGES}/canceled"
    started = _start(
        caller,
        plan,
        check_return_url(success_url, shop().return_origins),
        check_return_url(cancel_url, shop().return_origins),
    )
    session = object_at_stripe(caller, started.request_id)
    say(subscription_checkout_id=str(started.checkout_id))
    return jsonify(
        checkout_id=started.checkout_id,
        status=started.state,
        plan=plan,
        plan_name=started.plan_name,
        price_cents=started.price_cents,
        currency=started.currency,
        session_id=session["id"],
        url=session["url"],
        publishable_key=shop().settings.publishable_key,
    ), 201


@blueprint.post("/subscriptions/portal")
@require_caller
def portal() -> tuple[Response, int]:
    """A link to the page of Stripe's on which the caller changes, cancels and pays."""
    caller = current_caller()
    count_payment_call(caller)
    body = read_body(["return_url"], may_be_missing=True)
    return_url = body.text("return_url")
    if return_url is None:
        return_url = f"{shop().edge_url}{PAGES}/done"
    check_return_url(return_url, shop().return_origins)
    parameters: Any = {"customer": _portal_customer(caller), "return_url": return_url}
    with shop().calling() as client:
        session = raw(client.v1.billing_portal.sessions.create(parameters))
    return jsonify(url=session["url"]), 201


def _start(caller: Caller, plan: str, success_url: str, cancel_url: str) -> StartedSubscription:
    """The checkout and the request for it, committed."""
    customer_id = customer_of(caller)
    with database().connection(caller.claims) as connection:
        started = (
            connection.cursor(row_factory=class_row(StartedSubscription))
            .execute(
                "select * from app.start_subscription(%s, %s, %s, %s, %s, %s)",
                (
                    plan,
                    customer_id,
                    shop().settings.livemode,
                    success_url,
                    cancel_url,
                    idempotency_key(),
                ),
            )
            .fetchone()
        )
    assert started is not None
    return started


def _portal_customer(caller: Caller) -> str:
    with database().connection(caller.claims) as connection:
        row = connection.execute(
            "select app.portal_customer(%s)", (shop().settings.livemode,)
        ).fetchone()
    assert row is not None
    customer_id: str = row[0]
    return customer_id
