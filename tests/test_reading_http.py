"""Reading as clients see it: what is kept over HTTP, and two devices that save at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from api.stack.supervisor import Stack
from tests.market import (
    Connection,
    Market,
    acting_as,
    answers,
    in_parallel,
    open_market,
    outcome_of,
    value,
)
from tests.shop import Caller, Shop, open_shop, refusal

SAVE = "select chapter_percent from api.save_progress(%s, %s, %s, %s, %s)"
ROUNDS = 25

# The columns of seed 000, in its order; what is more stands behind them.
SEED_COLUMNS = {
    "reading_progress": [
        "id",
        "user_id",
        "story_id",
        "chapter_id",
        "progress_percentage",
        "last_read_at",
        "reading_time_minutes",
        "created_at",
        "updated_at",
    ],
    "user_library": [
        "id",
        "user_id",
        "story_id",
        "added_at",
        "is_favorite",
        "reading_status",
        "personal_rating",
        "personal_notes",
        "created_at",
        "updated_at",
    ],
}


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with open_shop(stack) as shop:
        yield shop


@pytest.fixture
def market(migrated_database: Callable[[], str]) -> Iterator[Market]:
    with open_market(migrated_database()) as market:
        yield market


def save(shop: Shop, caller: Caller, chapter: int, percent: object, **more: object) -> Any:
    arguments = {"story_id": shop.story, "chapter_number": chapter, "percent": percent}
    answer = caller.call("save_progress", arguments | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


# Over HTTP


def test_what_is_saved_is_there_for_the_next_device(shop: Shop) -> None:
    reader, stranger = shop.somebody(), shop.somebody()
    assert save(shop, reader, 1, 100, seconds_read=600) == {
        "chapter_percent": 100,
        "reading_status": "reading",
        "is_story_finished": False,
    }
    assert save(shop, reader, 2, 40, seconds_read=90)["chapter_percent"] == 40
    assert save(shop, reader, 2, 10)["chapter_percent"] == 40
    continued = (
        "/reading_state?status=eq.reading&last_read_at=not.is.null&order=last_read_at.desc&limit=5"
    )
    (state,) = reader.get(continued).json()
    assert state["last_read_at"]
    assert {name: state[name] for name in state if not name.endswith("_at")} == {
        "story_id": shop.story,
        "title": "A story for tests",
        "author_id": str(shop.market.creator),
        "status": "reading",
        "current_chapter": 2,
        "progress_percentage": 11,  # 140 of 1200
        "chapters": 12,
        "chapters_finished": 1,
        "has_more": True,
        "access_level": "free",
        "reading_minutes": 11,
        "is_favorite": False,
        "personal_rating": None,
    }
    assert stranger.get(continued).json() == []
    for view in SEED_COLUMNS:
        assert stranger.get(f"/{view}?user_id=eq.{reader.id}").json() == []
        assert refusal_code(shop.anonymous().get(f"/{view}"), 401) == "42501"
        assert refusal_code(shop.operator().get(f"/{view}"), 403) == "42501"


def test_views_have_the_columns_of_the_plan(shop: Shop) -> None:
    reader = shop.somebody()
    save(shop, reader, 1, 30, seconds_read=150)
    library = {"story_id": shop.story, "is_favorite": True, "personal_rating": 5}
    assert reader.call("update_library", library).status_code == 200
    for view, columns in SEED_COLUMNS.items():
        (row,) = reader.get(f"/{view}?select={','.join(columns)}").json()
        assert list(row) == columns
        (whole,) = reader.get(f"/{view}").json()
        assert list(whole)[: len(columns)] == columns
        assert (row["user_id"], row["story_id"]) == (str(reader.id), shop.story)
        UUID(row["id"])
    (progress,) = reader.get("/reading_progress").json()
    assert (progress["progress_percentage"], progress["reading_time_minutes"]) == (30, 2)
    (kept,) = reader.get("/user_library?is_favorite=is.true&reading_status=eq.reading").json()
    assert (kept["personal_rating"], kept["personal_notes"]) == (5, None)


def test_stories_and_chapters_come_along(shop: Shop) -> None:
    reader = shop.somebody()
    save(shop, reader, 1, 30)
    save(shop, reader, 2, 20)
    library = "/user_library?select=reading_status,stories(title,story_pricing(free_chapters))"
    assert reader.get(library).json() == [
        {
            "reading_status": "reading",
            "stories": {
                "title": "A story for tests",
                "story_pricing": {"free_chapters": 2},
            },
        }
    ]
    chapters = "/reading_progress?select=progress_percentage,chapters(title,chapter_number)"
    assert reader.get(f"{chapters}&order=chapter_number").json() == [
        {"progress_percentage": 30, "chapters": {"title": "A chapter", "chapter_number": 1}},
        {"progress_percentage": 20, "chapters": {"title": "A chapter", "chapter_number": 2}},
    ]
    both = "/user_library?select=is_favorite,reading_progress(progress_percentage)"
    (row,) = reader.get(both).json()
    assert sorted(each["progress_percentage"] for each in row["reading_progress"]) == [20, 30]


def test_a_year_answers_get_and_post_alike(shop: Shop) -> None:
    reader = shop.somebody()
    save(shop, reader, 1, 100, seconds_read=3600)
    posted = reader.call("reading_year", {})
    assert posted.status_code == 200
    year = posted.json()
    assert reader.get("/rpc/reading_year").json() == year
    figures = {name: year[name] for name in year if name != "by_month"}
    assert figures == {
        "minutes": 60,
        "days": 1,
        "longest_streak": 1,
        "chapters_finished": 1,
        "stories_completed": 0,
        "favorite_genre": "fiction",
    }
    (month,) = year["by_month"]
    assert (month["minutes"], month["chapters_finished"]) == (60, 1)
    nothing = reader.get("/rpc/reading_year?year=2001").json()
    assert (nothing["minutes"], nothing["by_month"]) == (0, [])
    assert shop.somebody().get("/rpc/reading_year").json()["days"] == 0  # nobody has to be made


def test_refusals_have_the_house_shape(shop: Shop) -> None:
    reader = shop.somebody()
    chapter: dict[str, object] = {"story_id": shop.story, "chapter_number": 1, "percent": 10}
    for change, status, hint in (
        ({"percent": 101}, 400, "invalid_percent"),
        ({"seconds_read": -1}, 400, "invalid_seconds"),
        ({"chapter_number": 3}, 402, "chapter_not_owned"),
        ({"chapter_number": 99}, 404, "chapter_not_found"),
        ({"story_id": str(reader.id)}, 404, "chapter_not_found"),
    ):
        assert refusal(reader.call("save_progress", chapter | change), status)["hint"] == hint
    for change, status, hint in (
        ({"reading_status": "burnt"}, 400, "unknown_status"),
        ({"personal_rating": 6}, 400, "invalid_rating"),
        ({"personal_notes": "x" * 5001}, 400, "text_too_long"),
        ({"story_id": str(reader.id)}, 404, "story_not_found"),
    ):
        arguments = {"story_id": shop.story} | change
        assert refusal(reader.call("update_library", arguments), status)["hint"] == hint
    removed = reader.call("remove_from_library", {"story_id": shop.story})
    assert refusal(removed, 404)["message"] == "This story is not in your library."
    assert refusal(reader.get("/rpc/reading_year?year=1999"), 400)["hint"] == "invalid_year"
    nameless = shop.with_claims(sub=None).call("save_progress", chapter)
    assert refusal(nameless, 401)["hint"] == "login_required"
    assert reader.get("/user_library").json() == []


@pytest.mark.parametrize("bad", [5.5, "five", "NaN", 2**31, 10**400, True, [], {}, "\u0000"])
@pytest.mark.parametrize("field", ["percent", "seconds_read", "chapter_number", "restart"])
def test_bad_input_is_no_server_error(shop: Shop, field: str, bad: object) -> None:
    chapter: dict[str, object] = {"story_id": shop.story, "chapter_number": 1, "percent": 10}
    answer = shop.somebody().call("save_progress", chapter | {field: bad})
    accepted = field == "restart" and bad is True
    assert answer.status_code == 200 if accepted else 400 <= answer.status_code < 500, answer.text


def test_notes_are_text_whatever_is_in_them(shop: Shop) -> None:
    reader = shop.somebody()
    attack = "'; drop table app.user_library; -- $$ \\ %s <script> \u202e"
    kept = reader.call("update_library", {"story_id": shop.story, "personal_notes": attack})
    assert kept.status_code == 200
    assert reader.get("/user_library").json()[0]["personal_notes"] == attack
    nothing = reader.call("update_library", {"story_id": shop.story, "personal_notes": "\u0000"})
    assert nothing.status_code == 400


# Two devices


def saver(
    market: Market, reader: UUID, percent: int, *, chapter: int = 1, restart: bool = False
) -> Callable[[], int]:
    """A device: one call over a connection of its own, ten seconds of reading."""

    def call() -> int:
        with market.connect() as connection, acting_as(connection, reader):
            return int(value(connection, SAVE, market.story, chapter, percent, 10, restart))

    return call


def remover(market: Market, reader: UUID) -> Callable[[], int]:
    """A device on which the story is taken out of the library."""

    def call() -> int:
        with market.connect() as connection, acting_as(connection, reader):
            connection.execute("select api.remove_from_library(%s)", (market.story,))
        return -1

    return call


def kept(market: Market, reader: UUID) -> tuple[int, int, int, int]:
    """Rows and seconds of progress, the greatest per cent, and the seconds of the day."""
    row = market.owner.execute(
        """
        select
            count(*), coalesce(sum(p.reading_seconds), 0)::bigint,
            coalesce(max(p.progress_percentage), 0),
            (select coalesce(sum(d.reading_seconds), 0)::bigint
                from app.reading_days as d where d.user_id = %(reader)s)
        from app.reading_progress as p
        where p.user_id = %(reader)s
        """,
        {"reader": reader},
    ).fetchone()
    assert row is not None
    rows, seconds, percent, seconds_of_the_day = row
    return rows, seconds, percent, seconds_of_the_day


@pytest.mark.parametrize("has_read_before", [False, True])
def test_two_devices_at_once_keep_the_greater_and_add_up(
    market: Market, has_read_before: bool
) -> None:
    """Also the first call of both, when there is no row yet to wait for."""
    for _ in range(ROUNDS):
        reader = market.reader()
        if has_read_before:
            saver(market, reader, 5)()
        devices = [saver(market, reader, percent) for percent in (70, 30)]
        found = in_parallel(devices)
        assert len(answers(found)) == 2, found
        assert found[0] == 70
        seconds = 10 * (2 + has_read_before)
        assert kept(market, reader) == (1, seconds, 70, seconds)


@pytest.mark.parametrize(("first", "second"), [(70, 30), (30, 70)])
def test_who_comes_second_waits_and_takes_nothing_back(
    market: Market, first: int, second: int
) -> None:
    reader = market.reader()
    saver(market, reader, 5)()
    with ThreadPoolExecutor(1) as threads, market.connect() as phone:
        with acting_as(phone, reader):
            phone.execute(SAVE, (market.story, 1, first, 10, False))
            tablet = threads.submit(outcome_of, saver(market, reader, second))
            market.wait_for_queue(1)
        assert tablet.result() == 70
    assert kept(market, reader) == (1, 30, 70, 30)


def test_many_devices_in_many_chapters_never_deadlock(market: Market) -> None:
    """Restarts write other chapters' rows, and all of them the day's."""
    reader = market.reader(100)
    with market.connect() as connection:
        market.purchase(connection, reader, list(range(3, 13)))
    calls = [
        saver(market, reader, 10 * number, chapter=1 + number % 4, restart=number % 3 == 0)
        for number in range(1, 9)
    ]
    for _ in range(ROUNDS // 5):
        found = in_parallel(calls)
        assert len(answers(found)) == len(calls), found
    assert kept(market, reader)[1] == kept(market, reader)[3] == 10 * len(calls) * (ROUNDS // 5)


def test_who_finishes_on_two_devices_finishes_once(market: Market) -> None:
    reader = market.reader(100)
    with market.connect() as connection:
        market.purchase(connection, reader, list(range(3, 13)))
        for chapter in range(1, 12):
            saver(market, reader, 100, chapter=chapter)()
    found = in_parallel([saver(market, reader, 100, chapter=12)] * 4)
    assert answers(found) == [100] * 4
    days = "select sum(chapters_finished), sum(stories_completed) from app.reading_days"
    assert market.owner.execute(days).fetchone() == (12, 1)


def test_removing_while_another_device_saves_is_no_deadlock(market: Market) -> None:
    """Whichever comes first: a saved chapter, or nothing, and no half of it."""
    for _ in range(ROUNDS):
        reader = market.reader()
        saver(market, reader, 5)()
        found = in_parallel([saver(market, reader, 60), remover(market, reader)])
        assert len(answers(found)) == 2, found
        assert kept(market, reader)[:3] in [(0, 0, 0), (1, 10, 60)]


def test_removing_waits_for_the_device_that_saves(market: Market) -> None:
    reader = market.reader()
    saver(market, reader, 5)()
    with ThreadPoolExecutor(1) as threads, market.connect() as phone:
        with acting_as(phone, reader):
            keep_library_row(phone, market)
            tablet = threads.submit(outcome_of, remover(market, reader))
            market.wait_for_queue(1)
            phone.execute(SAVE, (market.story, 2, 60, 10, False))
        assert tablet.result() == -1
    assert kept(market, reader)[0] == 0


def keep_library_row(connection: Connection, market: Market) -> None:
    """The first half of a save: the library's row is held."""
    connection.execute("select api.update_library(%s, is_favorite => true)", (market.story,))


def refusal_code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    code: str = answer.json()["code"]
    return code
