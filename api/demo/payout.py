"""The fourth part of the story: the month ends, and a creator is paid to the cent."""

from typing import Any

import psycopg

from api.demo import figures
from api.demo.books import FIRST_BOOK, SECOND_BOOK, THIRD_BOOK
from api.demo.cast import NEWS_SECONDS, Cast, wait_for
from api.demo.checklist import Checklist, cents, credits, money
from api.demo.client import Browser, RestClient
from api.demo.figures import COAUTHOR, CREATOR, LATECOMER, NEWCOMER, READER, STRANGER, Person
from api.stack.wait import wait_until

SECTIONS = ("opening", "sales", "refunds", "payouts", "closing")


def tell_payout(database_url: str, cast: Cast, checklist: Checklist) -> None:
    """Creators set up payouts, the month is closed, one of three is paid."""
    _MonthsEnd(database_url, cast, checklist).tell()


class _MonthsEnd:
    """The steps, in order."""

    def __init__(self, database_url: str, cast: Cast, checklist: Checklist) -> None:
        self._database_url = database_url
        self._cast = cast
        self._creator = cast.creator
        self._latecomer = cast.latecomer
        self._admin = cast.admin
        self._step = checklist.step
        self._figure = checklist.figure
        self._authors = {
            CREATOR: cast.creator,
            COAUTHOR: cast.coauthor,
            LATECOMER: cast.latecomer,
        }
        self._books = {
            book.title: cast.reader.row("stories", title=f"eq.{book.title}")["id"]
            for book in (FIRST_BOOK, SECOND_BOOK, THIRD_BOOK)
        }
        self._month = ""

    def tell(self) -> None:
        self._authors_set_prices()
        purchase_id = self._readers_buy()
        account_id = self._creator_sets_up_payouts()
        self._latecomer_lacks_a_paper()
        self._the_month_closes()
        self._the_worker_sends(account_id)
        self._authors_are_told()
        self._the_month_closes_again()
        self._the_statement_adds_up()
        self._operator_gives_a_refund(purchase_id)

    def _authors_set_prices(self) -> None:
        self._step(f"{CREATOR.display_name} and {LATECOMER.display_name} price their whole books.")
        for author, title, price in (
            (self._creator, FIRST_BOOK.title, figures.FIRST_BOOK_UNLOCK),
            (self._latecomer, THIRD_BOOK.title, figures.THIRD_BOOK_UNLOCK),
        ):
            author.call(
                "set_story_pricing", story_id=self._books[title], premium_unlock_price=price
            )
            quote = self._cast.newcomer.call("quote_story", **self._whole(title))
            self._figure(f"all of {title!r} costs", quote["cost"], price, credits)

    def _readers_buy(self) -> str:
        self._step(f"{NEWCOMER.display_name} and {READER.display_name} top up, and readers buy.")
        newcomer, reader, stranger = self._cast.newcomer, self._cast.reader, self._cast.stranger
        for person, client, pack, price in (
            (NEWCOMER, newcomer, "Creator Pack", figures.CREATOR_PACK_PRICE),
            (READER, reader, "Reader Pack", figures.READER_PACK_PRICE),
        ):
            payment = self._cast.pay(person, client, pack)
            charged = client.row("payments", id=f"eq.{payment}")["amount_cents"]
            self._figure(f"a {pack} for {person.display_name}", charged, price, cents)
        first = self._buy(newcomer, FIRST_BOOK.title)
        self._buy(newcomer, SECOND_BOOK.title)
        left = self._buy(newcomer, THIRD_BOOK.title)["balance"]
        self._say_left(NEWCOMER, left, figures.LEFT_TO_NEWCOMER)
        left = self._buy(reader, THIRD_BOOK.title)["balance"]
        self._say_left(READER, left, figures.LEFT_TO_READER)
        left = self._buy(stranger, SECOND_BOOK.title)["balance"]
        self._say_left(STRANGER, left, figures.LEFT_TO_STRANGER)
        for author, client in self._authors.items():
            earned = client.call("earnings_summary")["balance_microdollars"]
            what = f"owed to {author.display_name}"
            self._figure(what, earned, figures.EARNED_IN_MONTH[author], money)
        return str(first["purchase_id"])

    def _creator_sets_up_payouts(self) -> str:
        self._step(f"{CREATOR.display_name} sets up payouts: a link, and a form at Stripe.")
        before = self._creator.call("payout_account")["state"]
        account_id, back_at = self._fill_in_form(CREATOR, button="everything")
        account = self._account_after_news(self._creator, "ready")
        self._figure("her payout account before", before, "none")
        self._figure("the page she comes back to says", back_at, figures.IS_SET_UP)
        self._figure("her payout account", account["state"], "ready")
        return account_id

    def _latecomer_lacks_a_paper(self) -> None:
        self._step(f"{LATECOMER.display_name} does too, and cannot find his passport.")
        _, back_at = self._fill_in_form(LATECOMER, button="without_document")
        account = self._account_after_news(self._latecomer, "incomplete")
        refusal = self._latecomer.refusal("request_payout")
        self._figure("the page he comes back to says", back_at, figures.IS_MISSING)
        self._figure("missing", ", ".join(account["missing"]), figures.MISSING_PAPER)
        self._figure("asking for money is refused with", refusal, figures.UNREADY)

    def _the_month_closes(self) -> None:
        self._step("For this play the operator drops the hold, and closes the month early.")
        waiting = self._summary()
        with psycopg.connect(self._database_url) as connection:
            connection.execute("update app.economy set earnings_hold_days = 0")
        free = self._summary()
        self._month = free["by_month"][0]["month"]
        closed = self._close_the_month()
        before, after = waiting["available_microdollars"], free["available_microdollars"]
        earned, days = figures.EARNED_IN_MONTH[CREATOR], waiting["hold_days"]
        self._figure(f"available to her, held for {days} days", before, 0, money)
        self._figure("available to her without the hold", after, earned, money)
        self._figure("creators who are paid", closed["payouts"], figures.CREATORS_PAID)
        self._figure("creators who are skipped", closed["skipped"], figures.CREATORS_SKIPPED)
        self._figure("paid in all", closed["total_cents"], figures.PAID, cents)
        for author in (COAUTHOR, LATECOMER):
            skip = self._authors[author].row("payout_skips", month=f"eq.{self._month}")
            what = f"{author.display_name} is skipped for"
            self._figure(what, skip["reason"], figures.SKIPPED[author])

    def _the_worker_sends(self, account_id: str) -> None:
        self._step("The worker asks Stripe for the transfer.")
        payout = self._creator.row("individual_payouts", month=f"eq.{self._month}")
        wait_for(self._creator, "payouts", payout["id"], "status", "paid")
        arrived = self._cast.at_stripe(account_id).get("v1/balance")["available"][0]["amount"]
        summary = self._summary()
        paid, on_the_way = summary["paid_microdollars"], summary["on_the_way_microdollars"]
        left = summary["balance_microdollars"]
        self._figure("transfers that Stripe has", self._transfers(), [figures.PAID], _cents_of_each)
        self._figure("in her account at Stripe", arrived, figures.PAID, cents)
        self._figure("paid", paid, figures.PAID_MICRODOLLARS, money)
        self._figure("still on the way", on_the_way, 0, money)
        self._figure("stays with her earnings", left, figures.LEFT_OVER, money)

    def _authors_are_told(self) -> None:
        self._step("Both with enough find a notice.")
        for author, kind, told in (
            (CREATOR, "payout_sent", figures.TOLD_PAID),
            (LATECOMER, "payout_action_needed", figures.TOLD_MISSING),
        ):
            notice = self._authors[author].row("notices", kind=f"eq.{kind}")
            self._figure(f"{author.display_name} reads", notice["subject"], told)

    def _the_month_closes_again(self) -> None:
        self._step(f"The month is closed once more, and {CREATOR.display_name} asks for the rest.")
        closed = self._close_the_month()
        refusal = self._creator.refusal("request_payout")
        self._figure("paid, no more than before", closed["total_cents"], figures.PAID, cents)
        self._figure("transfers that Stripe has", self._transfers(), [figures.PAID], _cents_of_each)
        self._figure("half a cent is refused with", refusal, figures.TOO_LITTLE)

    def _the_statement_adds_up(self) -> None:
        self._step("Her statement of the month.")
        self._show_statement(figures.STATEMENT)

    def _operator_gives_a_refund(self, purchase_id: str) -> None:
        self._step(f"After that {NEWCOMER.display_name} gets a refund of {FIRST_BOOK.title!r}.")
        refund = self._admin.call(
            "refund_story_purchase",
            user_id=str(NEWCOMER.id),
            purchase_id=purchase_id,
            reason="she meant another book",
        )
        lost, summary = -refund["earned_microdollars"], self._summary()
        owes = summary["negative_microdollars"]
        self._figure("taken back from the author", lost, figures.TAKEN_BACK, money)
        self._figure("set against her next sales", owes, figures.EARNED_AT_THE_END, money)

        self._step("Her statement says why.")
        lines = self._show_statement(figures.STATEMENT_AT_THE_END)
        reasons = [line["description"] for line in lines if line["section"] == "refunds"]
        self._figure("the line", reasons[0], figures.REFUNDED_LINE)

    def _show_statement(self, expected: list[int]) -> list[dict[str, Any]]:
        """Its sections, which add up, and its lines."""
        statement = self._creator.call("payout_statement", month=self._month)
        for section, amount in zip(SECTIONS, expected, strict=True):
            self._figure(section, statement[f"{section}_microdollars"], amount, money)
        lines: list[dict[str, Any]] = statement["lines"]
        return lines

    def _whole(self, title: str) -> dict[str, str]:
        return {"story_id": self._books[title], "purchase_type": "premium_unlock"}

    def _buy(self, client: RestClient, title: str) -> dict[str, Any]:
        bought: dict[str, Any] = client.call("purchase_story", **self._whole(title))
        return bought

    def _say_left(self, person: Person, left: int, expected: int) -> None:
        self._figure(f"left to {person.display_name}", left, expected, credits)

    def _fill_in_form(self, person: Person, button: str) -> tuple[str, str]:
        """Ask the edge for the link and use it; the account, and what the last page says."""
        link = self._cast.at_the_edge(person).post("creators/connect")
        first_name, last_name = person.display_name.split()
        browser = Browser()
        browser.open(link["url"])
        back_at = browser.submit(
            link["url"],
            first_name=first_name,
            last_name=last_name,
            country="US",
            account_number="000123456789",
            routing_number="110000000",
            button=button,
        )
        return link["stripe_account_id"], back_at

    def _account_after_news(self, author: RestClient, state: str) -> dict[str, Any]:
        """What an author reads of their payout account when all events of it have come."""

        def is_there() -> bool:
            return bool(author.call("payout_account")["state"] == state)

        self._cast.hear_from_stripe()
        wait_until(is_there, seconds=NEWS_SECONDS)
        account: dict[str, Any] = author.call("payout_account")
        return account

    def _close_the_month(self) -> dict[str, Any]:
        closed: dict[str, Any] = self._admin.call(
            "run_monthly_payouts", month=self._month, early=True
        )
        return closed

    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = self._creator.call("earnings_summary")
        return summary

    def _transfers(self) -> list[int]:
        return [each["amount"] for each in self._cast.sandbox.get("v1/transfers")["data"]]


def _cents_of_each(amounts: list[int]) -> str:
    return ", ".join(cents(amount) for amount in amounts) or "none"
