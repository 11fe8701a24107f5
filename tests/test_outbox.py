"""Sending a transfer: whatever Stripe answers and whenever, it is made once, and the chain of keys.

The outbox speaks to the sandbox; in the database's place is a list of what would be recorded.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
import pytest
import stripe

from api.config import StripeSettings
from api.stripe import outbox
from api.stripe.client import make_client
from tests.sandboxes import Shop, open_shop

TRANSFERS = "/v1/transfers"


@dataclass
class Books:
    """What would have been recorded."""

    answers: list[str] = field(default_factory=list)
    failures: list[tuple[str, bool]] = field(default_factory=list)

    def execute(self, statement: str, arguments: tuple[Any, ...]) -> None:
        if "record_stripe_answer" in statement:
            self.answers.append(arguments[1].obj["id"])
        else:
            self.failures.append((arguments[1], arguments[3]))

    def transact(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        @contextmanager
        def transaction() -> Iterator[psycopg.Connection[Any]]:
            yield cast(psycopg.Connection[Any], self)

        return transaction()


@dataclass
class Payer:
    """Who sends one transfer, attempt by attempt."""

    shop: Shop
    client: stripe.StripeClient
    request: outbox.Request
    books: Books = field(default_factory=Books)

    def send(self) -> str:
        """The next attempt; the transfer's id."""
        self.request = replace(self.request, attempts=self.request.attempts + 1)
        answer = outbox.deliver(self.books.transact, self.client, self.request)
        return str(answer["id"])

    def made(self) -> list[str]:
        found = self.shop.api.transfers.list(
            {"destination": self.request.parameters["destination"]}
        )
        return [each.id for each in found.data]

    def posts(self) -> list[str | None]:
        """The keys under which Stripe was asked and has kept an answer, in that order."""
        store = self.shop.sandbox.sandbox
        with store.work("http://here/") as context:
            rows = context.store.query(
                "select key from replies where path = ? order by created, rowid", (TRANSFERS,)
            )
        return [key for (key,) in rows]


@pytest.fixture
def payer() -> Iterator[Payer]:
    with open_shop() as shop:
        yield pay(shop)


def pay(shop: Shop, amount: int = 1000) -> Payer:
    account = shop.api.accounts.create(
        {"type": "express", "capabilities": {"transfers": {"requested": True}}}
    ).id
    shop.control(f"/accounts/{account}/complete")
    id = uuid4()
    parameters = {
        "amount": amount,
        "currency": "usd",
        "destination": account,
        "transfer_group": f"payout-{id}",
        "metadata": {"request_id": str(id)},
    }
    request = outbox.Request(
        id, "transfer", parameters, f"transfer-{id}-1", 0, "pending", None, datetime.now(UTC)
    )
    settings = StripeSettings(shop.sandbox.secret_key, api_base=shop.sandbox.url)
    return Payer(shop, make_client(settings), request)


def test_a_balance_that_is_too_small_at_first(payer: Payer) -> None:
    for _ in range(3):
        with pytest.raises(outbox.PostponedError):
            payer.send()
    assert payer.books.failures == [("balance_insufficient", False)] * 3
    # Asked once; after that there was no use in asking.
    assert payer.posts() == [payer.request.key(1, 1)]
    payer.shop.paid(amount=2000)

    made = payer.send()

    assert payer.made() == [made] == payer.books.answers
    assert payer.posts() == [payer.request.key(1, 1), payer.request.key(1, 2)]
    assert payer.send() == made  # whoever asks again finds it
    assert payer.made() == [made]


def test_the_balance_went_to_somebody_else_just_before(payer: Payer) -> None:
    """The answer that was kept comes again for a day: each new try has the next key."""
    payer.shop.paid(amount=2000)
    payer.shop.fault(TRANSFERS, "insufficient_balance", times=3)
    for _ in range(3):
        with pytest.raises(outbox.PostponedError):
            payer.send()
    assert payer.posts() == [payer.request.key(1, number) for number in (1, 2, 3)]
    made = payer.send()
    assert payer.made() == [made]
    assert payer.posts()[-1] == f"{payer.request.idempotency_key}-4"


@pytest.mark.parametrize("fault", ["error_500", "error_500_after", "lost_reply", "lost_request"])
def test_trouble_between_two_refusals(payer: Payer, fault: str) -> None:
    with pytest.raises(outbox.PostponedError):
        payer.send()
    payer.shop.paid(amount=2000)
    payer.shop.fault(TRANSFERS, fault, times=3)  # of the library's three tries
    with pytest.raises(outbox.UnavailableError):
        payer.send()
    payer.shop.control("/faults", method="DELETE")
    for _ in range(2):
        made = payer.send()
    assert payer.made() == [made]


def test_keys_that_are_forgotten(payer: Payer) -> None:
    """Under a new chain nothing is sent until what the old one sent must have come to its end."""
    with pytest.raises(outbox.PostponedError):
        payer.send()
    payer.shop.paid(amount=2000)
    payer.shop.control("/clock", {"advance_seconds": 25 * 3600})
    for hours in (20.01, 20.4, 40.1):
        aged(payer, hours)
        with pytest.raises(outbox.PostponedError):
            payer.send()
        assert payer.books.failures[-1] == ("keys_expire", False)
    assert payer.made() == []
    aged(payer, 20.6)
    payer.shop.fault(TRANSFERS, "error_500", times=1)
    with pytest.raises(outbox.UnavailableError):
        payer.send()
    made = payer.send()
    key = payer.request.idempotency_key
    assert payer.posts() == [key, f"{key}-20h", f"{key}-20h-2"]
    aged(payer, 40.1)  # what is there is found at any time
    assert payer.send() == made
    assert payer.made() == [made]


def aged(payer: Payer, hours: float) -> None:
    """The request was made so long ago."""
    made = datetime.now(UTC) - timedelta(hours=hours)
    payer.request = replace(payer.request, created_at=made)


def test_the_first_attempt_of_an_old_request_waits_for_nothing(payer: Payer) -> None:
    payer.shop.paid(amount=2000)
    aged(payer, 40.1)
    assert payer.made() == [] != [payer.send()]
    assert payer.posts() == [f"{payer.request.idempotency_key}-40h"]


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("disable", "insufficient_capabilities_for_transfer"),
        ("deauthorize", "resource_missing"),
    ],
)
def test_somebody_who_cannot_be_paid(payer: Payer, what: str, code: str) -> None:
    payer.shop.paid(amount=2000)
    payer.shop.control(f"/accounts/{payer.request.parameters['destination']}/{what}")
    with pytest.raises(outbox.RefusedError):
        payer.send()
    assert payer.books.failures == [(code, True)]


def test_a_key_that_may_not_is_mended_and_then_it_is_sent(payer: Payer) -> None:
    payer.shop.paid(amount=2000)
    right = payer.client
    wrong = StripeSettings("sk_test_wrong", api_base=payer.shop.sandbox.url)
    payer.client = make_client(wrong)
    for _ in range(2):
        with pytest.raises(outbox.UnavailableError):
            payer.send()
    assert not any(is_for_good for _, is_for_good in payer.books.failures)
    payer.client = right
    assert [payer.send()] == payer.made()


def test_an_account_whose_answer_was_lost_is_found(payer: Payer) -> None:
    id = UUID(int=uuid4().int)
    parameters = {
        "controller": {
            "stripe_dashboard": {"type": "express"},
            "fees": {"payer": "application"},
            "losses": {"payments": "application"},
            "requirement_collection": "stripe",
        },
        "capabilities": {"transfers": {"requested": True}},
        "metadata": {"request_id": str(id)},
    }
    payer.request = replace(
        payer.request, id=id, kind="account", parameters=parameters, idempotency_key="account-1"
    )
    before = len(payer.shop.api.accounts.list().data)
    payer.shop.fault("/v1/accounts", "lost_reply", times=3)
    with pytest.raises(outbox.UnavailableError):
        payer.send()
    payer.shop.control("/faults", method="DELETE")
    payer.shop.control("/clock", {"advance_seconds": 25 * 3600})
    made = payer.send()
    assert payer.send() == made
    assert len(payer.shop.api.accounts.list().data) == before + 1
