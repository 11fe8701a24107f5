"""Downloads that fail, and workers that do: what was not made costs nothing."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest

from api.downloads import making, tasks
from api.downloads.making import MadeFile
from api.downloads.manuscript import Manuscript
from api.stack.postgres import EmbeddedPostgres
from tests.downloads import (
    PRICE,
    WAIT_SECONDS,
    Desk,
    leave_nothing_waiting,
    open_desk,
    publish,
)
from tests.market import answers, in_parallel
from tests.shop import refusal

CLAIM_AND_HANG = """
import sys, threading, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    row = connection.execute("select export_id from app.claim_export()").fetchone()
    print(row[0], flush=True)
    threading.Event().wait()
"""


@pytest.fixture(scope="module")
def opened(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Desk]:
    with open_desk(postgres_server, next(database_names), migrated_template) as desk:
        yield desk


@pytest.fixture
def desk(opened: Desk) -> Iterator[Desk]:
    """The desk with nothing waiting; at the end the ledger must still be right."""
    yield opened
    leave_nothing_waiting(opened)


def test_a_failure_gives_back_the_credits_and_the_use(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> MadeFile:
        raise ZeroDivisionError("secret words of the story")

    monkeypatch.setattr(tasks, "make_file", fail)
    reader = desk.reader()
    export = reader.asked()
    for attempt in range(1, 5):
        assert desk.work() == 0
        row = desk.row(export)
        assert (row["state"], row["attempts"]) == ("pending", attempt)
        assert (reader.balance, reader.reserved, reader.used) == (0, PRICE, 1)
        assert desk.work() == 0  # it waits for its turn
        assert desk.row(export)["attempts"] == attempt
        desk.let_all_be_due()
    assert desk.work() == 0
    row = desk.row(export)
    assert (row["state"], row["attempts"]) == ("failed", 5)
    assert row["error_message"] == "The file could not be packed: ZeroDivisionError."
    assert (reader.balance, reader.reserved, reader.used) == (PRICE, 0, 0)
    assert reader.export(export)["status"] == "failed"
    assert refusal(reader.link(export), 409)["hint"] == "export_failed"
    assert reader.notices == ["download_failed"]
    assert desk.market.violations() == []
    # And what works again is made.
    monkeypatch.undo()
    assert reader.export(reader.made())["status"] == "ready"


def test_nothing_left_to_read_fails_at_once(desk: Desk) -> None:
    story = publish(desk, [("One", "Words.")])
    reader = desk.reader()
    export = reader.asked("html", story)
    desk.owner.execute("update app.stories set status = 'archived' where id = %s", (story,))
    assert desk.work() == 0
    row = desk.row(export)
    assert (row["state"], row["attempts"]) == ("failed", 1)
    assert (reader.balance, reader.reserved, reader.used) == (PRICE, 0, 0)


def test_a_worker_that_is_killed_leaves_it_to_the_next(desk: Desk) -> None:
    reader = desk.reader()
    export = reader.asked()
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM_AND_HANG, desk.market.url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == export
        process.send_signal(signal.SIGKILL)
        assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
    assert desk.work() == 0  # it is the dead one's for a minute
    assert reader.export(export)["status"] == "pending"
    desk.let_all_be_due()
    assert desk.work() == 1
    assert desk.row(export)["attempts"] == 2
    assert (reader.balance, reader.reserved, reader.used) == (0, 0, 1)


def test_a_file_that_kills_every_worker_is_given_up(desk: Desk) -> None:
    reader = desk.reader()
    export = reader.asked()
    for attempt in range(1, 6):
        claimed = desk.claim()  # and nothing is heard of it any more
        assert claimed is not None
        assert (str(claimed["export_id"]), desk.row(export)["attempts"]) == (export, attempt)
        assert desk.work() == 0
        assert reader.export(export)["status"] == "pending"
        desk.let_all_be_due()
    assert desk.work() == 0
    row = desk.row(export)
    assert (row["state"], row["attempts"]) == ("failed", 5)
    assert row["error_message"] == "Whoever tried to make this file never came back."
    assert (reader.balance, reader.reserved, reader.used) == (PRICE, 0, 0)
    assert reader.notices == ["download_failed"]
    assert desk.market.violations() == []


def test_words_that_cannot_be_read_count_as_an_attempt(desk: Desk) -> None:
    reader = desk.reader()
    export = reader.asked()
    desk.owner.execute("alter function app.weave_watermark(text, bigint) rename to missing")
    try:
        assert desk.work() == 0
    finally:
        desk.owner.execute("alter function app.missing(text, bigint) rename to weave_watermark")
    row = desk.row(export)
    assert (row["state"], row["attempts"]) == ("pending", 1)
    assert row["error_message"] == "The file could not be packed: UndefinedFunction."
    desk.let_all_be_due()
    assert desk.work() == 1
    assert (reader.balance, reader.reserved, reader.used) == (0, 0, 1)


def test_a_story_that_is_too_long_fails_at_once_and_says_so(desk: Desk) -> None:
    story = publish(desk, [(f"Chapter {number}", "Words.") for number in range(1, 27)])
    desk.owner.execute(
        "update app.chapter_texts as t set content = repeat(U&'\\+01F600', 500000)"
        " from app.chapters as c where c.id = t.chapter_id and c.story_id = %s",
        (story,),
    )
    reader = desk.reader()
    export = reader.asked("markdown", story)
    assert desk.work() == 0
    row = desk.row(export)
    assert (row["state"], row["attempts"]) == ("failed", 1)
    assert row["error_message"] == (
        "The story is too long for a file. It has 52 MB of text; 50 MB are the most."
    )
    assert (reader.balance, reader.reserved, reader.used) == (PRICE, 0, 0)


def test_a_slow_worker_makes_no_second_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = desk.reader()
    export = reader.asked("markdown")

    def make_slowly(format_name: str, manuscript: Manuscript, made_at: datetime) -> MadeFile:
        monkeypatch.undo()
        desk.let_all_be_due()
        assert desk.work() == 1  # another was quicker
        return making.make_file(format_name, manuscript, made_at)

    monkeypatch.setattr(tasks, "make_file", make_slowly)
    assert desk.work() == 0
    assert desk.row(export)["state"] == "ready"
    assert (reader.balance, reader.reserved, reader.used) == (0, 0, 1)
    assert reader.notices == ["download_ready"]


def test_two_workers_share_the_work(desk: Desk) -> None:
    readers = [desk.reader() for _ in range(8)]
    exports = [reader.asked("markdown") for reader in readers]
    assert sum(answers(in_parallel([desk.work] * 2))) == 8
    for reader, export in zip(readers, exports, strict=True):
        assert desk.row(export)["attempts"] == 1
        assert reader.export(export)["status"] == "ready"
        assert (reader.balance, reader.reserved) == (0, 0)


def test_a_worker_that_is_to_stop_takes_nothing_more(desk: Desk) -> None:
    reader = desk.reader()
    export = reader.asked()
    stop = threading.Event()
    stop.set()
    with desk.market.connect_as_owner() as connection:
        assert tasks.make_due_exports(connection, stop) == 0
    assert desk.row(export)["attempts"] == 0


def test_a_locked_wallet_is_waited_for_and_nothing_is_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.sessions.LOCK_TIMEOUT", "100ms")
    reader = desk.reader()
    export = reader.asked()
    with desk.market.connect_as_owner() as holder, holder.transaction():
        holder.execute("select ledger.lock_wallet(%s)", (reader.id,))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            desk.work()
    assert (reader.export(export)["status"], reader.reserved) == ("pending", PRICE)
    desk.let_all_be_due()
    assert desk.work() == 1
