"""What an invoice looks like: its lines, its sums, and the payment that belongs to it.

The shape is today's: the subscription stands under `parent`, and how it was paid is a list of
invoice payments, which is shown to those who expand `payments`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from api.sandbox.context import Context
from api.sandbox.store import Body, new_id

KIND = "invoice"
PAYMENT_KIND = "invoice_payment"
SMALLEST_PAYMENT = 50


@dataclass(frozen=True)
class Piece:
    """What an invoice charges for, or gives back where the amount is negative."""

    price: Body
    quantity: int
    amount: int
    start: int
    end: int
    description: str
    is_proration: bool = False


def make(context: Context, subscription: Body, reason: str, pieces: Sequence[Piece]) -> Body:
    """A new draft, kept."""
    customer = context.require("customer", subscription["customer"])
    invoice_id = new_id("in")
    lines = [_line(subscription, invoice_id, piece) for piece in pieces]
    total = sum(piece.amount for piece in pieces)
    is_cycle = reason == "subscription_cycle"
    invoice: Body = {
        "id": invoice_id,
        "object": KIND,
        "account_country": "US",
        "account_name": "Infinite Pages",
        "account_tax_ids": None,
        "amount_due": max(total, 0),
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": max(total, 0),
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": context.now(),
        "currency": subscription["currency"],
        "custom_fields": None,
        "customer": customer["id"],
        "customer_account": None,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {
            "object": "list",
            "data": lines,
            "has_more": False,
            "total_count": len(lines),
            "url": f"/v1/invoices/{invoice_id}/lines",
        },
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {
                "metadata": subscription["metadata"],
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": context.now(),
        "period_start": subscription["_invoiced_at"] if is_cycle else context.now(),
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": customer["balance"],
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": None,
        "threshold_reason": None,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
        "_base_url": context.base_url or subscription["_base_url"],
        "_intent": None,
        "_token": None,
    }
    context.store.insert(invoice)
    return invoice


def _line(subscription: Body, invoice_id: str, piece: Piece) -> Body:
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": piece.amount,
        "currency": subscription["currency"],
        "description": piece.description,
        "discount_amounts": [],
        "discountable": not piece.is_proration,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": subscription["metadata"],
        "parent": _parent(subscription, is_proration=piece.is_proration),
        "period": {"end": piece.end, "start": piece.start},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": piece.price["id"], "product": piece.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": piece.price["unit_amount_decimal"],
        },
        "quantity": piece.quantity,
        "quantity_decimal": str(piece.quantity),
        "subscription": subscription["id"],
        "subtotal": piece.amount,
        "taxes": [],
    }


def _parent(subscription: Body, *, is_proration: bool) -> Body:
    """A proration is an item that waited for an invoice; all else is the subscription's own."""
    common = {
        "proration": is_proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
    }
    if is_proration:
        return {
            "invoice_item_details": {"invoice_item": new_id("ii"), **common},
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None,
            "subscription_item": subscription["items"]["data"][0]["id"],
            **common,
        },
        "type": "subscription_item_details",
    }


def due(total: int, starting_balance: int) -> tuple[int, int]:
    """What is to be paid, and the customer's balance afterwards.

    Money that the customer has with us is below zero there. What is too little to be charged is
    put on the balance and comes with the next invoice.
    """
    owed = total + starting_balance
    return (0, owed) if owed < SMALLEST_PAYMENT else (owed, 0)


def add_payment(context: Context, invoice: Body, intent: Body) -> Body:
    """The payment by which an invoice is to be paid, kept."""
    return context.make(
        PAYMENT_KIND,
        "inpay",
        amount_paid=None,
        amount_requested=invoice["amount_due"],
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=True,
        payment={"payment_intent": intent["id"], "type": "payment_intent"},
        status="open",
        status_transitions={"canceled_at": None, "paid_at": None},
    )


def payments_of(context: Context, invoice: Body) -> list[Body]:
    """The payments of an invoice; there is at most one here."""
    return context.store.newest(PAYMENT_KIND, 1, invoice=invoice["id"])


def subscription_of(context: Context, invoice: Body) -> Body:
    """The subscription that an invoice is for."""
    details = invoice["parent"]["subscription_details"]
    return context.require("subscription", details["subscription"])
