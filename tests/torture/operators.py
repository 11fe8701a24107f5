"""Operators, who take back, refund, correct and close months; and banks, which dispute."""

from datetime import UTC, date, datetime

from tests.torture.board import Board
from tests.torture.journal import ADJUST, GRANT, REFUND, SALE_REFUND, Outcome, Reply
from tests.torture.person import Person

MONTHS_BACK = 12


class Operator:
    """Somebody with the service role."""

    def __init__(self, person: Person, board: Board) -> None:
        self.person = person
        self.board = board
        self.chance = person.chance

    def step(self) -> bool:
        """One thing that operators do."""
        acts = (self.take_back, self.refund, self.adjust, self.grant, self.close_month)
        self.chance.choices(acts, (4, 4, 2, 2, 1))[0]()
        return True

    def take_back(self) -> None:
        """A sale, whole or in part."""
        sale = self.board.sales.draw(self.chance)
        if sale is None:
            return
        body = {
            "user_id": str(sale.reader),
            "purchase_id": sale.purchase_id,
            "reason": "it was a mistake",
            "credits": self.chance.choice((None, None, 5)),
        }

        def call(key: str) -> Reply:
            return self.person.rpc(SALE_REFUND.name, "refund_story_purchase", body, key)

        allowed = ("already_reversed", "reversal_too_large")
        self.person.do(SALE_REFUND, call, *allowed, person=sale.reader, sale=sale)

    def refund(self) -> None:
        """A payment, whole or in part."""
        paid = self.board.payments.draw(self.chance)
        if paid is None:
            return
        body = {"reason": "as agreed"}
        part = self.chance.choice((None, 100, 250))
        given = body if part is None else {**body, "amount_cents": part}

        def call(key: str) -> Reply:
            return self.person.edge(REFUND.name, f"/payments/{paid.payment_id}/refund", given, key)

        allowed = ("payment_not_succeeded", "already_refunded", "refund_too_large")
        self.person.do(REFUND, call, *allowed, person=paid.payer, payment=paid.payment_id)

    def adjust(self) -> None:
        creator = self.chance.choice(self.board.creators)
        amount = self.chance.randint(1, 3_000_000)
        body = {"creator_id": str(creator), "amount_microdollars": amount, "reason": "a prize"}

        def call(key: str) -> Reply:
            return self.person.rpc(ADJUST.name, "adjust_earnings", body, key)

        self.person.do(ADJUST, call, person=creator, amount=amount)

    def grant(self) -> None:
        reader = self.board.readers.draw(self.chance)
        if reader is None or reader in self.board.erased:
            return
        credits = self.chance.randint(1, 40)
        body = {"user_id": str(reader), "credits": credits, "reason": "a present"}

        def call(key: str) -> Reply:
            return self.person.rpc(GRANT.name, "grant_credits", body, key)

        self.person.do(GRANT, call, "account_erased", person=reader, credits=credits)

    def close_month(self) -> None:
        """Any month of the last year, and the running one early: each is closed once."""
        month = month_before(self.chance.randint(0, MONTHS_BACK - 1))
        body = {"month": month.isoformat(), "early": True}

        def call() -> Reply:
            return self.person.rpc("close a month", "run_monthly_payouts", body)

        first = self.person.allow("close a month", self.person.persist(call))
        again = self.person.allow("close a month", self.person.persist(call))
        if first.outcome is again.outcome is Outcome.DONE and first.body != again.body:
            self.person.scene.journal.violate(
                f"{month} was closed with {first.body}, then with {again.body}"
            )


class Bank:
    """Payers' banks: they dispute charges, and decide."""

    def __init__(self, person: Person, board: Board) -> None:
        self.person = person
        self.board = board
        self.chance = person.chance

    def step(self) -> bool:
        """Open a dispute, or decide one that is open."""
        if self.chance.random() < 0.5:
            self._dispute()
        else:
            self._decide()
        return True

    def _dispute(self) -> None:
        paid = self.board.payments.take(self.chance)
        if paid is None or paid.charge is None:
            return
        path = f"/charges/{paid.charge}/dispute"
        reply = self.person.stripe("dispute", path, {"inquiry": self.chance.random() < 0.2})
        if reply.outcome is Outcome.DONE:
            self.board.disputes.add(reply.body["id"])

    def _decide(self) -> None:
        dispute = self.board.disputes.take(self.chance)
        if dispute is not None:
            outcome = self.chance.choice(("won", "lost"))
            self.person.stripe("decide", f"/disputes/{dispute}/decide", {"outcome": outcome})


def month_before(back: int) -> date:
    """The first day of a month."""
    today = datetime.now(UTC).date()
    months = today.year * 12 + today.month - 1 - back
    return date(months // 12, months % 12 + 1, 1)
