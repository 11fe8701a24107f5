"""The pages of subscriptions: where people look after them, and where an invoice is paid."""

from typing import Any

from flask import Blueprint, abort, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from api.sandbox import invoice_bodies, invoice_status, invoicing, portal, subscriptions
from api.sandbox import subscription_bodies as bodies
from api.sandbox.context import Context
from api.sandbox.errors import StripeError
from api.sandbox.operations import Reply
from api.sandbox.pages import add_headers, card_values, price, wrong_fields
from api.sandbox.payment_methods import TEST_METHODS, card, make
from api.sandbox.sandbox import Sandbox
from api.sandbox.store import Body

INVOICES_SHOWN = 24


def billing_pages(sandbox: Sandbox) -> Blueprint:
    """The pages of one sandbox."""
    blueprint = Blueprint("billing", __name__)
    blueprint.after_request(add_headers)

    @blueprint.get("/portal/<session_id>")
    def open_portal(session_id: str) -> BaseResponse:
        with sandbox.work(request.host_url) as context:
            return _portal(context, _session(context, session_id))

    @blueprint.post("/portal/<session_id>")
    def use_portal(session_id: str) -> BaseResponse:
        with sandbox.work(request.host_url) as context:
            session = _session(context, session_id)
            wrong = _do(context, session)
            if wrong is not None:
                return _portal(context, session, wrong)
        return redirect(f"/portal/{session_id}", 303)

    @blueprint.get("/invoice/<token>")
    def open_invoice(token: str) -> BaseResponse:
        with sandbox.work(request.host_url) as context:
            return _invoice(context, _found(context, token))

    @blueprint.post("/invoice/<token>")
    def pay_invoice(token: str) -> BaseResponse:
        with sandbox.work(request.host_url) as context:
            invoice = _found(context, token)
            if invoice["status"] != "open":
                return _invoice(context, invoice)
            wrong = wrong_fields()
            if wrong:
                return _invoice(context, invoice, status=422, wrong=wrong)
            refusal = _pay(context, invoice)
            if refusal is not None:
                return _invoice(context, _found(context, token), status=402, declined=refusal)
        return redirect(f"/invoice/{token}", 303)

    return blueprint


def _session(context: Context, session_id: str) -> Body:
    session = context.store.get(portal.KIND, session_id)
    if session is None:
        abort(404, "There is no such page.")
    if not portal.is_usable(context, session):
        abort(410, "This page was open for an hour. Begin again where you came from.")
    return session


def _do(context: Context, session: Body) -> str | None:
    """Do what a button of the portal says; why it could not be done."""
    mine = subscriptions.list_for(context, session["customer"])
    wanted = request.form.get("subscription")
    subscription = next((each for each in mine if each["id"] == wanted), None)
    if subscription is None:
        return "This subscription has ended."
    button = request.form.get("button")
    try:
        with context.undoable():
            if button == "cancel":
                portal.cancel(context, subscription)
            elif button == "keep":
                portal.keep(context, subscription)
            elif button == "change":
                return _told(portal.change(context, subscription, request.form.get("price", "")))
    except StripeError as error:
        return str(error)
    return None


def _told(done: Body | Reply) -> str | None:
    """What a refusal says to people."""
    if not isinstance(done, Reply):
        return None
    message: str = done.body["error"]["message"]
    return message


def _portal(context: Context, session: Body, wrong: str | None = None) -> BaseResponse:
    customer = context.require("customer", session["customer"])
    mine = [
        {
            "id": each["id"],
            "name": bodies.name_of(context, bodies.item_of(each)["price"]),
            "price": bodies.item_of(each)["price"],
            "period_end": bodies.item_of(each)["current_period_end"],
            "status": each["status"],
            "cancel_at": each["cancel_at"],
            "for_sale": _offers(context, each),
        }
        for each in subscriptions.list_for(context, customer["id"])
    ]
    found = context.store.newest(invoice_bodies.KIND, INVOICES_SHOWN, customer=customer["id"])
    page = render_template(
        "portal.html",
        session=session,
        email=customer["email"],
        subscriptions=mine,
        invoices=[each for each in found if each["status"] != "draft"],
        price=price,
        every=bodies.every,
        wrong=wrong,
    )
    return make_response(page, 200 if wrong is None else 402)


def _offers(context: Context, subscription: Body) -> list[tuple[str, str]]:
    """The prices that can be changed to: id and words. None where nothing can be changed."""
    if subscription["status"] not in bodies.RUNNING:
        return []
    return [
        (
            each["id"],
            f"{bodies.name_of(context, each)}, {price(each['unit_amount'], each['currency'])} "
            f"{bodies.every(each)}",
        )
        for each in portal.for_sale(context, subscription)
    ]


def _found(context: Context, token: str) -> Body:
    found = context.store.newest(invoice_bodies.KIND, 1, _token=token)
    if not found:
        abort(404, "There is no such invoice.")
    return found[0]


def _invoice(context: Context, invoice: Body, *, status: int = 200, **more: Any) -> BaseResponse:
    page = render_template(
        "invoice.html",
        invoice=context.require(invoice_bodies.KIND, invoice["id"]),
        price=price,
        action=request.path,
        values=card_values(),
        test_cards=[each for each in TEST_METHODS if each.number],
        **{"wrong": {}, "declined": None, **more},
    )
    return make_response(page, status)


def _pay(context: Context, invoice: Body) -> str | None:
    """Pay with the card that was filled in, and keep it; why it was not paid."""
    method = make(context, card(request.form.get("number", "")))
    done = invoicing.collect(context, invoice, method["id"], is_off_session=False)
    if isinstance(done, Reply):
        return _told(done)
    if done["status"] != "paid":
        return "Your bank asks whether it is you, which this page cannot. Take another card."
    subscription = invoice_bodies.subscription_of(context, invoice)
    invoice_status.keep_method(
        context, subscription, context.require(method["object"], method["id"])
    )
    return None
