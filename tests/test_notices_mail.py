"""Notices by mail: over a real SMTP server, once, and in spite of whatever it does."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from api.config import SmtpSettings
from api.notices import smtp
from api.notices.tasks import send_due_notices
from api.stack.wait import wait_until
from tests.postbox import HANG_UP, HOLD, SENDER, WAIT_SECONDS, Postbox
from tests.processes import clean_environment

NewDatabase = Callable[[], str]

STRANGER = uuid4()


class Office:
    """A database with people who are told things, and somebody who mails them."""

    def __init__(self, url: str, owner: psycopg.Connection[Any]) -> None:
        self.url = url
        self.owner = owner

    def tell(self, email: str | None = "ann@example.com", **words: str) -> str:
        """Tell somebody new something; the notice's id."""
        user, kind = (
            uuid4(),
            f"kind_{uuid4().hex}".translate(str.maketrans("0123456789", "ghijklmnop")),
        )
        self.owner.execute("select app.ensure_profile(%s)", (user,))
        if email is not None:
            self.owner.execute(
                "insert into app.notice_settings (user_id, email) values (%s, %s)", (user, email)
            )
        self.owner.execute(
            "insert into app.notice_templates (kind, subject, body) values (%s, %s, %s)",
            (kind, words.get("subject", "Your payout"), words.get("body", "You get $5.00.")),
        )
        row = self.owner.execute(
            "select app.notify(%s, %s, %s, jsonb_build_object('name', %s::text))",
            (user, kind, str(user), words.get("name", "Ann")),
        ).fetchone()
        assert row is not None
        return str(row[0])

    def notice(self, notice_id: str) -> dict[str, Any]:
        cursor = self.owner.cursor(row_factory=dict_row)
        row = cursor.execute("select * from app.notices where id = %s", (notice_id,)).fetchone()
        assert row is not None
        return row

    def state(self, notice_id: str) -> tuple[str, int]:
        notice = self.notice(notice_id)
        return notice["email_state"], notice["attempts"]

    def make_due(self) -> None:
        self.owner.execute(
            "update app.notices set next_attempt_at = now() where email_state = 'pending'"
        )

    def mail(self, settings: SmtpSettings, stop: threading.Event | None = None) -> int:
        """What a worker does when the time has come."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return send_due_notices(connection, settings, stop or threading.Event())


@pytest.fixture
def office(migrated_database: NewDatabase) -> Iterator[Office]:
    url = migrated_database()
    with psycopg.connect(url, autocommit=True) as owner:
        yield Office(url, owner)
        assert owner.execute("select * from ledger.verify()").fetchall() == []


@pytest.fixture
def postbox() -> Iterator[Postbox]:
    with Postbox().open() as postbox:
        yield postbox


def test_a_notice_goes_out_once(office: Office, postbox: Postbox) -> None:
    notice = office.tell(subject="Hello {name}", body="Dear {name},\n\nyou get $5.00.")
    assert office.mail(postbox.settings()) == 1
    assert office.mail(postbox.settings()) == 0
    (letter,) = postbox.accepted
    assert (letter.to, letter.sender) == (["ann@example.com"], "noreply@pages.example")
    message = letter.message
    assert message["From"] == SENDER
    assert message["To"] == "ann@example.com"
    assert message["Subject"] == "Hello Ann"
    assert message["Message-ID"] == f"<{notice}@pages.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == office.notice(notice)["created_at"].replace(microsecond=0)
    assert letter.body == "Dear Ann,\n\nyou get $5.00."
    assert office.state(notice) == ("sent", 1)
    assert office.notice(notice)["emailed_at"] is not None


def test_many_go_out_over_one_connection(office: Office, postbox: Postbox) -> None:
    for number in range(5):
        office.tell(f"reader{number}@example.com")
    assert office.mail(postbox.settings()) == 5
    assert sorted(each.to[0][6] for each in postbox.accepted) == list("01234")
    assert len({each.connection for each in postbox.accepted}) == 1


def test_a_connection_that_has_ended_meanwhile_is_made_again(
    office: Office, postbox: Postbox
) -> None:
    notices = [office.tell() for _ in range(3)]
    postbox.hangs_up_after_each = True
    assert office.mail(postbox.settings()) == 3
    assert [office.state(each) for each in notices] == [("sent", 1)] * 3
    assert len(postbox.accepted) == len({each.connection for each in postbox.accepted}) == 3


def test_letters_of_every_alphabet_arrive(office: Office, postbox: Postbox) -> None:
    subject = "Auszahlung über 5 € für Ångström 🎉 " + "sehr " * 20
    body = "Zeile 1\n\n.\n.. Zwei Punkte\nFrom here\n" + "lang " * 400 + "\nSchluß 🎉"
    office.tell(subject=subject[:150], body=body)
    assert office.mail(postbox.settings()) == 1
    (letter,) = postbox.accepted
    assert letter.message["Subject"] == subject[:150].strip()
    assert letter.body == body
    assert letter.raw.isascii()
    assert max(map(len, letter.raw.splitlines())) < 998


@pytest.mark.parametrize(
    "name",
    [
        "Ann\r\nBcc: eve@example.com",
        "Ann\nBcc: eve@example.com\n\nAnother body",
        "Ann\rBcc: eve@example.com",
        "Ann\u2028Bcc: eve@example.com",
        "Ann\x85Bcc: eve@example.com\x0b\x0c\x1c",
        "=?utf-8?q?Ann=0D=0ABcc:_eve=40example.com?=",
        "Ann\r\n.\r\nMAIL FROM:<eve@example.com>\r\nRCPT TO:<eve@example.com>\r\nDATA\r\n",
        "{name}{amount}",
        "x" * 5000,
    ],
)
def test_nothing_in_the_words_becomes_a_header(office: Office, postbox: Postbox, name: str) -> None:
    notice = office.tell(subject="Hello {name}", body="Dear {name}, goodbye")
    assert office.tell(subject="Hello {name}", body="Dear {name}, goodbye", name=name)
    assert office.mail(postbox.settings()) == 2
    usual, odd = postbox.accepted
    assert (usual.to, odd.to) == (["ann@example.com"], ["ann@example.com"])
    assert odd.message.keys() == usual.message.keys()
    assert odd.message["Subject"].strip().startswith("Hello ")
    assert odd.body.startswith("Dear ")
    assert odd.body.endswith(", goodbye")
    assert office.state(notice) == ("sent", 1)


@pytest.mark.parametrize(
    "email",
    [
        "ann@example.com\r\nBcc: eve@example.com",
        "ann@example.com\nRCPT TO:<eve@example.com>",
        "ann@example.com, eve@example.com",
        "Eve <eve@example.com>",
        "<eve@example.com>",
        "ann@example.com> SIZE=1",
        "ann",
        "ann@",
        "@example.com",
        "a..nn@example.com",
        "jörg@example.com",
        "ann@" + "a" * 64 + ".example",
        "=?utf-8?q?ann=0D=0ABcc=3A_eve=40example.com?=@example.com",
    ],
)
def test_what_is_no_address_is_given_up(office: Office, postbox: Postbox, email: str) -> None:
    """No token can bring such a one here; if a row has it, nothing is said to the server."""
    notice, other = office.tell(email), office.tell("bob@example.com")
    assert office.mail(postbox.settings()) == 1
    assert office.state(notice) == ("failed", 1)
    assert "No mail can be written" in office.notice(notice)["email_error"]
    assert office.state(other) == ("sent", 1)
    assert postbox.asked_for == ["bob@example.com"]


def test_who_has_no_address_is_told_all_the_same(office: Office, postbox: Postbox) -> None:
    notice = office.tell(None)
    assert office.mail(postbox.settings()) == 0
    assert office.state(notice) == ("none", 0)
    assert office.notice(notice)["subject"] == "Your payout"


def test_what_did_not_happen_is_not_told(office: Office, postbox: Postbox) -> None:
    settings = postbox.settings()
    with psycopg.connect(office.url) as call:
        office.owner.execute("select app.ensure_profile(%s)", (STRANGER,))
        office.owner.execute(
            "insert into app.notice_settings (user_id, email) values (%s, 'x@example.com')",
            (STRANGER,),
        )
        call.execute("select app.notify(%s, 'refund_paid', 'k', '{}')", (STRANGER,))
        assert office.mail(settings) == 0
        call.rollback()
    assert office.mail(settings) == 0
    assert office.owner.execute("select count(*) from app.notices").fetchone() == (0,)


@pytest.mark.parametrize("first_commits", [True, False])
def test_two_calls_at_once_tell_it_once(office: Office, first_commits: bool) -> None:
    telling = "select app.notify(%s, 'refund_paid', 'k', '{}')"
    office.owner.execute("select app.ensure_profile(%s)", (STRANGER,))
    with psycopg.connect(office.url) as first, ThreadPoolExecutor(1) as thread:
        assert first.execute(telling, (STRANGER,)).fetchone() != (None,)
        second = thread.submit(lambda: office.owner.execute(telling, (STRANGER,)).fetchone())
        waiting = (
            "select from pg_stat_activity "
            "where wait_event_type = 'Lock' and datname = current_database()"
        )
        with psycopg.connect(office.url, autocommit=True) as observer:
            assert wait_until(
                lambda: observer.execute(waiting).fetchone() is not None, seconds=WAIT_SECONDS
            )
        first.commit() if first_commits else first.rollback()
        assert (second.result(timeout=WAIT_SECONDS) == (None,)) is first_commits
    assert office.owner.execute("select count(*) from app.notices").fetchone() == (1,)


def test_a_server_that_is_away_and_comes_back(office: Office) -> None:
    postbox = Postbox()
    first, second = office.tell("ann@example.com"), office.tell("bob@example.com")
    assert office.mail(postbox.settings()) == 0
    assert office.state(first) == ("pending", 1)
    assert office.notice(first)["email_error"] == (
        "The mail server cannot be reached: ConnectionRefusedError."
    )
    # The server is away, not the mail wrong: the others are not even tried.
    assert office.state(second) == ("pending", 0)
    with postbox.open():
        office.make_due()
        assert office.mail(postbox.settings()) == 2
    assert office.state(first) == ("sent", 2)
    assert office.notice(first)["email_error"] is None
    assert sorted(each.to for each in postbox.accepted) == [
        ["ann@example.com"],
        ["bob@example.com"],
    ]


def test_a_server_that_dies_before_it_answers(office: Office, postbox: Postbox) -> None:
    notice = office.tell()
    postbox.to_data.append(HANG_UP)
    assert office.mail(postbox.settings()) == 0
    assert office.state(notice) == ("pending", 1)
    assert office.notice(notice)["email_error"] == "The mail server has hung up."
    office.make_due()
    assert office.mail(postbox.settings()) == 1
    first, second = postbox.letters
    # Whoever got both sees that they are one.
    assert first.raw == second.raw
    assert first.message["Message-ID"] == f"<{notice}@pages.example>"


def test_a_server_that_is_too_slow(
    office: Office, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "SEND_SECONDS", 0.5)
    notice = office.tell()
    postbox.to_data.append(HOLD)
    assert office.mail(postbox.settings()) == 0
    assert office.state(notice) == ("pending", 1)
    assert office.notice(notice)["email_error"] == "The mail server is too slow."


def test_a_mailbox_that_does_not_exist(office: Office, postbox: Postbox) -> None:
    notice, other = office.tell("gone@example.com"), office.tell("bob@example.com")
    postbox.refused["gone@example.com"] = "550 5.1.1 No such person"
    assert office.mail(postbox.settings()) == 1
    assert office.state(notice) == ("failed", 1)
    assert office.notice(notice)["email_error"] == (
        "The mailbox was refused (550). 5.1.1 No such person"
    )
    assert office.state(other) == ("sent", 1)
    office.make_due()
    assert office.mail(postbox.settings()) == 0
    assert postbox.asked_for.count("gone@example.com") == 1


def test_a_mail_that_the_server_will_not_have(office: Office, postbox: Postbox) -> None:
    notice, other = office.tell(), office.tell()
    postbox.to_data.append("554 5.6.0 Not this")
    assert office.mail(postbox.settings()) == 1
    assert {office.state(notice)[0], office.state(other)[0]} == {"failed", "sent"}


@pytest.mark.parametrize(
    "reply",
    ["450 4.2.1 Busy", "421 4.3.0 Restarting", "550 5.7.1 Relaying denied", "530 Log in first"],
)
def test_a_server_that_wants_it_later(office: Office, postbox: Postbox, reply: str) -> None:
    """Or that refuses us and not the mail: that can be mended."""
    notice, other = office.tell("ann@example.com"), office.tell("bob@example.com")
    postbox.refused["ann@example.com"] = reply
    assert office.mail(postbox.settings()) == 1
    assert office.state(notice) == ("pending", 1)
    assert reply[:3] in office.notice(notice)["email_error"]
    assert office.state(other) == ("sent", 1)
    postbox.refused.clear()
    office.make_due()
    assert office.mail(postbox.settings()) == 1
    assert office.state(notice) == ("sent", 2)


def test_a_server_that_refuses_the_sender(office: Office, postbox: Postbox) -> None:
    first, second = office.tell("ann@example.com"), office.tell("bob@example.com")
    postbox.to_sender = "553 5.7.1 Not yours"
    assert office.mail(postbox.settings()) == 0
    assert (office.state(first), office.state(second)) == (("pending", 1), ("pending", 0))
    assert "NOTICES_FROM (553)" in office.notice(first)["email_error"]
    postbox.to_sender = None
    office.make_due()
    assert office.mail(postbox.settings()) == 2


def test_a_domain_of_any_alphabet(office: Office, postbox: Postbox) -> None:
    office.tell("ann@bücher.example")
    assert office.mail(postbox.settings()) == 1
    assert postbox.accepted[0].to == ["ann@xn--bcher-kva.example"]
    assert postbox.accepted[0].message["To"] == "ann@xn--bcher-kva.example"


def test_two_workers_at_once_send_it_once(office: Office, postbox: Postbox) -> None:
    notice = office.tell()
    postbox.to_data.append(HOLD)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(office.mail, postbox.settings())
        postbox.wait_for_letters(1)
        assert office.mail(postbox.settings()) == 0
        postbox.released.set()
        assert first.result(timeout=WAIT_SECONDS) == 1
    assert office.state(notice) == ("sent", 1)
    assert len(postbox.letters) == 1


def test_a_crowd_of_workers_sends_each_once(office: Office, postbox: Postbox) -> None:
    notices = {office.tell() for _ in range(40)}
    with ThreadPoolExecutor(4) as threads:
        sent = list(threads.map(lambda _: office.mail(postbox.settings()), range(4)))
    assert sum(sent) == 40
    sent_ids = [each.message["Message-ID"].partition("@")[0][1:] for each in postbox.accepted]
    assert sorted(sent_ids) == sorted(notices)


def test_whoever_is_late_does_not_undo_what_another_did(office: Office, postbox: Postbox) -> None:
    notice = office.tell()
    postbox.to_data.extend([HOLD, "250 OK"])
    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(office.mail, postbox.settings())
        postbox.wait_for_letters(1)
        office.make_due()  # its minute is over
        assert office.mail(postbox.settings()) == 1
        emailed_at = office.notice(notice)["emailed_at"]
        postbox.released.set()
        assert late.result(timeout=WAIT_SECONDS) == 1
    assert office.state(notice) == ("sent", 2)
    assert office.notice(notice)["emailed_at"] == emailed_at
    assert len({each.raw for each in postbox.letters}) == 1


def worker(office: Office, postbox: Postbox, *options: str) -> "subprocess.Popen[str]":
    """A worker as it runs in earnest, without Stripe."""
    return subprocess.Popen(
        [sys.executable, "-m", "api.cli", "worker", *options],
        env=clean_environment()
        | {
            "DATABASE_URL": office.url,
            "SMTP_URL": f"smtp://127.0.0.1:{postbox.port}",
            "NOTICES_FROM": SENDER,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_worker_that_is_killed_while_it_sends(office: Office, postbox: Postbox) -> None:
    notice = office.tell()
    postbox.to_data.append(HOLD)
    with worker(office, postbox) as killed:
        postbox.wait_for_letters(1)
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate(timeout=WAIT_SECONDS)
    assert office.state(notice) == ("pending", 1)
    postbox.released.set()
    office.make_due()  # its minute is over
    with worker(office, postbox) as another:
        assert wait_until(lambda: office.state(notice)[0] == "sent", seconds=WAIT_SECONDS)
        another.terminate()
        said, _ = another.communicate(timeout=WAIT_SECONDS)
    assert another.returncode == 0, said
    assert office.state(notice) == ("sent", 2)
    assert len({each.raw for each in postbox.letters}) == 1


def test_a_worker_told_to_do_everything_once_mails_too(office: Office, postbox: Postbox) -> None:
    notice = office.tell()
    with worker(office, postbox, "--once") as once:
        said, _ = once.communicate(timeout=WAIT_SECONDS)
    assert once.returncode == 0, said
    assert "notices sent: 1" in said
    assert office.state(notice) == ("sent", 1)


def test_a_worker_that_should_stop_begins_nothing(office: Office, postbox: Postbox) -> None:
    notice, stop = office.tell(), threading.Event()
    stop.set()
    assert office.mail(postbox.settings(), stop) == 0
    assert office.state(notice) == ("pending", 0)


def test_the_log_names_nobody(
    office: Office, postbox: Postbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for address in ("gone@example.com", "later@example.com", "no address"):
        office.tell(address, subject="Private subject", body="Private body")
    postbox.refused["gone@example.com"] = "550 gone@example.com is not here"
    postbox.refused["later@example.com"] = "450 later@example.com is busy"
    assert office.mail(postbox.settings()) == 0
    ours = [each for each in caplog.records if each.name.startswith("api")]
    assert len(ours) == 3
    for record in ours:
        said = " ".join(str(value) for value in vars(record).values())
        assert "example.com" not in said.replace("pages.example", "")
        assert "no address" not in said
        assert "Private" not in said
