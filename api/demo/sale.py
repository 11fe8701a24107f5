"""The first part of the story: what a reader pays, what the authors get, what a refund undoes."""

from collections.abc import Sequence
from typing import Any

from api.demo import figures
from api.demo.books import FIRST_BOOK, SECOND_BOOK
from api.demo.cast import Cast, balance_of
from api.demo.checklist import Checklist, credits, money
from api.demo.figures import COAUTHOR, CREATOR, READER, STRANGER


def tell_sale(cast: Cast, checklist: Checklist) -> None:
    """A chapter and a bundle are bought, read, shared out and partly taken back."""
    _Sale(cast, checklist).tell()


class _Sale:
    """The steps, in order."""

    def __init__(self, cast: Cast, checklist: Checklist) -> None:
        self._reader = cast.reader
        self._creator = cast.creator
        self._coauthor = cast.coauthor
        self._stranger = cast.stranger
        self._admin = cast.admin
        self._step = checklist.step
        self._figure = checklist.figure
        self._first_book = self._reader.row("stories", title=f"eq.{FIRST_BOOK.title}")["id"]
        self._second_book = self._reader.row("stories", title=f"eq.{SECOND_BOOK.title}")["id"]

    def tell(self) -> None:
        self._reader_looks_around()
        self._reader_sees_the_price()
        purchase_id = self._reader_buys_a_chapter()
        self._reader_buys_the_rest()
        self._creator_looks_at_earnings()
        self._two_authors_share()
        self._stranger_is_curious()
        self._operator_gives_a_refund(purchase_id)

    def _reader_looks_around(self) -> None:
        self._step(f"{READER.display_name}, a reader, looks around.")
        packages = self._reader.rows("credit_packages", order="sort_order")
        found = self._reader.call("search_stories", query="lighthouses")
        titles = [story["title"] for story in found]
        sizes = [each["credits_amount"] + each["bonus_credits"] for each in packages]
        self._figure("credits in the packages on sale", sizes, figures.PACKAGES, _list)
        self._figure("in her wallet", balance_of(self._reader), READER.credits, credits)
        self._figure("a search for 'lighthouses' finds", titles, [FIRST_BOOK.title], _list)

    def _reader_sees_the_price(self) -> None:
        self._step(f"Two chapters are free. She wants number {figures.CHAPTER_FOR_SALE}.")
        quote = self._reader.call("quote_story", **_chapter_order(self._first_book))
        refusal = self._reader.refusal("read_chapter", **_chapter(self._first_book))
        self._figure("it costs", quote["cost"], figures.CHAPTER_PRICE, credits)
        self._figure("reading it unpaid is refused with", refusal, figures.UNPAID)

    def _reader_buys_a_chapter(self) -> str:
        self._step("She buys it; the line drops, and her browser sends the order again.")
        order = _chapter_order(self._first_book) | {
            "max_credits": figures.CHAPTER_PRICE,
            "idempotency_key": "the line dropped",
        }
        first = self._reader.call("purchase_story", **order)
        second = self._reader.call("purchase_story", **order)
        page = self._reader.call("read_chapter", **_chapter(self._first_book))
        title = FIRST_BOOK.chapters[figures.CHAPTER_FOR_SALE - 1].title
        left = figures.LEFT_AFTER_CHAPTER
        self._figure("paid", first["credits_spent"], figures.CHAPTER_PRICE, credits)
        self._figure("the second answer repeats the first", second == first, True, _yes_or_no)
        self._figure("left in her wallet", balance_of(self._reader), left, credits)
        self._figure("she reads", page["title"], title)
        return str(first["purchase_id"])

    def _reader_buys_the_rest(self) -> None:
        self._step("It is good. She buys the other chapters as a bundle, 15 % off.")
        order = {"story_id": self._first_book, "purchase_type": "bundle"}
        full_price = self._reader.call("quote_story", **order)["full_price"]
        bought = self._reader.call("purchase_story", **order)
        chapters = bought["chapters_unlocked"]
        self._figure("chapters unlocked", chapters, figures.BUNDLE_CHAPTERS, _list)
        self._figure("one by one they cost", full_price, figures.BUNDLE_FULL_PRICE, credits)
        self._figure("paid", bought["credits_spent"], figures.BUNDLE_PRICE, credits)
        self._figure("left in her wallet", bought["balance"], figures.LEFT_AFTER_BUNDLE, credits)

    def _creator_looks_at_earnings(self) -> None:
        self._step(f"{CREATOR.display_name}, the author, gets 70 % of $0.05 a credit.")
        chapter = self._creator.row("creator_earnings", reference_type="eq.story_chapter")
        bundle = self._creator.row("creator_earnings", reference_type="eq.story_bundle")
        summary = self._creator.call("earnings_summary")
        held, days = summary["pending_microdollars"], summary["hold_days"]
        self._figure("for the chapter", chapter["microdollars"], figures.EARNED_BY_CHAPTER, money)
        self._figure("for the bundle", bundle["microdollars"], figures.EARNED_BY_BUNDLE, money)
        together = f"together, held for {days} days"
        self._figure(together, held, figures.EARNED_BY_FIRST_BOOK, money)

    def _two_authors_share(self) -> None:
        self._step(f"She buys a chapter of {SECOND_BOOK.title!r}, two authors, 60 : 40.")
        bought = self._reader.call("purchase_story", **_chapter_order(self._second_book))
        of_this_book = {"story_id": f"eq.{self._second_book}"}
        left = figures.LEFT_AFTER_SECOND_BOOK
        self._figure("left in her wallet", bought["balance"], left, credits)
        for author, client in ((CREATOR, self._creator), (COAUTHOR, self._coauthor)):
            earned = client.row("creator_earnings", **of_this_book)["microdollars"]
            self._figure(f"to {author.display_name}", earned, figures.SHARES[author], money)

    def _stranger_is_curious(self) -> None:
        self._step(f"{STRANGER.display_name}, a stranger, asks for her statement.")
        of_reader = {"user_id": f"eq.{READER.id}"}
        seen = self._stranger.rows("credit_transactions", **of_reader)
        own = self._reader.rows("credit_transactions", **of_reader)
        self._figure("lines that the stranger sees", len(seen), 0)
        self._figure("lines that the reader sees", len(own), figures.LINES_OF_READER)

    def _operator_gives_a_refund(self, purchase_id: str) -> None:
        self._step("She asks for her credits of the first chapter back, and the operator agrees.")
        refund = self._admin.call(
            "refund_story_purchase",
            user_id=str(READER.id),
            purchase_id=purchase_id,
            reason="bought by mistake",
        )
        lost = -refund["earned_microdollars"]
        refusal = self._reader.refusal("read_chapter", **_chapter(self._first_book))
        earned = self._creator.call("earnings_summary")["balance_microdollars"]
        left = refund["balance_after"]
        self._figure("back in her wallet", left, figures.LEFT_AFTER_REFUND, credits)
        self._figure("taken back from the author", lost, figures.EARNED_BY_CHAPTER, money)
        self._figure("left to the author", earned, figures.EARNED_AFTER_REFUND, money)
        self._figure("reading it is refused again with", refusal, figures.UNPAID)


def _chapter(story_id: str) -> dict[str, Any]:
    return {"story_id": story_id, "chapter_number": figures.CHAPTER_FOR_SALE}


def _chapter_order(story_id: str) -> dict[str, Any]:
    chapters = [figures.CHAPTER_FOR_SALE]
    return {"story_id": story_id, "purchase_type": "chapter", "chapters": chapters}


def _list(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values) or "nothing"


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
