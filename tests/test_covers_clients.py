"""Covers with the clients that people use: supabase-js, and postgrest for Python."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from postgrest import APIError, CountMethod, SyncPostgrestClient

from api.stack.postgres import EmbeddedPostgres
from tests.covers import PRICE, SECRET, STYLES, Gallery, open_gallery
from tests.shop import Caller, claims

SCRIPT = Path(__file__).parent / "javascript" / "covers.mjs"
ANONYMOUS_KEY = jwt.encode(claims(sub=None, role="anon"), SECRET, "HS256")


@pytest.fixture
def gallery(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Gallery]:
    with open_gallery(postgres_server, next(database_names), migrated_template) as gallery:
        yield gallery


def test_supabase_js(gallery: Gallery) -> None:
    author, stranger = gallery.client(credits=40), gallery.client(credits=4)
    made = [gallery.made(author, style) for style in STYLES[:2]]
    about = {
        "url": gallery.rest_url,
        "story": str(author.story),
        "covers": [str(cover) for cover in made],
        "author": {"id": str(author.id), "token": author.rest.token},
        "stranger": {"story": str(stranger.story), "token": stranger.rest.token},
        "service": {"token": gallery.service().token},
        "anonymousKey": ANONYMOUS_KEY,
    }
    ran = subprocess.run(
        ["node", "--test", str(SCRIPT)],
        env=os.environ | {"SHOP": json.dumps(about)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# pass 5" in ran.stdout
    # It asked for two more and canceled one of them; it shows the second, and removed the first.
    states = [job["state"] for job in gallery.jobs(author)]
    assert states == ["completed", "completed", "canceled", "pending"]
    assert gallery.figures(author) == (40 - 3 * PRICE, PRICE)
    assert gallery.primaries(author) == made[1:]
    assert gallery.figures(stranger) == (4, 0)


def client_of(gallery: Gallery, caller: Caller) -> SyncPostgrestClient:
    """A client signed in, or not; the schema is named, for its own default is `public`."""
    client = SyncPostgrestClient(gallery.rest_url, schema="api")
    if caller.token is not None:
        client.auth(caller.token)
    return client


def refused(client: SyncPostgrestClient, function: str, **arguments: Any) -> APIError:
    with pytest.raises(APIError) as refusal:
        client.rpc(function, arguments).execute()
    return refusal.value


def test_postgrest_py(gallery: Gallery) -> None:
    author, stranger = gallery.client(credits=20), gallery.client(credits=4)
    with (
        client_of(gallery, author.rest) as mine,
        client_of(gallery, stranger.rest) as theirs,
        client_of(gallery, gallery.service()) as service,
        client_of(gallery, gallery.anonymous()) as anonymous,
    ):
        styles: Any = anonymous.from_("cover_styles").select("style,price_credits").execute().data
        assert styles == [{"style": style, "price_credits": PRICE} for style in STYLES]

        order = {"story_id": str(author.story), "style": "fantasy", "prompt": "a lighthouse"}
        asked = call(mine, "request_cover", **order, idempotency_key="once")
        assert (asked["state"], asked["balance"], asked["position"]) == ("pending", 15, 1)
        assert call(mine, "request_cover", **order, idempotency_key="once") == asked
        check_refusals(mine, theirs, anonymous, order, str(stranger.story))

        second = call(mine, "request_cover", **order | {"style": "vintage"})
        back = call(mine, "cancel_cover", job_id=second["job_id"])
        assert back == {"state": "canceled", "credits_returned": PRICE, "balance": 15}
        over = refused(mine, "cancel_cover", job_id=second["job_id"])
        assert (over.code, over.hint) == ("PT409", "cover_job_over")

        work = gallery.claim()()
        assert work is not None
        gallery.beat(work, 60)()
        queue: Any = (
            mine.rpc("cover_queue", {}, get=True)
            .select("job_id,state,progress,position")
            .eq("state", "generating")
            .execute()
            .data
        )
        assert queue == [
            {"job_id": asked["job_id"], "state": "generating", "progress": 60, "position": None}
        ]
        cover = str(gallery.finish(work)())
        seen: Any = anonymous.from_("stories").select("title,cover_url,story_covers(cover_style)")
        (story,) = seen.eq("id", str(author.story)).execute().data
        assert story["story_covers"] == [{"cover_style": "fantasy"}]
        assert story["cover_url"].endswith(".webp")
        assert mine.rpc("set_primary_cover", {"cover_id": cover}).execute().data == cover
        assert mine.rpc("remove_cover", {"cover_id": cover}).execute().data == cover
        gone: Any = mine.from_("story_covers").select("*", count=CountMethod.exact).execute()
        assert (gone.data, gone.count) == ([], 0)

        figures: Any = service.rpc("cover_figures", {}, get=True).execute().data
        assert (figures["waiting"], figures["running"], figures["completed_today"]) == (0, 0, 1)
        record = service.from_("cover_generation_queue").select("status").order("id")
        assert record.execute().data == [{"status": "completed"}, {"status": "canceled"}]
        nothing = theirs.from_("cover_generation_queue").select("id").execute()
        assert nothing.data == []
    assert gallery.figures(author) == (15, 0)
    assert gallery.figures(stranger) == (4, 0)


def check_refusals(
    mine: SyncPostgrestClient,
    theirs: SyncPostgrestClient,
    anonymous: SyncPostgrestClient,
    order: dict[str, str],
    foreign: str,
) -> None:
    """Code, hint, and a sentence with figures, as the client shows them."""
    twice = refused(mine, "request_cover", **order)
    assert (twice.code, twice.hint) == ("PT409", "cover_already_requested")
    unknown = refused(mine, "request_cover", **order | {"style": "cubist"})
    assert (unknown.code, unknown.hint) == ("PT400", "unknown_style")
    assert unknown.message == "There is no such style."
    long = refused(mine, "request_cover", **order | {"prompt": "x" * 10_000})
    assert (long.code, long.hint) == ("PT400", "text_too_long")
    other = refused(mine, "request_cover", **order | {"story_id": foreign})
    assert (other.code, other.hint) == ("PT404", "story_not_found")
    first = refused(mine, "request_cover", **order, priority=1)
    assert (first.code, first.hint) == ("PT403", "priority_reserved")
    poor = refused(theirs, "request_cover", **order | {"story_id": foreign})
    assert (poor.code, poor.hint) == ("PT402", "insufficient_credits")
    assert poor.details == "This costs 5 credits; you have 4."
    assert refused(anonymous, "request_cover", **order).code == "42501"
    assert refused(mine, "cover_figures").code == "42501"


def call(client: SyncPostgrestClient, function: str, **arguments: Any) -> dict[str, Any]:
    answer: Any = client.rpc(function, arguments).execute().data
    return dict(answer)
