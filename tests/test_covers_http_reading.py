"""Covers over HTTP: which picture a story shows, who sees which, and what nobody may write."""

import json
from collections.abc import Iterator

import httpx
import pytest

from api.stack.postgres import EmbeddedPostgres
from tests.covers import STYLES, Gallery, open_gallery, refused
from tests.shop import Caller
from tests.teller import Json

# The columns of the tables that seed 000 asked for, in its order.
STORY_COVERS = (
    "id", "story_id", "cover_url", "cover_style", "generation_prompt", "is_primary",
    "generation_cost", "sd_model_used", "created_at", "updated_at",
)  # fmt: skip
COVER_GENERATION_QUEUE = (
    "id", "story_id", "user_id", "generation_prompt", "cover_style", "status", "priority",
    "retry_count", "error_message", "webui_task_id", "estimated_completion", "created_at",
    "updated_at",
)  # fmt: skip


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Gallery]:
    with open_gallery(postgres_server, next(database_names), migrated_template) as gallery:
        yield gallery


@pytest.fixture
def gallery(house: Gallery) -> Iterator[Gallery]:
    """The queue is empty when a test begins, and the ledger is right when it ends."""
    house.empty_queue()
    yield house
    assert house.violations() == []


def test_one_is_shown_and_can_be_removed(gallery: Gallery) -> None:
    author, other = gallery.client(), gallery.client()
    first, second = (str(gallery.made(author, style)) for style in STYLES[:2])
    theirs = str(gallery.made(other))
    mine = f"/story_covers?story_id=eq.{author.story}"

    def primaries() -> list[str]:
        return [row["id"] for row in author.rows(f"{mine}&is_primary=is.true")]

    def call(function: str, cover: str, caller: Caller = author.rest) -> httpx.Response:
        return caller.call(function, {"cover_id": cover})

    assert primaries() == [first]
    for _ in range(2):
        assert call("set_primary_cover", second).json() == second
        assert primaries() == [second]
    for function in ("set_primary_cover", "remove_cover"):
        said = refused(call(function, theirs), 404, "cover_not_found")
        assert said["message"] == "There is no such cover of yours."
        assert call(function, first, gallery.service()).status_code == 403
    assert call("remove_cover", second).json() == second
    assert primaries() == []
    assert [row["id"] for row in author.rows(mine)] == [first]
    for function in ("set_primary_cover", "remove_cover"):
        refused(call(function, second), 404, "cover_not_found")
    path = f"/stories?id=eq.{author.story}&select=cover_url,thumbnail_url"
    assert author.rows(path) == [{"cover_url": None, "thumbnail_url": None}]
    assert call("set_primary_cover", first).json() == first
    assert gallery.figures(author) == (90, 0)
    assert gallery.primaries(other) == [gallery.covers(other)[0]["id"]]


def test_stories_with_their_covers(gallery: Gallery) -> None:
    author = gallery.client(title="With Covers")
    gallery.made(author)
    gallery.made(author, "vintage")
    gallery.upload(author)()
    columns = "title,cover_url,story_covers(cover_style,is_primary)"
    query = f"/stories?id=eq.{author.story}&select={columns}"
    (shown,) = author.rows(f"/story_covers?story_id=eq.{author.story}&is_primary=is.true")
    (seen,) = gallery.anonymous().get(query).json()
    assert seen == {
        "title": "With Covers",
        "cover_url": shown["cover_url"],
        "story_covers": [{"cover_style": "fantasy", "is_primary": True}],
    }
    (own,) = author.rows(query)
    assert own["cover_url"] == shown["cover_url"]
    styles = {each["cover_style"]: each["is_primary"] for each in own["story_covers"]}
    assert styles == {"fantasy": True, "vintage": False, None: False}
    path = f"/story_covers?story_id=eq.{author.story}&select=source,stories(title)&order=id"
    assert author.rows(path)[-1] == {"source": "uploaded", "stories": {"title": "With Covers"}}
    gallery.execute("update app.economy set cover_base_url = 'https://img.example/covers/'")
    try:
        (seen,) = gallery.anonymous().get(query).json()
        assert seen["cover_url"] == "https://img.example" + shown["cover_url"]
    finally:
        gallery.execute("update app.economy set cover_base_url = '/covers/'")


def test_who_sees_which_covers(gallery: Gallery) -> None:
    author, stranger = gallery.client(), gallery.client()
    gallery.made(author)
    gallery.made(author, "vintage")
    anonymous, service = gallery.anonymous(), gallery.service()
    where = f"story_id=eq.{author.story}"

    def seen(caller: Caller) -> list[Json]:
        answer = caller.get(f"/story_covers?{where}&order=id")
        assert answer.status_code == 200, answer.text
        rows: list[Json] = answer.json()
        return rows

    assert [row["is_primary"] for row in seen(author.rest)] == [True, False]
    assert seen(service) == seen(author.rest)
    for reader in (anonymous, stranger.rest):
        (row,) = seen(reader)
        assert (row["generation_prompt"], row["seed"]) == ("", None)
        assert row["cover_url"] == seen(author.rest)[0]["cover_url"]
        assert gallery.jobs(author)[0]["prompt"] not in str(row)
    for caller in (author.rest, service):
        assert len(caller.get(f"/cover_generation_queue?{where}").json()) == 2
    assert stranger.rows(f"/cover_generation_queue?{where}") == []
    assert stranger.queue() == []
    author.rest.call("archive_story", {"story_id": str(author.story)})
    for reader in (anonymous, stranger.rest):
        assert seen(reader) == []
        assert reader.get(f"/stories?id=eq.{author.story}&select=title,cover_url").json() == []
    assert len(seen(author.rest)) == 2


def test_who_may_call_what(gallery: Gallery) -> None:
    author, service, anonymous = gallery.client(), gallery.service(), gallery.anonymous()
    statuses = {
        "/cover_styles": (200, 200, 200),
        "/story_covers": (200, 200, 200),
        "/cover_generation_queue": (401, 200, 200),
        "/rpc/cover_queue": (401, 200, 403),
        "/rpc/cover_figures": (401, 403, 200),
    }
    for path, expected in statuses.items():
        callers = (anonymous, author.rest, service)
        answers = [caller.get(path) for caller in callers]
        assert tuple(answer.status_code for answer in answers) == expected, path
        for answer in answers:
            if answer.status_code != 200:
                assert answer.json()["code"] == "42501"
    for hidden in ("claim_cover", "beat_cover", "finish_cover", "fail_cover", "add_uploaded_cover"):
        for caller in (anonymous, author.rest, service):
            assert caller.call(hidden).status_code == 404, hidden


def test_nothing_is_written_through_a_view(gallery: Gallery) -> None:
    author = gallery.client()
    gallery.made(author)
    changes: dict[str, Json] = {
        "story_covers": {"is_primary": False},
        "cover_generation_queue": {"status": "completed"},
        "cover_styles": {"price_credits": 0},
    }
    before = [gallery.covers(author), gallery.jobs(author)]
    for view, change in changes.items():
        where = "style=eq.fantasy" if view == "cover_styles" else f"story_id=eq.{author.story}"
        for caller in (author.rest, gallery.service(), gallery.anonymous()):
            for method, path in (
                ("POST", f"/{view}"),
                ("PATCH", f"/{view}?{where}"),
                ("DELETE", f"/{view}?{where}"),
            ):
                answer = caller.request(method, path, json.dumps(change).encode())
                assert answer.status_code in (401, 403), f"{method} {path} {answer.text}"
                assert answer.json()["code"] == "42501"
    assert [gallery.covers(author), gallery.jobs(author)] == before


@pytest.mark.parametrize("view", ["story_covers", "cover_generation_queue"])
def test_the_columns_that_were_asked_for(gallery: Gallery, view: str) -> None:
    author = gallery.client()
    gallery.made(author)
    wanted = {"story_covers": STORY_COVERS, "cover_generation_queue": COVER_GENERATION_QUEUE}[view]
    where = f"story_id=eq.{author.story}"
    (row,) = author.rows(f"/{view}?{where}")
    assert tuple(row)[: len(wanted)] == wanted
    (same,) = author.rows(f"/{view}?{where}&select={','.join(wanted)}")
    assert same == {name: row[name] for name in wanted}


def test_nobody_can_say_who_they_are_but_by_their_token(gallery: Gallery) -> None:
    author, stranger = gallery.client(), gallery.client()
    job = author.asked()["job_id"]
    claim = json.dumps({"sub": str(author.id), "role": "service_role"})
    for header in ("request_jwt_claims", "X_Request_Jwt_Claims", "role", "X_User_Id"):
        answer = stranger.rest.call("cancel_cover", {"job_id": job}, **{header: claim})
        refused(answer, 404, "cover_job_not_found")
        assert gallery.anonymous().get("/rpc/cover_queue", **{header: claim}).status_code == 401
    assert author.queue()[0]["state"] == "pending"
