"""Killed without a last word at each step, and late: one cover and one charge, whoever made it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from api.covers import tasks
from api.stack.wait import wait_until
from tests.conftest import NewDatabase
from tests.test_covers_worker import PRICE, WAIT_SECONDS, Studio, open_studio

STOP_BEFORE_THE_CALL = """
import threading
from api.covers.webui import Webui
Webui.draw = lambda webui, order, seconds: threading.Event().wait()
"""
DEAF = """
from api.covers.making import Lease
Lease.beat = lambda lease, percent: None
"""


@pytest.fixture
def studio(
    migrated_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Studio]:
    monkeypatch.setattr(tasks, "RECOVER_EVERY_SECONDS", 0.2)
    with open_studio(migrated_database(), tmp_path) as opened:
        yield opened


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(WAIT_SECONDS)


@contextmanager
def locked(studio: Studio, job: UUID) -> Iterator[None]:
    """Nobody writes anything down about this job meanwhile."""
    with studio.market.connect_as_owner() as connection, connection.transaction():
        connection.execute("select from app.cover_jobs where id = %s for update", (job,))
        yield


def check_another_makes_it(studio: Studio, job: UUID) -> None:
    """Its minute is not over at first, and nobody takes it; then somebody else does."""
    row = studio.job(job)
    assert (row["state"], studio.credits()) == ("generating", {"held": PRICE})
    assert (studio.covers(), studio.market.violations()) == ([], [])
    with studio.working():
        other = studio.request("vintage")
        studio.wait_for(other, "completed")
        assert studio.job(job)["lease_token"] == row["lease_token"]
        studio.expire(job)
        studio.wait_for(job, "completed")
    assert [each["outcome"] for each in studio.attempts(job)] == ["expired", "finished"]
    studio.check_once(job)
    assert (studio.balance, studio.credits()) == (0, {"captured": 2 * PRICE})


def test_killed_before_the_call(studio: Studio) -> None:
    studio.give(2)
    job = studio.request()
    process = studio.process(patch=STOP_BEFORE_THE_CALL)
    studio.wait_for(job, "generating")
    kill(process)
    assert studio.easel.tasks() == []
    check_another_makes_it(studio, job)


def test_killed_while_the_server_draws(studio: Studio) -> None:
    studio.give(2)
    studio.easel.fault("hang", times=1)
    job = studio.request()
    process = studio.process()
    studio.easel.wait_for_held()
    kill(process)
    studio.easel.let_go()
    check_another_makes_it(studio, job)


def test_killed_when_the_picture_is_stored(studio: Studio) -> None:
    studio.give(2)
    studio.easel.fault("hang", times=1)
    job = studio.request()
    process = studio.process()
    studio.easel.wait_for_held()
    with locked(studio, job):
        studio.easel.let_go()
        assert wait_until(lambda: len(studio.files()) == 2, seconds=WAIT_SECONDS)
        kill(process)
    orphans = studio.files()
    check_another_makes_it(studio, job)
    assert orphans < studio.files()
    shown = {each[key] for each in studio.covers() for key in ("file", "thumbnail_file")}
    assert shown == studio.files() - orphans  # `covers tidy` finds the rest


def test_killed_after_the_end(studio: Studio) -> None:
    studio.give(1)
    job = studio.request()
    process = studio.process()
    studio.wait_for(job, "completed")
    kill(process)
    studio.market.owner.execute("select app.recover_cover()")
    with studio.working():
        studio.give(1)
        studio.wait_for(studio.request("vintage"), "completed")
    assert [each["outcome"] for each in studio.attempts(job)] == ["finished"]
    studio.check_once(job)
    assert studio.credits() == {"captured": 2 * PRICE}


def test_killed_three_times_it_is_given_up(studio: Studio) -> None:
    """What kills every worker that touches it must come to an end as well."""
    studio.give(1)
    job = studio.request()
    for number in range(1, 4):
        process = studio.process(patch=STOP_BEFORE_THE_CALL)
        started = wait_until(
            lambda expected=number: len(studio.attempts(job)) == expected,  # type: ignore[misc]
            seconds=WAIT_SECONDS,
        )
        assert started, studio.log.read_text()
        kill(process)
        studio.expire(job)
        studio.market.owner.execute("select app.recover_cover()")
    row = studio.job(job)
    assert (row["state"], row["error_code"]) == ("failed", "lease_expired")
    assert (studio.balance, studio.credits()) == (PRICE, {"released": PRICE})
    assert studio.market.violations() == []


def test_a_late_worker_is_refused(studio: Studio) -> None:
    """It does not hear that its minute is over, draws on, and comes with a picture at the end."""
    studio.give(1)
    studio.easel.fault("hang", times=1)
    job = studio.request()
    late = studio.process(patch=DEAF)
    studio.easel.wait_for_held()
    studio.expire(job)
    studio.market.owner.execute("select app.recover_cover()")
    assert studio.job(job)["state"] == "pending"
    with studio.working():
        studio.wait_for(job, "generating")
        # Its task waits behind the late one's, which is done first.
        studio.easel.let_go()
        studio.wait_for(job, "completed")
    refused = wait_until(lambda: "cover dropped" in studio.log.read_text(), seconds=WAIT_SECONDS)
    assert refused, studio.log.read_text()
    assert late.poll() is None
    assert [each["outcome"] for each in studio.attempts(job)] == ["expired", "finished"]
    cover = studio.check_once(job)
    assert cover["seed"] == studio.attempts(job)[1]["seed"]
    assert (studio.balance, studio.credits()) == (0, {"captured": PRICE})


def test_a_worker_that_hears_of_it_stops(studio: Studio) -> None:
    """Its task is interrupted: it was the one that was being drawn."""
    studio.give(1)
    studio.easel.fault("slow", seconds=60)
    job = studio.request()
    studio.process()
    studio.easel.wait_for_task("running")
    studio.expire(job)
    studio.market.owner.execute("select app.recover_cover()")
    studio.wait_for(job, "completed")  # by the same worker, in its next attempt
    first, second = studio.attempts(job)
    assert (first["outcome"], second["outcome"]) == ("expired", "finished")
    task = studio.easel.task(first["task_id"])
    assert task is not None
    assert task["is_interrupted"]
    studio.check_once(job)
