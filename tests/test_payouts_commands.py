"""`infinite-pages payouts`, run as an operator runs it."""

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner

from api.cli import main
from api.cli.payouts import payouts
from tests.conftest import NewDatabase
from tests.creators import Connection, Earner, close_from_the_first_day, new_earner
from tests.processes import COMMAND, UP_SECONDS, clean_environment, run_command

NOBODY = "00000000-0000-0000-0000-000000000000"
TODAY = datetime.now(UTC).date()
LAST_MONTH = (TODAY.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
THIS_MONTH = TODAY.strftime("%Y-%m")
# Everything that a rehearsal must leave alone.
TRACES = """
    select
        (select count(*) from ledger.transfers), (select count(*) from app.payouts),
        (select count(*) from app.payout_skips), (select count(*) from app.stripe_requests),
        (select count(*) from app.monthly_payout_batches), (select count(*) from app.audit_log),
        (select count(*) from app.notices)
"""


class Office:
    """The operator's desk: a database, and the commands against it."""

    def __init__(self, url: str, owner: Connection) -> None:
        self.url = url
        self.owner = owner

    def __call__(self, *arguments: str) -> CompletedProcess[str]:
        """Run `infinite-pages payouts ARGUMENTS`, without a process of its own: there are many."""
        clean = dict.fromkeys(os.environ.keys() - clean_environment().keys())
        done = CliRunner().invoke(
            main, ["payouts", *arguments], env={**clean, "DATABASE_URL": self.url}
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    def said(self, *arguments: str) -> str:
        """What it printed, having succeeded."""
        done = self(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def refused(self, *arguments: str, code: int = 1) -> str:
        """The one line with which it refused."""
        done = self(*arguments)
        assert (done.returncode, done.stdout) == (code, ""), done.stdout
        lines = done.stderr.strip().splitlines()
        assert code == 2 or len(lines) == 1, done.stderr
        return lines[-1]

    def value(self, statement: str, *arguments: object) -> Any:
        row = self.owner.execute(statement.encode(), arguments or None).fetchone()
        assert row is not None
        return row[0]

    def payout(self, earner: Earner) -> str:
        """The id of the newest payout."""
        newest = "select id from app.payouts where creator_id = %s order by id desc limit 1"
        return str(self.value(newest, earner.id))

    def status(self, earner: Earner) -> str:
        newest = "select status from app.payouts where creator_id = %s order by id desc limit 1"
        return str(self.value(newest, earner.id))

    def balance(self, earner: Earner) -> int:
        return int(self.value("select ledger.balance(%s, 'earnings')", earner.id))

    def refuse_transfer(self, earner: Earner) -> None:
        """Stripe will not transfer the newest payout, for good."""
        self.owner.execute(
            "select app.record_stripe_failure(id, 'account_closed', 'No such account.', true)"
            " from app.stripe_requests where kind = 'transfer' and subject_id = %s",
            (self.payout(earner),),
        )


@pytest.fixture
def office(migrated_database: NewDatabase) -> Iterator[Office]:
    url = migrated_database()
    with psycopg.connect(url, autocommit=True) as owner:
        close_from_the_first_day(owner)
        yield Office(url, owner)
        assert owner.execute("select * from ledger.verify()").fetchall() == []


def words(text: str) -> list[list[str]]:
    """The rows of a table, by its columns."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip()]


# What they teach ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(payouts.commands))
def test_every_command_teaches_by_example(name: str) -> None:
    shown = run_command("payouts", name, "--help")
    assert shown.returncode == 0
    assert "Example" in shown.stdout
    assert f"infinite-pages payouts {name}" in shown.stdout


def test_the_group_lists_its_commands() -> None:
    shown = run_command("payouts", "--help").stdout
    assert all(name in shown for name in payouts.commands)
    assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("list",),
        ("retry", NOBODY),
        ("hold", NOBODY, "--reason", "x"),
        ("release", NOBODY),
        ("cancel", NOBODY, "--reason", "x"),
        ("statement", "creator"),
    ],
)
def test_without_a_database_the_next_step_is_named(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    refused = run_command("payouts", *arguments, environment={"STATE_DIR": str(tmp_path)})
    assert (refused.returncode, refused.stdout) == (1, "")
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "infinite-pages up" in refused.stderr


def test_where_there_is_nothing(office: Office) -> None:
    assert office.said("list") == "nobody was paid yet\n"
    assert office.said("list", "--state", "held") == "no payout is like that\n"
    assert office.said("list", "--month", "2026-01") == "no payout is like that\n"
    assert office.said("run") == f"{LAST_MONTH}: closed\nnobody had anything to be paid\n"
    said = office.said("run")
    assert re.fullmatch(
        r"no month is due: \d{4}-\d\d is closed from \d{4}-\d\d-\d\d on \(UTC\)\n", said
    )


@pytest.mark.parametrize(
    ("today", "payout_day", "month", "day"),
    [
        ("2026-11-07", 8, "2026-10", "2026-11-08"),
        ("2026-11-08", 8, "2026-11", "2026-12-08"),
        ("2026-12-31", 8, "2026-12", "2027-01-08"),
        ("2027-01-01", 28, "2026-12", "2027-01-28"),
    ],
)
def test_the_next_month_is_named(
    office: Office, today: str, payout_day: int, month: str, day: str
) -> None:
    from api.cli import months

    clocked = months.NEXT_MONTH.replace("now()", f"'{today} 12:00Z'::timestamptz")
    office.owner.execute("update app.economy set payout_day = %s", (payout_day,))
    assert office.owner.execute(clocked.encode()).fetchone() == (month, day, "UTC")


# Closing a month ------------------------------------------------------------------------------


def test_closing_the_month_that_is_due(office: Office) -> None:
    paid = [new_earner(office.owner, cents) for cents in (1234.5678, 1000)]
    new_earner(office.owner, 999.99)
    new_earner(office.owner, 5000, is_ready=False)
    new_earner(office.owner, -250)
    said = office.said("run")
    assert words(said)[0] == [f"{LAST_MONTH}: closed"]
    assert words(said)[1] == ["outcome", "creators", "amount"]
    assert sorted(words(said)[3:]) == [
        ["skipped: below the minimum", "1", "$9.999900"],
        ["skipped: below zero", "1", "-$2.50"],
        ["skipped: not set up at Stripe", "1", "$50.00"],
        ["to be sent", "2", "$22.34"],
    ]
    assert [office.balance(each) for each in paid] == [5678, 0]
    again = office.said("run", "--month", LAST_MONTH)
    assert words(again)[0] == [f"{LAST_MONTH}: was closed before"]
    assert words(again)[1:] == words(said)[1:]
    assert "no month is due" in office.said("run")
    assert office.value("select count(*) from app.payouts") == 2


def test_a_rehearsal_changes_nothing(office: Office) -> None:
    rich, poor = new_earner(office.owner, 5000), new_earner(office.owner, 10)
    before = office.owner.execute(TRACES).fetchone()
    said = office.said("run", "--dry-run")
    assert words(said)[2:4] == [
        [rich.handle, "$50.00", "to be sent"],
        [poor.handle, "$0.10", "skipped: below the minimum"],
    ]
    assert f"{LAST_MONTH}: a rehearsal, nothing was changed" in said
    assert office.owner.execute(TRACES).fetchone() == before
    assert office.balance(rich) == 50_000_000
    assert words(office.said("run"))[-2:] == words(said)[-2:]


def test_a_rehearsal_does_not_list_a_whole_city(
    office: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from api.cli import months

    for cents in (1000, 3000, 2000):
        new_earner(office.owner, cents)
    office.said("run")
    monkeypatch.setattr(months, "LONGEST_LIST", 2)
    months.print_creators(office.owner, date.fromisoformat(f"{LAST_MONTH}-01"))
    said = capsys.readouterr().out
    assert said.index("$30.00") < said.index("$20.00")
    assert "$10.00" not in said
    assert said.endswith("and 1 more\n")


def test_a_month_that_is_running(office: Office) -> None:
    new_earner(office.owner, 5000)
    assert "This month is not over." in office.refused("run", "--month", THIS_MONTH)
    assert "This month is not over." in office.refused("run", "--month", "2099-01", "--early")
    assert f"{THIS_MONTH}: a rehearsal" in office.said(
        "run", "--month", THIS_MONTH, "--early", "--dry-run"
    )
    assert f"{LAST_MONTH}: closed" in office.said("run")
    new_earner(office.owner, 7000)
    assert f"{THIS_MONTH}: closed" in office.said("run", "--early")
    assert f"{THIS_MONTH}: was closed before" in office.said("run", "--early")
    assert office.value("select sum(total_cents) from app.monthly_payout_batches") == 12000


def test_months_that_are_none(office: Office) -> None:
    for given in ("2026-13", "October", "2026-10-01", ""):
        assert "Invalid value for '--month'" in office.refused("run", "--month", given, code=2)
    assert "too long ago" in office.refused("run", "--month", "2020-01")


def test_going_on_where_somebody_stopped(office: Office) -> None:
    for _ in range(5):
        new_earner(office.owner, 2000)
    office.owner.execute("select app.continue_monthly_payouts(%s, 2)", (f"{LAST_MONTH}-01",))
    assert words(office.said("run"))[-1] == ["to be sent", "5", "$100.00"]
    assert office.value("select count(distinct creator_id) from app.payouts") == 5


def test_somebody_sees_a_bar(office: Office) -> None:
    """On a terminal; what is piped stays clean."""
    new_earner(office.owner, 2000)
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "payouts", "run"],
        env=clean_environment() | {"DATABASE_URL": office.url, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=its_end,
        text=True,
    ) as running:
        said, _ = running.communicate(timeout=UP_SECONDS)
    os.close(its_end)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert running.returncode == 0
    assert "creators" in shown
    assert "2/2" in shown
    assert said.startswith(f"{LAST_MONTH}: closed\n")
    assert "\x1b" not in said


# Looking --------------------------------------------------------------------------------------


def test_listing(office: Office) -> None:
    first, second = new_earner(office.owner, 2000), new_earner(office.owner, 3000)
    office.said("run")
    office.refuse_transfer(second)
    rows = words(office.said("list"))
    assert rows[0] == ["payout", "creator", "amount", "state", "of", "became / why", "age"]
    by_handle = {row[1]: row for row in rows[2:]}
    assert by_handle[first.handle][:5] == [
        office.payout(first), first.handle, "$20.00", "pending", LAST_MONTH,
    ]  # fmt: skip
    assert by_handle[second.handle][3] == "failed"
    assert by_handle[second.handle][5].startswith("account_closed: ")

    def listed(*arguments: str) -> list[str]:
        return [row[1] for row in words(office.said("list", *arguments))[2:]]

    assert listed("--state", "failed") == [second.handle]
    assert listed("--creator", first.handle) == [first.handle]
    assert len(listed("--month", LAST_MONTH)) == 2
    assert len(listed("--limit", "1")) == 1
    assert office.said("list", "--month", THIS_MONTH) == "no payout is like that\n"
    assert office.said("list", "--creator", first.handle, "--state", "paid") == (
        "no payout is like that\n"
    )
    assert "nobody is called 'nobody'" in office.refused("list", "--creator", "nobody")
    assert "Invalid value" in office.refused("list", "--state", "lost", code=2)


def test_statements(office: Office) -> None:
    earner = new_earner(office.owner, 2000)
    office.said("run")
    said = office.said("statement", earner.handle, "--month", THIS_MONTH)
    assert said.startswith(f"statement of {earner.handle} for {THIS_MONTH}\n")
    rows = words(said)
    assert rows[3] == ["opening balance", "$0.00"]
    assert rows[4][0] == "adjustments"
    assert (rows[5][0], rows[5][-1]) == ("payouts", "-$20.00")
    assert rows[-1] == ["closing balance", "$0.00"]

    last = office.said("statement", earner.handle)
    assert last.startswith(f"statement of {earner.handle} for {LAST_MONTH}\n")
    assert words(last)[3:] == [["opening balance", "$0.00"], ["closing balance", "$0.00"]]

    form = ("statement", earner.handle, "--month", THIS_MONTH, "--format")
    told = json.loads(office.said(*form, "json"))
    assert (told["payouts_microdollars"], told["closing_microdollars"]) == (-20_000_000, 0)
    lines = office.said(*form, "csv").splitlines()
    assert lines[0].startswith("month,section,")
    assert len(lines) == 1 + 2 + 2
    page = office.said(*form, "html")
    assert page.startswith("<!doctype html>")
    assert "Closing balance" in page

    assert "2099-01 has not begun" in office.refused(
        "statement", earner.handle, "--month", "2099-01"
    )
    assert "nobody is called" in office.refused("statement", "nobody")


# Looking after ----------------------------------------------------------------------------------


def test_holding_and_releasing_a_payout(office: Office) -> None:
    earner = new_earner(office.owner, 2000)
    office.said("run")
    payout = office.payout(earner)
    assert office.said("hold", payout, "--reason", "much at once") == f"{payout}: held\n"
    assert office.status(earner) == "held"
    assert "much at once" in office.said("list", "--state", "held")
    assert office.said("release", payout.upper()) == f"{payout.upper()}: released\n"
    assert office.status(earner) == "pending"
    assert "Only a payout that is held" in office.refused("release", payout)
    assert "There is no such payout." in office.refused("hold", NOBODY, "--reason", "x")
    assert "--reason" in office.refused("hold", payout, code=2)
    assert "reason" in office.refused("hold", payout, "--reason", " ")


def test_reviewing_a_creator(office: Office) -> None:
    earner = new_earner(office.owner, 2000)
    said = office.said("hold", earner.handle, "--reason", "who is it really?")
    assert said == f"{earner.handle}: under review\n"
    assert words(office.said("run", "--dry-run"))[-1] == ["skipped: under review", "1", "$20.00"]
    assert office.said("release", earner.handle) == f"{earner.handle}: not under review any more\n"
    assert words(office.said("run"))[-1] == ["to be sent", "1", "$20.00"]
    assert "nobody is called" in office.refused("hold", "nobody", "--reason", "x")
    assert "nobody is called" in office.refused("release", "nobody")


def test_canceling(office: Office) -> None:
    earner = new_earner(office.owner, 2000)
    office.said("run")
    payout = office.payout(earner)
    assert office.said("cancel", payout, "--reason", "asked to wait") == f"{payout}: canceled\n"
    assert (office.status(earner), office.balance(earner)) == ("canceled", 20_000_000)
    assert "It is canceled." in office.refused("cancel", payout, "--reason", "again")
    assert "Invalid value" in office.refused("cancel", earner.handle, "--reason", "x", code=2)


def test_trying_again(office: Office) -> None:
    failed, waiting = new_earner(office.owner, 2000), new_earner(office.owner, 3000)
    office.said("run")
    office.refuse_transfer(failed)
    assert (office.status(failed), office.balance(failed)) == ("failed", 20_000_000)
    first, late = office.payout(failed), office.payout(waiting)
    office.owner.execute(
        "update app.stripe_requests set next_attempt_at = now() + interval '1 hour'"
    )
    done = office("retry", late, NOBODY, first)
    assert done.returncode == 1
    assert done.stderr == f"{NOBODY}: There is no such payout.\n"
    assert done.stdout.splitlines() == [
        f"{late}: due now",
        f"{first}: tried again as {office.payout(failed)}",
    ]
    due = "select count(*) from app.stripe_requests where next_attempt_at <= now()"
    assert office.value(f"{due} and state = 'pending'") == 2
    assert (office.status(failed), office.balance(failed)) == ("pending", 0)
    again = office.said("retry", first)
    assert again == f"{first}: tried again as {office.payout(failed)}\n"
    assert office.value("select count(*) from app.payouts") == 3
    assert "not a valid UUID" in office.refused("retry", "x", code=2)
    assert "PAYOUT" in office.refused("retry", code=2)


def test_what_is_not_there_any_more_is_not_tried_again(office: Office) -> None:
    earner = new_earner(office.owner, 2000)
    office.said("run")
    office.refuse_transfer(earner)
    office.owner.execute(
        "select app.adjust_earnings(%s, -15000000, 'taken back', %s)", (earner.id, str(uuid4()))
    )
    done = office("retry", office.payout(earner))
    assert done.returncode == 1
    assert "Less is available now" in done.stderr
    assert office.status(earner) == "failed"
