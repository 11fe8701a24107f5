"""The page on which somebody sets up a connected account: who they are, and which bank.

What is filled in is looked at and forgotten, but for the bank account's last digits.
"""

import re
from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from api.sandbox import account_links, onboarding
from api.sandbox.accounts import CURRENCIES
from api.sandbox.context import Context
from api.sandbox.errors import StripeError
from api.sandbox.pages import add_headers
from api.sandbox.sandbox import Sandbox
from api.sandbox.store import Body

COUNTRIES = {
    "AT": "Austria",
    "AU": "Australia",
    "BE": "Belgium",
    "CA": "Canada",
    "CH": "Switzerland",
    "DE": "Germany",
    "ES": "Spain",
    "FR": "France",
    "GB": "United Kingdom",
    "IE": "Ireland",
    "IT": "Italy",
    "JP": "Japan",
    "NL": "Netherlands",
    "US": "United States",
}
PREFILLED = {
    "first_name": "Test",
    "last_name": "Creator",
    "account_number": "000123456789",
    "routing_number": "110000000",
}
BUTTONS = ("everything", "without_document", "save")


def connect_pages(sandbox: Sandbox) -> Blueprint:
    """The page of one sandbox."""
    blueprint = Blueprint("connect", __name__, url_prefix="/connect")
    blueprint.after_request(add_headers)

    @blueprint.get("/<link_id>")
    def open_page(link_id: str) -> BaseResponse:
        with sandbox.work(request.host_url) as context:
            link, account = _found(context, link_id)
            if not account_links.is_fresh(context, link):
                return redirect(link["_refresh_url"], 303)
            if request.method == "GET":  # a HEAD only asks whether somebody is there
                account_links.open_link(context, link)
            return _page(link, account, {})

    @blueprint.post("/<link_id>")
    def fill_in(link_id: str) -> BaseResponse:
        with sandbox.work(request.host_url) as context:
            link, account = _found(context, link_id)
            if not account_links.may_be_filled_in(context, link):
                return redirect(link["_refresh_url"], 303)
            button = request.form.get("button", "")
            wrong = {} if button == "save" else wrong_fields()
            if wrong or button not in BUTTONS:
                return _page(link, account, wrong, 422)
            _take_in(context, account, button)
            account_links.close(context, link)
            return redirect(link["_return_url"], 303)

    return blueprint


def _found(context: Context, link_id: str) -> tuple[Body, Body]:
    try:
        link = account_links.find(context, link_id)
        return link, onboarding.connected(context, link["_account"])
    except StripeError:
        abort(404, "There is no such page.")


def _page(link: Body, account: Body, wrong: dict[str, str], status: int = 200) -> Response:
    page = render_template(
        "connect.html",
        link=link,
        account=account,
        countries=COUNTRIES,
        values={**PREFILLED, "country": account["country"], **request.form},
        wrong=wrong,
    )
    return make_response(page, status)


def _given(name: str) -> str:
    return request.form.get(name, "").strip()


def wrong_fields() -> dict[str, str]:
    """What nobody could be paid out with."""
    wrong = {}
    for name, title in (("first_name", "first name"), ("last_name", "last name")):
        if not 1 <= len(_given(name)) <= 100:
            wrong[name] = f"Write your {title} as it stands in your papers."
    if _given("country") not in CURRENCIES:
        wrong["country"] = "Choose one of these countries."
    if not re.fullmatch(r"[A-Z0-9]{5,34}", _number("account_number")):
        wrong["account_number"] = "An account number has 5 to 34 digits or letters."
    routing = _number("routing_number")
    if not re.fullmatch(r"\d{9}" if _given("country") == "US" else r"\d{0,9}", routing):
        wrong["routing_number"] = "A routing number in the United States has 9 digits."
    return wrong


def _number(name: str) -> str:
    """A number of a bank, without what people write between its digits."""
    return re.sub(r"[\s-]", "", _given(name)).upper()


def _take_in(context: Context, account: Body, button: str) -> None:
    """Do what the button says."""
    names: dict[str, Any] = {
        name: _given(name) for name in ("first_name", "last_name") if _given(name)
    }
    if button == "save":
        onboarding.save(context, account, names)
        return
    country = _given("country")
    if country != account["country"]:
        currency = CURRENCIES[country]
        onboarding.change(context, account, country=country, default_currency=currency)
    holder = f"{names['first_name']} {names['last_name']}"
    number, routing = _number("account_number"), _number("routing_number") or None
    onboarding.add_bank(context, account, number, routing, holder)
    lacks = [onboarding.DOCUMENT] if button == "without_document" else []
    onboarding.submit(context, account, lacks=lacks, verifies=[])
