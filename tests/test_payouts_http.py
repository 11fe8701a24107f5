"""Payouts over HTTP: what creators and operators call, what they are told, what they may see."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from api.stack.postgres import EmbeddedPostgres
from tests.payouts import CENT, DOLLAR, SOLD, Creator, Office, open_office, refused
from tests.shop import ERROR_FIELDS
from tests.teller import Json

DOCUMENT = "individual.verification.document"


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


# Whether one can be paid --------------------------------------------------------------------------


def account(creator: Creator) -> Json:
    answer = creator.rest.get("/rpc/payout_account")
    assert answer.status_code == 200, answer.text
    assert creator.rest.call("payout_account").json() == answer.json()
    said: Json = answer.json()
    return said


def test_an_account_on_its_way(office: Office) -> None:
    creator = office.somebody()
    assert account(creator) == {
        "state": "none",
        "is_ready": False,
        "message": "Set up payouts to receive what you earn.",
        "missing": [],
        "country": None,
        "is_paused": False,
        "is_under_review": False,
        "minimum_payout_cents": 1000,
        "hold_days": 0,
        "is_live": False,
    }
    creator.connect(ready=False)
    begun = account(creator)
    assert (begun["state"], begun["is_ready"], begun["country"]) == ("started", False, "US")
    assert "A bank account for your payouts." in begun["missing"]

    steps: list[tuple[str, Json, str, list[str]]] = [
        ("complete", {"lacks": [DOCUMENT]}, "incomplete", ["A photo of an identity document."]),
        ("complete", {"verifies": [DOCUMENT]}, "verifying", []),
        ("complete", {}, "ready", []),
        ("require", {"fields": [DOCUMENT]}, "ready", ["A photo of an identity document."]),
        ("require", {"fields": ["external_account"], "past_due": True}, "incomplete", [
            "A bank account for your payouts.", "A photo of an identity document."]),
        ("complete", {}, "ready", []),
        ("disable", {}, "restricted", []),
        ("disable", {"reason": "rejected.fraud"}, "rejected", []),
        ("deauthorize", {}, "deauthorized", []),
    ]  # fmt: skip
    messages = {begun["message"]}
    for control, body, state, missing in steps:
        creator.control(control, **body)
        said = creator.wait_for_state(state, missing)
        assert said["is_ready"] == (state == "ready"), said
        messages.add(said["message"])
    assert len(messages) == 7


def test_the_minimum_and_the_hold_are_those_of_the_tier(office: Office) -> None:
    creator = office.somebody()
    office.execute("update app.profiles set creator_tier = 'gold' where id = %s", creator.id)
    office.execute("update app.creator_tiers set minimum_payout_cents = 123 where tier = 'gold'")
    try:
        said = account(creator)
    finally:
        office.execute("update app.creator_tiers set minimum_payout_cents = null")
    assert (said["minimum_payout_cents"], said["hold_days"]) == (123, 5)
    assert account(creator)["minimum_payout_cents"] == 1000


def test_pausing(office: Office) -> None:
    creator = office.creator(5000)
    for given, holds in (({}, True), ({"is_paused": True}, True), ({"is_paused": False}, False)):
        assert creator.rest.call("pause_payouts", given).json() is holds
        assert account(creator)["is_paused"] is holds
        if holds:
            said = refused(creator.request(), 409, "payouts_paused")
            assert said["message"] == "You have paused your payouts. Resume them first."
    refused(creator.rest.call("pause_payouts", {"is_paused": None}), 400, "invalid_argument")
    assert creator.rest.call("pause_payouts", {"is_paused": "maybe"}).status_code == 400
    assert account(creator)["is_paused"] is False
    assert creator.request().status_code == 200


# Asking for money ---------------------------------------------------------------------------------


def test_everything_that_is_available_in_whole_cents(office: Office) -> None:
    creator = office.creator()
    creator.sell()
    creator.sell(5)  # 17.5 cents
    total = SOLD + 175_000
    assert creator.figures() == (total, 0, 0)

    answer = creator.request()

    assert answer.status_code == 200, answer.text
    said = answer.json()
    payout_id = said.pop("payout_id")
    assert said == {
        "amount_cents": 3517,
        "currency": "usd",
        "status": "pending",
        "available_microdollars": 5000,
    }
    assert creator.figures() == (5000, 3517 * CENT, 0)
    summary = creator.summary()
    assert summary["total_earned_microdollars"] == total
    assert summary["available_microdollars"] == 5000
    (row,) = creator.payouts()
    assert row["id"] == payout_id
    assert row["creator_id"] == str(creator.id)
    assert (row["amount_usd"], row["amount_cents"], row["currency"]) == (35.17, 3517, "usd")
    assert (row["status"], row["batch_id"], row["reversed_cents"]) == ("pending", None, 0)
    assert row["earnings_count"] == 2
    assert row["period_start"] < row["period_end"] <= row["created_at"]
    refused(creator.request(), 422, "below_minimum_payout")  # half a cent is left

    office.send()
    office.check_paid_once(payout_id)
    assert creator.figures() == (5000, 0, 3517 * CENT)
    (row,) = creator.payouts()
    assert row["status"] == "paid"
    assert row["stripe_transfer_id"].startswith("tr_")
    assert row["processed_at"] is not None
    assert row["failure_reason"] is row["failure_code"] is row["hold_reason"] is None
    (accumulated,) = creator.rest.get("/creator_earnings_accumulation").json()
    assert accumulated == {
        "creator_id": str(creator.id),
        "total_accumulated_usd": 35.175,
        "balance_usd": 0.005,
        "pending_usd": 0,
        "available_usd": 0.005,
        "on_the_way_usd": 0,
        "paid_usd": 35.17,
    }


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        (b"10", 1000),
        (b"10.0", 1000),
        (b"12.34", 1234),
        (b'"12.34"', 1234),
        (b'" 12.340 "', 1234),
        (b"1234e-2", 1234),
        (b"35", 3500),
    ],
)
def test_a_part(office: Office, amount: bytes, cents: int) -> None:
    creator = office.creator(3500)
    answer = creator.rest.send("request_payout", b'{"amount_usd": ' + amount + b"}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["amount_cents"] == cents
    assert answer.json()["available_microdollars"] == (3500 - cents) * CENT
    assert creator.figures() == ((3500 - cents) * CENT, cents * CENT, 0)


NO_AMOUNTS: dict[str, bytes] = {
    "zero": b"0",
    "nothing negative": b"-0.00",
    "negative": b"-10",
    "half a cent": b"10.005",
    "a hair more": b"10.000001",
    "less than a cent": b"1e-300",
    "NaN as a text": b'"NaN"',
    "infinity": b'"Infinity"',
    "minus infinity": b'"-Infinity"',
    "a thousand million and a cent": b"1000000000.01",
    "huge": b"1e300",
    "more than a number holds": b"1e131071",
    "far too many digits": b"9" * 5000,
    "larger than bigint": b"9223372036854775808",
}
NO_NUMBERS: dict[str, bytes] = {
    "empty": b'""',
    "blank": b'" "',
    "words": b'"ten"',
    "with a sign": b'"$10"',
    "with a comma": b'"12,50"',
    "two": b'"10 10"',
    "another script": '"\u0661\u0660"'.encode(),
    "NUL": b'"10\\u0000"',
    "SQL": b'"10\'; drop table app.payouts; --"',
    "true": b"true",
    "a list": b"[10]",
    "an object": b'{"usd": 10}',
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "too large to be any number": b"1e999999999",
    "a leading zero": b"010",
    "hexadecimal": b"0x10",
}


def test_amounts_that_are_none(office: Office) -> None:
    creator = office.creator(5000)
    for name, amount in {**NO_AMOUNTS, **NO_NUMBERS}.items():
        answer = creator.rest.send("request_payout", b'{"amount_usd": ' + amount + b"}")
        assert answer.status_code == 400, (name, answer.text)
        body = answer.json()
        assert body.keys() == ERROR_FIELDS, name
        if name in NO_AMOUNTS:
            assert (body["code"], body["hint"]) == ("PT400", "invalid_amount"), (name, body)
    assert creator.figures() == (5000 * CENT, 0, 0)
    assert creator.payouts() == []


def test_the_largest_amount_is_refused_for_what_there_is(office: Office) -> None:
    refused(office.creator(5000).request(1_000_000_000), 422, "not_enough_available")


def test_the_edges_of_what_is_paid(office: Office) -> None:
    creator = office.creator(2500)
    low = refused(creator.request("9.99"), 422, "below_minimum_payout")
    assert low["message"] == "At least $10.00 is paid out at a time."
    assert low["details"] == "$25.00 is available, and $0.00 waits inside the hold."
    high = refused(creator.request("25.01"), 422, "not_enough_available")
    assert high["message"] == "You do not have that much available."
    assert creator.figures() == (2500 * CENT, 0, 0)
    assert creator.request("10.00").json()["available_microdollars"] == 15 * DOLLAR
    assert creator.request("15.00").json()["available_microdollars"] == 0
    refused(creator.request(), 422, "below_minimum_payout")
    assert [row["amount_cents"] for row in creator.payouts()] == [1000, 1500]


def test_what_is_inside_the_hold_is_not_paid(office: Office) -> None:
    creator = office.creator(1200)
    creator.sell()
    office.hold_days(7)
    try:
        summary = creator.summary()
        assert summary["pending_microdollars"] == SOLD
        assert summary["available_microdollars"] == 12 * DOLLAR
        said = refused(creator.request("12.01"), 422, "not_enough_available")
        assert said["details"] == "$12.00 is available, and $35.00 waits inside the hold."
        assert creator.request().json()["amount_cents"] == 1200
    finally:
        office.hold_days(0)
    assert creator.request().json()["amount_cents"] == 3500


def test_who_is_not_paid_is_told_why(office: Office) -> None:
    creator = office.somebody()
    creator.owe(50 * DOLLAR)
    said = refused(creator.request(), 403, "payout_account_required")
    assert said["message"] == "Set up payouts to receive what you earn."
    creator.connect(ready=False)
    said = refused(creator.request(), 403, "payout_account_incomplete")
    assert "A bank account for your payouts." in said["details"]
    creator.control("complete")
    creator.wait_for_state("ready")
    review = {"creator_id": str(creator.id), "reason": "who is it really?"}
    assert office.service().call("review_creator", review).status_code == 204
    assert account(creator)["is_under_review"] is True
    said = refused(creator.request(), 403, "payouts_under_review")
    assert "who is it really?" not in str(said)
    assert office.service().call("end_review", {"creator_id": str(creator.id)}).status_code == 204
    creator.control("disable")
    creator.wait_for_state("restricted")
    said = refused(creator.request(), 403, "payout_account_incomplete")
    assert said["details"] is None
    creator.control("deauthorize")
    creator.wait_for_state("deauthorized")
    refused(creator.request(), 403, "payout_account_required")
    creator.connect()
    assert creator.request().json()["amount_cents"] == 5000


def test_a_large_payout_is_looked_at_first(office: Office) -> None:
    creator = office.creator(10_000)
    office.execute("update app.economy set payout_review_cents = 5000")
    try:
        small, large = creator.request("49.99").json(), creator.request("50.00").json()
    finally:
        office.execute("update app.economy set payout_review_cents = null")
    assert (small["status"], large["status"]) == ("pending", "held")
    (row,) = creator.rest.get("/payouts?status=eq.held").json()
    assert row["hold_reason"] == "Payouts of this size are looked at by a person first."
    office.send()
    assert office.payout(large["payout_id"])["status"] == "held"
    assert office.transfers(large["payout_id"]) == []
    assert creator.figures() == (1 * CENT, 50 * DOLLAR, 4999 * CENT)
    service = office.service()
    release = {"payout_id": large["payout_id"]}
    assert service.call("release_payout", release).status_code == 204
    office.send()
    office.check_paid_once(large["payout_id"])


# One key, one payout ------------------------------------------------------------------------------


def test_one_key_is_one_payout(office: Office) -> None:
    creator = office.creator(5000)
    first = creator.request("10", key="a key")
    assert first.status_code == 200
    for again in (
        creator.request("10", key="a key"),
        creator.request(10.00, key="a key"),
        creator.rest.call("request_payout", {"amount_usd": 10, "idempotency_key": "a key"}),
    ):
        assert again.json() == first.json()
    for other in ("11", None):
        body = refused(creator.request(other, key="a key"), 409, "idempotency_mismatch")
        assert body["details"] == "It first came with request_payout. Use a new key for a new call."
    assert creator.figures() == (40 * DOLLAR, 10 * DOLLAR, 0)
    assert office.creator(1000).request("10", key="a key").json() != first.json()


def test_many_requests_at_once(office: Office) -> None:
    creator = office.creator(5000)
    with ThreadPoolExecutor(8) as threads:
        keyed = list(threads.map(lambda _: creator.request("10", key="a key"), range(8)))
        rest = list(threads.map(lambda _: creator.request(), range(8)))
    assert {answer.status_code for answer in keyed} == {200}
    assert len({answer.text for answer in keyed}) == 1
    assert sorted(answer.status_code for answer in rest) == [200] + [422] * 7
    assert creator.figures() == (0, 50 * DOLLAR, 0)
    assert [row["amount_cents"] for row in creator.payouts()] == [1000, 4000]


def test_a_key_answers_with_what_became_of_it(office: Office) -> None:
    """What is left is what was left then; the status is that of now."""
    creator = office.creator(5000)
    first = creator.request("10", key="a key").json()
    assert creator.cancel(first["payout_id"]).status_code == 200
    again = creator.request("10", key="a key").json()
    assert again == first | {"status": "canceled"}
    assert creator.figures() == (50 * DOLLAR, 0, 0)


def test_a_refused_call_does_not_use_its_key_up(office: Office) -> None:
    creator = office.creator(999)
    refused(creator.request(key="a key"), 422, "below_minimum_payout")
    creator.owe(CENT)
    assert creator.request(key="a key").json()["amount_cents"] == 1000


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_wrong_keys(office: Office, key: str) -> None:
    creator = office.creator(5000)
    refused(creator.request(key=key), 400, "invalid_idempotency_key")
    named = creator.rest.call("request_payout", {"idempotency_key": key})
    refused(named, 400, "invalid_idempotency_key")
    assert creator.payouts() == []


def test_asking_too_often(office: Office) -> None:
    creator = office.creator(5000)
    answer = creator.request("10", key="a key")
    calls = 1
    while answer.status_code == 200:
        calls += 1
        assert calls < 200
        answer = creator.request("10", key="a key")
    assert calls > 60
    refused(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    refused(creator.cancel(creator.payouts()[0]["id"]), 429, "rate_limited")
    assert creator.figures() == (40 * DOLLAR, 10 * DOLLAR, 0)


# Taking it back -----------------------------------------------------------------------------------


def test_a_payout_is_canceled_once(office: Office) -> None:
    creator, other = office.creator(5000), office.creator(5000)
    payout = creator.ask()
    theirs = refused(other.cancel(payout), 404, "payout_not_found")
    assert theirs == refused(other.cancel(uuid4()), 404, "payout_not_found")
    by_service = office.service().call("cancel_payout", {"payout_id": payout})
    assert theirs == refused(by_service, 404, "payout_not_found")  # it has stop_payout
    assert creator.cancel(payout).json() == "canceled"
    (row,) = creator.payouts()
    assert (row["status"], row["failure_code"]) == ("canceled", "canceled_by_creator")
    assert row["failure_reason"] == "You canceled it."
    assert creator.figures() == (50 * DOLLAR, 0, 0)
    said = refused(creator.cancel(payout), 409, "payout_not_pending")
    assert said["details"] == "It is canceled."
    office.send()
    assert office.transfers(payout) == []
    assert [each["state"] for each in office.requests(payout)] == ["withdrawn"]
    assert creator.request().json()["amount_cents"] == 5000


def test_what_was_sent_is_not_canceled(office: Office) -> None:
    creator = office.creator(5000)
    payout = creator.ask()
    office.till.sandbox.fault("/v1/transfers", "error_500", times=None)
    office.send()
    office.till.sandbox.calm()
    said = refused(creator.cancel(payout), 409, "payout_not_pending")
    assert said["message"] == "It is too late: this payout cannot be stopped any more."
    assert said["details"] == "It is processing."
    office.send()
    office.check_paid_once(payout)
    assert refused(creator.cancel(payout), 409, "payout_not_pending")["details"] == "It is paid."
    assert creator.figures() == (0, 0, 50 * DOLLAR)


# What there is to see -----------------------------------------------------------------------------

VIEWS = ("payouts", "individual_payouts", "payout_reversals", "payout_skips", "payout_statements")
SERVICE_VIEWS = ("monthly_payout_batches", "payout_accounts")


def test_whose_rows(office: Office) -> None:
    creator, stranger = office.creator(5000), office.somebody()
    payout = creator.ask()
    office.send()
    office.reverse(payout, 1000)
    office.till.settle()
    for view in ("payouts", "payout_reversals", "payout_statements"):
        mine = creator.rest.get(f"/{view}").json()
        assert len(mine) == 1, view
        assert {row["creator_id"] for row in mine} == {str(creator.id)}
        assert stranger.rest.get(f"/{view}?creator_id=eq.{creator.id}").json() == []
    for view in ("payouts", "payout_reversals"):
        assert stranger.rest.get(f"/{view}?select=count()").status_code == 400
        seen = office.service().get(f"/{view}?creator_id=eq.{creator.id}").json()
        assert seen == creator.rest.get(f"/{view}").json()
    for view in VIEWS + SERVICE_VIEWS:
        assert office.anonymous().get(f"/{view}").status_code == 401, view
        expected = 200 if view in VIEWS else 403
        assert creator.rest.get(f"/{view}").status_code == expected, view
        assert office.service().get(f"/{view}").status_code == 200, view
    (row,) = office.service().get(f"/payout_accounts?user_id=eq.{creator.id}").json()
    assert (row["stripe_account_id"], row["transfers_status"]) == (creator.account, "active")


def test_nothing_is_written_through_a_view(office: Office) -> None:
    creator = office.creator(5000)
    payout = creator.ask()
    office.service().call("run_monthly_payouts", {"month": str(office.month()), "early": True})
    changes: dict[str, tuple[str, Json]] = {
        "payouts": (f"id=eq.{payout}", {"status": "paid", "amount_cents": 1}),
        "individual_payouts": (f"creator_id=eq.{creator.id}", {"status": "paid"}),
        "payout_reversals": (f"creator_id=eq.{creator.id}", {"amount_cents": 1}),
        "payout_skips": (f"creator_id=eq.{creator.id}", {"reason": "paused"}),
        "payout_statements": (f"creator_id=eq.{creator.id}", {"closing_microdollars": 1}),
        "monthly_payout_batches": (f"month=eq.{office.month()}", {"state": "running"}),
        "payout_accounts": (f"user_id=eq.{creator.id}", {"transfers_status": "active"}),
    }
    before = office.payout(payout)
    for view, (where, change) in changes.items():
        for caller in (creator.rest, office.service(), office.anonymous()):
            for method, path in (
                ("POST", f"/{view}"),
                ("PATCH", f"/{view}?{where}"),
                ("DELETE", f"/{view}?{where}"),
            ):
                answer = caller.request(method, path, json.dumps(change).encode())
                assert answer.status_code in (401, 403), f"{method} {path} {answer.text}"
                assert answer.json()["code"] == "42501"
    assert office.payout(payout) == before


def test_pages_and_filters(office: Office) -> None:
    creator = office.creator(7000)
    made = [creator.ask(10 + cents / 100) for cents in range(6)]
    creator.cancel(made[2])

    def page(query: str, **headers: str) -> httpx.Response:
        answer = creator.rest.get(f"/payouts?select=id&{query}", **headers)
        assert answer.status_code in (200, 206), answer.text
        return answer

    def ids(query: str) -> list[str]:
        return [row["id"] for row in page(query).json()]

    assert ids("order=id") == made
    assert ids("order=id.desc&limit=2") == [made[5], made[4]]
    assert ids(f"order=id.desc&limit=2&id=lt.{made[4]}") == [made[3], made[2]]
    assert ids("order=id&limit=2&offset=4") == made[4:]
    assert ids("status=eq.canceled") == [made[2]]
    assert ids("amount_usd=gt.10.03&order=id") == made[4:]
    counted = page("limit=2&order=id", Prefer="count=exact")
    assert counted.headers["Content-Range"] == "0-1/6"
    for query in ("id=eq.1", "amount_cents=gt.NaN", "order=nothing", "status=is.maybe"):
        assert creator.rest.get(f"/payouts?{query}").status_code == 400, query


def test_payouts_as_a_table(office: Office) -> None:
    creator = office.creator(2500)
    payout = creator.ask("12.50")
    answer = creator.rest.get("/payouts?select=id,amount_usd,status", Accept="text/csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.text == f"id,amount_usd,status\n{payout},12.50,pending"


def test_nobody_can_say_who_they_are_but_by_their_token(office: Office) -> None:
    creator, stranger = office.creator(5000), office.creator(5000)
    claim = json.dumps({"sub": str(creator.id), "role": "service_role"})
    payout = creator.ask("10")
    for header in ("request_jwt_claims", "X_Request_Jwt_Claims", "role", "X_User_Id"):
        sent = {header: claim}
        refused(
            stranger.rest.call("cancel_payout", {"payout_id": payout}, **sent),
            404,
            "payout_not_found",
        )
        assert office.anonymous().call("request_payout", {}, **sent).status_code == 401
    assert creator.payouts()[0]["status"] == "pending"
