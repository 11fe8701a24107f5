"""Payouts over HTTP: what operators do at the month's end and between, and who may do what."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from api.stack.postgres import EmbeddedPostgres
from tests.payouts import CENT, DOLLAR, SOLD, Creator, Office, open_office, refused
from tests.shop import ERROR_FIELDS, Caller, claims
from tests.teller import Json


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    with open_office(postgres_server, next(database_names), migrated_template) as office:
        yield office


@pytest.fixture
def office(house: Office) -> Iterator[Office]:
    yield house
    assert house.till.violations() == []


# The month's end ----------------------------------------------------------------------------------


def close(office: Office, month: date, **more: Any) -> Json:
    answer = office.service().call("run_monthly_payouts", {"month": str(month), **more})
    assert answer.status_code == 200, answer.text
    figures: Json = answer.json()
    return figures


def test_everybody_is_paid_or_told_why_not(office: Office) -> None:
    month = office.month(back=3)
    paid, poor, unknown, debtor, paused, suspect, fresh, nobody = (
        office.creator(2500),
        office.creator(999),
        office.somebody(),
        office.creator(),
        office.creator(2500),
        office.creator(2500),
        office.creator(500),
        office.creator(),
    )
    unknown.owe(25 * DOLLAR)
    debtor.owe(-3 * DOLLAR)
    paused.rest.call("pause_payouts")
    service = office.service()
    service.call("review_creator", {"creator_id": str(suspect.id), "reason": "looks odd"})
    fresh.sell()  # after the month was over
    paid.owe(1)
    before = paid.balance

    figures = close(office, month)

    reasons: list[tuple[Creator, str, int]] = [
        (poor, "below_minimum", 999 * CENT),
        (unknown, "not_verified", 2500 * CENT),
        (debtor, "negative", -3 * DOLLAR),
        (paused, "paused", 2500 * CENT),
        (suspect, "under_review", 2500 * CENT),
        (fresh, "on_hold", 500 * CENT),
    ]
    (row,) = paid.rest.get("/individual_payouts").json()
    assert (row["month"], row["amount_usd"], row["status"]) == (str(month), 25.0, "pending")
    assert paid.rest.get("/payout_skips").json() == []
    assert paid.figures() == (before - 2500 * CENT, 2500 * CENT, 0)
    for creator, reason, available in reasons:
        (skip,) = creator.rest.get(f"/payout_skips?month=eq.{month}").json()
        assert (skip["reason"], skip["creator_id"]) == (reason, str(creator.id))
        assert skip["available_microdollars"] == available
        assert skip["balance_microdollars"] == creator.balance
        assert skip["minimum_cents"] == 1000
        assert creator.rest.get("/payouts").json() == []
    assert nobody.rest.get("/payout_skips").json() == []

    (batch,) = service.get(f"/monthly_payout_batches?month=eq.{month}").json()
    assert figures == {
        name: batch[name] for name in ("creators_done", "payouts", "skipped", "total_cents")
    }
    rows = service.get(f"/payouts?batch_id=eq.{batch['id']}").json()
    assert batch["state"] == "closed"
    assert (batch["payouts"], batch["waiting"]) == (len(rows), len(rows))
    assert batch["total_cents"] == sum(each["amount_cents"] for each in rows)
    assert batch["creators_done"] == batch["creators"] >= batch["payouts"] + batch["skipped"]
    assert close(office, month) == figures  # whatever was owed since belongs to the next
    assert close(office, month + timedelta(days=20)) == figures

    office.send()
    office.check_paid_once(row["id"])
    (batch,) = service.get(f"/monthly_payout_batches?month=eq.{month}").json()
    assert (batch["paid"], batch["failed"], batch["waiting"]) == (len(rows), 0, 0)


def test_a_debt_is_netted_by_the_next_batch(office: Office) -> None:
    """A refund after the payout: the balance is negative, and the statement says why."""
    creator = office.creator()
    purchase = creator.sell()
    office.send()
    payout = creator.ask()
    office.send()
    office.check_paid_once(payout)
    creator.take_back(purchase)
    assert creator.summary()["negative_microdollars"] == -SOLD
    said = refused(creator.request(), 422, "below_minimum_payout")
    assert said["details"] == "-$35.00 is available, and $0.00 waits inside the hold."
    close(office, office.month(back=5))
    (skip,) = creator.rest.get("/payout_skips").json()
    assert (skip["reason"], skip["balance_microdollars"]) == ("negative", -SOLD)
    creator.owe(SOLD + 20 * DOLLAR)
    close(office, office.month(back=4))
    (row,) = creator.rest.get("/individual_payouts").json()
    assert row["amount_usd"] == 20.0
    assert creator.figures() == (0, 20 * DOLLAR, SOLD)
    lines = creator.rest.get("/payout_statements").json()[0]["lines"]
    assert ("refunds", -SOLD) in [(each["section"], each["microdollars"]) for each in lines]


def test_months_that_cannot_be_closed(office: Office) -> None:
    service, running = office.service(), office.month()
    later = (running + timedelta(days=32)).replace(day=1)
    for month, status, hint in (
        (str(later), 422, "month_not_over"),
        ("9999-12-31", 422, "month_not_over"),
        (str(office.month(back=13)), 422, "month_too_old"),
        ("0001-01-01", 422, "month_too_old"),
        ("infinity", 400, "invalid_month"),
        ("-infinity", 400, "invalid_month"),
        (None, 400, "invalid_month"),
    ):
        refused(service.call("run_monthly_payouts", {"month": month}), status, hint)
    refused(
        service.call("run_monthly_payouts", {"month": str(later), "early": True}),
        422,
        "month_not_over",
    )
    wrong: list[object] = ["", "x", "NaN", "2026-13-01", "294277-01-01", 5, [], {}, True]
    for each in wrong:
        answer = service.call("run_monthly_payouts", {"month": each})
        assert answer.status_code == 400, (each, answer.text)
        assert answer.json().keys() == ERROR_FIELDS


def test_a_month_that_is_not_over(office: Office) -> None:
    """Only who says so closes it early; later sales belong to the next."""
    month = office.month()
    service = office.service()
    rows = service.get(f"/monthly_payout_batches?month=eq.{month}").json()
    if not rows:  # closed by no other test yet
        refused(service.call("run_monthly_payouts", {"month": str(month)}), 422, "month_not_over")
        creator = office.creator(2500)
        close(office, month, early=True)
        assert creator.figures() == (0, 25 * DOLLAR, 0)
    figures = close(office, month)
    creator = office.creator(2500)
    assert close(office, month, early=True) == figures
    assert creator.figures() == (25 * DOLLAR, 0, 0)


# What operators do --------------------------------------------------------------------------------


def test_a_payout_is_held_and_released(office: Office) -> None:
    creator, service = office.creator(5000), office.service()
    payout = creator.ask()
    about = {"payout_id": payout}
    refused(service.call("release_payout", about), 409, "payout_not_held")
    assert service.call("hold_payout", {**about, "reason": "much at once"}).status_code == 204
    (row,) = creator.payouts()
    assert (row["status"], row["hold_reason"]) == ("held", "much at once")
    assert creator.figures() == (0, 50 * DOLLAR, 0)
    office.send()
    assert office.transfers(payout) == []
    # Another reason takes the place of the first.
    assert service.call("hold_payout", {**about, "reason": "still odd"}).status_code == 204
    assert creator.payouts()[0]["hold_reason"] == "still odd"
    assert service.call("release_payout", about).status_code == 204
    refused(service.call("release_payout", about), 409, "payout_not_held")
    (row,) = creator.payouts()
    assert (row["status"], row["hold_reason"]) == ("pending", None)
    office.send()
    office.check_paid_once(payout)
    for function in ("hold_payout", "stop_payout"):
        said = refused(service.call(function, {**about, "reason": "x"}), 409, "payout_not_pending")
        assert said["details"] == "It is paid."
    refused(service.call("retry_payout", about), 409, "payout_not_failed")
    logged = service.get(f"/audit_log?subject=eq.{payout}&order=id").json()
    assert [entry["action"] for entry in logged] == ["hold_payout"] * 2 + ["release_payout"]


def test_what_is_held_is_the_operators_to_stop(office: Office) -> None:
    creator, service = office.creator(5000), office.service()
    payout = creator.ask()
    service.call("hold_payout", {"payout_id": payout, "reason": "much at once"})
    said = refused(creator.cancel(payout), 409, "payout_held")
    assert said["details"] == "much at once"
    assert creator.figures() == (0, 50 * DOLLAR, 0)
    stop = {"payout_id": payout, "reason": "it was a mistake"}
    assert service.call("stop_payout", stop).status_code == 204
    (row,) = creator.payouts()
    assert (row["status"], row["hold_reason"]) == ("canceled", None)
    assert (row["failure_code"], row["failure_reason"]) == (
        "canceled_by_operator", "it was a mistake"
    )  # fmt: skip
    assert creator.figures() == (50 * DOLLAR, 0, 0)
    refused(service.call("stop_payout", stop), 409, "payout_not_pending")
    refused(service.call("release_payout", {"payout_id": payout}), 409, "payout_not_held")
    refused(service.call("retry_payout", {"payout_id": payout}), 409, "payout_not_failed")
    office.send()
    assert office.transfers(payout) == []


def test_a_payout_that_failed_is_tried_again_once(office: Office) -> None:
    creator, service = office.creator(5000), office.service()
    payout = creator.ask()
    retry = {"payout_id": payout}
    assert service.call("retry_payout", retry).json() == payout  # due now, and the same
    office.till.sandbox.webhooks("hold")
    creator.control("disable")  # which we have not heard yet
    office.send()
    row = office.payout(payout)
    assert (row["status"], row["failure_code"]) == (
        "failed", "insufficient_capabilities_for_transfer"
    )  # fmt: skip
    assert row["failure_reason"] == "Your Stripe account cannot receive transfers at the moment."
    assert creator.figures() == (50 * DOLLAR, 0, 0)
    office.till.sandbox.calm()
    creator.wait_for_state("restricted")
    refused(service.call("retry_payout", retry), 403, "payout_account_incomplete")
    creator.control("complete")
    creator.wait_for_state("ready")
    creator.owe(-CENT)
    said = refused(service.call("retry_payout", retry), 422, "not_enough_available")
    assert said["details"] == "$49.99 is available, and $0.00 waits inside the hold."
    creator.owe(2 * CENT)

    again = service.call("retry_payout", retry).json()

    assert again != payout
    assert service.call("retry_payout", retry).json() == again
    assert office.payout(again)["amount_cents"] == 5000
    assert [row["retries_id"] for row in creator.payouts()] == [None, payout]
    assert creator.figures() == (CENT, 50 * DOLLAR, 0)
    office.send()
    office.check_paid_once(again)
    assert office.transfers(payout) == []
    assert office.payout(payout)["status"] == "failed"


def test_a_balance_is_corrected(office: Office) -> None:
    creator, service = office.creator(), office.service()

    def adjust(amount: object, key: str | None = None, **more: object) -> httpx.Response:
        about = {"creator_id": str(creator.id), "amount_microdollars": amount, "reason": "a slip"}
        headers = {} if key is None else {"Idempotency_Key": key}
        return service.call("adjust_earnings", about | more, **headers)

    assert adjust(1_234_567).json() == 1_234_567
    assert adjust(-2_000_000, key="k").json() == -765_433
    assert adjust(-2_000_000, key="k").json() == -765_433
    refused(adjust(-2_000_001, key="k"), 409, "idempotency_mismatch")
    refused(adjust(-2_000_000, key="k", reason="another"), 409, "idempotency_mismatch")
    assert creator.figures() == (-765_433, 0, 0)
    for amount in (0, None, 10**12 + 1, -(10**12) - 1, 2**62):
        refused(adjust(amount), 400, "invalid_amount")
    wrong: list[object] = ["NaN", 1.5, 2**63, "", True, [], {}]
    for each in wrong:
        answer = adjust(each)
        assert answer.status_code == 400, (each, answer.text)
    assert creator.figures() == (-765_433, 0, 0)
    logged = service.get(f"/audit_log?subject=eq.{creator.id}&order=id").json()
    assert [entry["details"]["amount_microdollars"] for entry in logged] == [1_234_567, -2_000_000]
    assert adjust(10**12).status_code == adjust(-(10**12)).status_code == 200


SERVICE_CALLS: dict[str, Json] = {
    "run_monthly_payouts": {"month": "2000-01-01"},
    "hold_payout": {"payout_id": str(uuid4()), "reason": "x"},
    "release_payout": {"payout_id": str(uuid4())},
    "stop_payout": {"payout_id": str(uuid4()), "reason": "x"},
    "retry_payout": {"payout_id": str(uuid4())},
    "review_creator": {"creator_id": str(uuid4()), "reason": "x"},
    "end_review": {"creator_id": str(uuid4())},
    "adjust_earnings": {"creator_id": str(uuid4()), "amount_microdollars": 1, "reason": "x"},
}
CREATOR_CALLS: dict[str, Json] = {
    "request_payout": {"amount_usd": 10},
    "cancel_payout": {"payout_id": str(uuid4())},
    "pause_payouts": {"is_paused": True},
    "payout_account": {},
    "payout_statement": {},
    "earnings_summary": {},
}


NO_IDS: list[object] = ["", "x", 5, True, [], {}, "\0", "' or true --"]


def test_who_may_call(office: Office) -> None:
    somebody, operator = office.somebody(), office.somebody()
    office.execute("insert into app.operators (user_id) values (%s)", operator.id)
    for function, arguments in {**SERVICE_CALLS, **CREATOR_CALLS}.items():
        answer = office.anonymous().call(function, arguments)
        assert (answer.status_code, answer.json()["code"]) == (401, "42501"), function
    for function, arguments in SERVICE_CALLS.items():
        for caller in (somebody.rest, operator.rest):
            answer = caller.call(function, arguments)
            assert (answer.status_code, answer.json()["code"]) == (403, "42501"), function
    nobody = Caller(office.http, uuid4(), token_without_subject(office))
    for function, arguments in CREATOR_CALLS.items():
        refused(nobody.call(function, arguments), 401, "login_required")


def token_without_subject(office: Office) -> str:
    return jwt.encode(claims(sub=None), office.till.jwt_secret, "HS256")


def test_who_and_what_is_not_there(office: Office) -> None:
    service = office.service()
    nobody = [None, str(uuid4()), "00000000-0000-0000-0000-000000000000"]
    for function, arguments in {**SERVICE_CALLS, **CREATOR_CALLS}.items():
        caller = office.somebody().rest if function in CREATOR_CALLS else service
        for name in ("payout_id", "creator_id"):
            if name not in arguments:
                continue
            hint = "payout_not_found" if name == "payout_id" else "creator_not_found"
            for identity in nobody:
                refused(caller.call(function, arguments | {name: identity}), 404, hint)
            for each in NO_IDS:
                answer = caller.call(function, arguments | {name: each})
                assert answer.status_code == 400, (function, each, answer.text)
                assert answer.json().keys() == ERROR_FIELDS


def test_reasons_that_are_none(office: Office) -> None:
    creator, service = office.creator(5000), office.service()
    known = {"payout_id": creator.ask("10"), "creator_id": str(creator.id)}
    for function, arguments in SERVICE_CALLS.items():
        if "reason" not in arguments:
            continue
        meant = {name: known.get(name, given) for name, given in arguments.items()}
        for reason in (None, "", " \n\t"):
            refused(service.call(function, meant | {"reason": reason}), 400, "text_required")
        for reason in ("x" * 501, "x" * 1_000_000):
            refused(service.call(function, meant | {"reason": reason}), 400, "text_too_long")
        assert service.call(function, meant | {"reason": "a\0b"}).status_code == 400
    assert creator.figures() == (40 * DOLLAR, 10 * DOLLAR, 0)
    assert creator.payouts()[0]["status"] == "pending"


NO_JSON = [
    b"{",
    b"\xff\xfe",
    b'{"payout_id": "\xff"}',
    b"payout_id=1",
    b"[" * 50_000,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    b'{"amount_usd": NaN}',
]
NO_OBJECTS = [b"null", b"5", b'"x"', b"[]"]  # which PostgREST takes for a call without arguments


def test_calls_that_are_none(office: Office) -> None:
    creator = office.creator(5000)
    movements = office.value("select count(*) from ledger.transfers")
    for function, arguments in {**SERVICE_CALLS, **CREATOR_CALLS}.items():
        caller = creator.rest if function in CREATOR_CALLS else office.service()
        required = [name for name in arguments if name not in ("amount_usd", "is_paused")]
        for body in NO_JSON + (NO_OBJECTS if required else []):
            answer = caller.send(function, body)
            assert 400 <= answer.status_code < 500, (function, body[:20], answer.text)
            assert answer.json().keys() == ERROR_FIELDS
        for extra in ("amount", "status", "creator", "x'; drop table app.payouts"):
            answer = caller.call(function, arguments | {extra: 1})
            assert answer.status_code == 404, (function, extra)
        for name in required:
            fewer = {each: given for each, given in arguments.items() if each != name}
            assert caller.call(function, fewer).status_code == 404, (function, name)
        query = "&".join(f"{name}={given}" for name, given in arguments.items())
        got = caller.get(f"/rpc/{function}?{query}")
        is_read = function in ("payout_account", "payout_statement", "earnings_summary")
        assert got.status_code in ((200,) if is_read else (404, 405)), (function, got.text)
    assert office.value("select count(*) from ledger.transfers") == movements
    assert creator.figures() == (5000 * CENT, 0, 0)
