"""Buying credits, by intent or on the page, as payers do: some cards fail, some never come back."""

from typing import Any
from urllib.parse import urlsplit

from tests.torture.board import Board, Paid
from tests.torture.journal import TOP_UP, Outcome, Reply
from tests.torture.person import Person

VISA = "pm_card_visa"
DECLINED = ("pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds")
# For people whose payments may come to nothing: disputed, or with refunds that fail or wait.
TROUBLED = (
    VISA, VISA, VISA, "pm_card_createDispute", "pm_card_createDisputeInquiry",
    "pm_card_refundFail", "pm_card_pendingRefund",
)  # fmt: skip
NEVER_PAID = 0.08
DECLINED_FIRST = 0.15


def top_up(person: Person, board: Board) -> None:
    """One package, and a look whether its credits have come."""
    answer = begin_payment(person)
    if answer is None or person.chance.random() < NEVER_PAID:
        return
    if "client_secret" in answer:
        intent = str(answer["client_secret"]).partition("_secret_")[0]
        path = f"/payment_intents/{intent}/confirm"
    elif answer["url"] is None:
        return
    else:
        session = urlsplit(answer["url"]).path.rpartition("/")[2]
        path = f"/checkout/sessions/{session}/pay"
    if person.chance.random() < DECLINED_FIRST:
        pay(person, path, person.chance.choice(DECLINED))
    is_troubled = person.id in board.troubled
    paid = pay(person, path, person.chance.choice(TROUBLED) if is_troubled else VISA)
    if paid.outcome is not Outcome.DONE:
        return
    query = f"/payments?id=eq.{answer['payment_id']}&select=status"
    person.look("see a payment", query, lambda found: found[0]["status"] == "succeeded")
    if is_troubled:
        board.payments.add(Paid(person.id, answer["payment_id"], paid.body.get("latest_charge")))


def begin_payment(person: Person) -> Any:
    """By intent or on the page."""
    route = person.chance.choice(("purchase", "checkout"))
    body = {"package_id": person.scene.packages["Starter Pack"]}

    def call(key: str) -> Reply:
        return person.edge(TOP_UP.name, f"/credits/{route}", body, key)

    return person.do(TOP_UP, call, route=route)


def pay(person: Person, path: str, method: str) -> Reply:
    """What the browser sends to Stripe. Paying twice is refused there."""
    return person.persist(lambda: person.stripe("pay", path, {"payment_method": method}))
