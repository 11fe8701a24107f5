"""Buying credits: a payment intent for a frontend of one's own, or a checkout page of Stripe's.

What is sold and for how much the database says. Each step is a transaction of its own, and no call
to Stripe is made while one is open. A call that broke off anywhere is continued by the same call
with the same Idempotency-Key.
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
from api.stripe.customers import customer_of
from api.stripe.return_urls import check_return_url
from api.stripe.shop import shop

blueprint = Blueprint("purchases", __name__)


@dataclass(frozen=True)
class StartedPayment:
    """What `app.start_payment` answers: the first time, and again for the same key."""

    payment_id: UUID
    request_id: UUID
    status: str
    stripe_payment_intent_id: str | None
    stripe_checkout_session_id: str | None
    amount_cents: int
    currency: str
    credits: int
    bonus_credits: int

    def answer(self, **more: Any) -> tuple[Response, int]:
        """What the caller gets."""
        say(payment_id=str(self.payment_id))
        return jsonify(
            payment_id=self.payment_id,
            status=self.status,
            amount_cents=self.amount_cents,
            currency=self.currency,
            credits=self.credits,
            bonus_credits=self.bonus_credits,
            **more,
        ), 201


@blueprint.post("/credits/purchase")
@require_caller
def purchase() -> tuple[Response, int]:
    """A payment intent, whose client secret lets the caller's frontend collect the money."""
    caller = current_caller()
    count_payment_call(caller)
    body = read_body(["package_id"])
    payment = _start(caller, body.uuid("package_id"), "intent")
    intent = object_at_stripe(caller, payment.request_id)
    return payment.answer(
        client_secret=intent["client_secret"], publishable_key=shop().settings.publishable_key
    )


@blueprint.post("/credits/checkout")
@require_caller
def checkout() -> tuple[Response, int]:
    """A page of Stripe's where the caller pays; `url` is null once it was used."""
    caller = current_caller()
    count_payment_call(caller)
    body = read_body(["package_id", "success_url", "cancel_url"])
    own_pages = f"{shop().edge_url}/checkout"
    success_url = body.text("success_url")
    if success_url is None:
        success_url = f"{own_pages}/return?session_id={{CHECKOUT_SESSION_ID}}"
    cancel_url = body.text("cancel_url")
    if cancel_url is None:
        cancel_url = f"{own_pages}/cancel"
    payment = _start(
        caller,
        body.uuid("package_id"),
        "checkout",
        check_return_url(success_url, shop().return_origins),
        check_return_url(cancel_url, shop().return_origins),
    )
    session = object_at_stripe(caller, payment.request_id)
    return payment.answer(url=session["url"], publishable_key=shop().settings.publishable_key)


def _start(
    caller: Caller,
    package_id: UUID,
    method: str,
    success_url: str | None = None,
    cancel_url: str | None = None,
) -> StartedPayment:
    """The payment and the request for it, committed."""
    customer_id = customer_of(caller)
    with database().connection(caller.claims) as connection:
        payment = (
            connection.cursor(row_factory=class_row(StartedPayment))
            .execute(
                "select * from app.start_payment(%s, %s, %s, %s, %s, %s, %s)",
                (
                    package_id,
                    method,
                    customer_id,
                    shop().settings.livemode,
                    success_url,
                    cancel_url,
                    idempotency_key(),
                ),
            )
            .fetchone()
        )
    assert payment is not None
    return payment
