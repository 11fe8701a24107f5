"""Downloads over HTTP: asked for, paid, made and had once; whatever fails costs nothing."""

import logging
import re
import threading
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import unquote
from uuid import uuid4

import httpx
import pytest

from api.stack.postgres import EmbeddedPostgres
from api.stack.supervisor import Stack
from api.stack.wait import wait_until
from tests.downloads import (
    FORMATS,
    LINKS,
    MONTHLY_LIMIT,
    PRICE,
    WAIT_SECONDS,
    Desk,
    leave_nothing_waiting,
    open_desk,
    publish,
    subscribe,
    text_of,
)
from tests.market import answers, in_parallel
from tests.shop import open_shop, refusal

MEDIA_TYPES = {
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "epub": "application/epub+zip",
}
MARKS = re.compile("[\u200b\u2060]")


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


def hint(answer: httpx.Response, status: int) -> str:
    return str(refusal(answer, status)["hint"])


def is_waited_for(desk: Desk, function: str) -> bool:
    """Whether somebody who called it waits for a lock."""
    row = desk.owner.execute(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database() and query like %s",
        (f"%{function}%",),
    ).fetchone()
    return row is not None and row[0] > 0


# From the request to the file ------------------------------------------------------------------


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_reader_asks_pays_and_downloads(desk: Desk, format_name: str) -> None:
    reader = desk.reader(PRICE + 7)
    answer = reader.ask(format_name)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["state"], said["cost_credits"], said["balance"]) == ("pending", PRICE, 7)
    assert said["downloads_left"] == MONTHLY_LIMIT - 1
    assert datetime.fromisoformat(said["resets_at"]).tzinfo is not None
    export = said["export_id"]
    assert (reader.balance, reader.reserved) == (7, PRICE)
    assert reader.export(export)["status"] == "pending"
    assert hint(reader.link(export), 409) == "export_not_ready"
    assert desk.market.violations() == []

    assert desk.work() == 1
    assert (reader.balance, reader.reserved) == (7, 0)
    seen = reader.export(export)
    assert (seen["status"], seen["chapters"]) == ("ready", 2)
    assert seen["media_type"] == MEDIA_TYPES[format_name]
    assert reader.notices == ["download_ready"]

    link = reader.link(export).json()
    assert link["links_left"] == LINKS - 1
    assert link["expires_at"] == seen["expires_at"]
    file = desk.get(link["path"])
    assert file.status_code == 200, file.text
    assert file.headers["Content-Type"] == MEDIA_TYPES[format_name]
    assert len(file.content) == seen["bytes"]
    assert file.headers["Cache-Control"] == "no-store"
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    named = file.headers["Content-Disposition"]
    assert named.startswith(f'attachment; filename="{seen["file_name"]}"; ')
    text = MARKS.sub("", text_of(file.content, seen["media_type"]))
    # What is free is in it, the rest of the story is not.
    assert text.count("Some words.") == 2
    assert "2. A chapter" in text
    assert "3. A chapter" not in text
    assert reader.export(export)["downloads"] == 1
    assert desk.market.violations() == []


def test_what_was_bought_is_in_it(desk: Desk) -> None:
    reader = desk.reader(PRICE + 5)
    bought = reader.rest.call(
        "purchase_story",
        {"story_id": str(desk.market.story), "purchase_type": "chapter", "chapters": [7]},
    )
    assert bought.status_code == 200, bought.text
    export = reader.made("markdown")
    text = reader.fetched(export).text
    assert re.findall(r"^## (\d+)\.", text, re.MULTILINE) == ["1", "2", "7"]
    assert reader.balance == 0


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_paragraph_of_a_file_names_its_reader(desk: Desk, format_name: str) -> None:
    # Where its mark stands.
    words = [
        ("It was", " late. They knew."),
        ("«Да», she", " said"),
        ("می‌خواهم بروم", ""),
        ("👩‍👩‍👧 came", " & <left>"),
        ("終", ""),
    ]
    content = "\n\n".join(before + behind for before, behind in words)
    story = publish(desk, [("One", content)], title=f"Traced {format_name}")
    reader, other = desk.reader(), desk.reader()
    export, second = reader.made(format_name, story), other.made(format_name, story)
    answer = reader.fetched(export)
    text = text_of(answer.content, answer.headers["Content-Type"])
    for before, behind in words:
        found = re.search(f"{re.escape(before)}[\u200b\u2060]{{56}}{re.escape(behind)}", text)
        assert found is not None, (before, text)
        (row,) = desk.trace(found[0])
        assert (row["export_id"], row["user_id"]) == (export, str(reader.id))
        assert row["marks"] == 1
    copy_line = f"This copy was made for {row['handle']} on "
    assert text.replace("\\", "").count(copy_line) >= 2
    other_text = other.fetched(second).content
    mixed = desk.trace(text + text_of(other_text, answer.headers["Content-Type"]))
    assert {each["export_id"]: each["marks"] for each in mixed} == {export: 5, second: 5}


def test_the_file_name_survives_the_way(desk: Desk) -> None:
    story = publish(desk, [("One", "Words.")], title='Größe: "Ω" / ..\\evil\u202e\r\nX: y 終')
    reader = desk.reader()
    export = reader.made("epub", story)
    name = reader.export(export)["file_name"]
    assert name == "Größe Ω evil X y 終.epub"
    headers = reader.fetched(export).headers
    assert headers["Content-Disposition"].startswith('attachment; filename="Groe evil X y.epub"; ')
    assert unquote(headers["Content-Disposition"].partition("filename*=UTF-8''")[2]) == name
    assert "X" not in headers


def test_the_same_key_asks_once(desk: Desk) -> None:
    reader = desk.reader(2 * PRICE)
    key = str(uuid4())
    first = reader.ask("epub", key=key)
    assert first.status_code == 200, first.text
    assert reader.ask("epub", key=key).json() == first.json()
    assert hint(reader.ask("html", key=key), 409) == "idempotency_mismatch"
    assert (reader.balance, reader.used) == (PRICE, 1)


# Who may not -----------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [None, "basic", "pro", "enterprise", "flow"])
def test_other_plans_have_no_downloads(desk: Desk, plan: str | None) -> None:
    reader = desk.reader(PRICE, plan)
    body = refusal(reader.ask(), 403)
    assert body["hint"] == "plan_required"
    assert "Premium" in body["details"]
    assert (reader.balance, reader.reserved, reader.used) == (PRICE, 0, 0)


def test_one_credit_too_few(desk: Desk) -> None:
    reader = desk.reader(PRICE - 1)
    body = refusal(reader.ask(), 402)
    assert body["hint"] == "insufficient_credits"
    assert body["details"] == "This costs 250 credits; you have 249."
    assert (reader.balance, reader.reserved, reader.used) == (PRICE - 1, 0, 0)


def test_the_limit_says_when_it_starts_again(desk: Desk) -> None:
    reader = desk.reader((MONTHLY_LIMIT + 1) * PRICE)
    for number in range(MONTHLY_LIMIT):
        said = reader.ask("markdown").json()
        assert said["downloads_left"] == MONTHLY_LIMIT - 1 - number
    body = refusal(reader.ask(), 429)
    assert body["hint"] == "limit_reached"
    given = re.search(r"starts again at (\S+Z)\.", body["details"])
    assert given is not None
    assert datetime.fromisoformat(given[1]) == datetime.fromisoformat(said["resets_at"])
    assert (reader.balance, reader.used) == (PRICE, MONTHLY_LIMIT)


def test_requests_at_once_stay_within_the_limit(desk: Desk) -> None:
    reader = desk.reader(10 * PRICE)
    statuses = [each.status_code for each in answers(in_parallel([reader.ask] * 10))]
    assert sorted(statuses) == [200] * MONTHLY_LIMIT + [429] * (10 - MONTHLY_LIMIT)
    assert (reader.used, reader.reserved) == (MONTHLY_LIMIT, MONTHLY_LIMIT * PRICE)


def test_what_cannot_be_asked_for(desk: Desk) -> None:
    reader = desk.reader()
    for format_name in ("pdf", "EPUB", "", None):
        assert hint(reader.ask(format_name), 400) == "unknown_format"
    assert hint(reader.ask("epub", uuid4()), 404) == "story_not_found"
    body = desk.anonymous().call("request_export", {"story_id": str(uuid4()), "format": "epub"})
    assert body.status_code == 401
    assert (reader.balance, reader.used) == (PRICE, 0)


# The address -----------------------------------------------------------------------------------


def test_an_address_is_good_once(desk: Desk) -> None:
    reader = desk.reader()
    export = reader.made("html")
    path = reader.linked(export)
    assert re.fullmatch(r"/downloads/[0-9a-f]{64}", path)
    assert desk.get(path).status_code == 200
    for _ in range(2):
        body = refusal(desk.get(path), 410)
        assert body["hint"] == "download_used"
    assert reader.export(export)["downloads"] == 1


def test_two_at_one_address_and_one_wins(desk: Desk) -> None:
    reader = desk.reader()
    export = reader.made()
    path = reader.linked(export)
    outcomes = answers(in_parallel([lambda: desk.get(path)] * 8))
    assert sorted(each.status_code for each in outcomes) == [200] + [410] * 7
    assert reader.export(export)["downloads"] == 1


def test_only_the_newest_address_is_good_and_there_are_three(desk: Desk) -> None:
    reader = desk.reader()
    export = reader.made()
    paths = [reader.linked(export) for _ in range(LINKS)]
    assert hint(reader.link(export), 429) == "too_many_links"
    assert [desk.get(path).status_code for path in paths] == [410, 410, 200]


def test_no_other_method_uses_it_up(desk: Desk) -> None:
    reader = desk.reader()
    path = reader.linked(reader.made())
    asked = desk.edge.head(path)
    assert (asked.status_code, asked.headers["Allow"]) == (405, "GET")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert desk.edge.request(method, path).status_code in (200, 405)
    assert desk.get(path).status_code == 200


def test_no_log_holds_the_address(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "api")
    reader = desk.reader()
    path = reader.linked(reader.made())
    assert [desk.get(path).status_code for _ in range(2)] == [200, 410]
    assert desk.get(path[:-1]).status_code == 404
    # The server of the tests has a log of its own; ours are these.
    ours = [record.__dict__ for record in caplog.records if record.name.startswith("api")]
    assert [each["status"] for each in ours if each.get("route") == "/downloads/<token>"] == [
        200,
        410,
        404,
    ]
    assert path[-20:-1] not in str(ours)


def test_what_has_expired_is_gone(desk: Desk) -> None:
    reader = desk.reader()
    export = reader.made()
    path = reader.linked(export)
    hours = desk.row(export)["expires_at"] - desk.row(export)["ready_at"]
    assert hours.total_seconds() == 24 * 3600
    desk.let_all_expire()
    assert reader.export(export)["status"] == "expired"
    for _ in range(2):  # before its file is thrown away, and after
        assert hint(desk.get(path), 410) == "export_expired"
        assert hint(reader.link(export), 410) == "export_expired"
        desk.owner.execute("select app.expire_exports()")
    files = desk.owner.execute("select from app.export_files where export_id = %s", (export,))
    assert files.fetchone() is None
    assert reader.export(export)["status"] == "expired"


def test_a_file_that_is_thrown_away_while_it_is_asked_for_has_expired(desk: Desk) -> None:
    reader = desk.reader()
    export = reader.made()
    path = reader.linked(export)
    answered: list[httpx.Response] = []
    asker = threading.Thread(target=lambda: answered.append(desk.get(path)))
    with desk.market.connect_as_owner() as holder, holder.transaction():
        holder.execute("update app.exports set expires_at = now() where id = %s", (export,))
        holder.execute("select app.expire_exports()")
        asker.start()
        assert wait_until(lambda: is_waited_for(desk, "take_download"), seconds=WAIT_SECONDS)
    asker.join(WAIT_SECONDS)
    assert hint(answered[0], 410) == "export_expired"


def test_nobody_elses(desk: Desk) -> None:
    reader, stranger = desk.reader(), desk.reader()
    export = reader.made()
    assert hint(stranger.link(export), 404) == "export_not_found"
    assert stranger.rest.get("/exports").json() == []
    assert desk.anonymous().get("/exports").status_code == 401
    (seen,) = desk.service().get(f"/exports?id=eq.{export}").json()
    assert seen["user_id"] == str(reader.id)
    assert refusal_of_role(stranger.rest.call("trace_watermark", {"content": "x"})) == "42501"


def refusal_of_role(answer: httpx.Response) -> str:
    assert answer.status_code == 403, answer.text
    return str(answer.json()["code"])


@pytest.mark.parametrize(
    "token", ["0" * 64, "x", "0" * 63, "A" * 64, "%00", "0" * 64 + "%0A", "..%2f", "%F0%9F%92%A9"]
)
def test_an_address_that_was_never_given_out(desk: Desk, token: str) -> None:
    answer = desk.get(f"/downloads/{token}")
    assert answer.status_code == 404
    assert answer.json()["hint"] in ("download_not_found", "not_found")


# All of it -------------------------------------------------------------------------------------


def test_the_running_worker_makes_it(stack: Stack) -> None:
    with open_shop(stack) as shop, httpx.Client(base_url=stack.edge_url) as edge:
        reader = shop.somebody(PRICE)
        shop.market.owner.execute("select app.ensure_profile(%s)", (reader.id,))
        subscribe(shop.market.owner, reader.id, "premium")
        asked = reader.call("request_export", {"story_id": shop.story, "format": "epub"})
        assert asked.status_code == 200, asked.text
        export = asked.json()["export_id"]

        def is_ready() -> bool:
            (row,) = reader.get(f"/exports?id=eq.{export}").json()
            return bool(row["status"] == "ready")

        assert wait_until(is_ready, seconds=WAIT_SECONDS)
        path = reader.call("make_export_link", {"export_id": export}).json()["path"]
        assert edge.get(path).status_code == 200
        assert hint(edge.get(path), 410) == "download_used"
        assert shop.market.violations() == []
