"""Covers over HTTP: what authors and operators call, what they are told, what readers see."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from api.stack.postgres import EmbeddedPostgres
from tests.covers import PRICE, STYLES, Gallery, open_gallery, refused
from tests.shop import ERROR_FIELDS
from tests.teller import Json


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


# From the request to the picture ------------------------------------------------------------------


def test_a_cover_from_the_request_to_the_picture(gallery: Gallery) -> None:
    author = gallery.client(credits=12)
    answer = author.ask("fantasy", prompt=" a lighthouse in a storm \n")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    job, ready_at = said["job_id"], said["estimated_completion"]
    assert said == {
        "job_id": job,
        "state": "pending",
        "cost_credits": PRICE,
        "balance": 7,
        "position": 1,
        "estimated_completion": ready_at,
    }
    assert author.balance == 7
    (row,) = author.queue()
    assert datetime.fromisoformat(ready_at) >= datetime.fromisoformat(
        row["created_at"]
    ) + timedelta(seconds=1)
    assert row | {"estimated_completion": ready_at} == {
        "job_id": job,
        "story_id": str(author.story),
        "style": "fantasy",
        "prompt": "a lighthouse in a storm",
        "state": "pending",
        "progress": 0,
        "position": 1,
        "attempts": 0,
        "estimated_completion": ready_at,
        "cost_credits": PRICE,
        "error_message": None,
        "cover_id": None,
        "created_at": row["created_at"],
        "finished_at": None,
    }

    work = gallery.claim()()
    assert work is not None
    (row,) = author.queue()
    assert (row["state"], row["position"], row["attempts"]) == ("generating", None, 1)
    assert gallery.beat(work, 40)() is True
    assert author.queue()[0]["progress"] == 40
    mine = f"/story_covers?story_id=eq.{author.story}"
    assert author.rows(mine) == []
    cover = gallery.finish(work)()
    (row,) = author.queue()
    assert (row["state"], row["progress"], row["cover_id"]) == ("completed", 100, str(cover))
    assert (row["position"], row["estimated_completion"]) == (None, None)
    assert row["finished_at"] >= row["created_at"]

    (row,) = author.rows(mine)
    assert (row["id"], row["story_id"], row["job_id"]) == (str(cover), str(author.story), job)
    assert (row["source"], row["cover_style"], row["is_primary"]) == ("generated", "fantasy", True)
    assert row["generation_prompt"].startswith('book cover for "Carried Forward", drama novel, ')
    assert "a lighthouse in a storm" in row["generation_prompt"]
    assert (row["sd_model_used"], row["seed"]) == ("dreamshaper_7", work.seed)
    assert (row["generation_cost"], row["width"], row["height"]) == (PRICE, 512, 768)
    assert row["cover_url"].startswith("/covers/") and row["cover_url"].endswith(".webp")
    assert row["thumbnail_url"].startswith("/covers/")
    assert row["thumbnail_url"] != row["cover_url"]
    assert author.balance == 7
    assert gallery.figures(author) == (7, 0)
    (told,) = author.rows("/notices")
    assert (told["kind"], told["subject"]) == ("cover_ready", 'A new cover for "Carried Forward"')


def test_each_style_has_a_model_and_a_price(gallery: Gallery) -> None:
    answer = gallery.anonymous().get("/cover_styles")
    assert answer.status_code == 200
    styles = answer.json()
    assert [style["style"] for style in styles] == list(STYLES)
    assert {style["price_credits"] for style in styles} == {PRICE}
    assert all(style.keys() == {"style", "description", "price_credits"} for style in styles)
    author = gallery.client()
    for style in STYLES:
        author.asked(style)
    gallery.execute("update app.cover_styles set is_active = false where style = 'vintage'")
    try:
        said = refused(author.ask("vintage", prompt="once more"), 400, "unknown_style")
        assert said["details"] == "Covers come in: realistic, artistic, fantasy, minimalist."
        assert len(gallery.anonymous().get("/cover_styles").json()) == 4
    finally:
        gallery.execute("update app.cover_styles set is_active = true")
    models = {gallery.claim()().model for _ in STYLES}
    assert models == {"realisticVision_v40", "deliberate_v2", "dreamshaper_7"}
    assert gallery.claim()() is None


def test_the_price_is_the_one_of_the_day(gallery: Gallery) -> None:
    author = gallery.client(credits=8)
    gallery.execute("update app.economy set cover_price_credits = 7")
    try:
        first = author.asked()
        gallery.execute("update app.economy set cover_price_credits = 0")
        free = author.asked("vintage")
    finally:
        gallery.execute("update app.economy set cover_price_credits = 5")
    assert (first["cost_credits"], first["balance"]) == (7, 1)
    assert (free["cost_credits"], free["balance"]) == (0, 1)
    assert author.take_back(free["job_id"]).json()["credits_returned"] == 0
    assert author.take_back(first["job_id"]).json()["credits_returned"] == 7
    assert author.balance == 8


def test_what_the_statement_says(gallery: Gallery) -> None:
    author = gallery.client(credits=20)
    canceled = author.asked("vintage")["job_id"]
    author.asked("fantasy")
    gallery.finish(gallery.claim(["dreamshaper_7"])())()
    author.take_back(canceled)
    rows = author.rows("/credit_transactions?order=id&select=transaction_type,amount,description")
    assert [tuple(row.values()) for row in rows] == [
        ("bonus", 20, "Credits received"),
        ("spend", -PRICE, "Story cover"),
        ("spend", -PRICE, "Story cover"),
        ("refund", PRICE, "Credits returned"),
    ]


# Failures -----------------------------------------------------------------------------------------


def test_what_goes_wrong_is_said_in_words_for_authors(gallery: Gallery) -> None:
    """The servers' own words are for operators."""
    author = gallery.client()
    job = author.asked()["job_id"]
    for attempt in (1, 2):
        assert gallery.fail(gallery.claim()(), "out_of_memory")() == "pending"
        (row,) = author.queue()
        assert (row["state"], row["attempts"], row["position"]) == ("pending", attempt, 1)
        assert row["error_message"] == "It did not work this time."
        assert author.balance == 95
        assert gallery.claim()() is None  # it waits
        gallery.let_all_be_due()
    assert gallery.fail(gallery.claim()(), "out_of_memory")() == "failed"
    (row,) = author.queue()
    assert (row["state"], row["attempts"], row["cover_id"]) == ("failed", 3, None)
    (row,) = author.rows("/cover_generation_queue")
    assert (row["status"], row["retry_count"]) == ("failed", 2)
    assert row["error_message"] == "It did not work this time."
    assert author.balance == 100
    (told,) = author.rows("/notices")
    assert told["kind"] == "cover_failed"
    assert "Your 5 credits are back in your wallet." in told["body"]
    for path in ("/rpc/cover_queue", "/cover_generation_queue", "/notices"):
        text = author.rest.get(path).text
        assert "The server said" not in text
        assert "out_of_memory" not in text
    assert refused(author.take_back(job), 409, "cover_job_over")["details"] == "It is failed."
    assert author.asked()["job_id"] != job  # it can be asked for again


def test_a_permanent_failure_is_over_at_once(gallery: Gallery) -> None:
    author = gallery.client()
    author.asked(prompt="unspeakable")
    assert gallery.fail(gallery.claim()(), "bad_request", is_permanent=True)() == "failed"
    (row,) = author.queue()
    assert row["error_message"] == "These words could not be drawn. Please try others."
    assert author.balance == 100


# Refusals -----------------------------------------------------------------------------------------


def test_requests_that_are_refused(gallery: Gallery) -> None:
    author, other, poor = gallery.client(), gallery.client(), gallery.client(credits=4)
    styles = "Covers come in: realistic, artistic, fantasy, minimalist, vintage."
    no_styles: list[object] = ["cubist", "", " fantasy", "Fantasy", None, 5, True, [], {"a": 1}]
    for style in [*no_styles, "x" * 100_000]:
        said = refused(author.ask(style), 400, "unknown_style")
        assert (said["message"], said["details"]) == ("There is no such style.", styles)
    said = refused(author.ask(prompt="x" * 10_000), 400, "text_too_long")
    assert said["message"] == "The prompt is too long."
    assert said["details"] == "It has 10000 characters; at most 1000 are allowed."
    for priority in (0, -1, 6, 2**31 - 1, -(2**31), None):
        said = refused(author.ask(priority=priority), 400, "invalid_priority")
        assert said["message"] == "A priority is a number from 1 to 5."
    for priority in (1, 2):
        said = refused(author.ask(priority=priority), 403, "priority_reserved")
        assert said["details"] == "Please ask with 3, 4 or 5."
    for story in (other.story, uuid4(), None):
        about = {"story_id": story and str(story), "style": "fantasy"}
        said = refused(author.rest.call("request_cover", about), 404, "story_not_found")
        assert said["message"] == "There is no such story of yours."
    said = refused(poor.ask(), 402, "insufficient_credits")
    assert said["details"] == "This costs 5 credits; you have 4."
    about = {"story_id": str(author.story), "style": "fantasy"}
    refused(gallery.service().call("request_cover", about), 404, "story_not_found")
    anonymous = gallery.anonymous().call("request_cover", about)
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "42501")
    for each, credits in ((author, 100), (other, 100), (poor, 4)):
        assert gallery.jobs(each) == []
        assert gallery.figures(each) == (credits, 0)


NO_REQUESTS: dict[str, tuple[bytes, int]] = {
    "NaN": (b'{"story_id": NaN, "style": "fantasy"}', 400),
    "a priority of NaN": (b'{"story_id": "STORY", "style": "fantasy", "priority": NaN}', 400),
    "half a priority": (b'{"story_id": "STORY", "style": "fantasy", "priority": 3.5}', 400),
    "a huge priority": (b'{"story_id": "STORY", "style": "fantasy", "priority": 1e300}', 400),
    "a long priority": (b'{"story_id": "STORY", "style": "fantasy", "priority": 99999999999}', 400),
    "a priority in words": (b'{"story_id": "STORY", "style": "fantasy", "priority": "x"}', 400),
    "a true priority": (b'{"story_id": "STORY", "style": "fantasy", "priority": true}', 400),
    "a list of priorities": (b'{"story_id": "STORY", "style": "fantasy", "priority": [3]}', 400),
    "no id": (b'{"story_id": "1", "style": "fantasy"}', 400),
    "a number for an id": (b'{"story_id": 1, "style": "fantasy"}', 400),
    "NUL": (b'{"story_id": "STORY", "style": "fantasy", "prompt": "a\\u0000b"}', 400),
    "half a character": (b'{"story_id": "STORY", "style": "fantasy", "prompt": "\\ud83d"}', 400),
    "no UTF-8": (b'{"story_id": "STORY", "style": "fantasy", "prompt": "\xff"}', 400),
    "cut off": (b'{"story_id": "STORY", "style": "fant', 400),
    "nothing": (b"", 404),
    "a text": (b'"STORY"', 404),
    "an empty object": (b"{}", 404),
    "an empty list": (b"[]", 404),
    "without a style": (b'{"story_id": "STORY"}', 404),
    "without a story": (b'{"style": "fantasy"}', 404),
    "too much": (b'{"story_id": "STORY", "style": "fantasy", "cost_credits": 0}', 404),
    "somebody else": (b'{"story_id": "STORY", "style": "fantasy", "user_id": "STORY"}', 404),
}


@pytest.mark.parametrize("what", NO_REQUESTS)
def test_bodies_that_are_no_request(gallery: Gallery, what: str) -> None:
    author = gallery.client()
    body, status = NO_REQUESTS[what]
    answer = author.rest.send("request_cover", body.replace(b"STORY", str(author.story).encode()))
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == ERROR_FIELDS
    assert gallery.jobs(author) == []
    assert gallery.figures(author) == (100, 0)


@pytest.mark.parametrize(
    ("function", "argument", "hint"),
    [
        ("cancel_cover", "job_id", "cover_job_not_found"),
        ("set_primary_cover", "cover_id", "cover_not_found"),
        ("remove_cover", "cover_id", "cover_not_found"),
    ],
)
def test_ids_of_nothing(gallery: Gallery, function: str, argument: str, hint: str) -> None:
    author = gallery.client()
    for missing in (str(uuid4()), str(author.story), None):
        refused(author.rest.call(function, {argument: missing}), 404, hint)
    no_ids: list[object] = ["", "x", 5, True, [], {}, "' or true --", "\x00"]
    for wrong in no_ids:
        answer = author.rest.call(function, {argument: wrong})
        assert answer.status_code == 400, answer.text
        assert answer.json().keys() == ERROR_FIELDS
    for body in ({}, {argument: str(uuid4()), "more": 1}):
        assert author.rest.call(function, body).json()["code"] == "PGRST202"
    assert author.rest.get(f"/rpc/{function}?{argument}={uuid4()}").status_code in (404, 405)
    anonymous = gallery.anonymous().call(function, {argument: str(uuid4())})
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "42501")


def test_whatever_words_are_drawn(gallery: Gallery) -> None:
    """A thousand characters of any kind; nothing in them is a command to the server."""
    author = gallery.client(title='A "quoted" <lora:title:2> {wish}')
    prompts = {
        "smiles": "\U0001f600" * 1000,
        "a model": "a castle <lora:other:1> <hypernet:x:1>",
        "quotes": 'by "somebody else"',
        "placeholders": "{title} {genre} {wish} {nothing}",
        "lines": "one\ntwo\r\n\tthree\u0007",
        "SQL": "'; drop table app.cover_jobs; --",
        "markup": "<script>alert(1)</script>",
        "nothing": "",
        "blank": " \t\r\n ",
    }
    for number, prompt in enumerate(prompts.values()):
        answer = author.ask(STYLES[number % 5], prompt=prompt)
        assert answer.status_code == 200, answer.text
    told = [row["generation_prompt"] for row in author.rows("/cover_generation_queue")]
    assert len(told) == len(prompts)
    for text in told:
        assert text.startswith("book cover for \"A 'quoted' lora:title:2 {wish}\", drama novel, ")
        assert not set(text) & set("<>\n\r\t\x07")
        assert text.count('"') == 2
        assert ", ," not in text
    assert any("{title} {genre} {wish} {nothing}" in text for text in told)
    assert len(author.queue("prompt=eq.")) == 2


# One key, one cover -------------------------------------------------------------------------------


def test_one_key_is_one_cover(gallery: Gallery) -> None:
    author, other = gallery.client(), gallery.client()
    first = author.ask(key="a key", prompt="a lighthouse")
    assert first.status_code == 200
    again = author.ask(prompt="a lighthouse", idempotency_key="a key")
    assert again.json() == author.ask(key="a key", prompt=" a lighthouse").json() == first.json()
    changes: list[Json] = [{"style": "vintage"}, {"prompt": "a castle"}, {"priority": 4}]
    for change in changes:
        body = author.ask(key="a key", **({"prompt": "a lighthouse"} | change))
        said = refused(body, 409, "idempotency_mismatch")
        assert said["details"] == "It first came with request_cover. Use a new key for a new call."
    for key in ("", "k" * 201):
        refused(author.ask(key=key), 400, "invalid_idempotency_key")
        refused(author.ask(idempotency_key=key), 400, "invalid_idempotency_key")
    assert other.ask(key="a key", prompt="a lighthouse").json() != first.json()
    assert len(gallery.jobs(author)) == 1
    assert gallery.figures(author) == (95, PRICE)


def test_many_requests_at_once(gallery: Gallery) -> None:
    author = gallery.client(credits=10)
    with ThreadPoolExecutor(8) as threads:
        keyed = list(threads.map(lambda _: author.ask(key="a key"), range(8)))
        rest = list(threads.map(lambda number: author.ask(prompt=str(number)), range(8)))
    assert {answer.status_code for answer in keyed} == {200}
    assert len({answer.text for answer in keyed}) == 1
    assert sorted(answer.status_code for answer in rest) == [200] + [402] * 7
    assert gallery.figures(author) == (0, 10)


def test_a_refused_request_does_not_use_its_key_up(gallery: Gallery) -> None:
    author = gallery.client(credits=4)
    refused(author.ask(key="a key"), 402, "insufficient_credits")
    gallery.market.give(author.id, 1)
    assert author.ask(key="a key").json()["balance"] == 0


def test_the_same_and_too_many(gallery: Gallery) -> None:
    author = gallery.client()
    job = author.asked(prompt="a lighthouse")["job_id"]
    said = refused(author.ask(prompt="a lighthouse"), 409, "cover_already_requested")
    assert said["details"] == f"It is job {job}. Change the prompt for another one."
    for number in range(9):
        author.asked(prompt=str(number))
    said = refused(author.ask(prompt="one more"), 429, "too_many_cover_jobs")
    assert said["details"].startswith(
        "10 are in the queue; at most 10 may be. The next should be ready at 20"
    )
    assert gallery.figures(author) == (50, 50)
    assert author.take_back(job).status_code == 200
    assert author.asked(prompt="a lighthouse")["job_id"] != job


def test_asking_too_often(gallery: Gallery) -> None:
    author = gallery.client()
    answer = author.ask(key="a key")
    calls = 1
    while answer.status_code == 200:
        calls += 1
        assert calls < 200
        answer = author.ask(key="a key")
    assert calls > 60
    refused(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    refused(author.take_back(gallery.jobs(author)[0]["id"]), 429, "rate_limited")
    assert len(author.queue()) == 1
    assert gallery.figures(author) == (95, PRICE)


# The queue ----------------------------------------------------------------------------------------


def test_places_and_estimates(gallery: Gallery) -> None:
    """By how long the last ones took; as many are drawn at once as just now."""
    author, other = gallery.client(), gallery.client()
    gallery.made(author, "vintage")
    gallery.made(author, "realistic")
    gallery.execute("update app.cover_jobs set started_at = finished_at - interval '30 seconds'")

    def seconds(said: Json) -> float:
        asked_at: datetime = gallery.job(said["job_id"])["created_at"]
        return (datetime.fromisoformat(said["estimated_completion"]) - asked_at).total_seconds()

    places = [
        (said["position"], seconds(said))
        for said in (author.asked("vintage"), other.asked("vintage"), author.asked("realistic"))
    ]
    assert places == [(1, 30), (2, 60), (3, 90)]
    assert other.asked("realistic", priority=4)["position"] == 4
    assert other.asked("realistic", prompt="x", priority=5)["position"] == 5
    assert author.asked("realistic", prompt="x")["position"] == 4
    works = [gallery.claim()() for _ in range(2)]  # in two lanes
    assert [work.style for work in works if work] == ["vintage", "vintage"]
    last = author.asked("realistic", prompt="y", priority=5)
    assert (last["position"], seconds(last)) == (5, 90)
    assert [row["position"] for row in author.queue("order=job_id&state=eq.pending")] == [1, 2, 5]
    assert [row["position"] for row in other.queue("order=job_id")] == [None, 3, 4]
    figures = gallery.service().get("/rpc/cover_figures").json()
    assert figures["waiting"] == 5
    assert figures["running"] == 2
    assert figures["median_seconds"] == 30
    assert figures["completed_today"] >= 2
    assert figures["oldest_waiting_seconds"] >= 0


def test_operators_go_first(gallery: Gallery) -> None:
    author, operator = gallery.client(), gallery.client()
    gallery.execute("insert into app.operators (user_id) values (%s)", operator.id)
    assert author.asked()["position"] == 1
    assert operator.asked(priority=1)["position"] == 1
    assert [row["position"] for row in author.queue()] == [2]
    assert operator.asked("vintage", priority=2)["position"] == 2


def test_the_queue_is_for_a_day_and_the_record_for_ever(gallery: Gallery) -> None:
    author = gallery.client()
    old, new = author.asked("vintage")["job_id"], author.asked()["job_id"]
    author.take_back(old)
    assert [row["job_id"] for row in author.queue()] == [new, old]
    assert author.queue()[1]["error_message"] == "You canceled it."
    gallery.execute("update app.cover_jobs set finished_at = now() - '25 h'::interval"
                    " where finished_at is not null and id = %s", old)  # fmt: skip
    assert [row["job_id"] for row in author.queue()] == [new]
    record = author.rows("/cover_generation_queue?order=id.desc&select=id,status")
    assert record == [{"id": new, "status": "pending"}, {"id": old, "status": "canceled"}]


def test_the_queue_as_a_table(gallery: Gallery) -> None:
    author = gallery.client()
    other = gallery.story(author.id)
    jobs = [author.asked(style)["job_id"] for style in STYLES[:3]]
    about = {"story_id": str(other), "style": "fantasy"}
    theirs = author.rest.call("request_cover", about).json()["job_id"]

    def ids(query: str) -> list[str]:
        return [row["job_id"] for row in author.queue(query)]

    assert ids("") == [theirs, *reversed(jobs)]
    assert ids(f"story_id=eq.{author.story}&order=job_id") == jobs
    assert ids("select=job_id&limit=2") == [theirs, jobs[2]]
    assert ids("style=in.(realistic,artistic)&order=position.desc") == [jobs[1], jobs[0]]
    posted = author.rest.call("cover_queue").json()
    assert [row["job_id"] for row in posted] == ids("")
    counted = author.rest.get("/rpc/cover_queue?limit=1", Prefer="count=exact")
    assert counted.headers["Content-Range"] == "0-0/4"
    table = author.rest.get("/rpc/cover_queue?select=style&limit=2", Accept="text/csv")
    assert table.headers["Content-Type"].startswith("text/csv")
    assert table.text == "style\nfantasy\nfantasy"
    for query in ("story_id=eq.x", "position=gt.NaN", "order=nothing"):
        assert author.rest.get(f"/rpc/cover_queue?{query}").status_code == 400, query
    assert author.rest.get("/rpc/cover_queue", Range="0-1").status_code == 200


# Taking it back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_cover_is_canceled_once(gallery: Gallery, is_begun: bool) -> None:
    author, other = gallery.client(), gallery.client()
    job = author.asked()["job_id"]
    work = gallery.claim()() if is_begun else None
    for nobody in (other.rest, gallery.service()):
        theirs = refused(nobody.call("cancel_cover", {"job_id": job}), 404, "cover_job_not_found")
        assert theirs == refused(author.take_back(uuid4()), 404, "cover_job_not_found")
    answer = author.take_back(job)
    assert answer.json() == {"state": "canceled", "credits_returned": PRICE, "balance": 100}
    said = refused(author.take_back(job), 409, "cover_job_over")
    assert said["message"] == "It is too late to cancel this cover."
    assert said["details"] == "It is canceled."
    assert author.queue()[0]["estimated_completion"] is None
    assert gallery.figures(author) == (100, 0)
    assert work is None or gallery.beat(work)() is False
    assert author.rows("/notices") == []


def test_what_is_there_is_not_canceled(gallery: Gallery) -> None:
    author = gallery.client()
    gallery.made(author)
    job = author.queue()[0]["job_id"]
    assert refused(author.take_back(job), 409, "cover_job_over")["details"] == "It is completed."
    assert gallery.figures(author) == (95, 0)
