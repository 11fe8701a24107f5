"""The third part of the story: an author pays for covers, and only for those that are drawn."""

import io
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import psycopg
from PIL import Image

from api.demo import figures
from api.demo.books import FIRST_BOOK
from api.demo.cast import Cast, balance_of
from api.demo.checklist import Checklist, credits, money
from api.demo.client import AnswerError, Browser
from api.demo.figures import CREATOR, LATECOMER, READER, STRANGER
from api.stack.wait import wait_until

DRAWING_SECONDS = 120.0


def tell_cover(database_url: str, cast: Cast, checklist: Checklist) -> None:
    """Six covers are asked for, one is taken back, one more fails, one is shown to readers."""
    _Covers(database_url, cast, checklist).tell()


class _Covers:
    """The steps, in order."""

    def __init__(self, database_url: str, cast: Cast, checklist: Checklist) -> None:
        self._database_url = database_url
        self._cast = cast
        self._creator = cast.creator
        self._webui = cast.webui
        self._step = checklist.step
        self._figure = checklist.figure
        self._book = cast.reader.row("stories", title=f"eq.{FIRST_BOOK.title}")["id"]

    def tell(self) -> None:
        self._creator_looks_at_styles()
        jobs = self._creator_asks_for_covers()
        self._creator_takes_one_back(jobs.pop())
        self._worker_has_them_drawn(jobs)
        self._one_cannot_be_drawn()
        cover_url = self._creator_chooses()
        self._the_edge_hands_it_out(cover_url)

    def _creator_looks_at_styles(self) -> None:
        self._step(f"{CREATOR.display_name}, the author, wants covers for {FIRST_BOOK.title!r}.")
        styles = self._creator.rows("cover_styles")
        prices = {each["price_credits"] for each in styles}
        order = {"story_id": self._book, "style": figures.SHOWN_STYLE}
        foreign = self._cast.stranger.refusal("request_cover", **order)
        book_of_latecomer = self._cast.latecomer.row("stories", user_id=f"eq.{LATECOMER.id}")["id"]
        unpaid = self._cast.latecomer.refusal(
            "request_cover", story_id=book_of_latecomer, style=figures.SHOWN_STYLE
        )
        self._figure("styles to choose from", len(styles), len(figures.COVER_MODELS))
        self._figure("each costs", prices, {figures.COVER_PRICE}, _credits_of_each)
        self._figure("in her wallet", balance_of(self._creator), CREATOR.credits, credits)
        self._figure(f"{STRANGER.display_name} is refused with", foreign, figures.FOREIGN_STORY)
        self._figure("an empty wallet is refused with", unpaid, figures.UNPAID_COVER)

    def _creator_asks_for_covers(self) -> list[str]:
        """One in each style, and a sixth; the server that draws is stopped at the first."""
        self._step("She asks for one in each style, and for a sixth, while the server hangs.")
        self._webui.post("_sandbox/faults", fault="hang")
        style, *other_styles = figures.COVER_MODELS
        first = self._ask(style, idempotency_key="the first cover")
        _wait(self._is_hanging, "the server was not asked to draw")
        again = self._ask(style, idempotency_key="the first cover")
        refusal = self._creator.refusal("request_cover", story_id=self._book, style=style)
        others = [self._ask(other) for other in other_styles]
        sixth = self._ask(figures.TAKEN_BACK_STYLE, prompt=figures.TAKEN_BACK_PROMPT, priority=5)
        self._figure("sent twice, the answer is the same", again == first, True, _yes_or_no)
        self._figure("asked for anew, it is refused with", refusal, figures.SAME_COVER)
        self._figure("place of the sixth", sixth["position"], figures.PLACE_OF_SIXTH)
        self._say_money(figures.SET_ASIDE_FOR_SIX, figures.LEFT_AFTER_SIX)
        return [each["job_id"] for each in (first, *others, sixth)]

    def _creator_takes_one_back(self, job_id: str) -> None:
        self._step("She thinks better of the sixth, and takes it back in time.")
        canceled = self._creator.call("cancel_cover", job_id=job_id)
        refusal = self._creator.refusal("cancel_cover", job_id=job_id)
        back = canceled["credits_returned"]
        self._figure("it is", canceled["state"], "canceled")
        self._figure("back in her wallet", back, figures.COVER_PRICE, credits)
        self._figure("a second time is refused with", refusal, figures.TOO_LATE)
        self._say_money(figures.SET_ASIDE_FOR_FIVE, figures.LEFT_AFTER_FIVE)

    def _worker_has_them_drawn(self, jobs: Sequence[str]) -> None:
        self._step("The server goes on, and has too little memory for the next one, once.")
        self._webui.post("_sandbox/faults", fault="out_of_memory")
        self._webui.post("_sandbox/faults/release")
        for job in jobs:
            self._wait_for_end(job)
        tried_again = sum(self._job(job)["retry_count"] for job in jobs)
        covers = self._creator.rows("story_covers", story_id=f"eq.{self._book}")
        models = {cover["cover_style"]: cover["sd_model_used"] for cover in covers}
        title = f'"{FIRST_BOOK.title}"'
        has_title = all(cover["generation_prompt"].count(title) == 1 for cover in covers)
        told = len(self._creator.rows("notices", kind="eq.cover_ready"))
        earned = self._creator.call("earnings_summary")["balance_microdollars"]
        self._figure("covers that were drawn", len(covers), len(jobs))
        for style, model in figures.COVER_MODELS.items():
            self._figure(f"the {style} one is by", models.get(style), model, str)
        self._figure("each was told the title", has_title, True, _yes_or_no)
        self._figure("of them were tried again", tried_again, figures.COVERS_TRIED_AGAIN)
        self._figure("notices that one is ready", told, len(jobs))
        self._say_money(0, figures.LEFT_AFTER_FIVE)
        self._figure("her earnings, as before", earned, figures.EARNED_WITH_UNLOCK, money)

    def _one_cannot_be_drawn(self) -> None:
        self._step("Another one fails for good: in this play a cover is tried only once.")
        with psycopg.connect(self._database_url) as connection:
            connection.execute("update app.economy set cover_attempts = 1")
        self._webui.post("_sandbox/faults", fault="out_of_memory")
        asked = self._ask(figures.UNDRAWN_STYLE, prompt=figures.UNDRAWN_PROMPT)
        self._wait_for_end(asked["job_id"])
        job = self._job(asked["job_id"])
        told = self._creator.row("notices", kind="eq.cover_failed")["body"]
        is_told = figures.TOLD_FAILED in told
        lines = self._creator.rows("credit_transactions", user_id=f"eq.{CREATOR.id}")
        in_all = sum(line["amount"] for line in lines)
        self._figure("in her wallet meanwhile", asked["balance"], figures.LEFT_WHILE_TRIED, credits)
        self._figure("it is", job["status"], "failed")
        self._figure("she reads", job["error_message"], figures.TROUBLE)
        self._figure("a notice says what is back", is_told, True, _yes_or_no)
        self._say_money(0, figures.LEFT_AFTER_FIVE)
        self._figure("lines on her statement", len(lines), figures.LINES_OF_AUTHOR)
        self._figure("which add up to", in_all, figures.LEFT_AFTER_FIVE, credits)

    def _creator_chooses(self) -> str:
        self._step(f"She shows the {figures.SHOWN_STYLE} one, and {READER.display_name} looks.")
        reader, of_book = self._cast.reader, {"story_id": f"eq.{self._book}"}
        before = [cover["cover_style"] for cover in reader.rows("story_covers", **of_book)]
        chosen = self._creator.row(
            "story_covers", cover_style=f"eq.{figures.SHOWN_STYLE}", **of_book
        )
        self._creator.call("set_primary_cover", cover_id=chosen["id"])
        seen = [cover["cover_style"] for cover in reader.rows("story_covers", **of_book)]
        told = [cover["generation_prompt"] for cover in reader.rows("story_covers", **of_book)]
        book = reader.row("stories", id=f"eq.{self._book}", select="title,cover_url")
        is_same = book["cover_url"] == chosen["cover_url"]
        self._figure("shown before: the first", before, [figures.FIRST_STYLE], _list)
        self._figure("covers that she sees", seen, [figures.SHOWN_STYLE], _list)
        self._figure("what the model was told, to her", told, [""], _list)
        self._figure("the book leads to this picture", is_same, True, _yes_or_no)
        return str(chosen["cover_url"])

    def _the_edge_hands_it_out(self, cover_url: str) -> None:
        self._step("Her browser gets the picture, and asks again a day later.")
        browser = Browser()
        picture = browser.download(cover_url)
        again = browser.download(cover_url, picture.etag)
        opened = _open(picture.content)
        name = cover_url.rpartition("/")[2]
        is_hash = name == f"{sha256(picture.content).hexdigest()}.webp"
        kind = f"{picture.status} {picture.media_type}, {opened.format}"
        self._figure("answered with", kind, "200 image/webp, WEBP")
        self._figure("it measures", opened.size, figures.COVER_SIZE, _size)
        self._figure("its name is its content's hash", is_hash, True, _yes_or_no)
        self._figure("asked again", (again.status, len(again.content)), (304, 0), _unchanged)

    def _ask(self, style: str, **more: Any) -> dict[str, Any]:
        asked: dict[str, Any] = self._creator.call(
            "request_cover", story_id=self._book, style=style, **more
        )
        return asked

    def _job(self, job_id: str) -> dict[str, Any]:
        return self._creator.row("cover_generation_queue", id=f"eq.{job_id}")

    def _wait_for_end(self, job_id: str) -> None:
        def has_ended() -> bool:
            return self._job(job_id)["status"] not in ("pending", "generating")

        _wait(has_ended, "a cover was neither drawn nor given up")

    def _is_hanging(self) -> bool:
        return bool(self._webui.get("_sandbox/faults")["holding"] == 1)

    def _say_money(self, set_aside: int, left: int) -> None:
        """What the ledger holds for covers that are not drawn yet, and what is left to spend."""
        with psycopg.connect(self._database_url) as connection:
            row = connection.execute(
                "select ledger.balance(%s, 'reserved')", (CREATOR.id,)
            ).fetchone()
        assert row is not None
        self._figure("set aside", row[0], set_aside, credits)
        self._figure("left in her wallet", balance_of(self._creator), left, credits)


def _wait(condition: Callable[[], bool], otherwise: str) -> None:
    if not wait_until(condition, seconds=DRAWING_SECONDS, interval=0.2):
        raise AnswerError(otherwise)


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content))
    except OSError:
        raise AnswerError("what the edge handed out is no picture") from None


def _list(values: Sequence[str]) -> str:
    return ", ".join(value or "nothing" for value in values) or "none"


def _credits_of_each(prices: set[int]) -> str:
    return ", ".join(credits(price) for price in sorted(prices))


def _size(size: tuple[int, int]) -> str:
    return "{} x {} pixels".format(*size)


def _unchanged(answer: tuple[int, int]) -> str:
    return "{}, {} bytes".format(*answer)


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
