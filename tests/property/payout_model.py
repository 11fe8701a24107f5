"""What has to come out of paying creators, in a few pages of Python that know nothing of the SQL.

A payout takes whole cents from what a creator has earned and sets them aside. Stripe makes one
transfer of it, or the money goes back; what Stripe takes back afterwards is owed again. A month is
closed by going through all creators once: each is paid or told why not.

Of a sale that was frozen and released a micro-dollar may be missing, so what somebody has is known
as the least and the most that it can be. Almost always the two are equal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from tests.property.figures import earned
from tests.property.model import Book

MICRODOLLARS_OF_A_CENT = 10_000
Range = tuple[int, int]
Outcome = int | str | None  # so many cents, or why none; None: there was nothing to pay


@dataclass(eq=False)
class Account:
    """A creator's account at Stripe, as far as the ledger knows."""

    id: str
    transfers: str = "unrequested"
    is_paid_out: bool = False
    is_gone: bool = False
    has_news: bool = False
    told: set[str | bool] = field(default_factory=set)  # since it was read

    @property
    def is_ready(self) -> bool:
        return self.transfers == "active" and self.is_paid_out and not self.is_gone

    def believe(self, transfers: str, is_paid_out: bool) -> None:
        """Keep what the ledger says of it."""
        assert {transfers, is_paid_out} <= self.told
        self.transfers, self.is_paid_out = transfers, is_paid_out


def standing(thing: dict[str, Any]) -> tuple[str, bool]:
    """What Stripe says of an account: whether it takes transfers, and is paid out."""
    return thing["capabilities"].get("transfers", "unrequested"), thing["payouts_enabled"]


@dataclass(eq=False)
class Payout:
    """Money for a creator."""

    id: UUID
    creator: UUID
    cents: int
    destination: str
    status: str
    transfer_id: str | None = None
    retried_by: UUID | None = None
    reversals: dict[str, int] = field(default_factory=dict)

    @property
    def is_off(self) -> bool:
        return self.status in ("failed", "canceled")

    @property
    def cents_back(self) -> int:
        return sum(self.reversals.values())


@dataclass(eq=False)
class Creator:
    """Somebody who earns."""

    id: UUID
    account: Account | None = None
    is_paused: bool = False
    is_reviewed: bool = False
    corrected: int = 0
    has_moved: bool = False

    @property
    def lack(self) -> str | None:
        """What somebody has to set up before anything is paid."""
        if self.account is None or self.account.is_gone:
            return "payout_account_required"
        return None if self.account.is_ready else "payout_account_incomplete"

    @property
    def obstacle(self) -> str | None:
        """Why somebody with something to be paid is not paid."""
        if self.lack is None and self.is_reviewed:
            return "payouts_under_review"
        return self.lack or ("payouts_paused" if self.is_paused else None)


@dataclass(eq=False)
class Batch:
    """A month that is being closed."""

    month: date
    counted: int  # sales before its cutoff
    known: frozenset[UUID]  # whoever had earned something when it began
    last: UUID | None = None
    is_begun: bool = False
    is_closed: bool = False
    paid: dict[UUID, int] = field(default_factory=dict)
    skipped: dict[UUID, str] = field(default_factory=dict)

    def reaches(self, creator: UUID, last: UUID | None, is_closed: bool) -> bool:
        """Whether a creator comes after where it was, and not after where it is now."""
        is_next = self.last is None or creator > self.last
        return is_next and (is_closed or (last is not None and creator <= last))


@dataclass(eq=False)
class Policy:
    """The numbers of the economy that decide who is paid."""

    minimum_cents: int = 40
    review_cents: int | None = None
    is_holding: bool = False  # days of holding: a week, else none


class PayoutBook(Book):
    """All that the ledger has to know, with the creators."""

    def __init__(self, creators: Iterable[UUID]) -> None:
        super().__init__()
        self.creators = {creator: Creator(creator) for creator in creators}
        self.payouts: dict[UUID, Payout] = {}
        self.batches: dict[date, Batch] = {}
        self.policy = Policy()
        self.account_requests: set[str] = set()  # ids of those that Stripe has not answered
        self.cents_topped_up = 0

    # What everybody has

    def balance_of(self, creator: Creator) -> Range:
        return self._less_payouts(creator, *earned(self.sales, creator.id))

    def available(self, creator: Creator, counted: int | None = None) -> Range:
        """What can be paid out, where only so many sales count; inside the hold none does."""
        sales = [] if self.policy.is_holding else self.sales[:counted]
        return self._less_payouts(creator, *earned(sales, creator.id))

    def _less_payouts(self, creator: Creator, least: int, most: int) -> Range:
        rest = creator.corrected + MICRODOLLARS_OF_A_CENT * sum(
            payout.cents_back - payout.cents for payout in self.of(creator) if not payout.is_off
        )
        return least + rest, most + rest

    def has_enough(self, creator: Creator) -> bool:
        """Whether somebody could ask for everything."""
        least = self.policy.minimum_cents * MICRODOLLARS_OF_A_CENT
        return self.available(creator)[0] >= least

    def on_the_way(self, creator: Creator) -> int:
        """Cents that were set aside and not sent."""
        open_ones = ("pending", "processing", "held")
        return sum(payout.cents for payout in self.of(creator) if payout.status in open_ones)

    def paid_out(self, creator: Creator) -> int:
        """Cents that were sent, less what was taken back."""
        sent = [payout for payout in self.of(creator) if payout.status == "paid"]
        return sum(payout.cents - payout.cents_back for payout in sent)

    def of(self, creator: Creator) -> list[Payout]:
        return [payout for payout in self.payouts.values() if payout.creator == creator.id]

    def first_status(self, creator: Creator, cents: int) -> str:
        """A person looks at what is large, by itself or together with what went before."""
        recent = sum(payout.cents for payout in self.of(creator) if not payout.is_off)
        limit = self.policy.review_cents
        return "pending" if limit is None or recent + cents < limit else "held"

    def other_cents(self) -> int:
        """Cents that came to Stripe's balance or left it, but for payments."""
        return self.cents_topped_up - sum(map(self.paid_out, self.creators.values()))

    # What is decided

    def request_answers(self, creator: Creator, cents: int | None) -> set[Outcome]:
        """What may come of asking for a payout."""
        return {
            self._obstacle(creator, balance) or self._answer_request(available, cents)
            for balance in self.balance_of(creator)
            for available in self.available(creator)
        }

    def retry_answers(self, payout: Payout) -> set[Outcome]:
        """What may come of trying a payout that failed again."""
        creator, needed = self.creators[payout.creator], payout.cents * MICRODOLLARS_OF_A_CENT
        return {
            self._obstacle(creator, balance)
            or (payout.cents if available >= needed else "not_enough_available")
            for balance in self.balance_of(creator)
            for available in self.available(creator)
        }

    def _obstacle(self, creator: Creator, balance: int) -> str | None:
        """Who owes something is told that before anything else."""
        return creator.lack if balance < 0 else creator.obstacle

    def _answer_request(self, available: int, cents: int | None) -> Outcome:
        most = max(available, 0) // MICRODOLLARS_OF_A_CENT
        wanted = most if cents is None else cents
        if wanted < self.policy.minimum_cents:
            return "below_minimum_payout"
        return "not_enough_available" if wanted > most else wanted

    def _answer_batch(self, creator: Creator, balance: int, available: int) -> Outcome:
        """What a monthly batch does about a creator."""
        if balance == 0:
            return None
        if balance < 0:
            return "negative"
        if creator.is_reviewed:
            return "under_review"
        if creator.is_paused:
            return "paused"
        cents = available // MICRODOLLARS_OF_A_CENT
        if cents < self.policy.minimum_cents:
            is_there = balance // MICRODOLLARS_OF_A_CENT >= self.policy.minimum_cents
            return "on_hold" if is_there else "below_minimum"
        is_ready = creator.account is not None and creator.account.is_ready
        return cents if is_ready else "not_verified"

    def batch_answers(self, creator: Creator, batch: Batch) -> set[Outcome]:
        """What a batch may do about a creator."""
        return {
            self._answer_batch(creator, balance, available)
            for balance in self.balance_of(creator)
            for available in self.available(creator, batch.counted)
        }

    # What Stripe says

    def learn_transfer(self, transfer: dict[str, Any]) -> str:
        payout = self.payouts.get(UUID(transfer["metadata"]["payout_id"]))
        assert payout is not None
        if payout.transfer_id not in (None, transfer["id"]):
            return "failed"
        reversals = {each["id"]: each["amount"] for each in transfer["reversals"]["data"]}
        known = {**payout.reversals, **reversals}
        if sum(known.values()) < transfer["amount_reversed"]:
            return "failed"
        payout.status, payout.transfer_id, payout.reversals = "paid", transfer["id"], known
        return "applied"

    def learn_account(self, thing: dict[str, Any]) -> str:
        """The answer to the request for an account."""
        creator = self.creators[UUID(thing["metadata"]["user_id"])]
        if creator.account is None or creator.account.is_gone:
            creator.account = Account(thing["id"], told=set(standing(thing)))
        return "applied"

    def learn_of_account(self, account_id: str, thing: dict[str, Any]) -> str:
        """Take in what happened in a connected account."""
        account = self.account(account_id)
        kind = thing["object"]
        if kind == "payout":
            return "applied" if account is not None and thing["status"] == "failed" else "ignored"
        if account is None or account.is_gone:
            return "parked" if self.waits_for_account(account_id, thing) else "ignored"
        if kind == "account":
            account.told.update(standing(thing))
        elif kind == "capability":
            account.told.add(thing["status"])
        elif kind == "application":
            account.is_gone = True
        else:
            return "ignored"
        account.has_news = kind != "application"
        return "applied"

    def waits_for_account(self, account_id: str, thing: dict[str, Any]) -> bool:
        is_news = thing["object"] == "account" and self.account(account_id) is None
        return is_news and thing["metadata"].get("request_id") in self.account_requests

    def account(self, account_id: str) -> Account | None:
        """The account of that id, if it is somebody's now."""
        for creator in self.creators.values():
            if creator.account is not None and creator.account.id == account_id:
                return creator.account
        return None
