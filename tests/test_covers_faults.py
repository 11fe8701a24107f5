"""Servers that fail, in every way they have: a cover is made in the end, or its credits go back."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from api.covers import lanes, making, tasks, webui
from api.covers.store import CoverStore, StoreError
from api.sandbox.webui import running_webui
from api.stack.wait import wait_until
from tests.conftest import NewDatabase
from tests.market import acting_as, value
from tests.test_covers_worker import LISTS, PRICE, WAIT_SECONDS, Front, Studio, open_studio

DRAWS = "/sdapi/v1/txt2img"
FAULTS = {
    "out_of_memory": "out_of_memory",
    "server_error": "server_error",
    "model_swap": "model_swapped",
    "garbage": "not_an_image",
    "blank": "blank_image",
    "wrong_size": "wrong_size",
    "connection_cut": "connection_lost",
    "hang": "timeout",
}


@pytest.fixture
def studio(
    migrated_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Studio]:
    # Whoever fails is left alone for a while: for a short one.
    monkeypatch.setattr(lanes, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(lanes, "LONGEST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(lanes, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(tasks, "RECOVER_EVERY_SECONDS", 0.2)
    with open_studio(migrated_database(), tmp_path) as opened:
        yield opened


def failure(studio: Studio, job: UUID, number: int = 1) -> tuple[str | None, str | None]:
    attempt = studio.attempts(job)[number - 1]
    return attempt["outcome"], attempt["error_code"]


@pytest.mark.parametrize(("fault", "code"), FAULTS.items())
def test_what_fails_once_is_made_the_next_time(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, fault: str, code: str
) -> None:
    monkeypatch.setattr(making, "GENERATION_SECONDS", 1.5 if fault == "hang" else 60.0)
    studio.give(1)
    studio.easel.fault(fault, times=1)
    job = studio.request()
    with studio.working():
        studio.wait_for_attempts(job, 1)
        row = studio.job(job)
        assert (row["state"], row["error_code"]) == ("pending", code)
        assert failure(studio, job) == ("failed", code)
        assert studio.credits() == {"held": PRICE}
        assert studio.market.violations() == []
        assert studio.files() == set()
        studio.easel.let_go()
        studio.make_due()
        studio.wait_for(job, "completed")
    cover = studio.check_once(job)
    assert (studio.balance, studio.credits()) == (0, {"captured": PRICE})
    assert len(studio.attempts(job)) == 2
    assert cover["seed"] == studio.attempts(job)[1]["seed"]
    assert studio.files() == {cover["file"], cover["thumbnail_file"]}


def test_what_fails_three_times_is_given_up(studio: Studio) -> None:
    studio.give(1)
    studio.easel.fault("out_of_memory", times=None)
    job = studio.request()
    with studio.working():
        for number in range(1, 4):
            studio.wait_for_attempts(job, number)
            studio.make_due()
        studio.wait_for(job, "failed")
    assert [each["error_code"] for each in studio.attempts(job)] == ["out_of_memory"] * 3
    assert (studio.balance, studio.credits()) == (PRICE, {"released": PRICE})
    assert studio.covers() == []
    kinds = studio.rows("select kind from app.notices where user_id = %s", studio.author)
    assert [each["kind"] for each in kinds] == ["cover_failed"]


@pytest.mark.parametrize("change", ['{"sampler_name": "No Such"}', '{"cfg_scale": "much"}'])
def test_what_the_server_refuses_is_not_tried_again(studio: Studio, change: str) -> None:
    studio.market.owner.execute("update app.cover_styles set options = options || %s", (change,))
    studio.give(1)
    job = studio.request()
    with studio.working():
        studio.wait_for(job, "failed")
    row = studio.job(job)
    assert (row["error_code"], row["attempts"]) == ("bad_request", 1)
    assert row["error_message"].startswith("The server refused it: ")
    assert (studio.balance, studio.credits()) == (PRICE, {"released": PRICE})


@pytest.mark.parametrize("fault", ["no_progress", "empty_info"])
def test_what_a_server_may_lack(studio: Studio, fault: str) -> None:
    """As stable-diffusion.cpp: no word of the progress, or of what was used."""
    studio.give(1)
    studio.easel.fault(fault, times=None)
    studio.easel.fault("slow", seconds=2)
    job = studio.request()
    with studio.working():
        studio.wait_for(job, "completed")
    assert studio.check_once(job)["seed"] == studio.attempts(job)[0]["seed"]


def test_a_server_that_lets_nobody_draw_costs_no_attempt(studio: Studio) -> None:
    """It lists its models to anybody, and wants a password for drawing."""
    studio.give(1)
    studio.easel.fault("unauthorized", times=2)
    job = studio.request()
    with studio.working():
        studio.wait_for(job, "completed")
    assert [each["outcome"] for each in studio.attempts(job)] == [*["released"] * 2, "finished"]
    assert studio.job(job)["attempts"] == 1
    studio.check_once(job)


NO_WEBUI: list[tuple[int, Any]] = [
    (302, b""),
    (307, b""),
    (401, {"detail": "Not authenticated"}),
    (404, {"detail": "Not Found"}),
    (404, b"<html>nothing here</html>"),
    (405, {"detail": "Method Not Allowed"}),
    (429, {"detail": "Too Many Requests"}),
]


def test_an_address_that_is_no_webui_uses_up_no_job(studio: Studio) -> None:
    jobs = studio.request_many(len(NO_WEBUI))
    with Front(studio.easel.url) as front:
        for job, answer in zip(jobs, NO_WEBUI, strict=True):
            front.answers[DRAWS] = answer
            with studio.working(front.url):
                attempts = studio.wait_for_attempts(job, 1)
            assert {each["outcome"] for each in attempts} == {"released"}, answer
            row = studio.job(job)
            assert (row["state"], row["attempts"], row["error_code"]) == ("pending", 0, None)
            studio.cancel(job)
    assert studio.easel.tasks() == []


ANSWERS: dict[str, tuple[int, Any, str]] = {
    "not JSON": (200, b"drawn!", "server_error"),
    "a list": (200, [], "server_error"),
    "deep": (200, b"[" * 100_000, "server_error"),
    "empty": (200, {}, "not_an_image"),
    "no images": (200, {"images": [], "info": ""}, "not_an_image"),
    "not base64": (200, {"images": ["drawn!"], "info": ""}, "not_an_image"),
    "not text": (200, {"images": [7], "info": None}, "not_an_image"),
    "no such": (200, {"images": ["AAAA"], "info": {"index_of_first_image": 3}}, "not_an_image"),
    "odd info": (200, {"images": ["AAAA"], "info": '"\\ud800"'}, "not_an_image"),
    "NUL": (500, {"error": "Oops\x00\ud800", "detail": ["\x00"]}, "server_error"),
    "gateway": (502, b"<html>bad gateway</html>", "server_error"),
    "teapot": (418, b"", "server_error"),
    "memory": (500, {"errors": "CUDA out of memory. Tried to allocate"}, "out_of_memory"),
    "sampler": (404, {"detail": "Sampler not found"}, "bad_request"),
}


def test_answers_that_make_no_sense(studio: Studio) -> None:
    studio.raise_limits()
    with Front(studio.easel.url) as front, studio.working(front.url):
        for name, (status, said, code) in ANSWERS.items():
            front.answers[DRAWS] = (status, said)
            studio.give(1)
            job = studio.request(wish=name)
            studio.wait_for_attempts(job, 1)
            assert failure(studio, job) == ("failed", code), name
            if code != "bad_request":
                studio.cancel(job)
    assert studio.covers() == []
    assert studio.market.violations() == []


def test_an_answer_that_is_too_large(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webui, "LARGEST_ANSWER", 1_000_000)
    studio.give(1)
    with Front(studio.easel.url) as front:
        front.answers[DRAWS] = (200, b" " * 5_000_000)
        job = studio.request()
        with studio.working(front.url):
            studio.wait_for_attempts(job, 1)
    assert failure(studio, job) == ("failed", "server_error")
    assert "too large" in studio.job(job)["error_message"]


def test_a_model_that_was_taken_away(studio: Studio) -> None:
    """Some servers fail over a checkpoint that is gone; the job waits for one that has it."""
    studio.give(1)
    with Front(studio.easel.url) as front:
        front.lists("dreamshaper_7")
        front.answers[DRAWS] = (500, {"error": "RuntimeError", "errors": "no such checkpoint"})
        with studio.working(front.url):
            assert wait_until(lambda: LISTS in front.asked, seconds=WAIT_SECONDS)
            front.lists("deliberate_v2")
            job = studio.request("fantasy")
            studio.wait_for_attempts(job, 1)
            assert failure(studio, job) == ("failed", "model_missing")
            studio.make_due()
            assert not wait_until(lambda: len(studio.attempts(job)) > 1, seconds=1)
            assert studio.job(job)["state"] == "pending"


def test_a_store_that_takes_nothing(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = threading.Event()
    broken.set()
    put = CoverStore.put

    def put_unless_broken(store: CoverStore, name: str, data: bytes) -> None:
        if broken.is_set():
            raise StoreError("no space left on device")
        put(store, name, data)

    monkeypatch.setattr(CoverStore, "put", put_unless_broken)
    studio.give(1)
    job = studio.request()
    with studio.working():
        studio.wait_for_attempts(job, 1)
        assert failure(studio, job) == ("failed", "store_failed")
        broken.clear()
        studio.make_due()
        studio.wait_for(job, "completed")
    studio.check_once(job)


def test_while_the_store_is_broken_not_every_job_is_used_up(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "FIRST_PAUSE_SECONDS", 60.0)
    monkeypatch.setattr(lanes, "LONGEST_PAUSE_SECONDS", 60.0)

    def put(store: CoverStore, name: str, data: bytes) -> None:
        raise StoreError("no space left on device")

    monkeypatch.setattr(CoverStore, "put", put)
    jobs = studio.request_many(5)
    with studio.working():
        assert wait_until(lambda: studio.easel.tasks() != [], seconds=WAIT_SECONDS)
        tried = "select count(*) from app.cover_attempts where ended_at is not null"
        assert wait_until(lambda: value(studio.market.owner, tried) == 1, seconds=WAIT_SECONDS)
        studio.make_due()
        assert not wait_until(lambda: value(studio.market.owner, tried) > 1, seconds=1)
    assert {studio.job(job)["state"] for job in jobs} == {"pending"}


# Cancel, and time


def test_cancel_stops_the_drawing(studio: Studio) -> None:
    studio.give(1)
    with running_webui(seconds=30) as slow, studio.working(slow.url):
        easel = type(studio.easel)(slow.url)
        job = studio.request()
        easel.wait_for_task("running")
        studio.cancel(job)
        assert studio.balance == PRICE

        def is_interrupted() -> bool:
            (task,) = easel.tasks()
            return bool(task["is_interrupted"])

        assert wait_until(is_interrupted, seconds=WAIT_SECONDS)
        other = studio.request("vintage")  # the lane is free again
        easel.wait_for_task("running")
        studio.cancel(other)
    assert studio.job(job)["state"] == "canceled"
    assert [each["outcome"] for each in studio.attempts(job)] == ["canceled"]
    assert (studio.covers(), studio.files()) == ([], set())
    assert studio.credits() == {"released": 2 * PRICE}
    assert studio.market.violations() == []


def test_cancel_leaves_the_tasks_of_others_alone(studio: Studio) -> None:
    """Somebody else uses the same server; ours waits there behind theirs."""
    studio.give(1)
    studio.easel.fault("hang", times=1)
    answers: list[int] = []

    def draw() -> None:
        body = {"prompt": "theirs", "steps": 1, "width": 64, "height": 64}
        body |= {"force_task_id": "task(theirs)"}
        answers.append(httpx.post(studio.easel.url + DRAWS, json=body, timeout=60).status_code)

    theirs = threading.Thread(target=draw)
    theirs.start()
    studio.easel.wait_for_held()
    with studio.working():
        job = studio.request()
        studio.easel.wait_for_task("queued")
        studio.cancel(job)

        def is_dropped() -> bool:
            with studio.market.connect_as_owner() as connection:
                beats = "select count(*) from app.cover_jobs where state = 'generating'"
                return bool(value(connection, beats) == 0)

        assert wait_until(is_dropped, seconds=WAIT_SECONDS)
        other = studio.request("vintage")
        # The lane has let go of the first one when it takes the next.
        studio.wait_for(other, "generating")
        states = {each["id"]: each["state"] for each in studio.easel.tasks()}
        assert states["task(theirs)"] == "running"
        studio.easel.let_go()
        studio.wait_for(other, "completed")
    theirs.join(WAIT_SECONDS)
    assert answers == [200]
    assert not any(each["is_interrupted"] for each in studio.easel.tasks())
    assert studio.job(job)["state"] == "canceled"
    studio.check_once(other)


def test_a_long_drawing_keeps_its_lease(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_leases(studio, monkeypatch, seconds=1.5)
    studio.give(1)
    with running_webui(seconds=5) as slow, studio.working(slow.url, workers=2):
        job = studio.request()
        # Anybody may look after jobs that are left alone; this one is not.
        while studio.job(job)["state"] != "completed":
            assert wait_until(
                lambda: value(studio.market.owner, "select app.recover_cover()") is False,
                seconds=WAIT_SECONDS,
            )
    assert [each["outcome"] for each in studio.attempts(job)] == ["finished"]
    studio.check_once(job)


def test_a_database_that_is_away_for_a_while(studio: Studio) -> None:
    """What is being drawn is not lost: the next beat, and the finish, find it again."""
    studio.give(1)
    studio.easel.fault("hang", times=1)
    job = studio.request()
    with studio.working():
        studio.easel.wait_for_held()
        forbid_connections(studio, True)
        studio.easel.let_go()
        assert wait_until(lambda: len(studio.files()) == 2, seconds=WAIT_SECONDS)
        forbid_connections(studio, False)
        studio.wait_for(job, "completed")
        studio.wait_for(other := request_another(studio), "completed")
    assert [each["outcome"] for each in studio.attempts(job)] == ["finished"]
    studio.check_once(job)
    studio.check_once(other)


def request_another(studio: Studio) -> UUID:
    studio.give(1)
    return studio.request("vintage")


def test_a_database_that_is_away_for_too_long(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the result is thrown away, and the job is somebody else's."""
    shorten_leases(studio, monkeypatch, seconds=1)
    studio.give(1)
    studio.easel.fault("slow", seconds=60)
    job = studio.request()
    with studio.working():
        studio.easel.wait_for_task("running")
        forbid_connections(studio, True)
        # It interrupts its task when it gives up.
        assert wait_until(
            lambda: any(each["is_interrupted"] for each in studio.easel.tasks()),
            seconds=WAIT_SECONDS,
        )
        forbid_connections(studio, False)
        studio.wait_for(job, "completed")
    assert [each["outcome"] for each in studio.attempts(job)] == ["expired", "finished"]
    studio.check_once(job)


def forbid_connections(studio: Studio, is_forbidden: bool) -> None:
    """As a server that restarts: nobody gets in, and who was in is out. The owner's stay."""
    name = value(studio.market.owner, "select current_database()")
    with psycopg.connect(studio.url, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"alter database {name} allow_connections {not is_forbidden}".encode())
        if is_forbidden:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = %s and pid <> %s",
                (name, studio.market.owner.info.backend_pid),
            )


def shorten_leases(studio: Studio, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(making, "LEASE_SECONDS", seconds)
    monkeypatch.setattr(making, "BEAT_SECONDS", 0.2)
    studio.market.owner.execute(
        "create or replace function app.cover_lease() returns interval language sql immutable"
        f" set search_path = '' return interval '{seconds} seconds'".encode()
    )


# Many


def test_two_hundred_jobs_of_which_some_fail(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every job comes to an end, and its credits with it."""
    monkeypatch.setattr(making, "GENERATION_SECONDS", 3.0)
    monkeypatch.setattr(making, "BEAT_SECONDS", 0.2)
    # What is drawn quickest.
    studio.market.owner.execute(
        "update app.cover_styles set prompt = 'book cover for \"{title}\", minimalist, {wish}'"
    )
    jobs = studio.request_many(200)
    studio.easel.ask(
        "POST",
        "/_sandbox/faults",
        {
            "share": 0.2,
            "seed": 5,
            "kinds": [kind for kind in FAULTS if kind != "hang"],
        },
    )
    with studio.working(workers=4):

        def all_over() -> bool:
            studio.make_due()
            left = "select count(*) from app.cover_jobs where finished_at is null"
            return bool(value(studio.market.owner, left) == 0)

        assert wait_until(all_over, seconds=240, interval=0.5), studio.said
    states = [studio.job(job)["state"] for job in jobs]
    completed, failed = states.count("completed"), states.count("failed")
    assert completed + failed == 200
    assert completed > 150
    credits = studio.credits()
    assert credits.get("captured", 0) == completed * PRICE
    assert credits.get("released", 0) == failed * PRICE
    assert studio.balance == failed * PRICE
    assert len(studio.covers()) == completed
    attempts = studio.rows("select outcome, error_code from app.cover_attempts")
    assert sum(each["outcome"] == "finished" for each in attempts) == completed
    failures = {each["error_code"] for each in attempts if each["outcome"] == "failed"}
    assert failures >= set(FAULTS.values()) - {"timeout"}
    assert studio.market.violations() == []
    with studio.market.connect() as connection, acting_as(connection, studio.author):
        assert value(connection, "select count(*) from api.story_covers") == completed
