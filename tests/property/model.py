"""What has to come out of what Stripe says, and of what people do."""

from typing import Any
from uuid import UUID

from tests.property.credits import Credits, Payment, Takeback

PAYMENT_STATUSES = ("pending", "processing", "failed", "canceled", "succeeded")
DISPUTE_STATUSES = ("inquiry", "closed", "open", "lost", "won")
DISPUTE_WORDS = {
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "closed",
    "needs_response": "open",
    "under_review": "open",
    "won": "won",
    "lost": "lost",
}


class Book(Credits):
    """All that the ledger has to know of some people."""

    def __init__(self) -> None:
        super().__init__()
        self.payments: dict[UUID, Payment] = {}

    def begin(self, payment: Payment) -> None:
        self.payments[payment.id] = payment

    def other_cents(self) -> int:
        """Cents at Stripe that have nothing to do with payments."""
        return 0

    def waits_for_account(self, account_id: str, thing: dict[str, Any]) -> bool:
        """Whether news of a connected account come before the account."""
        return False

    # What Stripe says

    def learn(self, thing: dict[str, Any]) -> str:
        """Take in an object of Stripe; what becomes of it."""
        kind = thing["object"].replace(".", "_")
        outcome: str = getattr(self, f"learn_{kind}")(thing)
        return outcome

    def learn_of_account(self, account_id: str, thing: dict[str, Any]) -> str:
        """Take in what happened in a connected account."""
        return "ignored"

    def learn_customer(self, thing: dict[str, Any]) -> str:
        return "applied"

    def learn_charge(self, thing: dict[str, Any]) -> str:
        return "ignored" if thing["status"] == "failed" else "applied"

    def learn_payment_intent(self, intent: dict[str, Any]) -> str:
        payment = self.payments[UUID(intent["metadata"]["payment_id"])]
        status = intent["status"]
        payment.intent_id = payment.intent_id or intent["id"]
        if status == "succeeded":
            self._complete(payment)
        elif status in ("processing", "canceled"):
            _advance(payment, status)
        elif intent["last_payment_error"] is not None and status == "requires_payment_method":
            _advance(payment, "failed")
        return "applied"

    def learn_checkout_session(self, session: dict[str, Any]) -> str:
        payment = self.payments[UUID(session["metadata"]["payment_id"])]
        payment.intent_id = payment.intent_id or session["payment_intent"]
        if session["payment_status"] == "paid":
            self._complete(payment)
        elif session["status"] != "open":
            _advance(payment, "canceled" if session["status"] == "expired" else "processing")
        return "applied"

    def learn_refund(self, refund: dict[str, Any]) -> str:
        payment = self.payment_of(refund)
        if payment is None:
            return "parked"
        takeback = _find(payment, "refund", refund["id"], refund["metadata"].get("refund_id"))
        is_failed = refund["status"] in ("failed", "canceled")
        if takeback is None:
            takeback = Takeback("refund", refund["amount"], "failed" if is_failed else "pending")
            payment.takebacks.append(takeback)
            if not is_failed:
                self._take_what_is_due(payment, takeback)
        takeback.stripe_id = refund["id"]
        takeback.has_moved_money |= refund["balance_transaction"] is not None
        if takeback.status != "failed":
            if is_failed:
                self.fail_refund(payment, takeback)
            elif refund["status"] == "succeeded":
                takeback.status = "succeeded"
                self._settle(takeback)
        return "applied"

    def learn_dispute(self, dispute: dict[str, Any]) -> str:
        payment = self.payment_of(dispute)
        if payment is None:
            return "parked"
        takeback = _find(payment, "dispute", dispute["id"], None)
        if takeback is None:
            takeback = Takeback("dispute", dispute["amount"], "inquiry", stripe_id=dispute["id"])
            payment.takebacks.append(takeback)
        status, before = DISPUTE_WORDS[dispute["status"]], takeback.status
        if DISPUTE_STATUSES.index(status) > DISPUTE_STATUSES.index(before):
            if before in ("inquiry", "closed") and status != "closed":
                takeback.status = "open"
                self._take_what_is_due(payment, takeback)
            takeback.status = status
            takeback.has_moved_money |= status in ("open", "lost", "won")
            if status == "lost":
                self._settle(takeback)
            elif status == "won":
                self._give_back(payment, takeback)
        return "applied"

    def ask_for_refund(self, payment: Payment, own_id: str, cents: int) -> Takeback:
        """An operator's refund, before Stripe knows of it."""
        takeback = Takeback("refund", cents, "pending", own_id=own_id)
        payment.takebacks.append(takeback)
        self._take_what_is_due(payment, takeback)
        return takeback

    def fail_refund(self, payment: Payment, takeback: Takeback) -> None:
        takeback.status = "failed"
        self._give_back(payment, takeback)

    def refundable(self, payment: Payment) -> int:
        """Cents that an operator can still send back."""
        return payment.cents - sum(t.cents for t in payment.takebacks if t.is_active)

    def payment_of(self, thing: dict[str, Any]) -> Payment | None:
        """The payment that succeeded with the object's intent."""
        for payment in self.payments.values():
            if payment.intent_id == thing["payment_intent"] and payment.status == "succeeded":
                return payment
        return None

    # How credits go and come

    def _complete(self, payment: Payment) -> None:
        if payment.status != "succeeded":
            payment.status = "succeeded"
            for credits in (payment.purchased, payment.bonus):
                self._add_lot(payment.payer, payment, credits)

    def _take_what_is_due(self, payment: Payment, takeback: Takeback) -> None:
        """Take the credits that go with the cents of all that takes back, and were not taken."""
        active = [each for each in payment.takebacks if each.is_active]
        cents = min(sum(each.cents for each in active), payment.cents)
        due = payment.credits * cents // payment.cents - sum(each.credits for each in active)
        if due > 0:
            takeback.recalls.append(self._recall(payment, due))
            if takeback.is_final:
                self._settle(takeback)

    def _give_back(self, payment: Payment, takeback: Takeback) -> None:
        """Undo; what another refund or dispute had left to this one, it has to take itself now."""
        for recall in takeback.recalls:
            self._undo(payment, recall)
        active = [each for each in payment.takebacks if each.is_active]
        if active:
            self._take_what_is_due(payment, active[-1])


def _advance(payment: Payment, status: str) -> None:
    """A payment only moves on."""
    payment.status = max(payment.status, status, key=PAYMENT_STATUSES.index)


def _find(payment: Payment, kind: str, stripe_id: str, own_id: str | None) -> Takeback | None:
    for takeback in payment.takebacks:
        is_own = takeback.stripe_id is None and own_id is not None and takeback.own_id == own_id
        if takeback.kind == kind and (is_own or takeback.stripe_id == stripe_id):
            return takeback
    return None
