"""What can be read: whose rows, in which pages, found by which search, described where."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from api.stack.supervisor import Stack
from tests.market import EARNED, PRICE
from tests.shop import Caller, Shop, open_shop

MAX_ROWS = 1000


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with open_shop(stack) as shop:
        yield shop


# Whose rows


def test_money_is_seen_by_its_owner_and_nobody_else(shop: Shop) -> None:
    reader, stranger, creator = shop.somebody(credits=100), shop.somebody(), shop.creator()
    reader.call("purchase_story", shop.chapter(3))
    for view, rows in (
        ("credit_transactions", 2),
        ("story_purchases", 1),
        ("story_entitlements", 1),
    ):
        assert len(reader.get(f"/{view}").json()) == rows
        assert stranger.get(f"/{view}").json() == []
        assert stranger.get(f"/{view}?user_id=eq.{reader.id}").json() == []
    assert [row["credits_balance"] for row in reader.get("/profiles").json()] == [100 - PRICE]
    assert stranger.get(f"/profiles?id=eq.{reader.id}").json() == []
    assert [row["microdollars"] for row in creator.get("/creator_earnings").json()] == [EARNED]
    assert reader.get("/creator_earnings").json() == []
    assert stranger.get("/creator_earnings").json() == []
    assert stranger.call("credit_balance").json()["balance"] == 0
    assert stranger.call("earnings_summary").json()["balance_microdollars"] == 0
    assert creator.call("earnings_summary").json()["balance_microdollars"] == EARNED


def test_the_text_of_a_chapter_has_one_door(shop: Shop) -> None:
    reader = shop.somebody(credits=PRICE)
    for caller in (shop.anonymous(), reader, shop.creator(), shop.operator()):
        assert caller.get("/chapter_texts").status_code == 404
        assert caller.get("/chapters?select=*,chapter_texts(*)").status_code == 400
        assert caller.get("/chapters?select=content").status_code == 400
        assert "Some words." not in caller.get(f"/chapters?story_id=eq.{shop.story}").text
    chapter = f"/rpc/read_chapter?story_id={shop.story}&chapter_number=3"
    assert reader.get(chapter).status_code == 402
    reader.call("purchase_story", shop.chapter(3))
    read = reader.get(chapter).json()
    assert (read["content"], read["access"], read["has_next"]) == ("Some words.", "owned", True)
    assert shop.creator().get(chapter).json()["access"] == "author"
    assert shop.anonymous().get(chapter).status_code == 402


def test_stable_functions_answer_get_and_post_alike(shop: Shop) -> None:
    reader = shop.somebody(credits=100)
    quote = f"story_id={shop.story}&purchase_type=chapter&chapters={{3,4}}"
    for function, arguments, query in (
        ("credit_balance", {}, ""),
        ("earnings_summary", {}, ""),
        ("story_splits", {}, ""),
        ("quote_story", shop.chapter(3, chapters=[3, 4]), quote),
        (
            "read_chapter",
            {"story_id": shop.story, "chapter_number": 2},
            f"story_id={shop.story}&chapter_number=2",
        ),
        ("search_stories", {"query": "tests", "sort": "title"}, "query=tests&sort=title"),
    ):
        posted = reader.call(function, arguments)
        assert posted.status_code == 200
        assert reader.get(f"/rpc/{function}?{query}").json() == posted.json()


def test_a_first_get_writes_nothing_and_shows_who_one_will_be(shop: Shop) -> None:
    newcomer = shop.somebody()
    seen = newcomer.get("/rpc/me").json()
    found = "select count(*) from app.profiles where id = %s"
    assert shop.market.owner.execute(found, (newcomer.id,)).fetchone() == (0,)
    made = newcomer.call("me").json()
    assert (seen["id"], seen["handle"]) == (made["id"], made["handle"])
    assert shop.market.owner.execute(found, (newcomer.id,)).fetchone() == (1,)


# Pages


@pytest.fixture
def collector(shop: Shop) -> Caller:
    """Somebody with more movements than one answer may have."""
    reader = shop.somebody(credits=1)
    shop.market.owner.execute(
        "select count(ledger.grant_credits(%s, 1, 'grant')) from generate_series(2, %s)",
        (reader.id, MAX_ROWS + 7),
    )
    return reader


def test_an_answer_has_at_most_a_thousand_rows(collector: Caller) -> None:
    for path in ("/credit_transactions", "/credit_transactions?limit=5000"):
        answer = collector.get(path, Prefer="count=exact")
        assert len(answer.json()) == MAX_ROWS
        assert answer.headers["Content-Range"] == f"0-{MAX_ROWS - 1}/{MAX_ROWS + 7}"


def test_pages_by_limit_and_offset_are_the_whole(collector: Caller) -> None:
    def page(offset: int) -> list[int]:
        path = f"/credit_transactions?select=balance_after&order=id.desc&limit=300&offset={offset}"
        return [row["balance_after"] for row in collector.get(path).json()]

    pages = [page(offset) for offset in range(0, 1500, 300)]
    assert [len(each) for each in pages] == [300, 300, 300, 107, 0]
    assert list(chain(*pages)) == list(range(MAX_ROWS + 7, 0, -1))


def test_pages_by_id_hold_still_while_rows_come(shop: Shop, collector: Caller) -> None:
    seen: list[int] = []
    after = ""
    while page := collector.get(
        f"/credit_transactions?select=id,balance_after&order=id.desc&limit=250{after}"
    ).json():
        seen += [row["balance_after"] for row in page]
        after = f"&id=lt.{page[-1]['id']}"
        shop.market.give(collector.id, 1)
    assert seen == list(range(MAX_ROWS + 7, 0, -1))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=-1", 416),
        ("limit=x", 200),
        ("offset=99999999999999999999", 400),
        ("offset=9223372036854775807", 200),
        ("order=id.sideways", 400),
        ("order=nothing", 400),
        ("id=eq.1", 400),
        ("id=lt.00000000-0000-0000-0000-000000000000", 200),
        ("amount=gt.NaN", 400),
        ("select=id::integer", 400),
        ("select=amount.sum()", 400),
        ("description=match.(((", 400),
        ("and=(amount.gt.1", 400),
    ],
)
def test_no_query_is_a_server_error(shop: Shop, query: str, status: int) -> None:
    answer = shop.somebody(credits=1).get(f"/credit_transactions?{query}")
    assert answer.status_code == status, answer.text


SEARCHES = [
    "-" * 33,
    "- " * 40,
    "-(" * 20,
    '"' * 999,
    "((((",
    ":*&|!",
    "\\",
    "or or or",
    '-"',
    "word " * 50_000,
    "x" * 100_000,
]


@pytest.mark.parametrize("query", SEARCHES, ids=lambda query: query[:10])
def test_no_search_is_a_server_error(shop: Shop, query: str) -> None:
    answer = shop.anonymous().call("search_stories", {"query": query})
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("filter_", ["query", "genre", "language", "tag"])
def test_what_is_searched_for_has_an_end(shop: Shop, filter_: str) -> None:
    answer = shop.anonymous().call("search_stories", {filter_: "x" * 501})
    assert (answer.status_code, answer.json()["hint"]) == (400, "text_too_long")
    assert shop.anonymous().call("search_stories", {filter_: "x" * 500}).json() == []


# What there is, in OpenAPI


def described(caller: Caller) -> dict[str, Any]:
    answer = caller.get("/")
    assert answer.status_code == 200
    api: dict[str, Any] = answer.json()
    return api


def first_lines(shop: Shop, role: str) -> dict[str, str]:
    """Path, and first line of the comment, of all of schema api that a role may use."""
    return dict(
        shop.market.owner.execute(
            """
            select '/rpc/' || p.proname, split_part(obj_description(p.oid, 'pg_proc'), chr(10), 1)
            from pg_proc as p
            where p.pronamespace = 'api'::regnamespace and p.prokind <> 'a'
                and has_function_privilege(%(role)s, p.oid, 'execute')
            union all
            select '/' || c.relname, split_part(obj_description(c.oid, 'pg_class'), chr(10), 1)
            from pg_class as c
            where c.relnamespace = 'api'::regnamespace and c.relkind = 'v'
                and has_table_privilege(%(role)s, c.oid, 'select')
            """,
            {"role": role},
        ).fetchall()
    )


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_openapi_lists_what_one_may_use_with_its_summary(shop: Shop, role: str) -> None:
    caller = {
        "anon": shop.anonymous,
        "authenticated": shop.somebody,
        "service_role": shop.operator,
    }[role]()
    paths = described(caller)["paths"]
    del paths["/"]
    summaries = {
        path: methods["post" if path.startswith("/rpc/") else "get"].get("summary")
        for path, methods in paths.items()
    }
    assert summaries == first_lines(shop, role)
    assert all(summaries.values())


def test_openapi_describes_columns_and_errors(shop: Shop) -> None:
    api = described(shop.operator())
    undescribed = [
        f"{view}.{column}"
        for view, definition in api["definitions"].items()
        for column, about in definition["properties"].items()
        if not about.get("description")
    ]
    assert undescribed == []
    purchase = api["paths"]["/rpc/purchase_story"]["post"]["description"]
    for error in ("402 insufficient_credits", "409 price_changed", "429 rate_limited"):
        assert error in purchase
