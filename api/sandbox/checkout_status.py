"""What becomes of a checkout session when its payment moves."""

from api.sandbox.context import Context
from api.sandbox.store import Body


def complete(context: Context, intent: Body, *, is_paid: bool) -> None:
    """The page was completed: paid, or with a bank debit that takes days."""
    session = _session(context, intent)
    if session is None:
        return
    finish(context, session, "paid" if is_paid else "unpaid")


def finish(context: Context, session: Body, payment_status: str) -> None:
    """The page is complete, and tells what it has begun."""
    begun: Body = {}
    if session["mode"] == "subscription":
        subscription = context.require("subscription", session["_subscription"])
        begun = {
            "customer": subscription["customer"],
            "invoice": subscription["latest_invoice"],
            "subscription": subscription["id"],
        }
    context.change(
        session,
        **begun,
        payment_status=payment_status,
        status="complete",
        url=None,
        customer_details={
            "address": None,
            "email": session["customer_email"],
            "name": None,
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        },
    )
    context.emit("checkout.session.completed", session)


def settle(context: Context, intent: Body, *, is_paid: bool) -> None:
    """The bank debit of a completed page came through, or did not."""
    session = _session(context, intent)
    if session is None:
        return
    if is_paid:
        context.change(session, payment_status="paid")
    outcome = "succeeded" if is_paid else "failed"
    context.emit(f"checkout.session.async_payment_{outcome}", session)


def _session(context: Context, intent: Body) -> Body | None:
    session_id = intent["_session"]
    return None if session_id is None else context.require("checkout.session", session_id)
