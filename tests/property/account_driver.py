"""What becomes of creators' accounts at Stripe in one interleaving.

As in `driver`, everything happens in the world first, and the model is told afterwards.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import stripe
from psycopg.types.json import Jsonb

from api.stripe.accounts import STALE, WITH_NEWS
from api.stripe.client import raw
from tests.property.credits import Takeback
from tests.property.driver import REFUSED_FOR_NOW, Driver
from tests.property.payout_model import Creator, PayoutBook, standing
from tests.property.world import PRICES_AND_SHARES, World, publish_story

# Somebody's accounts or transfers, of whom the metadata says that they are theirs.
OBJECTS = """
    select json_extract(body, '$.id'), body from objects
    where kind = ? and json_extract(body, '$.metadata.' || ?) = ? order by sequence
"""
BALANCE = "select coalesce(sum(amount), 0) from balances where account = ?"
# As if it had been read long ago: webhooks that were lost are made up for in time.
A_WEEK_GOES_BY = """
    update app.payout_accounts
    set read_at = read_at - interval '8 days', news_at = news_at - interval '8 days'
    where user_id = any(%s)
"""
HAS_NEWS = """
    select coalesce(news_at > read_at, false) from app.payout_accounts where stripe_account_id = %s
"""
STANDING = """
    select stripe_account_id, transfers_status, payouts_enabled from app.payout_accounts
    where user_id = any(%s)
"""


class AccountDriver(Driver):
    """One interleaving, with creators of its own and their accounts."""

    book: PayoutBook

    def __init__(self, world: World) -> None:
        stories = [publish_story(world.web, *each) for each in PRICES_AND_SHARES]
        creators = [author for story in stories for author, _ in story.shares]
        super().__init__(world, PayoutBook(creators))
        self.stories = stories
        self.people += creators
        self.to_bank: Counter[str] = Counter()  # cents that left an account

    @property
    def creators(self) -> list[Creator]:
        return list(self.book.creators.values())

    def connect(self, creator: Creator, mishap: str | None = None) -> None:
        """Ask the edge for the way to Stripe's page."""
        with self._mishap(mishap):
            answer = self._call("/creators/connect", creator.id, "authenticated", {}, str(uuid4()))
        self.inbox.look()
        self.notice()
        if answer is None:
            return
        status, body = answer
        if status in REFUSED_FOR_NOW:
            assert mishap is not None and body["hint"] == "stripe_unavailable", body
            return
        assert creator.account is not None and not creator.account.is_gone
        if self.account_at_stripe(creator.account.id)["_gone"] is not None:
            assert (status, body["hint"]) == (409, "payout_account_gone")
        else:
            assert (status, body["stripe_account_id"]) == (201, creator.account.id), body

    def lose_account(self, account_id: str) -> None:
        """The creator takes it away from the platform."""
        self.world.control(f"accounts/{account_id}/deauthorize")
        self.inbox.look()

    def get_ready(self, creator: Creator) -> None:
        """Set up payouts from beginning to end, of which we are told at once."""
        self.connect(creator)
        assert creator.account is not None
        with self.telling(True):
            self.change_account(creator.account.id, "complete")

    def account_ids(self) -> list[str]:
        """Accounts that something can happen to; somebody may have one of which we do not know."""
        if self.book.account_requests:
            return [body["id"] for body in self.accounts_at_stripe() if body["_gone"] is None]
        known = [creator.account for creator in self.creators if creator.account is not None]
        return [account.id for account in known if not account.is_gone]

    def transfer_ids(self) -> list[str]:
        """Transfers that Stripe has made, whether we know it or not."""
        payouts = self.book.payouts.values()
        if any(payout.status == "processing" for payout in payouts):
            return [body["id"] for body in self.transfers_at_stripe()]
        return [payout.transfer_id for payout in payouts if payout.transfer_id is not None]

    def accounts_at_stripe(self) -> list[dict[str, Any]]:
        """The creators' accounts, those too that nobody here has heard of."""
        return [body for creator in self.creators for body in self._objects("account", creator)]

    def transfers_at_stripe(self) -> list[dict[str, Any]]:
        return [body for creator in self.creators for body in self._objects("transfer", creator)]

    def _objects(self, kind: str, creator: Creator) -> list[dict[str, Any]]:
        name = "user_id" if kind == "account" else "creator_id"
        return self.world.objects_of_sandbox(OBJECTS, kind, name, str(creator.id))

    def account_at_stripe(self, account_id: str) -> dict[str, Any]:
        (found,) = [each for each in self.accounts_at_stripe() if each["id"] == account_id]
        return found

    def cents_of_account(self, account_id: str) -> int:
        ((cents,),) = self.world.ask_sandbox(BALANCE, account_id)
        return int(cents)

    def change_account(self, account_id: str, change: str, **details: Any) -> None:
        """What the creator, their bank or Stripe does; not everything is possible at any time."""
        before = self.cents_of_account(account_id)
        self.world.control(f"accounts/{account_id}/{change}", **details)
        self.to_bank[account_id] += before - self.cents_of_account(account_id)
        self.inbox.look()

    def read_accounts(self, *, after_a_week: bool = False) -> None:
        """The worker reads the accounts of which there are news, or were none for long."""
        if after_a_week:
            self.world.owner.execute(A_WEEK_GOES_BY, (list(self.book.creators),))
        self.world.read_accounts(STALE if after_a_week else WITH_NEWS)
        for account in filter(None, (creator.account for creator in self.creators)):
            truth = self.account_at_stripe(account.id)
            if (account.has_news or after_a_week) and not account.is_gone:
                account.has_news = False
                account.told = set(standing(truth)) if truth["_gone"] is None else account.told
        self.notice()

    def read_while_it_changes(self, happens: Callable[[], None]) -> None:
        """The answer to a reading comes after news that are newer."""
        wanted = self.world.rows("select * from app.payout_accounts_with_news(false, 100)")
        service = self.world.dashboard.v1.accounts
        answers = []
        for row in wanted:
            with suppress(stripe.PermissionError):
                answers.append((raw(service.retrieve(row["stripe_account_id"])), row["read_at"]))
        with self.telling(True):
            happens()
        for answer, read_at in answers:
            self.world.owner.execute(
                "select app.record_payout_account(%s, false, %s)", (Jsonb(answer), read_at)
            )
            account = self.book.account(answer["id"])
            if account is not None and not account.is_gone:
                account.told.update(standing(answer))
                account.has_news = self.world.value(HAS_NEWS, account.id)
        self.notice()

    def notice(self, *, may_fail: bool = False) -> list[Takeback]:
        """Tell the model also what the ledger believes of an account.

        That depends on the second in which an event happened. It can be old, but it was true.
        """
        refused = super().notice(may_fail=may_fail)
        for row in self.world.rows(STANDING, list(self.book.creators)):
            account = self.book.account(row["stripe_account_id"])
            assert account is not None
            account.believe(row["transfers_status"], row["payouts_enabled"])
        return refused
