"""Transfers to connected accounts, taken back, and paid out to banks; by the official client."""

import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from api.sandbox.store import FILE
from api.stack.wait import wait_until
from tests.sandboxes import SECRET, Receiver, Shop, open_shop, receiving, refusal
from tests.test_sandbox_connect import ACCOUNT

GROUP = "payout-1"
KEY: Any = {"idempotency_key": GROUP}
FUNDS = 10_000


@pytest.fixture
def shop() -> Iterator[Shop]:
    """One whose platform holds some money."""
    with open_shop() as shop:
        shop.control("/balance/top_up", {"amount": FUNDS})
        yield shop


def ready(shop: Shop) -> str:
    """An account that can take transfers."""
    account: str = shop.api.accounts.create(ACCOUNT).id
    shop.control(f"/accounts/{account}/complete")
    return account


def wanted(account: str, **changes: Any) -> dict[str, Any]:
    return {
        "amount": 1234,
        "currency": "usd",
        "destination": account,
        "transfer_group": GROUP,
        "description": "Earnings of May",
        "metadata": {"payout_id": "1", "creator_id": "c1"},
        **changes,
    }


def held(shop: Shop, account: str) -> int:
    """The balance of a connected account, which its lines add up to."""
    on_behalf: Any = {"stripe_account": account}
    available = shop.api.balance.retrieve({}, on_behalf).available
    lines = shop.api.balance_transactions.list({"limit": 100}, on_behalf).data
    amount: int = available[0].amount
    assert sum(line.net for line in lines) == amount
    return amount


def transfers(shop: Shop) -> list[Any]:
    found: list[Any] = shop.api.transfers.list(params={"transfer_group": GROUP}).data
    return found


def account_events(shop: Shop, account: str) -> list[str]:
    on_behalf: Any = {"stripe_account": account}
    return [each.type for each in shop.api.events.list({"limit": 100}, on_behalf).data][::-1]


def test_a_transfer_moves_the_money(shop: Shop) -> None:
    account = ready(shop)
    transfer = shop.api.transfers.create(
        {**wanted(account), "expand": ["balance_transaction", "destination"]}
    )
    assert transfer.id.startswith("tr_")
    assert (transfer.amount, transfer.amount_reversed, transfer.reversed) == (1234, 0, False)
    assert (transfer.currency, transfer.description) == ("usd", "Earnings of May")
    assert (transfer.transfer_group, transfer.livemode) == (GROUP, False)
    assert transfer.metadata.to_dict() == {"payout_id": "1", "creator_id": "c1"}
    assert transfer.destination.id == account
    assert not any(name.startswith("_") for name in transfer.destination.to_dict())
    assert transfer.destination_payment.startswith("py_")
    assert transfer.source_transaction is None
    assert transfer.reversals.to_dict() == {
        "object": "list",
        "data": [],
        "has_more": False,
        "total_count": 0,
        "url": f"/v1/transfers/{transfer.id}/reversals",
    }
    line = transfer.balance_transaction
    assert (line.type, line.reporting_category, line.source) == (
        "transfer",
        "transfer",
        transfer.id,
    )
    assert (line.amount, line.fee, line.net) == (-1234, 0, -1234)
    assert shop.balance() == shop.lines_sum() == FUNDS - 1234
    assert held(shop, account) == 1234
    assert shop.event_types() == ["transfer.created"]
    event = shop.api.events.list().data[0]
    assert event.data.object.id == transfer.id
    assert "account" not in event


def test_transfers_are_found_by_group_destination_and_time(shop: Shop) -> None:
    first, second = ready(shop), ready(shop)
    one = shop.api.transfers.create(wanted(first))
    two = shop.api.transfers.create(wanted(second, transfer_group="payout-2"))
    listed = shop.api.transfers.list
    assert [each.id for each in listed().data] == [two.id, one.id]
    assert [each.id for each in listed(params={"transfer_group": GROUP}).data] == [one.id]
    assert listed(params={"transfer_group": "payout-3"}).data == []
    assert [each.id for each in listed(params={"destination": second}).data] == [two.id]
    assert len(listed(params={"created": {"gte": one.created}}).data) == 2
    assert listed(params={"created": {"gt": two.created + 60}}).data == []
    assert [each.id for each in listed(params={"limit": 1}).auto_paging_iter()] == [two.id, one.id]
    assert shop.api.transfers.retrieve(one.id).id == one.id
    assert refusal(shop.api.transfers.retrieve, "tr_no").http_status == 404


def test_a_change_of_a_transfer(shop: Shop) -> None:
    transfer = shop.api.transfers.create(wanted(ready(shop)))
    changed = shop.api.transfers.update(transfer.id, {"metadata": {"seen": "yes"}})
    assert changed.metadata.to_dict() == {"payout_id": "1", "creator_id": "c1", "seen": "yes"}
    assert shop.event_types() == ["transfer.created", "transfer.updated"]


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"amount": 0}, "parameter_invalid_integer", "amount"),
        ({"amount": -5}, "parameter_invalid_integer", "amount"),
        ({"amount": "12.34"}, "parameter_invalid_integer", "amount"),
        ({"amount": FUNDS + 1}, "balance_insufficient", None),
        ({"currency": "eur"}, "balance_insufficient", None),
        ({"currency": "xxx"}, None, "currency"),
        ({"destination": ""}, "parameter_invalid_empty", "destination"),
        ({"destination": "acct_nobody"}, "resource_missing", "destination"),
        ({"source_transaction": "ch_no"}, "resource_missing", "source_transaction"),
        ({"surprise": "1"}, "parameter_unknown", "surprise"),
    ],
)
def test_transfers_that_are_refused(
    shop: Shop, changes: dict[str, Any], code: str | None, param: str | None
) -> None:
    error = refusal(shop.api.transfers.create, wanted(ready(shop), **changes))
    assert (error.http_status, error.code, error.param) == (400, code, param)
    assert isinstance(error, stripe.InvalidRequestError)
    assert transfers(shop) == []
    assert shop.balance() == FUNDS


def test_only_an_account_with_the_capability_takes_transfers(shop: Shop) -> None:
    account = shop.api.accounts.create(ACCOUNT).id
    for control, given in (
        ("disable", {}),
        ("require", {"fields": ["individual.id_number"], "past_due": True}),
    ):
        error = refusal(shop.api.transfers.create, wanted(account))
        assert (error.http_status, error.code) == (400, "insufficient_capabilities_for_transfer")
        shop.control(f"/accounts/{account}/complete")
        shop.api.transfers.create(wanted(account, amount=1))
        shop.control(f"/accounts/{account}/{control}", given)
    shop.control(f"/accounts/{account}/complete")
    shop.control(f"/accounts/{account}/deauthorize")
    gone = refusal(shop.api.transfers.create, wanted(account))
    assert (gone.http_status, gone.code) == (400, "resource_missing")
    assert shop.balance() == shop.lines_sum() == FUNDS - 2


def test_exactly_the_whole_balance_can_be_sent(shop: Shop) -> None:
    account = ready(shop)
    shop.api.transfers.create(wanted(account, amount=FUNDS))
    assert shop.balance() == shop.lines_sum() == 0
    error = refusal(shop.api.transfers.create, wanted(account, amount=1))
    assert error.code == "balance_insufficient"


def test_too_little_money_is_the_answer_of_that_key_for_ever(shop: Shop) -> None:
    account = ready(shop)
    much = wanted(account, amount=FUNDS + 1)
    assert refusal(shop.api.transfers.create, much, KEY).code == "balance_insufficient"
    shop.control("/balance/top_up", {"amount": 1})
    replayed = refusal(shop.api.transfers.create, much, KEY)
    assert replayed.code == "balance_insufficient"
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert isinstance(
        refusal(shop.api.transfers.create, wanted(account), KEY), stripe.IdempotencyError
    )
    assert transfers(shop) == []
    other: Any = {"idempotency_key": "payout-1-again"}
    assert shop.api.transfers.create(much, other).amount == FUNDS + 1
    assert shop.balance() == 0


def test_too_little_money_on_demand(shop: Shop) -> None:
    account = ready(shop)
    shop.fault("/v1/transfers", "insufficient_balance", times=2)
    for key in ("one", "two"):
        error = refusal(shop.api.transfers.create, wanted(account), {"idempotency_key": key})
        assert error.code == "balance_insufficient"
    assert shop.api.transfers.create(wanted(account)).amount == 1234


@pytest.mark.parametrize(
    ("fault", "first", "happened", "then"),
    [
        ("lost_reply", stripe.APIConnectionError, 1, 200),
        ("lost_request", stripe.APIConnectionError, 0, 200),
        ("error_500", stripe.APIError, 0, 500),
        ("error_500_after", stripe.APIError, 1, 500),
        ("error_429", stripe.RateLimitError, 0, 200),
    ],
)
def test_failures_of_a_transfer(
    shop: Shop, fault: str, first: type[stripe.StripeError], happened: int, then: int
) -> None:
    account = ready(shop)
    shop.fault("/v1/transfers", fault)
    assert isinstance(refusal(shop.api.transfers.create, wanted(account), KEY), first)
    assert len(transfers(shop)) == happened
    if then == 200:
        again = shop.api.transfers.create(wanted(account), KEY)
        assert [each.id for each in transfers(shop)] == [again.id]
    else:
        assert refusal(shop.api.transfers.create, wanted(account), KEY).http_status == then
        assert len(transfers(shop)) == happened
    assert held(shop, account) == 1234 * len(transfers(shop))
    assert shop.balance() == shop.lines_sum() == FUNDS - held(shop, account)


def test_a_transfer_whose_answer_is_held_keeps_its_key(shop: Shop) -> None:
    account = ready(shop)
    shop.fault("/v1/transfers", "hold")
    made: list[Any] = []
    thread = threading.Thread(
        target=lambda: made.append(shop.api.transfers.create(wanted(account), KEY))
    )
    thread.start()
    assert wait_until(lambda: shop.control("/faults", method="GET")["holding"] == 1, seconds=10)
    error = refusal(shop.api.transfers.create, wanted(account), KEY)
    assert (error.http_status, error.error.code) == (409, "idempotency_key_in_use")
    assert len(transfers(shop)) == 1
    shop.control("/faults/release")
    thread.join(10)
    assert [each.id for each in transfers(shop)] == [made[0].id]


def test_a_charge_pays_for_transfers_up_to_its_amount(shop: Shop) -> None:
    account = ready(shop)
    charge = shop.paid(amount=FUNDS * 2).latest_charge
    from_charge = wanted(account, source_transaction=charge.id, transfer_group="")
    transfer = shop.api.transfers.create({**from_charge, "amount": FUNDS * 2 - 5})
    assert transfer.source_transaction == charge.id
    assert transfer.transfer_group == f"group_{charge.payment_intent}"
    error = refusal(shop.api.transfers.create, {**from_charge, "amount": 6})
    assert (error.http_status, error.param) == (400, "amount")
    assert shop.api.transfers.create({**from_charge, "amount": 5}).amount == 5
    euros = {**from_charge, "amount": 1, "currency": "eur"}
    assert refusal(shop.api.transfers.create, euros).param == "source_transaction"


def test_a_transfer_is_taken_back_in_parts(shop: Shop) -> None:
    account = ready(shop)
    transfer = shop.api.transfers.create(wanted(account))
    reversals = shop.api.transfers.reversals
    part = reversals.create(
        transfer.id,
        {"amount": 234, "metadata": {"why": "x"}, "expand": ["balance_transaction"]},
    )
    assert part.id.startswith("trr_")
    assert (part.object, part.amount, part.transfer) == ("transfer_reversal", 234, transfer.id)
    assert part.metadata.to_dict() == {"why": "x"}
    assert "livemode" not in part
    line = part.balance_transaction
    assert (line.type, line.amount, line.source) == ("transfer_refund", 234, part.id)
    assert line.reporting_category == "transfer_reversal"
    partly = shop.api.transfers.retrieve(transfer.id)
    assert (partly.amount_reversed, partly.reversed) == (234, False)
    assert [each.id for each in partly.reversals.data] == [part.id]
    assert refusal(reversals.create, transfer.id, {"amount": 1001}).param == "amount"
    assert refusal(reversals.create, transfer.id, {"amount": 0}).param == "amount"
    rest = reversals.create(transfer.id)
    assert rest.amount == 1000
    wholly = shop.api.transfers.retrieve(transfer.id)
    assert (wholly.amount_reversed, wholly.reversed) == (1234, True)
    assert [each.id for each in wholly.reversals.data] == [rest.id, part.id]
    assert wholly.reversals.total_count == 2
    listed = reversals.list(transfer.id).data
    assert [each.id for each in listed] == [rest.id, part.id]
    assert reversals.retrieve(transfer.id, part.id).amount == 234
    assert refusal(reversals.create, transfer.id).http_status == 400
    assert shop.balance() == shop.lines_sum() == FUNDS
    assert held(shop, account) == 0
    assert shop.event_types() == ["transfer.created", "transfer.reversed", "transfer.reversed"]
    event = shop.api.events.list({"limit": 1}).data[0]
    assert event.data.object.reversed is True
    assert event.data.previous_attributes["amount_reversed"] == 234


def test_only_ten_reversals_are_shown_inside_a_transfer(shop: Shop) -> None:
    transfer = shop.api.transfers.create(wanted(ready(shop)))
    made = [shop.api.transfers.reversals.create(transfer.id, {"amount": 1}).id for _ in range(11)]
    seen = shop.api.transfers.retrieve(transfer.id).reversals
    assert [each.id for each in seen.data] == made[:0:-1]
    assert (seen.has_more, seen.total_count) == (True, 11)
    assert [each.id for each in seen.auto_paging_iter()] == made[::-1]
    other = shop.api.transfers.create(wanted(ready(shop))).id
    stranger = refusal(shop.api.transfers.reversals.retrieve, other, made[0])
    assert stranger.http_status == 404


def test_what_the_bank_has_cannot_be_taken_back(shop: Shop) -> None:
    account = ready(shop)
    transfer = shop.api.transfers.create(wanted(account))
    payout = shop.control(f"/accounts/{account}/pay_out", {"amount": 1000})
    assert (payout["object"], payout["status"], payout["amount"]) == ("payout", "paid", 1000)
    assert held(shop, account) == 234
    assert account_events(shop, account)[-2:] == ["payout.created", "payout.paid"]
    for _ in range(2):
        error = refusal(shop.api.transfers.reversals.create, transfer.id, {}, KEY)
        assert (error.http_status, error.code) == (400, "balance_insufficient")
    assert shop.api.transfers.retrieve(transfer.id).amount_reversed == 0
    assert shop.api.transfers.reversals.create(transfer.id, {"amount": 234}).amount == 234
    on_behalf: Any = {"stripe_account": account}
    (listed,) = shop.api.payouts.list({}, on_behalf).data
    assert shop.api.payouts.retrieve(listed.id, {}, on_behalf).id == payout["id"]
    assert refusal(shop.api.payouts.retrieve, listed.id).http_status == 404
    too_much = shop.raw("POST", f"/_sandbox/accounts/{account}/pay_out", json={"amount": 1})
    assert too_much.json()["error"]["code"] == "balance_insufficient"
    assert shop.raw("POST", f"/_sandbox/accounts/{account}/pay_out").status_code == 400


@pytest.fixture
def endpoint() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_a_bank_refuses_a_payout(endpoint: Receiver) -> None:
    options: dict[str, Any] = {
        "connect_webhook_url": endpoint.url,
        "connect_webhook_secrets": [SECRET],
    }
    with open_shop(**options) as shop:
        shop.control("/webhooks/mode", {"mode": "hold"})
        shop.control("/balance/top_up", {"amount": FUNDS})
        account = ready(shop)
        nothing = shop.raw("POST", f"/_sandbox/accounts/{account}/bank_refuses")
        assert nothing.status_code == 400
        transfer = shop.api.transfers.create(wanted(account))
        shop.control("/webhooks/release")
        endpoint.events.clear()
        payout = shop.control(f"/accounts/{account}/bank_refuses")
        assert (payout["status"], payout["failure_code"]) == ("failed", "account_closed")
        assert payout["amount"] == 1234
        shop.control("/webhooks/release")
        assert endpoint.types == [
            "payout.created",
            "payout.failed",
            "account.external_account.updated",
            "capability.updated",
            "account.updated",
        ]
        failed = endpoint.events[1]
        assert failed.account == account
        assert failed.data.object["id"] == payout["id"]
        assert failed.data.object["failure_code"] == "account_closed"

        assert held(shop, account) == 1234  # the bank sent it back
        stuck = shop.api.accounts.retrieve(account)
        assert (stuck.payouts_enabled, stuck.capabilities.transfers) == (False, "active")
        assert stuck.requirements.currently_due == ["external_account"]
        assert stuck.external_accounts.data[0].status == "errored"
        shop.control(f"/accounts/{account}/complete")
        mended = shop.api.accounts.retrieve(account)
        assert mended.payouts_enabled is True
        assert mended.external_accounts.data[0].status == "new"
        assert shop.control(f"/accounts/{account}/pay_out")["status"] == "paid"
        assert shop.api.transfers.retrieve(transfer.id).reversed is False


def test_a_test_account_number_refuses_by_itself(shop: Shop) -> None:
    account = shop.api.accounts.create(ACCOUNT).id
    link = shop.api.account_links.create(
        {
            "account": account,
            "type": "account_onboarding",
            "refresh_url": "http://shop.test/refresh",
            "return_url": "http://shop.test/return",
        }
    )
    path = link.url.removeprefix(shop.sandbox.url)
    shop.raw("GET", path)
    fields = {
        "first_name": "Ada",
        "last_name": "Writer",
        "country": "US",
        "account_number": "000111111113",
        "routing_number": "110000000",
        "button": "everything",
    }
    assert shop.raw("POST", path, data=fields).status_code == 303
    shop.api.transfers.create(wanted(account))
    assert shop.control(f"/accounts/{account}/pay_out")["failure_code"] == "account_closed"


def test_the_dashboard_shows_accounts_and_transfers(shop: Shop) -> None:
    assert shop.raw("GET", "/").text.count("None yet.") == 4
    account = ready(shop)
    transfer = shop.api.transfers.create(wanted(account))
    shop.api.transfers.reversals.create(transfer.id, {"amount": 34})
    page = shop.raw("GET", "/").text
    for expected in (
        account,
        transfer.id,
        "ada@example.com",
        "active",
        "$12.34",
        "$0.34",
        "$12.00",
    ):
        assert expected in page


@pytest.mark.parametrize("amount", [None, 0, -1, 1.5, "1", True, 10**12])
def test_top_ups_that_are_refused(shop: Shop, amount: Any) -> None:
    answer = shop.raw("POST", "/_sandbox/balance/top_up", json={"amount": amount})
    assert answer.status_code == 400
    assert shop.balance() == FUNDS


def test_a_file_of_before_there_were_running_balances_is_taken_over() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with open_shop(Path(folder)) as shop:
            shop.paid()
        with sqlite3.connect(Path(folder) / FILE) as connection:
            connection.execute("drop table balances")
        connection.close()
        with open_shop(Path(folder)) as shop:
            assert shop.balance() == shop.lines_sum() == 455
            shop.paid()
            assert shop.balance() == shop.lines_sum() == 910
        with open_shop(Path(folder)) as shop:
            assert shop.balance() == 910


def test_everything_survives_a_restart() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with open_shop(Path(folder)) as shop:
            shop.control("/balance/top_up", {"amount": FUNDS})
            account = ready(shop)
            transfer = shop.api.transfers.create(wanted(account), KEY)
        with open_shop(Path(folder)) as shop:
            assert shop.api.transfers.create(wanted(account), KEY).id == transfer.id
            assert held(shop, account) == 1234
            assert shop.balance() == FUNDS - 1234
            assert shop.api.transfers.reversals.create(transfer.id).amount == 1234
