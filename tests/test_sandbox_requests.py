"""Keys, parameters, pages of lists, idempotency and failures on demand."""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from api.sandbox import SandboxError
from api.stack.wait import wait_until
from tests.sandboxes import Shop, open_shop, refusal

INTENT: dict[str, Any] = {"amount": 499, "currency": "usd"}
KEY = {"idempotency_key": "one"}
BEARER = {"Authorization": "Bearer sk_test_sandbox"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


def intents(shop: Shop) -> int:
    return len(shop.api.payment_intents.list({"limit": 100}).data)


def test_the_key_is_needed(shared: Shop) -> None:
    other = stripe.StripeClient("sk_test_other", base_addresses={"api": shared.sandbox.url})
    error = refusal(other.v1.balance.retrieve)
    assert isinstance(error, stripe.AuthenticationError)
    assert "sk_test_other" not in str(error)
    assert shared.raw("GET", "/v1/balance").status_code == 401
    assert shared.raw("GET", "/v1/balance", auth=("sk_test_sandbox", "")).status_code == 200
    assert shared.raw("GET", "/v1/balance", headers=BEARER).headers["Request-Id"][:4] == "req_"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nothing"), ("DELETE", "/v1/balance"), ("POST", "/v1/")]
)
def test_urls_that_are_not_there(shared: Shop, method: str, path: str) -> None:
    answer = shared.raw(method, path, headers=BEARER)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("resource", "param"),
    [
        ("customers", "id"),
        ("payment_intents", "intent"),
        ("charges", "id"),
        ("refunds", "id"),
        ("disputes", "dispute"),
        ("events", "id"),
        ("balance_transactions", "id"),
    ],
)
def test_objects_that_are_not_there(shared: Shop, resource: str, param: str) -> None:
    error = refusal(getattr(shared.api, resource).retrieve, "no_such")
    assert (error.http_status, error.code, error.param) == (404, "resource_missing", param)


@pytest.mark.parametrize(
    ("parameters", "code", "param"),
    [
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": "", "currency": "usd"}, "parameter_invalid_empty", "amount"),
        ({"amount": "4.99", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": "NaN", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 10**30, "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 1, "currency": "usd"}, "amount_too_small", "amount"),
        ({"amount": 10**9, "currency": "usd"}, "amount_too_large", "amount"),
        ({"amount": 499, "currency": "xxx"}, None, "currency"),
        ({**INTENT, "suprise": 1}, "parameter_unknown", "suprise"),
        ({**INTENT, "metadata": {"a": {"b": "c"}}}, None, "metadata"),
        ({**INTENT, "confirm": "perhaps"}, None, "confirm"),
        ({**INTENT, "expand": ["secrets"]}, None, "expand"),
        ({**INTENT, "customer": "cus_no"}, "resource_missing", "customer"),
        ({**INTENT, "confirm": True}, "parameter_missing", "payment_method"),
        ({**INTENT, "payment_method": "pm_no"}, "resource_missing", "payment_method"),
        (
            {**INTENT, "automatic_payment_methods": {"enabled": True, "x": 1}},
            "parameter_unknown",
            "automatic_payment_methods[x]",
        ),
    ],
)
def test_parameters_that_are_refused(
    shared: Shop, parameters: dict[str, Any], code: str | None, param: str
) -> None:
    before = intents(shared)
    error = refusal(shared.api.payment_intents.create, parameters)
    assert (error.http_status, error.code, error.param) == (400, code, param)
    assert intents(shared) == before


@pytest.mark.parametrize("body", [b"\xff=1", b"a[=1", b"amount=1&amount[x]=2", b"[a]=1"])
def test_bodies_that_cannot_be_read(shared: Shop, body: bytes) -> None:
    headers = {**BEARER, "Content-Type": "application/x-www-form-urlencoded"}
    answer = shared.raw("POST", "/v1/payment_intents", headers=headers, data=body)
    assert answer.status_code == 400


def test_lists_are_paged_from_both_ends(shop: Shop) -> None:
    made = [shop.api.payment_intents.create(INTENT).id for _ in range(5)][::-1]
    listed = shop.api.payment_intents.list
    first = listed({"limit": 2})
    assert ([each.id for each in first.data], first.has_more) == (made[:2], True)
    second = listed({"limit": 3, "starting_after": made[1]})
    assert ([each.id for each in second.data], second.has_more) == (made[2:], False)
    back = listed({"limit": 2, "ending_before": made[3]})
    assert ([each.id for each in back.data], back.has_more) == (made[1:3], True)
    assert [each.id for each in listed({"limit": 2}).auto_paging_iter()] == made
    assert refusal(listed, {"starting_after": "pi_no"}).param == "starting_after"
    assert refusal(listed, {"limit": 101}).param == "limit"
    assert refusal(listed, {"customer": "cus_no"}).code == "resource_missing"


def test_events_are_filtered(shop: Shop) -> None:
    shop.paid()
    types = ["charge.succeeded", "payment_intent.created"]
    found = shop.api.events.list({"types": types}).data
    assert {each.type for each in found} == set(types)
    assert len(shop.api.events.list({"type": "payment_intent.*"}).data) == 2
    event = shop.api.events.retrieve(found[0].id)
    assert (event.livemode, event.api_version) == (False, stripe.api_version)
    assert shop.api.events.list({"created": {"lt": event.created}}).data == []
    shop.control("/clock", {"advance_seconds": 31 * 24 * 3600})
    assert shop.api.events.list().data == []


def test_a_key_is_answered_once(shop: Shop) -> None:
    first = shop.api.payment_intents.create(INTENT, KEY)
    again = shop.api.payment_intents.create(INTENT, KEY)
    assert again.id == first.id
    headers = again.last_response.headers
    assert headers["Idempotent-Replayed"] == "true"
    assert headers["Original-Request"] == first.last_response.request_id
    other = refusal(shop.api.payment_intents.create, {**INTENT, "amount": 500}, KEY)
    assert isinstance(other, stripe.IdempotencyError)
    assert other.http_status == 400
    assert isinstance(refusal(shop.api.customers.create, {}, KEY), stripe.IdempotencyError)
    assert intents(shop) == 1
    shop.control("/clock", {"advance_seconds": 24 * 3600})
    assert shop.api.payment_intents.create(INTENT, KEY).id != first.id


def test_a_refusal_by_the_bank_is_stored_and_a_malformed_request_is_not(shop: Shop) -> None:
    declined = {**INTENT, "confirm": True, "payment_method": "pm_card_chargeDeclined"}
    for _ in range(2):
        assert refusal(shop.api.payment_intents.create, declined, KEY).http_status == 402
    assert intents(shop) == 1
    other = {"idempotency_key": "other"}
    assert refusal(shop.api.payment_intents.create, {"amount": 499}, other).param == "currency"
    assert shop.api.payment_intents.create(INTENT, other).status == "requires_payment_method"


def test_a_key_in_use_is_a_conflict(shop: Shop) -> None:
    shop.fault("/v1/payment_intents", "hold")
    made: list[Any] = []
    thread = threading.Thread(
        target=lambda: made.append(shop.api.payment_intents.create(INTENT, KEY))
    )
    thread.start()
    assert wait_until(lambda: shop.control("/faults", method="GET")["holding"] == 1, seconds=10)
    error = refusal(shop.api.payment_intents.create, INTENT, KEY)
    assert (error.http_status, error.error.code) == (409, "idempotency_key_in_use")
    assert shop.control("/faults/release") == {"released": 1}
    thread.join(10)
    assert shop.api.payment_intents.create(INTENT, KEY).id == made[0].id


def test_a_500_is_stored_although_nothing_happened(shop: Shop) -> None:
    shop.fault("/v1/payment_intents", "error_500")
    for _ in range(2):
        error = refusal(shop.api.payment_intents.create, INTENT, KEY)
        assert isinstance(error, stripe.APIError)
        assert error.http_status == 500
    assert intents(shop) == 0
    assert shop.api.payment_intents.create(INTENT, {"idempotency_key": "two"}).amount == 499


def test_a_500_after_it_happened(shop: Shop) -> None:
    shop.fault("/v1/payment_intents", "error_500_after")
    for _ in range(2):
        assert refusal(shop.api.payment_intents.create, INTENT, KEY).http_status == 500
    assert intents(shop) == 1
    assert shop.event_types() == ["payment_intent.created"]


def test_too_many_requests(shop: Shop) -> None:
    shop.fault("/v1/payment_intents", "error_429")
    error = refusal(shop.api.payment_intents.create, INTENT, KEY)
    assert isinstance(error, stripe.RateLimitError)
    assert shop.api.payment_intents.create(INTENT, KEY).amount == 499


@pytest.mark.parametrize(("fault", "happened"), [("lost_reply", 1), ("lost_request", 0)])
def test_a_lost_answer(shop: Shop, fault: str, happened: int) -> None:
    shop.fault("/v1/payment_intents", fault)
    error = refusal(shop.api.payment_intents.create, INTENT, KEY)
    assert isinstance(error, stripe.APIConnectionError)
    assert intents(shop) == happened
    assert shop.api.payment_intents.create(INTENT, KEY).amount == 499
    assert intents(shop) == 1
    assert shop.control("/faults", method="GET")["faults"][0]["struck"] == 1


def test_a_slow_answer_and_a_method_and_path_by_pattern(shop: Shop) -> None:
    intent = shop.api.payment_intents.create(INTENT)
    for fault in ({"fault": "slow", "seconds": 0.05}, {"fault": "error_500", "times": None}):
        shop.control("/faults", {"method": "*", "path": "/v1/payment_intents/*", **fault})
    assert refusal(shop.api.payment_intents.retrieve, intent.id).http_status == 500
    assert refusal(shop.api.payment_intents.cancel, intent.id).http_status == 500
    listed = shop.control("/faults", method="DELETE")
    assert listed == {"faults": [], "holding": 0}
    assert shop.api.payment_intents.retrieve(intent.id).id == intent.id


def test_a_refund_without_the_funds_for_it(shop: Shop) -> None:
    intent = shop.paid()
    shop.fault("/v1/refunds", "insufficient_balance")
    refund = shop.api.refunds.create({"payment_intent": intent.id})
    assert (refund.status, refund.pending_reason) == ("pending", "insufficient_funds")
    assert refund.balance_transaction is None
    assert shop.balance() == 455
    shop.control(f"/refunds/{refund.id}/settle")
    assert shop.api.refunds.retrieve(refund.id).status == "succeeded"
    assert shop.balance() == shop.lines_sum() == -44


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"path": "/v1/refunds", "fault": "meteor"}),
        ("/faults", {"fault": "error_500"}),
        ("/faults", {"path": "/v1/refunds", "fault": "error_500", "times": 0}),
        ("/faults", {"path": "/v1/refunds", "fault": "error_500", "tmies": 1}),
        ("/faults", [1]),
        ("/webhooks/mode", {"mode": "sideways"}),
        ("/webhooks/release", {"events": "evt_1"}),
    ],
)
def test_controls_that_are_refused(shared: Shop, path: str, body: Any) -> None:
    assert shared.raw("POST", f"/_sandbox{path}", json=body).status_code == 400


def test_a_restart_goes_on_with_everything() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with open_shop(Path(folder)) as shop:
            intent = shop.api.payment_intents.create(
                {**INTENT, "confirm": True, "payment_method": "pm_card_refundFail"}, KEY
            )
            with pytest.raises(SandboxError, match="another sandbox"), open_shop(Path(folder)):
                pass
        with open_shop(Path(folder)) as shop:
            assert shop.api.payment_intents.retrieve(intent.id).status == "succeeded"
            refund = shop.api.refunds.create({"payment_intent": intent.id})
            assert shop.api.refunds.retrieve(refund.id).status == "failed"
            assert shop.balance() == shop.lines_sum() == 455
            replayed = shop.api.payment_intents.create(
                {**INTENT, "confirm": True, "payment_method": "pm_card_refundFail"}, KEY
            )
            assert replayed.id == intent.id
