"""The second part of the story: money comes in, some of it goes back, a bank asks questions."""

from typing import Any

from api.demo import figures
from api.demo.books import FIRST_BOOK
from api.demo.cast import Cast, balance_of, wait_for
from api.demo.checklist import Checklist, cents, credits, money
from api.demo.figures import ADMIN, READER, STRANGER

STARTER_PACK = "Starter Pack"


def tell_payment(cast: Cast, checklist: Checklist) -> None:
    """Credits are bought with a card, refunded in part, disputed and given back."""
    _Payment(cast, checklist).tell()


class _Payment:
    """The steps, in order."""

    def __init__(self, cast: Cast, checklist: Checklist) -> None:
        self._cast = cast
        self._step = checklist.step
        self._figure = checklist.figure

    def tell(self) -> None:
        payment = self._reader_pays_by_card()
        self._stripe_says_it_again(payment)
        self._operator_refunds_a_part(payment)
        disputed = self._stranger_pays_and_spends()
        self._a_bank_asks(disputed)

    def _reader_pays_by_card(self) -> str:
        self._step("She tops up: a Starter Pack, paid with the test card 4242.")
        payment = self._cast.pay(READER, self._cast.reader, STARTER_PACK)
        charged = self._cast.reader.row("payments", id=f"eq.{payment}")["amount_cents"]
        lines = self._cast.reader.rows(
            "credit_transactions", reference_id=f"eq.{payment}", order="id"
        )
        receipt = self._cast.reader.row("receipts", payment_id=f"eq.{payment}")
        bought = [line["amount"] for line in lines]
        left = balance_of(self._cast.reader)
        self._figure("charged", charged, figures.STARTER_PRICE, cents)
        self._figure("credits bought, and on top", bought, figures.STARTER_CREDITS, _sum)
        self._figure("in her wallet", left, figures.LEFT_AFTER_TOP_UP, credits)
        self._figure("on her receipt", receipt["net_cents"], figures.STARTER_PRICE, cents)
        return payment

    def _stripe_says_it_again(self, payment: str) -> None:
        self._step("Stripe delivers the same news a second time.")
        intent = self._cast.reader.row("payments", id=f"eq.{payment}")["stripe_payment_intent_id"]
        event = self._cast.admin.row(
            "stripe_events", object_id=f"eq.{intent}", type="eq.payment_intent.succeeded"
        )
        answers = self._cast.sandbox.post("_sandbox/webhooks/resend", event=event["id"])
        left = balance_of(self._cast.reader)
        self._figure("answered with", answers[0]["status"], 200)
        self._figure("in her wallet", left, figures.LEFT_AFTER_TOP_UP, credits)

    def _operator_refunds_a_part(self, payment: str) -> None:
        self._step("The operator sends $2.50 back to her card.")
        edge = self._cast.at_the_edge(ADMIN)
        refund = edge.post(
            f"payments/{payment}/refund", amount_cents=figures.REFUNDED, reason="bought too many"
        )
        wait_for(self._cast.reader, "refunds", refund["refund_id"], "status", "succeeded")
        taken = self._cast.reader.row("refunds", id=f"eq.{refund['refund_id']}")["credits"]
        receipt = self._cast.reader.row("receipts", payment_id=f"eq.{payment}")
        left = balance_of(self._cast.reader)
        self._figure("credits that go with it", taken, figures.RECALLED_FOR_REFUND, credits)
        self._figure("left in her wallet", left, figures.LEFT_AFTER_REPAYMENT, credits)
        self._figure("on her receipt", receipt["net_cents"], figures.KEPT_OF_STARTER, cents)

    def _stranger_pays_and_spends(self) -> str:
        self._step(f"{STRANGER.display_name} tops up too, and buys all of {FIRST_BOOK.title!r}.")
        stranger = self._cast.stranger
        payment = self._cast.pay(STRANGER, stranger, STARTER_PACK)
        book = stranger.row("stories", title=f"eq.{FIRST_BOOK.title}")["id"]
        bought = stranger.call("purchase_story", story_id=book, purchase_type="premium_unlock")
        self._figure("paid", bought["credits_spent"], figures.UNLOCK_PRICE, credits)
        self._figure("left", bought["balance"], figures.LEFT_AFTER_UNLOCK, credits)
        self._figure("earned by the author", self._earned(), figures.EARNED_WITH_UNLOCK, money)
        return payment

    def _a_bank_asks(self, payment: str) -> None:
        self._step("His bank disputes the payment: what it bought is frozen.")
        stranger = self._cast.stranger
        intent = stranger.row("payments", id=f"eq.{payment}")["stripe_payment_intent_id"]
        charge = self._cast.sandbox.get(f"v1/payment_intents/{intent}")["latest_charge"]
        dispute = self._cast.sandbox.post(f"_sandbox/charges/{charge}/dispute")["id"]
        wait_for(stranger, "payments", payment, "dispute_status", "open")
        self._figure("in his wallet", balance_of(stranger), 0, credits)
        self._figure("left to the author", self._earned(), figures.EARNED_IN_DISPUTE, money)

        self._step("The bank decides for the platform: all of it is back.")
        self._cast.sandbox.post(f"_sandbox/disputes/{dispute}/decide", outcome="won")
        wait_for(stranger, "payments", payment, "dispute_status", "won")
        left = balance_of(stranger)
        self._figure("in his wallet", left, figures.LEFT_AFTER_UNLOCK, credits)
        self._figure("left to the author", self._earned(), figures.EARNED_WITH_UNLOCK, money)

    def _earned(self) -> int:
        summary: dict[str, Any] = self._cast.creator.call("earnings_summary")
        earned: int = summary["balance_microdollars"]
        return earned


def _sum(parts: list[int]) -> str:
    return " + ".join(str(part) for part in parts)
