"""What Stripe says of payouts, at one instant: answers, events, refusals, and what is retried."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.stack.wait import wait_until
from tests.conftest import NewDatabase
from tests.market import answers, open_market, outcome_of, refusals
from tests.payouts import DOLLAR
from tests.payroll import (
    Payroll,
    answer,
    at_one_instant,
    event_about,
    failed,
    hear,
    movements,
    request_of,
    sent,
    transfer_of,
)
from tests.teller import WAIT_SECONDS

ROUNDS = 12


@pytest.fixture
def payroll(migrated_database: NewDatabase) -> Iterator[Payroll]:
    with open_market(migrated_database()) as market:
        yield Payroll(market)


def test_the_answer_and_the_events_at_one_instant(payroll: Payroll) -> None:
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        payout = sent(payroll, creator)
        told, request = transfer_of(payroll, payout), request_of(payroll, payout)
        outcomes = at_one_instant(
            [
                answer(payroll, request, told),
                hear(payroll, told),
                hear(payroll, told, "transfer.updated"),
                answer(payroll, request, told),
            ]
        )
        assert refusals(outcomes) == []
        assert outcomes[1] == outcomes[2] == [("applied",)]
        row = payroll.payout(payout)
        assert (row["status"], row["stripe_transfer_id"]) == ("paid", told["id"])
        assert payroll.pending_requests(payout) == 0
        assert payroll.figures(creator) == (0, 0, 50 * DOLLAR)
        assert movements(payroll, payout) == [
            ("payout", 50 * DOLLAR), ("payout_sent", 50 * DOLLAR), ("transfer", 50 * DOLLAR)
        ]  # fmt: skip


def test_reversals_at_one_instant(payroll: Payroll) -> None:
    """Each event shows all there were so far; each of them counts once."""
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        payout = sent(payroll, creator)
        request = request_of(payroll, payout)
        part, whole = (transfer_of(payroll, payout, each) for each in ((1000,), (1000, 4000)))
        calls = [hear(payroll, each, "transfer.reversed") for each in (part, whole, whole, part)]
        calls.append(answer(payroll, request, transfer_of(payroll, payout)))
        outcomes = at_one_instant(calls)
        assert refusals(outcomes) == []
        assert outcomes[:4] == [[("applied",)]] * 4
        assert payroll.payout(payout)["status"] == "paid"
        assert payroll.payout(payout)["reversed_cents"] == 5000
        assert payroll.figures(creator) == (50 * DOLLAR, 0, 0)
        reversals = payroll.rows(
            "select amount_cents from app.payout_reversals where payout_id = %s order by 1", payout
        )
        assert [row["amount_cents"] for row in reversals] == [1000, 4000]


def test_a_refusal_and_the_transfer_at_one_instant(payroll: Payroll) -> None:
    """Given up by one and made by another: it was made, in whichever order we hear of it."""
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        payout = sent(payroll, creator)
        told, request = transfer_of(payroll, payout), request_of(payroll, payout)
        refuse = payroll.work(
            "select app.record_stripe_failure(%s, 'account_invalid', 'no', true)", request["id"]
        )
        assert refusals(at_one_instant([refuse, hear(payroll, told), refuse])) == []
        assert payroll.payout(payout)["status"] == "paid"
        assert payroll.figures(creator) == (0, 0, 50 * DOLLAR)


def test_a_refusal_at_one_instant_gives_back_once(payroll: Payroll) -> None:
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        payout = sent(payroll, creator)
        refuse = payroll.work(
            "select app.record_stripe_failure(%s, 'account_invalid', 'no', true)",
            request_of(payroll, payout)["id"],
        )
        assert refusals(at_one_instant([refuse] * 4)) == []
        assert payroll.payout(payout)["status"] == "failed"
        assert payroll.figures(creator) == (50 * DOLLAR, 0, 0)
        assert movements(payroll, payout) == [
            ("payout", 50 * DOLLAR), ("payout_returned", 50 * DOLLAR)
        ]  # fmt: skip


def test_a_payout_is_tried_again_once(payroll: Payroll) -> None:
    for _ in range(ROUNDS):
        creator = payroll.creator(5000)
        payout = failed(payroll, creator)
        retry = payroll.service("select api.retry_payout(%s)", payout)
        outcomes = at_one_instant([retry] * 4)
        assert refusals(outcomes) == []
        (again,) = set(answers(outcomes))
        assert [row["id"] for row in payroll.payouts(creator)] == [payout, again]
        assert payroll.figures(creator) == (0, 50 * DOLLAR, 0)
        assert payroll.pending_requests(again) == 1


def test_a_payout_is_tried_again_while_we_hear_that_it_was_made(payroll: Payroll) -> None:
    """Stripe refused it for good and has made it all the same: nobody is paid twice for that."""
    creator = payroll.creator(5000)
    payout = failed(payroll, creator)
    event = event_about(transfer_of(payroll, payout))
    with ThreadPoolExecutor(1) as threads:
        with payroll.market.connect_as_owner() as hearing, hearing.transaction():
            hearing.execute("select app.handle_stripe_event(%s)", (event,))
            retry = payroll.service("select api.retry_payout(%s)", payout)
            retrying = threads.submit(outcome_of, retry)
            wait_until(lambda: retrying.done() or payroll.waiting() == 1, seconds=WAIT_SECONDS)
        assert refusals([retrying.result()]) == [("PT409", "payout_not_failed")]
    assert [row["status"] for row in payroll.payouts(creator)] == ["paid"]
    assert payroll.figures(creator) == (0, 0, 50 * DOLLAR)


def test_a_retry_a_request_and_a_batch_want_the_same_money(payroll: Payroll) -> None:
    for month in payroll.months():
        creator = payroll.creator(5000)
        payout = failed(payroll, creator)
        outcomes = at_one_instant(
            [
                payroll.service("select api.retry_payout(%s)", payout),
                payroll.request(creator),
                payroll.close(month),
            ]
        )
        assert set(refusals(outcomes)) <= {
            ("PT422", "not_enough_available"),
            ("PT422", "below_minimum_payout"),
        }
        first, second = payroll.payouts(creator)
        assert (first["status"], second["status"]) == ("failed", "pending")
        assert payroll.figures(creator) == (0, 50 * DOLLAR, 0)
