"""What a client is told when a call is refused: status, code, message, details and hint."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import jwt
import pytest

from api.stack.supervisor import Stack
from tests.market import EARNED, PRICE, acting_as, value
from tests.shop import Shop, claims, open_shop, refusal

AT_ONCE = 60  # money calls that a person may make before waiting


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with open_shop(stack) as shop:
        yield shop


@pytest.mark.parametrize(
    ("credits", "change", "expected"),
    [
        (
            3,
            {},
            {
                "code": "PT402",
                "message": "Not enough credits.",
                "details": "This costs 5 credits; you have 3.",
                "hint": "insufficient_credits",
            },
        ),
        (
            100,
            {"max_credits": 4},
            {
                "code": "PT409",
                "message": "This costs more than you agreed to pay.",
                "details": "It costs 5 credits; you agreed to at most 4. Ask for a new quote.",
                "hint": "price_changed",
            },
        ),
        (
            100,
            {"purchase_type": "bundle"},
            {
                "code": "PT422",
                "message": "A bundle needs at least two chapters that you do not own yet.",
                "details": "Buy chapter 3 by itself.",
                "hint": "bundle_too_small",
            },
        ),
        (
            100,
            {"purchase_type": "loan"},
            {
                "code": "PT400",
                "message": "A purchase is of a chapter, a bundle or a premium_unlock.",
                "details": None,
                "hint": "unknown_purchase_type",
            },
        ),
        (
            100,
            {"chapters": None},
            {
                "code": "PT400",
                "message": "Please say which chapters.",
                "details": 'For example {"chapters": [3]}.',
                "hint": "chapters_required",
            },
        ),
        (
            100,
            {"chapters": [3, 99]},
            {
                "code": "PT404",
                "message": "One of these chapters is not published.",
                "details": None,
                "hint": "chapter_not_found",
            },
        ),
        (
            100,
            {"story_id": str(uuid4())},
            {
                "code": "PT404",
                "message": "There is no such story on sale.",
                "details": None,
                "hint": "story_not_found",
            },
        ),
    ],
    ids=lambda given: given.get("hint") if isinstance(given, dict) else None,
)
def test_a_purchase_that_cannot_be(
    shop: Shop, credits: int, change: dict[str, object], expected: dict[str, str]
) -> None:
    reader = shop.somebody(credits)
    answer = reader.call("purchase_story", shop.chapter(3) | change)
    assert refusal(answer, int(expected["code"][2:])) == expected
    assert shop.market.balance(reader.id) == credits
    assert shop.market.purchases(reader.id) == 0


def test_a_chapter_for_sale_is_402_and_names_its_price(shop: Shop) -> None:
    chapter = {"story_id": shop.story, "chapter_number": 3}
    for caller in (shop.anonymous(), shop.somebody(credits=100)):
        body = refusal(caller.call("read_chapter", chapter), 402)
        assert body["hint"] == "chapter_not_owned"
        assert body["details"] == 'Chapter 3 of "A story for tests" costs 5 credits.'
        assert "Some words." not in str(body)


def test_a_draft_of_somebody_else_is_the_same_404_as_nothing(shop: Shop) -> None:
    with acting_as(shop.market.owner, shop.market.creator):
        draft = str(value(shop.market.owner, "select api.create_story('A secret title')"))
    reader = shop.somebody(credits=100)
    for function in ("purchase_story", "quote_story"):
        of_draft = reader.call(function, shop.chapter(1, story_id=draft))
        of_nothing = reader.call(function, shop.chapter(1, story_id=str(uuid4())))
        assert refusal(of_draft, 404) == refusal(of_nothing, 404)
    assert reader.get(f"/stories?id=eq.{draft}").json() == []
    assert len(shop.creator().get(f"/stories?id=eq.{draft}").json()) == 1


def test_somebody_elses_story_cannot_be_changed(shop: Shop) -> None:
    stranger = shop.somebody()
    for function, arguments in (
        ("update_story", {"title": "Mine now"}),
        ("set_story_pricing", {"price_per_chapter": 0}),
        ("set_story_authors", {"creator_ids": [str(stranger.id)], "basis_points": [10000]}),
        ("archive_story", {}),
        ("save_chapter", {"chapter_number": 1, "title": "x", "content": "x"}),
        ("publish_story", {}),
    ):
        answer = stranger.call(function, {"story_id": shop.story, **arguments})
        assert refusal(answer, 404)["hint"] == "story_not_found"


# Who is calling


def test_without_a_token_what_is_public_works_and_the_rest_is_401(shop: Shop) -> None:
    anonymous = shop.anonymous()
    assert anonymous.get("/credit_packages").status_code == 200
    assert anonymous.call("quote_story", shop.chapter(3)).json()["balance"] is None
    free = anonymous.call("read_chapter", {"story_id": shop.story, "chapter_number": 1})
    assert free.json()["content"] == "Some words."
    for refused in (
        anonymous.call("me"),
        anonymous.call("credit_balance"),
        anonymous.call("purchase_story", shop.chapter(3)),
        anonymous.get("/credit_transactions"),
        anonymous.get("/profiles"),
    ):
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert refused.json()["code"] == "42501"


def test_a_token_that_names_nobody_is_401(shop: Shop) -> None:
    for subject in (None, "", "somebody without an issuer"):
        caller = shop.with_claims(sub=subject)
        for function, arguments in (
            ("me", {}),
            ("credit_balance", {}),
            ("purchase_story", shop.chapter(3)),
            ("create_story", {"title": "x"}),
            ("earnings_summary", {}),
        ):
            answer = caller.call(function, arguments)
            assert refusal(answer, 401) == {
                "code": "PT401",
                "message": "Please sign in first.",
                "details": "The call carries no token with a subject.",
                "hint": "login_required",
            }


def test_an_issuer_of_its_own_ids_gets_a_wallet_of_its_own(shop: Shop) -> None:
    def wallet(issuer: str) -> str:
        return str(shop.with_claims(sub="auth0|5", iss=issuer).call("me").json()["id"])

    assert wallet("https://first.example") == wallet("https://first.example")
    assert wallet("https://first.example") != wallet("https://second.example")


@pytest.mark.parametrize(
    ("changed", "key", "algorithm"),
    [
        ({"exp": 1}, None, "HS256"),
        ({"nbf": 4_000_000_000}, None, "HS256"),
        ({"iat": 4_000_000_000}, None, "HS256"),
        ({}, "another secret of thirty-two bytes or more", "HS256"),
        ({"role": "service_role"}, "another secret of thirty-two bytes or more", "HS256"),
        ({}, None, "none"),
        ({"role": "service_role"}, None, "none"),
    ],
    ids=["expired", "not yet", "from the future", "key", "key, service", "none", "none, service"],
)
def test_a_token_that_is_not_valid_is_401(
    shop: Shop, changed: dict[str, object], key: str | None, algorithm: str
) -> None:
    secret = "" if algorithm == "none" else key or shop.secret
    caller = shop.with_token(jwt.encode(claims(**changed), secret, algorithm))
    for answer in (
        caller.call("me"),
        caller.call("purchase_story", shop.chapter(3)),
        caller.get("/credit_packages"),
        caller.get("/transfers"),
    ):
        assert answer.status_code == 401, answer.text
        assert answer.json()["code"] == "PGRST301"
        assert answer.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "eyJhbGciOiJIUzI1NiJ9.e30.", "null"])
def test_what_is_no_token_at_all_is_401(shop: Shop, token: str) -> None:
    assert shop.with_token(token).call("me").status_code == 401


@pytest.mark.parametrize(
    "role", ["postgres", "app_owner", "edge", "authenticator", "none", "pg_read_all_data"]
)
def test_a_role_that_no_client_has_is_403(shop: Shop, role: str) -> None:
    caller = shop.with_claims(role=role)
    for answer in (
        caller.call("me"),
        caller.call("purchase_story", shop.chapter(3)),
        caller.get("/credit_packages"),
        caller.get("/transfers"),
    ):
        assert answer.status_code == 403, answer.text
        assert answer.json()["code"] == "42501"


@pytest.mark.parametrize(
    "role", ["nobody", "", 5, ["authenticated"], "anon; drop table x", "a" * 99]
)
def test_a_role_that_does_not_exist_is_refused(shop: Shop, role: object) -> None:
    caller = shop.with_claims(role=role)
    answer = caller.call("purchase_story", shop.chapter(3))
    assert answer.status_code in (400, 401, 403), answer.text
    assert answer.json()["code"] == "22023"


def test_a_token_without_a_role_is_anonymous(shop: Shop) -> None:
    caller = shop.with_claims(role=None)
    assert caller.get("/credit_packages").status_code == 200
    assert caller.call("purchase_story", shop.chapter(3)).status_code == 401


def test_what_operators_do_is_403_for_everybody_else(shop: Shop) -> None:
    reader = shop.somebody(credits=PRICE)
    bought = reader.call("purchase_story", shop.chapter(3)).json()["purchase_id"]
    refund = {"user_id": str(reader.id), "purchase_id": bought, "reason": "please"}
    grant = {"user_id": str(reader.id), "credits": 1000, "reason": "please"}
    for caller in (reader, shop.creator()):
        for answer in (
            caller.call("grant_credits", grant),
            caller.call("refund_story_purchase", refund),
            caller.call("verify"),
            caller.call("solvency"),
            caller.call("package_margins"),
            caller.get("/transfers"),
            caller.get("/seals"),
            caller.get("/audit_log"),
        ):
            assert answer.status_code == 403, answer.text
            assert answer.json()["code"] == "42501"
    assert shop.market.balance(reader.id) == 0
    refunded = shop.operator().call("refund_story_purchase", refund).json()
    assert refunded["balance_after"] == PRICE
    assert refunded["earned_microdollars"] == -EARNED
    again = shop.operator().call("refund_story_purchase", refund)
    assert refusal(again, 409)["hint"] == "already_reversed"


def test_views_are_for_reading(shop: Shop) -> None:
    views = shop.market.owner.execute(
        """
        select c.relname, a.attname
        from pg_class as c
        inner join pg_attribute as a on a.attrelid = c.oid and a.attnum = 1
        where c.relnamespace = 'api'::regnamespace and c.relkind = 'v'
        """
    ).fetchall()
    assert ("payments", "id") in views
    for caller in (shop.somebody(), shop.operator(), shop.anonymous()):
        for view, column in views:
            for method in ("POST", "PATCH", "DELETE"):
                body = json.dumps({column: None}).encode()
                answer = caller.request(method, f"/{view}?{column}=is.null", body)
                assert answer.status_code in (400, 401, 403, 405), f"{method} {view} {answer.text}"


def test_no_other_schema_is_in_reach(shop: Shop) -> None:
    for schema in ("app", "ledger", "yoyo", "public", "pg_catalog"):
        for caller in (shop.somebody(), shop.operator()):
            assert caller.get("/accounts", Accept_Profile=schema).status_code == 406
            assert caller.call("seal", {}, Content_Profile=schema).status_code == 406


def test_sql_in_texts_is_text(shop: Shop) -> None:
    attack = "'; drop table ledger.transfers; select $$ -- \\ %s {} \" \u202e"
    reader, operator = shop.somebody(), shop.operator()
    grant: dict[str, object] = {"user_id": str(reader.id), "credits": 5, "reason": attack}
    key = "'; truncate ledger.requests; --"
    granted = operator.call("grant_credits", grant, Idempotency_Key=key)
    assert granted.json()["balance_after"] == 5
    assert operator.call("grant_credits", grant, Idempotency_Key=key).text == granted.text
    logged = operator.get(f"/audit_log?subject=eq.{reader.id}").json()
    assert [entry["details"]["reason"] for entry in logged] == [attack]


# One key, one call


def test_a_retry_under_one_header_gets_the_first_answer(shop: Shop) -> None:
    reader = shop.somebody(credits=100)
    first = reader.call("purchase_story", shop.chapter(3), Idempotency_Key="a key")
    reader.call("purchase_story", shop.chapter(4))
    again = reader.call("purchase_story", shop.chapter(3), Idempotency_Key="a key")
    assert first.status_code == again.status_code == 200
    assert again.json() == first.json()
    assert shop.market.balance(reader.id) == 100 - 2 * PRICE


def test_header_and_argument_are_one_and_the_argument_wins(shop: Shop) -> None:
    reader = shop.somebody(credits=100)
    first = reader.call("purchase_story", shop.chapter(3, idempotency_key="a key"))
    again = reader.call("purchase_story", shop.chapter(3), Idempotency_Key="a key")
    assert again.json() == first.json()
    both = reader.call(
        "purchase_story", shop.chapter(4, idempotency_key="new"), Idempotency_Key="a key"
    )
    assert both.json()["credits_spent"] == PRICE


def test_one_key_for_another_call_is_409(shop: Shop) -> None:
    reader = shop.somebody(credits=100)
    reader.call("purchase_story", shop.chapter(3), Idempotency_Key="a key")
    for other in (
        shop.chapter(4),
        shop.chapter(3, max_credits=5),
        shop.chapter(3, purchase_type="bundle"),
        shop.chapter(3, chapters=[3, 3]),
    ):
        answer = reader.call("purchase_story", other, Idempotency_Key="a key")
        assert refusal(answer, 409) == {
            "code": "PT409",
            "message": "This idempotency key was used for another call.",
            "details": "It first came with purchase_story. Use a new key for a new call.",
            "hint": "idempotency_mismatch",
        }
    assert shop.market.balance(reader.id) == 100 - PRICE


def test_a_refused_call_does_not_use_its_key_up(shop: Shop) -> None:
    reader = shop.somebody(credits=PRICE - 1)
    refused = reader.call("purchase_story", shop.chapter(3), Idempotency_Key="a key")
    assert refusal(refused, 402)
    shop.market.give(reader.id, 1)
    retried = reader.call("purchase_story", shop.chapter(3), Idempotency_Key="a key")
    assert retried.json()["credits_spent"] == PRICE


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_that_is_none_or_too_long_is_400(shop: Shop, key: str) -> None:
    reader = shop.somebody(credits=100)
    for answer in (
        reader.call("purchase_story", shop.chapter(3), Idempotency_Key=key),
        reader.call("purchase_story", shop.chapter(3, idempotency_key=key)),
    ):
        assert refusal(answer, 400)["hint"] == "invalid_idempotency_key"
    assert shop.market.balance(reader.id) == 100


def test_sixteen_requests_at_once_under_one_key_are_one_purchase(shop: Shop) -> None:
    reader = shop.somebody(credits=100)

    def buy(_: int) -> Any:
        return reader.call("purchase_story", shop.chapter(3), Idempotency_Key="a key").json()

    with ThreadPoolExecutor(16) as threads:
        bodies = list(threads.map(buy, range(16)))
    assert all(body == bodies[0] for body in bodies)
    assert bodies[0]["credits_spent"] == PRICE
    assert shop.market.purchases(reader.id) == 1


def test_a_grant_is_made_once_for_a_key(shop: Shop) -> None:
    reader, operator = shop.somebody(), shop.operator()
    grant: dict[str, object] = {"user_id": str(reader.id), "credits": 7, "reason": "thanks"}
    answers = [operator.call("grant_credits", grant, Idempotency_Key="a key") for _ in range(3)]
    assert len({answer.text for answer in answers}) == 1
    assert shop.market.balance(reader.id) == 7
    other = operator.call("grant_credits", grant | {"credits": 8}, Idempotency_Key="a key")
    assert refusal(other, 409)["hint"] == "idempotency_mismatch"


# Too often


def test_too_many_calls_are_429_with_the_time_to_wait(shop: Shop) -> None:
    reader, other = shop.somebody(credits=PRICE), shop.somebody(credits=PRICE)
    reader.call("purchase_story", shop.chapter(3))
    # Buying what one owns is free, and is a money call all the same. A few come back meanwhile.
    calls = 1
    answer = reader.call("purchase_story", shop.chapter(3))
    while answer.status_code == 200:
        calls += 1
        assert calls < 3 * AT_ONCE
        answer = reader.call("purchase_story", shop.chapter(3))
    assert calls >= AT_ONCE
    body = refusal(answer, 429)
    wait = int(answer.headers["Retry-After"])
    assert 1 <= wait <= 60
    assert body == {
        "code": "PT429",
        "message": "Too many calls. Please wait a moment.",
        "details": f"Try again in {wait} seconds.",
        "hint": "rate_limited",
    }
    assert reader.call("credit_balance").status_code == 200  # reads are not counted
    assert reader.get("/credit_transactions").status_code == 200
    assert other.call("purchase_story", shop.chapter(3)).status_code == 200
    shop.market.owner.execute(
        "update app.rate_buckets set refilled_at = refilled_at - make_interval(secs => %s) "
        "where user_id = %s",
        (wait, reader.id),
    )
    assert reader.call("purchase_story", shop.chapter(3)).status_code == 200
