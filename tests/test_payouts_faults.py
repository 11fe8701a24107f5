"""Stripe in trouble, short of money, or taking back: a payout is sent once or given back once."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from tests.payments import READING_EVENTS
from tests.payouts import (
    CENT,
    DOLLAR,
    TRANSFERS,
    Creator,
    Office,
    kill,
    log_of,
    open_office,
    workers,
)
from tests.shop import refusal
from tests.teller import WAIT_SECONDS

ALWAYS = None
FAULTS = ("error_500", "error_500_after", "error_429", "lost_request", "lost_reply")


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    with open_office(postgres_server, next(database_names), migrated_template) as office:
        leave_nothing_but_sending(office)
        yield office


@pytest.fixture
def office(house: Office) -> Iterator[Office]:
    yield house
    house.till.settle()


@pytest.fixture
def poor_office(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    """One whose platform has no money at Stripe."""
    name = next(database_names)
    with open_office(postgres_server, name, migrated_template, funds=0) as office:
        leave_nothing_but_sending(office)
        yield office


def leave_nothing_but_sending(office: Office) -> None:
    """The month that is over is closed, and no worker looks for events."""
    office.execute("select app.run_monthly_payouts(%s)", office.month(back=1))
    office.execute(READING_EVENTS)


# Stripe in trouble --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_a_transfer_is_made_once(office: Office, fault: str) -> None:
    for times in (1, ALWAYS):
        creator = office.creator(5000)
        payout = creator.ask()
        office.till.sandbox.webhooks("hold")
        office.till.sandbox.fault(TRANSFERS, fault, times=times)
        office.send()
        if times is ALWAYS and fault not in ("error_500_after", "lost_reply"):
            assert office.payout(payout)["status"] == "processing"
            assert creator.figures() == (0, 50 * DOLLAR, 0)
        for _ in range(3):
            office.send()  # in vain, or found
        office.till.sandbox.calm()
        office.send()
        office.check_paid_once(payout)
        assert creator.figures() == (0, 0, 50 * DOLLAR)


def test_a_balance_that_is_too_small(poor_office: Office) -> None:
    """Tried again later and later, without using up keys; paid once when there is money."""
    office = poor_office
    office.fund(2000)
    creator, other = office.creator(5000), office.creator(2000)
    payout = creator.ask()
    office.count_creates()
    office.send()
    assert office.creates() == 1
    (request,) = office.requests(payout)
    assert (request["state"], request["error_code"]) == ("pending", "balance_insufficient")
    assert office.payout(payout)["status"] == "processing"
    assert creator.figures() == (0, 50 * DOLLAR, 0)
    for attempts in range(2, 6):
        office.send()
        (request,) = office.requests(payout)
        assert (request["attempts"], request["error_code"]) == (attempts, "balance_insufficient")
        check_pause(office, payout, attempts)
    office.execute("update app.stripe_requests set attempts = 50 where subject_id = %s", payout)
    office.send()
    check_pause(office, payout, 51)
    assert office.creates() == 1  # it asks for the balance, and not for the transfer
    # What is small enough passes by.
    small = other.ask()
    office.send()
    office.check_paid_once(small)
    assert office.payout(payout)["status"] == "processing"

    office.fund(5000)
    office.till.sandbox.control("/faults", method="DELETE")
    office.count_creates()
    office.send()

    office.check_paid_once(payout)
    # The first key is answered as it was answered; the next one makes it.
    assert office.creates() == 2
    assert creator.figures() == (0, 0, 50 * DOLLAR)
    assert office.till.sandbox.balance() == 0
    (request,) = office.requests(payout)
    assert (request["state"], request["error_code"]) == ("succeeded", None)


def check_pause(office: Office, payout: str, attempts: int) -> None:
    """How long it waits after so many attempts: between half and all of what doubles each time."""
    pause = office.value(
        "select extract(epoch from next_attempt_at - now())::float from app.stripe_requests"
        " where subject_id = %s",
        payout,
    )
    longest = min(3600.0, 5.0 * 2 ** min(attempts, 12))
    assert longest / 2 - 5 <= pause <= longest


def test_the_worker_pays_after_a_top_up(poor_office: Office) -> None:
    office = poor_office
    creator = office.creator(5000)
    payout = creator.ask()

    def waits() -> bool:
        return [each["error_code"] for each in office.requests(payout)] == ["balance_insufficient"]

    with workers(office, 1):
        assert wait_until(waits, seconds=WAIT_SECONDS), log_of(office)
        office.fund(5000)
        office.till.due()
        office.check_paid_once(payout)


REFUSALS: dict[str, tuple[str, str, str]] = {
    "disable": (
        "insufficient_capabilities_for_transfer",
        "Your Stripe account cannot receive transfers at the moment.",
        "restricted",
    ),
    "deauthorize": (
        "resource_missing",
        "Your Stripe account is not connected any more.",
        "deauthorized",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_for_good_gives_the_money_back_once(office: Office, what: str) -> None:
    code, reason, state = REFUSALS[what]
    creator = office.creator(5000)
    payout = creator.ask()
    office.till.sandbox.webhooks("hold")
    creator.control(what)
    for _ in range(3):
        office.send()
    row = office.payout(payout)
    assert (row["status"], row["failure_code"], row["failure_reason"]) == ("failed", code, reason)
    assert office.transfers(payout) == []
    assert creator.figures() == (50 * DOLLAR, 0, 0)
    kinds = office.rows(
        "select kind from ledger.transfers where reference_id = %s order by id", payout
    )
    assert [each["kind"] for each in kinds] == ["payout", "payout_returned"]
    office.till.sandbox.calm()
    creator.wait_for_state(state)
    assert refusal(creator.request(), 403)["hint"].startswith("payout_account_")
    told = creator.rest.get("/notices?select=kind").json()
    assert [each["kind"] for each in told].count("payout_failed") == 1


# Taken back at Stripe -----------------------------------------------------------------------------


def sent(creator: Creator) -> str:
    payout = creator.ask()
    creator.office.send()
    creator.office.check_paid_once(payout)
    return payout


def test_reversals_of_parts_and_of_the_rest(office: Office) -> None:
    creator = office.creator(5000)
    payout = sent(creator)
    for cents, reversed_cents in ((1, 1), (1999, 2000), (None, 5000)):
        office.reverse(payout, cents)
        office.till.settle()
        row = office.payout(payout)
        assert (row["status"], row["reversed_cents"]) == ("paid", reversed_cents)
        back = reversed_cents * CENT
        assert creator.figures() == (back, 0, 50 * DOLLAR - back)
    rows = creator.rest.get("/payout_reversals?order=id").json()
    assert [row["amount_cents"] for row in rows] == [1, 1999, 3000]
    assert all(row["stripe_reversal_id"].startswith("trr_") for row in rows)
    # What came back is theirs to be paid again.
    again = sent(creator)
    assert office.payout(again)["amount_cents"] == 5000


def test_a_reversal_is_heard_of_before_the_answer(office: Office) -> None:
    """Made, taken back in part, and only then is the first thing said about it."""
    creator = office.creator(5000)
    payout = creator.ask()
    office.till.sandbox.webhooks("hold")
    office.till.sandbox.fault(TRANSFERS, "hold")
    with workers(office, 1) as (worker,):
        office.till.sandbox.wait_for_held()
        kill(worker)
    office.till.sandbox.control("/faults", method="DELETE")
    office.reverse(payout, 1500)
    (transfer,) = office.transfers(payout)
    events = office.till.sandbox.events(transfer["id"])
    assert [event["type"] for event in events] == ["transfer.created", "transfer.reversed"]
    assert office.till.sandbox.release(events[::-1]) == ["applied", "applied"]
    assert office.payout(payout)["status"] == "paid"
    assert creator.figures() == (15 * DOLLAR, 0, 35 * DOLLAR)
    office.send()
    assert creator.figures() == (15 * DOLLAR, 0, 35 * DOLLAR)


def test_more_reversals_than_a_transfer_shows(office: Office) -> None:
    """Stripe shows the ten newest: what is not shown is said to be missing, and comes later."""
    creator = office.creator(5000)
    payout = sent(creator)
    office.till.sandbox.webhooks("hold")
    for _ in range(13):
        office.reverse(payout, 100)
    (transfer,) = office.transfers(payout)
    events = office.till.sandbox.events(transfer["id"], "transfer.reversed")
    last = events[-1]
    assert office.till.sandbox.release([last]) == ["failed"]
    (kept,) = office.rows("select error from app.stripe_events where id = %s", last["id"])
    assert "does not list all reversals" in kept["error"]
    assert creator.figures() == (0, 0, 50 * DOLLAR)
    assert office.till.sandbox.release(events[:-1]) == ["applied"] * 12
    assert office.value("select app.replay_stripe_event(%s)", last["id"]) == "applied"
    assert creator.figures() == (13 * DOLLAR, 0, 37 * DOLLAR)
    assert len(creator.rest.get("/payout_reversals").json()) == 13


def test_a_second_transfer_for_a_payout_is_for_the_operator(poor_office: Office) -> None:
    """Somebody made it by hand: the creator is not charged for it, and it stands out."""
    office = poor_office
    office.fund(20_000)
    creator = office.creator(5000)
    payout = sent(creator)
    (request,) = office.requests(payout)
    second: Any = office.till.sandbox.api.transfers.create(request["parameters"])

    def heard() -> list[str]:
        rows = office.rows("select state from app.stripe_events where object_id = %s", second.id)
        return [row["state"] for row in rows]

    assert wait_until(lambda: heard() == ["failed"], seconds=WAIT_SECONDS), heard()
    (kept,) = office.rows("select error from app.stripe_events where object_id = %s", second.id)
    assert "second transfer" in kept["error"]
    assert creator.figures() == (0, 0, 50 * DOLLAR)
    office.send()
    assert office.till.violations() == []
    (line,) = office.rows("select * from app.reconcile()")
    assert (line["side"], line["stripe_id"], line["amount_cents"]) == ("stripe", second.id, -5000)
    office.till.settle = lambda: None  # type: ignore[method-assign]


def test_what_an_event_has_paid_is_not_asked_for(poor_office: Office) -> None:
    """As after a restore from a backup: Stripe has made it, and here it was never sent."""
    office = poor_office
    office.fund(10_000)
    creator = office.creator(5000)
    payout = creator.ask()
    (request,) = office.requests(payout)
    made: Any = office.till.sandbox.api.transfers.create(request["parameters"])
    office.wait_for(payout, "paid")
    office.count_creates()
    office.send()
    assert office.creates() == 0
    assert office.check_paid_once(payout)["stripe_transfer_id"] == made.id
    assert [each["state"] for each in office.requests(payout)] == ["succeeded"]
    assert creator.figures() == (0, 0, 50 * DOLLAR)


def test_a_transfer_that_is_none_of_ours(office: Office) -> None:
    """Without our metadata, or of another sum: nobody's payout is touched by it."""
    creator = office.creator(5000)
    payout = creator.ask()
    foreign = office.till.event_about(
        {
            "id": "tr_foreign", "object": "transfer", "amount": 4999, "amount_reversed": 0,
            "currency": "usd", "destination": creator.account,
            "metadata": {"payout_id": payout}, "reversals": {"data": []},
        },
        "transfer.created",
    )  # fmt: skip
    assert office.till.webhook(foreign).json() == {"state": "failed"}
    unknown = office.till.event_about(
        {**foreign["data"]["object"], "metadata": {}}, "transfer.created"
    )
    assert office.till.webhook(unknown).json() == {"state": "ignored"}
    assert office.payout(payout)["status"] == "pending"
    assert creator.figures() == (0, 50 * DOLLAR, 0)
    assert creator.cancel(payout).status_code == 200
