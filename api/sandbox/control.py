"""The controls under /_sandbox/: failures, webhooks, and what banks and people do.

JSON, without a key, and for this machine only: whoever can reach them owns the sandbox.
"""

import ipaddress
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from api.sandbox import balance, checkout, disputes, forms, onboarding, payments, payouts, refunds
from api.sandbox.calls import json_response
from api.sandbox.context import Context, visible
from api.sandbox.errors import StripeError, invalid, no_such, refused
from api.sandbox.faults import KINDS
from api.sandbox.operations import Reply
from api.sandbox.sandbox import Sandbox
from api.sandbox.store import Body, new_id
from api.sandbox.webhooks import Mode

DEFAULT_DELIVERIES = 100
LARGEST_NUMBER = 1_000_000_000
OUTCOMES = ("succeeded", "failed")
Work = Callable[[Context], Body | Reply]


def control(sandbox: Sandbox) -> Blueprint:
    """The controls of one sandbox."""
    blueprint = Blueprint("control", __name__, url_prefix="/_sandbox")

    @blueprint.before_request
    def only_from_here() -> Response | None:
        address = ipaddress.ip_address(request.remote_addr or "0.0.0.0")
        if address.is_loopback:
            return None
        return json_response(403, {"error": {"message": "Ask from the sandbox's own machine."}})

    blueprint.register_error_handler(
        StripeError, lambda error: json_response(error.status, error.body)
    )
    _add_faults(blueprint, sandbox)
    _add_webhooks(blueprint, sandbox)
    _add_people(blueprint, sandbox)
    _add_banks(blueprint, sandbox)
    _add_accounts(blueprint, sandbox)
    _add_balances(blueprint, sandbox)

    @blueprint.post("/clock")
    def clock() -> Response:
        """Let time pass: {"advance_seconds": n}."""
        seconds = number(body(), "advance_seconds", 0)
        return json_response(200, {"now": sandbox.move_clock(int(seconds))})

    return blueprint


def _add_faults(blueprint: Blueprint, sandbox: Sandbox) -> None:
    @blueprint.get("/faults")
    def list_faults() -> Response:
        return json_response(200, sandbox.faults.listed())

    @blueprint.post("/faults")
    def add_fault() -> Response:
        given = body("method", "path", "fault", "times", "seconds")
        kind = one_of(given, "fault", KINDS, None)
        path = words(given, "path")
        if path is None:
            raise invalid("path is missing, such as /v1/refunds.", "path")
        times = given.get("times", 1)
        if times is not None and (not isinstance(times, int) or times < 1):
            raise invalid("times is a number from 1, or null for always.", "times")
        seconds = number(given, "seconds", 1.0)
        added = sandbox.faults.add(words(given, "method") or "POST", path, kind, times, seconds)
        return json_response(201, added)

    @blueprint.delete("/faults")
    def clear_faults() -> Response:
        sandbox.faults.clear()
        return json_response(200, sandbox.faults.listed())

    @blueprint.post("/faults/release")
    def release_held() -> Response:
        return json_response(200, {"released": sandbox.faults.release()})


def _add_webhooks(blueprint: Blueprint, sandbox: Sandbox) -> None:
    @blueprint.get("/webhooks")
    def list_deliveries() -> Response:
        limit = request.args.get("limit", DEFAULT_DELIVERIES, type=int)
        found = sandbox.webhooks.listed(request.args.get("event"), limit)
        return json_response(200, {"mode": sandbox.webhooks.mode(), "deliveries": found})

    @blueprint.post("/webhooks/mode")
    def set_mode() -> Response:
        given = body("mode", "duplicate", "shuffle", "delay_seconds", "drop")
        mode = Mode(
            one_of(given, "mode", ("deliver", "hold"), "deliver"),
            int(number(given, "duplicate", 0)),
            given.get("shuffle") is True,
            number(given, "delay_seconds", 0),
            int(number(given, "drop", 0)),
        )
        return json_response(200, sandbox.webhooks.set_mode(mode))

    @blueprint.post("/webhooks/release")
    def release_events() -> Response:
        wanted = body("events").get("events")
        if wanted is not None and not (
            isinstance(wanted, list) and all(isinstance(each, str) for each in wanted)
        ):
            raise invalid("events is a list of event ids.", "events")
        return _delivered(lambda: sandbox.webhooks.release(wanted))

    @blueprint.post("/webhooks/resend")
    def resend_event() -> Response:
        event_id = words(body("event"), "event")
        if event_id is None:
            raise invalid("event is missing.", "event")
        return _delivered(lambda: sandbox.webhooks.resend(event_id))


def _delivered(deliver: Callable[[], list[dict[str, Any]]]) -> Response:
    try:
        return json_response(200, deliver())
    except KeyError as error:
        raise no_such("event", str(error.args[0]), "event", 404) from None


def _add_people(blueprint: Blueprint, sandbox: Sandbox) -> None:
    """What people do in their browser and with their bank's app."""

    @blueprint.post("/payment_intents/<intent>/confirm")
    def confirm(intent: str) -> Response:
        method = words(body("payment_method"), "payment_method")
        return done(
            sandbox,
            lambda context: payments.confirm(
                context, named(context, "payment_intent", intent), method
            ),
        )

    @blueprint.post("/payment_intents/<intent>/authenticate")
    def authenticate(intent: str) -> Response:
        outcome = one_of(body("outcome"), "outcome", OUTCOMES, "succeeded")

        def work(context: Context) -> Body:
            found = named(context, "payment_intent", intent)
            payments.authenticate(context, found, outcome)
            return found

        return done(sandbox, work)

    @blueprint.post("/checkout/sessions/<session>/pay")
    def pay(session: str) -> Response:
        method = words(body("payment_method"), "payment_method") or "pm_card_visa"
        return done(
            sandbox,
            lambda context: checkout.pay(
                context, named(context, "checkout.session", session), method
            ),
        )


def _add_banks(blueprint: Blueprint, sandbox: Sandbox) -> None:
    """What banks do when their time has come."""

    @blueprint.post("/payment_intents/<intent>/settle")
    def settle_payment(intent: str) -> Response:
        outcome = one_of(body("outcome"), "outcome", OUTCOMES, "succeeded")
        return done(
            sandbox,
            lambda context: payments.settle(
                context, named(context, "payment_intent", intent), outcome
            ),
        )

    @blueprint.post("/refunds/<refund>/settle")
    def settle_refund(refund: str) -> Response:
        outcome = one_of(body("outcome"), "outcome", OUTCOMES, "succeeded")

        def work(context: Context) -> Body:
            found = named(context, "refund", refund)
            if found["status"] != "pending" and outcome == "succeeded":
                raise refused(f"This refund is not pending: it is {found['status']}.")
            if found["status"] == "failed":
                raise refused("This refund has failed already.")
            return refunds.settle(context, found, outcome)

        return done(sandbox, work)

    @blueprint.post("/charges/<charge>/dispute")
    def dispute_charge(charge: str) -> Response:
        given = body("amount", "reason", "inquiry")
        amount = given.get("amount")
        if amount is not None and not isinstance(amount, int):
            raise invalid("amount is a whole number.", "amount")
        reason = one_of(given, "reason", disputes.REASONS, "fraudulent")
        return done(
            sandbox,
            lambda context: disputes.open_dispute(
                context,
                named(context, "charge", charge),
                reason,
                amount=amount,
                is_inquiry=given.get("inquiry") is True,
            ),
        )

    @blueprint.post("/disputes/<dispute>/decide")
    def decide_dispute(dispute: str) -> Response:
        outcome = one_of(body("outcome"), "outcome", ("won", "lost"), None)
        return done(
            sandbox,
            lambda context: disputes.decide(context, named(context, "dispute", dispute), outcome),
        )


def _add_accounts(blueprint: Blueprint, sandbox: Sandbox) -> None:
    """What becomes of connected accounts, without the page on which people set them up."""

    def changed(account: str, change: Callable[[Context, Body], Body]) -> Response:
        return done(
            sandbox, lambda context: change(context, onboarding.connected(context, account))
        )

    @blueprint.post("/accounts/<account>/complete")
    def complete(account: str) -> Response:
        """Everything is handed in: {"lacks": [...]} but this, {"verifies": [...]} is looked at."""
        given = body("lacks", "verifies")
        lacks, verifies = texts(given, "lacks"), texts(given, "verifies")
        return changed(
            account,
            lambda context, found: onboarding.submit(
                context, found, lacks=lacks, verifies=verifies
            ),
        )

    @blueprint.post("/accounts/<account>/require")
    def require(account: str) -> Response:
        """More is asked for: in two weeks, or {"past_due": true} now."""
        given = body("fields", "past_due")
        fields = texts(given, "fields")
        if not fields:
            raise invalid(f"fields is missing, such as {onboarding.DOCUMENT}.", "fields")
        is_late = given.get("past_due") is True
        return changed(
            account,
            lambda context, found: onboarding.require(context, found, fields, is_late=is_late),
        )

    @blueprint.post("/accounts/<account>/disable")
    def disable(account: str) -> Response:
        reason = words(body("reason"), "reason") or "under_review"
        return changed(account, lambda context, found: onboarding.stop(context, found, reason))

    @blueprint.post("/accounts/<account>/deauthorize")
    def deauthorize(account: str) -> Response:
        return changed(account, onboarding.deauthorize)

    @blueprint.post("/accounts/<account>/pay_out")
    def pay_out(account: str) -> Response:
        amount = whole(body("amount"), "amount")
        return changed(account, lambda context, found: payouts.pay_out(context, found, amount))

    @blueprint.post("/accounts/<account>/bank_refuses")
    def bank_refuses(account: str) -> Response:
        given = body("amount", "failure_code")
        amount = whole(given, "amount")
        code = one_of(given, "failure_code", tuple(payouts.FAILURES), "account_closed")
        return changed(
            account, lambda context, found: payouts.pay_out(context, found, amount, code)
        )


def _add_balances(blueprint: Blueprint, sandbox: Sandbox) -> None:
    @blueprint.post("/balance/top_up")
    def top_up() -> Response:
        """Money comes from the platform's own bank: {"amount": 100000, "currency": "usd"}."""
        given = body("amount", "currency")
        amount = whole(given, "amount")
        if amount is None:
            raise invalid("amount is missing.", "amount")
        currency = forms.currency(given.get("currency", "usd"), "currency")

        def work(context: Context) -> Body:
            source = {"id": new_id("tu"), "currency": currency}
            return balance.record(context, source, balance.Line("topup", "topup", amount))

        return done(sandbox, work)


def done(sandbox: Sandbox, work: Work) -> Response:
    """Do some work; what it made or changed is the answer."""
    with sandbox.work(request.host_url) as context:
        answer = work(context)
        if isinstance(answer, Reply):
            return json_response(answer.status, answer.body)
        return json_response(200, visible(answer))


def named(context: Context, kind: str, object_id: str) -> Body:
    """The object that the URL names, or 404."""
    found = context.store.get(kind, object_id)
    if found is None:
        raise no_such(kind, object_id, "id", 404)
    return found


def body(*known: str) -> dict[str, Any]:
    """The request's JSON object; without one, an empty object."""
    if not request.get_data():
        return {}
    given = request.get_json(silent=True)
    if not isinstance(given, dict):
        raise invalid("Send a JSON object, with Content-Type: application/json.")
    for name in given:
        if known and name not in known:
            raise invalid(f"{name} is unknown here; known: {', '.join(known)}.", name)
    return given


def number(given: dict[str, Any], name: str, default: float) -> float:
    """A number from 0 to a thousand million, which is enough for seconds and for counts."""
    value = given.get(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= LARGEST_NUMBER:
        raise invalid(f"{name} is a number from 0 to {LARGEST_NUMBER}.", name)
    return float(value)


def words(given: dict[str, Any], name: str) -> str | None:
    """A text, or None."""
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{name} is a text.", name)
    return value


def whole(given: dict[str, Any], name: str) -> int | None:
    """A whole number from 1, or None."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST_NUMBER:
        raise invalid(f"{name} is a whole number from 1 to {LARGEST_NUMBER}.", name)
    return value


def texts(given: dict[str, Any], name: str) -> list[str]:
    """A list of texts; without one, an empty list."""
    value = given.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise invalid(f"{name} is a list of texts.", name)
    return sorted(set(value))


def one_of(given: dict[str, Any], name: str, allowed: tuple[str, ...], default: str | None) -> str:
    """One of some words."""
    value = given.get(name, default)
    if value not in allowed:
        raise invalid(f"{name} is one of: {', '.join(allowed)}.", name)
    return str(value)
