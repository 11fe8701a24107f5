"""Bad input to the functions that move money: refused in the house shape, never a 500.

Whatever is sent, the wallet is as it was and the proof of the ledger stays empty.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from api.stack.supervisor import Stack
from tests.shop import ERROR_FIELDS, Caller, Shop, open_shop

CREDITS = 40
MONEY_FUNCTIONS = ("purchase_story", "quote_story", "grant_credits", "refund_story_purchase")

NO_NUMBERS: list[object] = [
    5.5,
    -1,
    2**63,
    -(2**63) - 1,
    10**400,
    1e300,
    "",
    " ",
    "five",
    "5.0",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "5 credits",
    "5; select 1",
    "\u0665",  # the digit five of another script
    "5\u0000",
    True,
    [],
    [5],
    {},
    {"credits": 5},
]
NO_TEXTS: list[object] = ["a\u0000b", "x" * 1_000_000]
NO_IDS: list[object] = [
    None,
    "",
    "x",
    5,
    -1,
    True,
    [],
    {},
    "\u0000",
    "00000000-0000-0000-0000-00000000000g",
    "' or true --",
    "00000000-0000-0000-0000-000000000000'; drop table ledger.transfers; --",
]
NO_CHAPTERS: list[object] = [
    3,
    "3",
    "three",
    "",
    True,
    {},
    {"3": 3},
    [],
    [None],
    [3, None],
    [0],
    [-3],
    [3.5],
    ["three"],
    ["\u0000"],
    [2**31],
    [2**63],
    [10**400],
    [[3], [4]],
    [[[[[[[3]]]]]]],
    "{3,NULL}",
    "{{3},{4}}",
    "{3",
    [3] * 1001,
    list(range(1, 5000)),
]

BAD_ARGUMENTS = [
    *(("purchase_story", "story_id", bad) for bad in NO_IDS),
    *(("purchase_story", "purchase_type", bad) for bad in [None, "", "gift", 1, [], *NO_TEXTS]),
    *(("purchase_story", "chapters", bad) for bad in [None, *NO_CHAPTERS]),
    *(("purchase_story", "max_credits", bad) for bad in NO_NUMBERS),
    *(("purchase_story", "idempotency_key", bad) for bad in ["", *NO_TEXTS]),
    *(("quote_story", "story_id", bad) for bad in NO_IDS),
    *(("quote_story", "purchase_type", bad) for bad in [None, "", "gift", 1, [], *NO_TEXTS]),
    *(("quote_story", "chapters", bad) for bad in [None, *NO_CHAPTERS]),
    *(
        ("grant_credits", "user_id", bad)
        for bad in [*NO_IDS, "0189c0de-0000-7000-8000-00000000000", "0" * 32]
    ),
    *(("grant_credits", "credits", bad) for bad in [None, 0, 1_000_001, 2**62, *NO_NUMBERS]),
    *(("grant_credits", "reason", bad) for bad in [None, "", " ", *NO_TEXTS]),
    *(
        ("grant_credits", "expires_at", bad)
        for bad in [
            "",
            "soon",
            "now",
            "yesterday",
            "infinity",
            "-infinity",
            "2020-01-01",
            5,
            [],
            {},
        ]
    ),
    *(("grant_credits", "expires_at", bad) for bad in ["294277-01-01", "2026-02-30", "\u0000"]),
    *(("refund_story_purchase", "user_id", bad) for bad in NO_IDS),
    *(("refund_story_purchase", "purchase_id", bad) for bad in NO_IDS),
    *(("refund_story_purchase", "reason", bad) for bad in [None, "", *NO_TEXTS]),
    *(("refund_story_purchase", "credits", bad) for bad in [0, 6, 2**62, *NO_NUMBERS]),
]

# Bodies that no JSON library writes, or that are no arguments at all.
BAD_BODIES = [
    b"",
    b"{",
    b"null",
    b"5",
    b'"x"',
    b"[]",
    b"\xff\xfe",
    b'{"story_id": "\xff"}',
    b"story_id=1",
    b"[" * 100_000,
    b"[" * 20_000 + b"]" * 20_000,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    b'{"story_id": NaN}',
    b'{"story_id": Infinity}',
]
BAD_AMOUNTS = [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1e999999999", b"05", b"+5", b"0x5"]


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Iterator[Shop]:
    with open_shop(stack) as shop:
        yield shop


@pytest.fixture(scope="module")
def reader(shop: Shop) -> Caller:
    """Somebody with credits and one chapter bought for five of them."""
    reader = shop.somebody(CREDITS + 5)
    assert reader.call("purchase_story", shop.chapter(3)).status_code == 200
    return reader


@dataclass(frozen=True)
class Call:
    """A call that would do its work if nothing in it were changed."""

    caller: Caller
    arguments: dict[str, object]


@pytest.fixture(scope="module")
def good(shop: Shop, reader: Caller) -> dict[str, Call]:
    """A good call of each function."""
    purchase = reader.get("/story_purchases").json()[0]["id"]
    person, reason = str(reader.id), "for a test"
    grant = {"user_id": person, "credits": 5, "reason": reason}
    refund = {"user_id": person, "purchase_id": purchase, "reason": reason, "credits": 1}
    return {
        "purchase_story": Call(reader, shop.chapter(4)),
        "quote_story": Call(reader, shop.chapter(4)),
        "grant_credits": Call(shop.operator(), grant),
        "refund_story_purchase": Call(shop.operator(), refund),
    }


@pytest.fixture(autouse=True)
def nothing_moved(shop: Shop, reader: Caller) -> Iterator[None]:
    before = shop.market.movements()
    yield
    assert shop.market.balance(reader.id) == CREDITS
    assert shop.market.movements() == before
    assert shop.market.violations() == []


def assert_refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    body = answer.json()
    assert body.keys() == ERROR_FIELDS
    assert body["message"]


@pytest.mark.parametrize(
    ("function", "argument", "bad"),
    BAD_ARGUMENTS,
    ids=lambda given: given if isinstance(given, str) and given.islower() else repr(given)[:30],
)
def test_a_bad_argument_is_refused(
    good: dict[str, Call], function: str, argument: str, bad: object
) -> None:
    call = good[function]
    assert_refused(call.caller.call(function, call.arguments | {argument: bad}))


@pytest.mark.parametrize("function", MONEY_FUNCTIONS)
def test_bodies_that_are_no_arguments_are_refused(good: dict[str, Call], function: str) -> None:
    for body in BAD_BODIES:
        assert_refused(good[function].caller.send(function, body))


@pytest.mark.parametrize("amount", BAD_AMOUNTS)
def test_amounts_that_json_does_not_know_are_refused(good: dict[str, Call], amount: bytes) -> None:
    for function, argument in (
        ("purchase_story", "max_credits"),
        ("grant_credits", "credits"),
        ("refund_story_purchase", "credits"),
    ):
        body = json.dumps(good[function].arguments | {argument: "AMOUNT"}).encode()
        assert_refused(good[function].caller.send(function, body.replace(b'"AMOUNT"', amount)))


@pytest.mark.parametrize("function", MONEY_FUNCTIONS)
def test_unknown_and_missing_arguments_are_refused(good: dict[str, Call], function: str) -> None:
    call = good[function]
    for extra in ("price", "user", "Credits", "credits_spent", "x'; drop table ledger.transfers"):
        answer = call.caller.call(function, call.arguments | {extra: 1})
        assert_refused(answer)
        assert answer.status_code == 404
    _, *others = call.arguments
    fewer = {name: call.arguments[name] for name in others}
    assert call.caller.call(function, fewer).status_code == 404


@pytest.mark.parametrize("function", MONEY_FUNCTIONS)
def test_nobody_can_say_who_they_are_but_by_their_token(
    shop: Shop, reader: Caller, good: dict[str, Call], function: str
) -> None:
    claim = json.dumps({"sub": str(reader.id), "role": "service_role"})
    for header in ("request_jwt_claims", "X_Request_Jwt_Claims", "role", "X_User_Id"):
        answer = shop.anonymous().call(function, good[function].arguments, **{header: claim})
        assert answer.status_code == (200 if function == "quote_story" else 401)


def test_moving_money_by_get_is_refused(shop: Shop, reader: Caller) -> None:
    answer = reader.get(
        f"/rpc/purchase_story?story_id={shop.story}&purchase_type=chapter&chapters={{4}}"
    )
    assert answer.status_code == 405
    assert answer.json()["code"] == "25006"
