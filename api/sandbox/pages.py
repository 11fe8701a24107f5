"""The pages for people: where a checkout session is paid, and what the sandbox has seen.

They need no script and nothing from elsewhere, and say on top that no money moves.
"""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from api.sandbox import balance, checkout, payments
from api.sandbox.context import Context, visible
from api.sandbox.errors import StripeError
from api.sandbox.operations import Reply
from api.sandbox.payment_methods import BY_NAME, TEST_METHODS, TestMethod, card, make
from api.sandbox.sandbox import Sandbox
from api.sandbox.store import Body
from api.sandbox.subscription_bodies import every, item_of, name_of

SHOWN = 20
DEFAULT_CARD = "pm_card_visa"
BANK = "pm_usBankAccount"
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "cad": "CA$", "aud": "A$"}
WITHOUT_CENTS = ("jpy",)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def price(amount: int, currency: str) -> str:
    """An amount as people write it."""
    sign = "-" if amount < 0 else ""
    figure = f"{abs(amount):,}" if currency in WITHOUT_CENTS else f"{abs(amount) / 100:,.2f}"
    symbol = SYMBOLS.get(currency)
    return f"{sign}{symbol}{figure}" if symbol else f"{sign}{figure} {currency.upper()}"


def spaced(digits: str) -> str:
    """A card number in groups of four."""
    return " ".join(re.findall(r"\d{1,4}", digits))


def moment(seconds: int) -> str:
    """A time, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def add_headers(response: Response) -> Response:
    """Nothing is kept, nothing comes from elsewhere, and nobody frames the page."""
    response.headers.update(HEADERS)
    return response


def pages(sandbox: Sandbox) -> Blueprint:
    """The pages of one sandbox."""
    blueprint = Blueprint("pages", __name__)
    blueprint.add_app_template_filter(spaced)
    blueprint.add_app_template_filter(moment)
    blueprint.after_request(add_headers)

    @blueprint.get("/")
    def dashboard() -> str:
        with sandbox.work(request.host_url) as context:
            checkout.expire_due(context)
            shown = _dashboard(context)
        return render_template("dashboard.html", price=price, **shown)

    @blueprint.get("/pay/<session_id>")
    def pay_page(session_id: str) -> Response:
        with sandbox.work(request.host_url) as context:
            session = _session(context, session_id)
            return _page(context, session)

    @blueprint.post("/pay/<session_id>")
    def pay(session_id: str) -> BaseResponse:
        with sandbox.work(request.host_url) as context:
            session = _session(context, session_id)
            if session["status"] != "open":
                return _page(context, session)
            wrong = {} if request.form.get("method") == "bank" else wrong_fields()
            if wrong:
                return _page(context, session, wrong=wrong, status=422)
            done = _try(context, session)
            return _after(context, session_id, done)

    @blueprint.get("/pay/<session_id>/authenticate")
    def authentication_page(session_id: str) -> BaseResponse:
        with sandbox.work(request.host_url) as context:
            session = _session(context, session_id)
            if not _waits_for_authentication(context, session):
                return redirect(f"/pay/{session_id}", 303)
            return _rendered("authenticate.html", session=session, price=price)

    @blueprint.post("/pay/<session_id>/authenticate")
    def authenticate(session_id: str) -> BaseResponse:
        with sandbox.work(request.host_url) as context:
            session = _session(context, session_id)
            if not _waits_for_authentication(context, session):
                return redirect(f"/pay/{session_id}", 303)
            intent = checkout.intent_of(context, session)
            assert intent is not None
            outcome = "succeeded" if request.form.get("outcome") == "succeeded" else "failed"
            return _after(context, session_id, payments.authenticate(context, intent, outcome))

    return blueprint


def _session(context: Context, session_id: str) -> Body:
    checkout.expire_due(context)
    session = context.store.get(checkout.KIND, session_id)
    if session is None:
        abort(404, "There is no such checkout page.")
    return session


def _page(
    context: Context,
    session: Body,
    *,
    wrong: dict[str, str] | None = None,
    declined: str | None = None,
    status: int = 200,
) -> Response:
    """The page as it is now: to be paid on, with what went wrong, or over."""
    if session["status"] != "open":
        return _rendered("over.html", session=session, price=price, back=success_address(session))
    return _rendered(
        "pay.html",
        status,
        session=session,
        lines=session["_lines"],
        price=price,
        every=every,
        values=card_values(),
        test_cards=[each for each in TEST_METHODS if each.number],
        takes_bank="us_bank_account" in session["payment_method_types"],
        wrong=wrong or {},
        declined=declined,
    )


def card_values() -> dict[str, str]:
    """What stands in the card's fields: what was filled in, or a test card."""
    test_card = BY_NAME.get(request.args.get("card", ""), BY_NAME[DEFAULT_CARD])
    number = test_card.number or BY_NAME[DEFAULT_CARD].number
    return {"number": number, "expiry": "12/34", "code": "123", **request.form}


def _rendered(template: str, status: int = 200, **values: Any) -> Response:
    return make_response(render_template(template, **values), status)


def wrong_fields() -> dict[str, str]:
    """What is not filled in as a card's figures are; none of it is kept or written to a log."""
    wrong = {}
    if not re.fullmatch(r"\d{12,19}", re.sub(r"[\s-]", "", request.form.get("number", ""))):
        wrong["number"] = "A card number has 12 to 19 digits."
    expiry = re.fullmatch(r"\s*(\d{1,2})\s*/\s*(\d{2})\s*", request.form.get("expiry", ""))
    if expiry is None or not 1 <= int(expiry[1]) <= 12:
        wrong["expiry"] = "Write the month and the year, such as 12/34."
    if not re.fullmatch(r"\s*\d{3,4}\s*", request.form.get("code", "")):
        wrong["code"] = "The security code has 3 or 4 digits."
    return wrong


def _try(context: Context, session: Body) -> Body | Reply:
    """Pay with what was filled in."""
    method: TestMethod = BY_NAME[BANK]
    if request.form.get("method") != "bank":
        method = card(request.form.get("number", ""))
    try:
        return checkout.pay(context, session, make(context, method)["id"])
    except StripeError as error:
        return Reply(error.status, error.body)


def _after(context: Context, session_id: str, done: Body | Reply) -> BaseResponse:
    """Where an attempt to pay leads."""
    session = context.require(checkout.KIND, session_id)
    if isinstance(done, Reply):
        declined = done.body["error"]["message"]
        return _page(context, session, declined=declined, status=done.status)
    if done["status"] == "requires_action":
        return redirect(f"/pay/{session_id}/authenticate", 303)
    return redirect(success_address(session), 303)


def _waits_for_authentication(context: Context, session: Body) -> bool:
    if session["status"] != "open":
        return False
    intent = checkout.intent_of(context, session)
    return intent is not None and intent["status"] == "requires_action"


def success_address(session: Body) -> str:
    """Where the shop wants people to arrive."""
    address: str = session["success_url"]
    return address.replace("{CHECKOUT_SESSION_ID}", quote(session["id"]))


def _dashboard(context: Context) -> dict[str, Any]:
    """The newest of everything, and how the webhooks are doing."""
    events = context.store.newest("event", SHOWN)
    return {
        "balances": balance.totals(context),
        "payments": [visible(each) for each in context.store.newest("payment_intent", SHOWN)],
        "sessions": context.store.newest(checkout.KIND, SHOWN, status="open"),
        "accounts": [
            (account, balance.totals(context, account["id"]))
            for account in context.store.newest("account", SHOWN)
        ],
        "subscriptions": [
            (each, name_of(context, item_of(each)["price"]))
            for each in context.store.newest("subscription", SHOWN)
        ],
        "transfers": [visible(each) for each in context.store.newest("transfer", SHOWN)],
        "events": [(event, _delivery(context, event["id"])) for event in events],
    }


def _delivery(context: Context, event_id: str) -> str:
    rows = context.store.query(
        "select d.state, count(a.id) from deliveries as d"
        " left join attempts as a on a.delivery = d.id where d.event = ? group by d.id",
        (event_id,),
    )
    if not rows:
        return "no endpoint"
    return ", ".join(
        state if attempts < 2 else f"{state} ({attempts} attempts)" for state, attempts in rows
    )
