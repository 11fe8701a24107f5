"""Transfers that are in each other's way: those that cannot go yet, and those sent by two."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from tests.creators import Earner, new_earner
from tests.teller import WAIT_SECONDS, Json, undelivered
from tests.tills import OwnTill, own_till

TRANSFERS = "/v1/transfers"
CENTS = 1500


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[OwnTill]:
    with own_till(postgres_server, next(database_names), migrated_template) as till:
        yield till


@pytest.fixture
def till(house: OwnTill) -> Iterator[OwnTill]:
    yield house
    house.settle()
    assert house.pending_requests() == 0


@dataclass(frozen=True)
class Payee:
    """A creator with an account at the sandbox."""

    till: OwnTill
    earner: Earner
    account: str

    def ask(self, cents: int = CENTS) -> str:
        """Ask for a payout; its id."""
        claims = f'{{"sub": "{self.earner.id}", "role": "authenticated"}}'
        with self.till.owner.transaction():
            self.till.owner.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
            return str(
                self.till.value(
                    "select payout_id from app.request_payout(%s::numeric / 100, null)", cents
                )
            )

    def payout(self) -> Json:
        (row,) = self.till.rows("select * from app.payouts where creator_id = %s", self.earner.id)
        return row

    def wait_for(self, status: str) -> None:
        def reached() -> bool:
            return bool(self.payout()["status"] == status)

        log = self.till.folder / "worker.log"
        assert wait_until(reached, seconds=WAIT_SECONDS), log.read_text()

    def received(self) -> list[int]:
        """The transfers at Stripe to this creator."""
        api = self.till.sandbox.api
        found = self.till.sandbox.all_of(api.transfers, destination=self.account)
        return [each["amount"] for each in found]

    def balance(self) -> int:
        return int(self.till.value("select ledger.balance(%s, 'earnings')", self.earner.id))

    def on_the_way(self) -> int:
        return int(self.till.value("select ledger.balance(%s, 'payouts')", self.earner.id))


def payee(till: OwnTill, cents: int = CENTS) -> Payee:
    account = till.sandbox.api.accounts.create(
        {"capabilities": {"transfers": {"requested": True}}, "type": "express"}
    ).id
    till.sandbox.control(f"/accounts/{account}/complete")
    assert wait_until(lambda: not undelivered(till.sandbox), seconds=WAIT_SECONDS)
    return Payee(till, new_earner(till.owner, cents, account=account), account)


def top_up(till: OwnTill, cents: int) -> None:
    """Let Stripe's balance of the platform be at least so much."""
    missing = cents - till.sandbox.balance()
    if missing > 0:
        till.sandbox.control("/balance/top_up", {"amount": missing})


def test_who_can_be_paid_does_not_wait_for_who_cannot(till: OwnTill) -> None:
    top_up(till, CENTS)
    too_much = till.sandbox.balance() + CENTS
    large, small = payee(till, too_much), payee(till)
    large.ask(too_much)
    small.ask()
    till.work()
    assert (large.payout()["status"], small.payout()["status"]) == ("processing", "paid")
    top_up(till, too_much)
    till.work()
    assert (large.received(), small.received()) == ([too_much], [CENTS])


@pytest.mark.parametrize("fault", ["slow", "hold"])
def test_hurried_while_it_is_being_sent(till: OwnTill, fault: str) -> None:
    """An operator is impatient: another worker sends what the first one is still sending."""
    somebody = payee(till)
    top_up(till, CENTS)
    till.sandbox.webhooks("hold")
    till.sandbox.fault(TRANSFERS, fault, seconds=1.5)
    payout = somebody.ask()
    till.worker()
    assert wait_until(lambda: till.sandbox.struck() == 1, seconds=WAIT_SECONDS)
    assert till.value("select app.retry_payout(%s)::text", payout) == payout
    till.work()
    till.sandbox.calm()
    till.work()
    somebody.wait_for("paid")
    assert somebody.received() == [CENTS]
    assert (somebody.balance(), somebody.on_the_way()) == (0, 0)
