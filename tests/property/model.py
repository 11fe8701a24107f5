"""What has to come out, in a few pages of Python that know nothing of the SQL.

A payment puts lots into a wallet. Spending takes the oldest lots first. Money that goes back, a
refund or a dispute, takes credits with it: unspent ones of that payment first, the newest lot
first, then the newest sales. What is undecided is frozen; what is undone comes back as new lots.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

CREDIT_VALUE = 50_000  # micro-dollars
CREATORS_BASIS_POINTS = 7000
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


@dataclass(eq=False)
class Payment:
    """Money for credits, as far as the ledger knows."""

    id: UUID
    payer: UUID
    cents: int
    purchased: int
    bonus: int
    status: str = "pending"
    intent_id: str | None = None
    takebacks: list["Takeback"] = field(default_factory=list)

    @property
    def credits(self) -> int:
        return self.purchased + self.bonus


@dataclass(eq=False)
class Lot:
    """Credits that came together, bought by a payment."""

    number: int
    payment: Payment
    left: int


@dataclass(eq=False)
class Draw:
    """What a sale took from one lot, and how much of that was taken back."""

    lot: Lot
    credits: int
    taken: int = 0


@dataclass(frozen=True)
class Story:
    """A story on sale; its authors share in basis points."""

    id: UUID
    price: int
    shares: tuple[tuple[UUID, int], ...]

    def earnings(self, credits: int) -> dict[UUID, int]:
        """What each author earns by a sale: rounded down, and the rest for the first."""
        pool = credits * CREDIT_VALUE * CREATORS_BASIS_POINTS // 10_000
        parts = {author: pool * share // 10_000 for author, share in self.shares}
        first = self.shares[0][0]
        return {**parts, first: pool - sum(parts.values()) + parts[first]}


@dataclass(eq=False)
class Sale:
    """Chapters of a story for credits."""

    id: UUID
    reader: UUID
    story: Story
    chapters: tuple[int, ...]
    draws: list[Draw]
    gone: int = 0  # credits that came back or were taken for good
    releases: int = 0

    @property
    def credits(self) -> int:
        return sum(draw.credits for draw in self.draws)

    @property
    def taken(self) -> int:
        return sum(draw.taken for draw in self.draws)

    @property
    def is_closed(self) -> bool:
        return self.gone == self.credits


@dataclass(eq=False)
class Recall:
    """Credits that were taken from a wallet and from sales at one time."""

    credits: int
    from_wallet: list[tuple[Lot, int]] = field(default_factory=list)
    from_sales: list[tuple[Sale, Draw, int]] = field(default_factory=list)
    state: str = "frozen"  # then final or released; what was final may be returned


@dataclass(eq=False)
class Takeback:
    """A refund or a dispute of a payment."""

    kind: str
    cents: int
    status: str
    own_id: str | None = None
    stripe_id: str | None = None
    has_moved_money: bool = False
    recalls: list[Recall] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        return self.status in ("pending", "succeeded", "open", "lost")

    @property
    def is_final(self) -> bool:
        return self.status in ("succeeded", "lost")

    @property
    def credits(self) -> int:
        return sum(recall.credits for recall in self.recalls)

    @property
    def frozen_from_wallet(self) -> int:
        frozen = [recall for recall in self.recalls if recall.state == "frozen"]
        return sum(credits for recall in frozen for _, credits in recall.from_wallet)


class Book:
    """All that the ledger has to know of some people."""

    def __init__(self) -> None:
        self.payments: dict[UUID, Payment] = {}
        self.wallets: dict[UUID, list[Lot]] = {}
        self.sales: list[Sale] = []
        self._numbers = count(1)

    # What people do

    def begin(self, payment: Payment) -> None:
        self.payments[payment.id] = payment

    def balance(self, person: UUID) -> int:
        return sum(lot.left for lot in self.wallets.get(person, []))

    def other_cents(self) -> int:
        """Cents at Stripe that have nothing to do with payments."""
        return 0

    def waits_for_account(self, account_id: str, thing: dict[str, Any]) -> bool:
        """Whether news of a connected account come before the account."""
        return False

    def owned(self, reader: UUID, story: Story) -> set[int]:
        """The chapters that somebody has paid for and may read."""
        bought = [s for s in self.sales if (s.reader, s.story.id) == (reader, story.id)]
        return {chapter for s in bought if not s.is_closed for chapter in s.chapters}

    def buy(self, sale_id: UUID, reader: UUID, story: Story, chapters: tuple[int, ...]) -> Sale:
        """Spend, from the oldest lot to the newest."""
        missing = story.price * len(chapters)
        draws = []
        for lot in self.wallets[reader]:
            part = min(lot.left, missing)
            if part:
                lot.left -= part
                missing -= part
                draws.append(Draw(lot, part))
        assert missing == 0
        sale = Sale(sale_id, reader, story, chapters, draws)
        self.sales.append(sale)
        return sale

    def return_sale(self, sale: Sale, credits: int) -> None:
        """An operator gives credits of a sale back: those drawn last come first."""
        assert 1 <= credits <= sale.credits - sale.taken
        back: list[tuple[Lot, int]] = []
        for draw in reversed(sale.draws):
            part = min(draw.credits - draw.taken, credits)
            if part:
                draw.taken += part
                credits -= part
                sale.gone += part
                back.append((draw.lot, part))
        self._add_lots(sale.reader, back)

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

    def _add_lot(self, person: UUID, payment: Payment, credits: int) -> None:
        if credits:
            self.wallets.setdefault(person, []).append(Lot(next(self._numbers), payment, credits))

    def _add_lots(self, person: UUID, parts: list[tuple[Lot, int]]) -> None:
        """Credits that come back, in the order of the lots that they came from."""
        for lot, credits in sorted(parts, key=lambda part: part[0].number):
            self._add_lot(person, lot.payment, credits)

    def _take_what_is_due(self, payment: Payment, takeback: Takeback) -> None:
        """Take the credits that go with the cents of all that takes back, and were not taken."""
        active = [each for each in payment.takebacks if each.is_active]
        cents = min(sum(each.cents for each in active), payment.cents)
        due = payment.credits * cents // payment.cents - sum(each.credits for each in active)
        if due > 0:
            takeback.recalls.append(self._recall(payment, due))
            if takeback.is_final:
                self._settle(takeback)

    def _recall(self, payment: Payment, missing: int) -> Recall:
        recall = Recall(missing)
        for lot in reversed(self.wallets[payment.payer]):
            part = min(lot.left, missing) if lot.payment is payment else 0
            if part:
                lot.left -= part
                missing -= part
                recall.from_wallet.append((lot, part))
        for sale, draw in self._spent(payment):
            part = min(draw.credits - draw.taken, missing)
            if part:
                draw.taken += part
                missing -= part
                recall.from_sales.append((sale, draw, part))
        assert missing == 0, "credits of a payment are in its wallet or in its sales"
        return recall

    def _spent(self, payment: Payment) -> Iterator[tuple[Sale, Draw]]:
        """Where the credits of a payment went, the newest first."""
        for sale in reversed(self.sales):
            for draw in reversed(sale.draws):
                if draw.lot.payment is payment:
                    yield sale, draw

    def _settle(self, takeback: Takeback) -> None:
        for recall in takeback.recalls:
            if recall.state == "frozen":
                recall.state = "final"
                for sale, _, credits in recall.from_sales:
                    sale.gone += credits

    def _give_back(self, payment: Payment, takeback: Takeback) -> None:
        """Undo; what another refund or dispute had left to this one, it has to take itself now."""
        for recall in takeback.recalls:
            self._undo(payment, recall)
        active = [each for each in payment.takebacks if each.is_active]
        if active:
            self._take_what_is_due(payment, active[-1])

    def _undo(self, payment: Payment, recall: Recall) -> None:
        """As it was if nothing was decided, else as credits in the wallet."""
        back = list(recall.from_wallet)
        if recall.state == "frozen":
            recall.state = "released"
            for _, draw, credits in recall.from_sales:
                draw.taken -= credits
            for sale in {id(sale): sale for sale, _, _ in recall.from_sales}.values():
                sale.releases += 1
        elif recall.state == "final":
            recall.state = "returned"
            back += [(draw.lot, credits) for _, draw, credits in recall.from_sales]
        self._add_lots(payment.payer, back)


def _advance(payment: Payment, status: str) -> None:
    """A payment only moves on."""
    payment.status = max(payment.status, status, key=PAYMENT_STATUSES.index)


def _find(payment: Payment, kind: str, stripe_id: str, own_id: str | None) -> Takeback | None:
    for takeback in payment.takebacks:
        is_own = takeback.stripe_id is None and own_id is not None and takeback.own_id == own_id
        if takeback.kind == kind and (is_own or takeback.stripe_id == stripe_id):
            return takeback
    return None
