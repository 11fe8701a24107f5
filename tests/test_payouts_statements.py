"""A creator's month as data, table and page: it always adds up, and it says why."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest

from api.stack.postgres import EmbeddedPostgres
from tests.payouts import CENT, DOLLAR, SOLD, TITLE, Creator, Office, open_office
from tests.shop import Caller, refusal
from tests.teller import Json

SECTIONS = ("sales", "refunds", "adjustments", "payouts")
CSV_HEADER = "month,section,reference_id,description,movements,microdollars,amount,currency"


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    with open_office(postgres_server, next(database_names), migrated_template) as office:
        yield office


@pytest.fixture
def office(house: Office) -> Iterator[Office]:
    yield house
    assert house.till.violations() == []


def get(
    caller: Caller, month: object = None, accept: str = "application/json", **more: object
) -> httpx.Response:
    given = ({} if month is None else {"month": month}) | more
    query = "&".join(f"{name}={each}" for name, each in given.items())
    return caller.get(f"/rpc/payout_statement?{query}", Accept=accept)


def statement(creator: Creator, month: object) -> Json:
    """A month, which must add up to the cent's last part, in all three forms."""
    answer = get(creator.rest, month)
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    check_sums(told)
    posted = creator.rest.call("payout_statement", {"month": str(month)})
    assert posted.json() == told
    check_table(get(creator.rest, month, "text/csv"), [told])
    check_page(get(creator.rest, month, "text/html"), told)
    return told


def check_sums(told: Json) -> None:
    sections = {name: told[f"{name}_microdollars"] for name in SECTIONS}
    assert told["opening_microdollars"] + sum(sections.values()) == told["closing_microdollars"]
    lines = dict.fromkeys(SECTIONS, 0)
    for line in told["lines"]:
        lines[line["section"]] += line["microdollars"]
    assert lines == sections


def check_table(answer: httpx.Response, statements: list[Json]) -> None:
    """A table says the same: every line of it, and both balances."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.text.startswith(CSV_HEADER + "\r\n")
    expected: list[tuple[str, str, str, str, int]] = []
    for told in statements:
        month = told["month"][:7]
        expected.append((month, "opening", "", "", told["opening_microdollars"]))
        expected += [
            (
                month,
                line["section"],
                line["reference_id"] or "",
                str(line["movements"]),
                line["microdollars"],
            )
            for line in told["lines"]
        ]
        expected.append((month, "closing", "", "", told["closing_microdollars"]))
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    rows = [row for row in rows if row["section"] != "section"]  # each month has a header
    found = [
        (
            row["month"],
            row["section"],
            row["reference_id"],
            row["movements"],
            int(row["microdollars"]),
        )
        for row in rows
    ]
    assert found == expected
    assert {row["currency"] for row in rows} == {"usd"}
    for row in rows:
        assert round(float(row["amount"]) * 1_000_000) == int(row["microdollars"])


def check_page(answer: httpx.Response, told: Json) -> None:
    """A page with the same figures, in their order."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<script" not in answer.text
    assert answer.text.startswith("<!doctype html>")
    assert date.fromisoformat(told["month"]).strftime("%B %Y") in answer.text
    shown = [
        round(float(figure.replace("$", "")) * 1_000_000)
        for figure in re.findall(r"<td>(-?\$[0-9.]+)</td>", answer.text)
    ]
    assert shown == [
        told["opening_microdollars"],
        *(line["microdollars"] for line in told["lines"]),
        told["closing_microdollars"],
    ]


def lines(told: Json) -> list[tuple[str, str, int, int]]:
    return [
        (line["section"], line["description"], line["movements"], line["microdollars"])
        for line in told["lines"]
    ]


# A month of everything ----------------------------------------------------------------------------


def test_a_month_in_which_everything_happened(office: Office) -> None:
    creator, month = office.creator(), office.month()
    first = creator.story("First")
    for _ in range(3):
        creator.sell()
    creator.take_back(creator.sell())
    second = creator.story("Second")
    creator.sell(5)
    creator.owe(1_000_001)
    creator.owe(-1)
    canceled, paid = creator.ask("10"), creator.ask("20")
    creator.cancel(canceled)
    office.send()
    office.check_paid_once(paid)
    office.reverse(paid, 500)
    failed = creator.ask("30")
    office.till.sandbox.webhooks("hold")
    creator.control("disable")  # which we have not heard yet
    office.send()
    assert office.payout(failed)["status"] == "failed"
    office.till.settle()

    told = statement(creator, month)

    assert (told["creator_id"], told["month"]) == (str(creator.id), str(month))
    assert told["opening_microdollars"] == 0
    assert told["sales_microdollars"] == 4 * SOLD + 175_000
    assert told["refunds_microdollars"] == -SOLD
    assert told["adjustments_microdollars"] == DOLLAR
    assert told["payouts_microdollars"] == -15 * DOLLAR
    assert told["closing_microdollars"] == creator.balance
    found = lines(told)
    assert found[:3] == [
        ("sales", "First", 4, 4 * SOLD),
        ("sales", "Second", 1, 175_000),
        ("refunds", "First: refunded", 1, -SOLD),
    ]
    assert ("adjustments", "Correction", 2, DOLLAR) in found
    payouts = sorted(amount for section, *_, amount in found if section == "payouts")
    assert payouts == [each * DOLLAR for each in (-30, -20, -10, 5, 10, 30)]
    references = {line["reference_id"] for line in told["lines"]}
    assert references >= {str(first), str(second), paid, canceled, failed}
    (mine,) = creator.rest.get("/payout_statements").json()
    assert mine == told
    # Folded or not, it is the same month.
    office.execute("select ledger.fold()")
    assert statement(creator, month) == told


@pytest.mark.parametrize("verdict", ["winning_evidence", "losing_evidence"])
def test_a_dispute_of_the_reader(office: Office, verdict: str) -> None:
    creator, month, sandbox = office.creator(), office.month(), office.till.sandbox
    payment = office.till.buyer().pay()
    creator.sell_to(payment.buyer.id, 100)
    earned = creator.balance
    sandbox.control(f"/charges/{payment.charge}/dispute", {})
    dispute = payment.wait_for_dispute("open")
    told = statement(creator, month)
    assert told["closing_microdollars"] == creator.balance == 0
    frozen = ("refunds", f"{TITLE}: payment refunded or disputed", 1, -earned)
    assert lines(told) == [("sales", TITLE, 1, earned), frozen]
    sandbox.api.disputes.update(
        dispute["stripe_dispute_id"], {"evidence": {"uncategorized_text": verdict}}
    )
    payment.wait_for_dispute("won" if verdict.startswith("winning") else "lost")
    told = statement(creator, month)
    assert told["closing_microdollars"] == creator.balance
    if verdict.startswith("winning"):
        released = ("refunds", f"{TITLE}: dispute or refund came to nothing", 1, earned)
        assert sorted(lines(told)) == sorted([("sales", TITLE, 1, earned), frozen, released])
    else:
        assert lines(told) == [("sales", TITLE, 1, earned), frozen]


# Month after month --------------------------------------------------------------------------------


def test_each_month_begins_where_the_one_before_ended(office: Office) -> None:
    creator = office.creator()
    months = [office.month(back) for back in range(3, -1, -1)]
    for number, month in enumerate(months[:3]):
        for day in range(number + 1):
            at = datetime(month.year, month.month, 10 + day, 12, tzinfo=UTC)
            creator.sell(1000 + number, at=at)
    creator.owe(-200 * DOLLAR)

    told = [statement(creator, month) for month in months]

    assert told[0]["opening_microdollars"] == 0
    for earlier, later in pairwise(told):
        assert later["opening_microdollars"] == earlier["closing_microdollars"]
    assert [each["sales_microdollars"] for each in told] == [
        35_000_000,
        2 * 35_035_000,
        3 * 35_070_000,
        0,
    ]
    assert told[-1]["closing_microdollars"] == creator.balance
    newest_first = creator.rest.get("/payout_statements").json()
    assert newest_first == told[::-1]
    assert creator.rest.get("/payout_statements?select=month&limit=2&offset=1").json() == [
        {"month": str(months[2])},
        {"month": str(months[1])},
    ]
    assert creator.rest.get(f"/payout_statements?month=eq.{months[0]}").json() == told[:1]
    check_table(creator.rest.get("/payout_statements", Accept="text/csv"), newest_first)
    pages = creator.rest.get("/payout_statements", Accept="text/html").text
    assert pages.count("<h1>Statement</h1>") == 4
    earlier_still = statement(creator, office.month(back=4))
    assert earlier_still["closing_microdollars"] == 0
    assert earlier_still["lines"] == []


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
def test_months_are_those_of_the_business(office: Office, zone: str) -> None:
    """A sale at the last instant of a month, and one at the first of the next."""
    creator = office.creator()
    office.execute("update app.economy set business_time_zone = %s", zone)
    try:
        month = office.month(back=1)
        begin = datetime(month.year, month.month, 1, tzinfo=ZoneInfo(zone))
        creator.sell(1000, at=begin - timedelta(microseconds=1))
        creator.sell(2000, at=begin)
        before, after = statement(creator, office.month(back=2)), statement(creator, month)
        office.execute("select ledger.fold()")
        assert statement(creator, month) == after
    finally:
        office.execute("update app.economy set business_time_zone = 'UTC'")
        office.execute("select ledger.fold()")
    assert before["closing_microdollars"] == after["opening_microdollars"] == SOLD
    assert after["sales_microdollars"] == 2 * SOLD
    both = [statement(creator, office.month(back))["sales_microdollars"] for back in (2, 1)]
    if zone == "America/New_York":
        assert both == [0, 3 * SOLD]  # both were in the next month by the clock of Greenwich
    elif zone == "Pacific/Auckland":
        assert both == [3 * SOLD, 0]
    else:
        assert both == [SOLD, 2 * SOLD]


def test_a_debt_is_explained(office: Office) -> None:
    """Paid last month, refunded this month: what is missing stands there, with its reason."""
    creator, month = office.creator(), office.month()
    purchase = creator.sell()
    payout = creator.ask()
    office.send()
    office.check_paid_once(payout)
    creator.take_back(purchase)
    told = statement(creator, month)
    assert told["closing_microdollars"] == -SOLD == creator.summary()["negative_microdollars"]
    assert ("refunds", f"{TITLE}: refunded", 1, -SOLD) in lines(told)
    page = get(creator.rest, month, "text/html").text
    assert f"{TITLE}: refunded" in page
    assert "-$35.00" in page


# Which month, and whose ---------------------------------------------------------------------------


def test_which_month(office: Office) -> None:
    creator = office.creator(1000)
    month = office.month()
    assert get(creator.rest).json()["month"] == str(office.month(back=1))
    for day in (1, 15, 28):
        assert get(creator.rest, month.replace(day=day)).json() == get(creator.rest, month).json()
    later = (month + timedelta(days=32)).replace(day=1)
    for wrong in (later, "9999-12-31", "1999-12-31", "infinity", "-infinity"):
        body = refusal(get(creator.rest, wrong), 400)
        assert body["hint"] == "invalid_month"
    for none in ("x", "", "NaN", "2026-13-01", "2026-02-30", "294277-01-01", "4714-01-01 BC"):
        for accept in ("application/json", "text/csv", "text/html"):
            assert get(creator.rest, none, accept).status_code == 400, none
    empty = statement(creator, "2000-01-31")
    assert (empty["month"], empty["lines"], empty["closing_microdollars"]) == ("2000-01-01", [], 0)


def test_whose(office: Office) -> None:
    creator, stranger, operator = office.creator(1000), office.somebody(), office.somebody()
    office.execute("insert into app.operators (user_id) values (%s)", operator.id)
    month, of_creator = office.month(), {"creator_id": str(creator.id)}
    mine = statement(creator, month)
    for caller in (creator.rest, operator.rest, office.service()):
        assert get(caller, month, **of_creator).json() == mine
        check_page(get(caller, month, "text/html", **of_creator), mine)
        check_table(get(caller, month, "text/csv", **of_creator), [mine])
    for accept in ("application/json", "text/csv", "text/html"):
        body = refusal(get(stranger.rest, month, accept, **of_creator), 403)
        assert body["hint"] == "operator_required"
        assert get(office.anonymous(), month, accept).status_code == 401
    same = refusal(get(stranger.rest, month, creator_id=uuid4()), 403)
    assert same == refusal(get(stranger.rest, month, **of_creator), 403)
    for caller in (operator.rest, office.service()):
        nobody = refusal(get(caller, month, creator_id=uuid4()), 404)
        assert nobody["hint"] == "creator_not_found"
    assert get(creator.rest, month, creator_id="x").status_code == 400
    path = f"/payout_statements?creator_id=eq.{creator.id}"
    assert stranger.rest.get(path).json() == []
    assert get(stranger.rest, month).json()["lines"] == []
    newcomer = office.caller(uuid4())  # without a profile
    assert get(newcomer, month).json()["closing_microdollars"] == 0
    assert get(newcomer, month, "text/html").status_code == 200


# What people write --------------------------------------------------------------------------------

TITLES = [
    '=HYPERLINK("https://evil.example","win")',
    "+1",
    "-1",
    "@SUM(A1)",
    'He said "no", twice',
    "one,\ntwo\r\nthree",
    "<script>alert(1)</script>",
    "</td></tr></table>",
    "Ärger mit \u202e Öl 100%",
    "%s %I $1 \\1",
]


@pytest.mark.parametrize("title", TITLES)
def test_titles_are_text(office: Office, title: str) -> None:
    creator, month = office.creator(), office.month()
    creator.story(title)
    creator.take_back(creator.sell())
    told = statement(creator, month)
    assert lines(told)[0] == ("sales", title, 1, SOLD)
    table = get(creator.rest, month, "text/csv").text
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    field = rows[1]["description"]
    assert field.removeprefix("'") == title
    assert field[0] not in "=+-@\t\r"
    page = get(creator.rest, month, "text/html").text
    assert "<script" not in page
    assert page.count("</table>") == 1


def test_a_name_on_the_page_is_text(office: Office) -> None:
    creator = office.creator(1000)
    name = {"display_name": '<b>Me</b> & "you"'}
    assert creator.rest.call("update_profile", name).status_code == 200
    page = get(creator.rest, office.month(), "text/html").text
    assert "&lt;b&gt;Me&lt;/b&gt; &amp; &quot;you&quot;" in page
    assert "<b>" not in page


def test_forms_that_there_are_not(office: Office) -> None:
    creator = office.creator(1000)
    for accept in ("application/pdf", "application/xml", "image/png"):
        assert get(creator.rest, office.month(), accept).status_code in (406, 415)
        answer = creator.rest.get("/payout_statements", Accept=accept)
        assert answer.status_code in (406, 415), answer.text
    for accept in ("*/*", "application/json", "text/html, */*;q=0.1"):
        assert get(creator.rest, office.month(), accept).status_code == 200
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    shown = get(creator.rest, office.month(), browser)
    assert shown.headers["Content-Type"].startswith("text/html")


def test_no_statement_yet(office: Office) -> None:
    """Of somebody who earned nothing there is an empty list, in each form."""
    creator = office.somebody()
    assert creator.rest.get("/payout_statements").json() == []
    for accept in ("text/csv", "text/html"):
        answer = creator.rest.get("/payout_statements", Accept=accept)
        assert (answer.status_code, answer.text) == (200, ""), answer.text


def test_the_remainder_stays_on_the_statement(office: Office) -> None:
    creator, month = office.creator(), office.month()
    for _ in range(3):
        creator.sell(333)  # 11.655 dollars
    creator.ask()
    told = statement(creator, month)
    assert told["payouts_microdollars"] == -3496 * CENT
    assert told["closing_microdollars"] == 5000
