"""Test payment methods: the same names and numbers as in Stripe's test mode.

What a method does later (a dispute, a failing refund) is kept beside it under `_behaviour`.
"""

import re
from dataclasses import dataclass
from typing import Any

from api.sandbox.context import Context
from api.sandbox.errors import no_such
from api.sandbox.operations import Operation
from api.sandbox.store import Body, random_text


@dataclass(frozen=True)
class Decline:
    """Why a bank says no."""

    code: str
    message: str
    decline_code: str | None = None

    def error(self) -> Body:
        """As it appears in an error and in `last_payment_error`."""
        error: Body = {"type": "card_error", "code": self.code, "message": self.message}
        if self.decline_code is not None:
            error["decline_code"] = self.decline_code
        return error


GENERIC = Decline("card_declined", "Your card was declined.", "generic_decline")
NO_FUNDS = Decline("card_declined", "Your card has insufficient funds.", "insufficient_funds")
EXPIRED = Decline("expired_card", "Your card has expired.", "expired_card")
WRONG_CODE = Decline("incorrect_cvc", "Your card's security code is incorrect.", "incorrect_cvc")
NOT_A_TEST_CARD = Decline(
    "card_declined",
    "Your card was declined: this is a sandbox, which takes only the test cards.",
    "test_mode_live_card",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "Your card was declined. It needs authentication, and you were not there to give it.",
    "authentication_required",
)
AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    "The payment method could not be authenticated. Choose another one and try again.",
)
DEBIT_RETURNED = Decline(
    "payment_intent_payment_attempt_failed", "Your bank account could not be debited."
)


@dataclass(frozen=True)
class TestMethod:
    """A payment method that is known by its name, and by its number if it is a card."""

    name: str
    title: str
    number: str = ""
    brand: str = "visa"
    decline: Decline | None = None
    behaviour: str | None = None


TEST_METHODS = (
    TestMethod("pm_card_visa", "Visa, succeeds", "4242424242424242"),
    TestMethod("pm_card_mastercard", "Mastercard, succeeds", "5555555555554444", "mastercard"),
    TestMethod("pm_card_chargeDeclined", "Declined", "4000000000000002", decline=GENERIC),
    TestMethod(
        "pm_card_chargeDeclinedInsufficientFunds",
        "Declined, insufficient funds",
        "4000000000009995",
        decline=NO_FUNDS,
    ),
    TestMethod(
        "pm_card_chargeDeclinedExpiredCard",
        "Declined, expired card",
        "4000000000000069",
        decline=EXPIRED,
    ),
    TestMethod(
        "pm_card_chargeDeclinedIncorrectCvc",
        "Declined, wrong security code",
        "4000000000000127",
        decline=WRONG_CODE,
    ),
    TestMethod(
        "pm_card_authenticationRequired",
        "Asks for authentication",
        "4000002500003155",
        behaviour="authentication",
    ),
    TestMethod(
        "pm_card_createDispute",
        "Succeeds, is disputed as fraud",
        "4000000000000259",
        behaviour="dispute",
    ),
    TestMethod(
        "pm_card_createDisputeProductNotReceived",
        "Succeeds, is disputed as not received",
        "4000000000002685",
        behaviour="dispute_not_received",
    ),
    TestMethod(
        "pm_card_createDisputeInquiry",
        "Succeeds, the bank inquires",
        "4000000000001976",
        behaviour="inquiry",
    ),
    TestMethod(
        "pm_card_refundFail",
        "Succeeds, a refund fails later",
        "4000000000005126",
        behaviour="refund_fails",
    ),
    TestMethod(
        "pm_card_pendingRefund",
        "Succeeds, a refund stays pending",
        "4000000000007726",
        behaviour="refund_pends",
    ),
    TestMethod(
        "pm_card_chargeCustomerFail",
        "Can be kept, is declined when charged",
        "4000000000000341",
        decline=GENERIC,
        behaviour="fails_later",
    ),
    TestMethod("pm_usBankAccount", "US bank account, settles later", behaviour="settles_later"),
)
# Other names that Stripe documents for the same cards.
ALIASES = {
    "pm_card_visa_chargeDeclined": "pm_card_chargeDeclined",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "pm_card_chargeDeclinedInsufficientFunds",
    "pm_usBankAccount_success": "pm_usBankAccount",
}
BY_NAME = {each.name: each for each in TEST_METHODS}
BY_NUMBER = {each.number: each for each in TEST_METHODS if each.number}
UNKNOWN_CARD = TestMethod("pm_card_unknown", "Not a test card", decline=NOT_A_TEST_CARD)


def card(number: str) -> TestMethod:
    """The test card of a number as people type it; any other card is declined."""
    return BY_NUMBER.get(re.sub(r"[\s-]", "", number), UNKNOWN_CARD)


def resolve(context: Context, name: str) -> Body:
    """A payment method of that name: a new one for a test method, else the one that is kept."""
    test_method = BY_NAME.get(ALIASES.get(name, name))
    if test_method is not None:
        return make(context, test_method)
    found = context.store.get("payment_method", name)
    if found is None:
        raise no_such("PaymentMethod", name, "payment_method")
    return found


def make(context: Context, test_method: TestMethod) -> Body:
    """A payment method as a browser would have made it."""
    kind = "card" if test_method is not BY_NAME["pm_usBankAccount"] else "us_bank_account"
    return context.make(
        "payment_method",
        "pm",
        type=kind,
        billing_details={"address": None, "email": None, "name": None, "phone": None},
        customer=None,
        metadata={},
        **{kind: _card(test_method) if kind == "card" else _bank_account()},
        _behaviour=test_method.behaviour,
        _decline=decline_name(test_method),
    )


def decline_name(test_method: TestMethod) -> str | None:
    """Under which name a kept method finds its reason to decline again."""
    return test_method.name if test_method.decline is not None else None


def decline_of(payment_method: Body) -> Decline | None:
    """Why a payment with this method is declined, if it is."""
    name = payment_method["_decline"]
    return None if name is None else BY_NAME.get(name, UNKNOWN_CARD).decline


def details(payment_method: Body) -> Body:
    """What a charge tells of its payment method."""
    kind = payment_method["type"]
    shown: dict[str, Any] = {"type": kind, kind: payment_method[kind]}
    return shown


def _card(test_method: TestMethod) -> Body:
    return {
        "brand": test_method.brand,
        "checks": {"cvc_check": "pass"},
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": random_text(16),
        "funding": "credit",
        "last4": test_method.number[-4:] or "0000",
    }


def _bank_account() -> Body:
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "last4": "6789",
        "routing_number": "110000000",
    }


def retrieve(context: Context) -> Body:
    """GET /v1/payment_methods/<id>."""
    return context.named("payment_method", "payment_method")


OPERATIONS = (Operation("GET", "/v1/payment_methods/<payment_method>", retrieve),)
