"""Creators: they write what everybody buys, have covers drawn, and want to be paid."""

from itertools import count
from typing import Any

from tests.torture.board import Board, Story
from tests.torture.journal import COVER, PAYOUT, Outcome, Reply
from tests.torture.paying import top_up
from tests.torture.person import Person
from tests.torture.readers import CHAPTERS, FREE_CHAPTERS, PRICE

COVER_PRICE = 5
STYLES = ("realistic", "artistic", "fantasy", "minimalist", "vintage")
OPEN_COVERS = 2
READY_LOOKS = 10


class Creator:
    """One creator, who stays to the end."""

    def __init__(self, person: Person, board: Board) -> None:
        self.person = person
        self.board = board
        self.chance = person.chance
        self.credits = 0
        self.gallery = ""  # a story that only collects covers
        self.jobs: list[str] = []
        self._numbers = count(1)

    def step(self) -> bool:
        """One thing that creators do."""
        if self.credits < COVER_PRICE:
            top_up(self.person, self.board)
            self.count()
            return True
        acts = (self.ask_for_cover, self.cancel_cover, self.ask_for_payout, self.look_at_earnings)
        self.chance.choices(acts, (4, 1, 3, 2))[0]()
        return True

    def count(self) -> None:
        reply = self.person.get("see the wallet", "/rpc/credit_balance")
        if reply.outcome is Outcome.DONE:
            self.credits = reply.body["balance"]

    def ask_for_cover(self) -> None:
        """Few at a time, so that all are drawn when the run ends."""
        queue = self.person.get("see covers", "/rpc/cover_queue?select=job_id,state")
        if queue.outcome is not Outcome.DONE:
            return
        waiting = [each for each in queue.body if each["state"] in ("pending", "generating")]
        self.jobs = [each["job_id"] for each in waiting]
        if len(waiting) >= OPEN_COVERS:
            return
        style, wish = self.chance.choice(STYLES), f"picture number {next(self._numbers)}"
        body = {"story_id": self.gallery, "style": style, "prompt": wish}

        def call(key: str) -> Reply:
            return self.person.rpc(COVER.name, "request_cover", body, key)

        answer = self.person.do(COVER, call, "insufficient_credits", "too_many_covers")
        if answer is None:
            self.gallery = self._new_gallery() or self.gallery
            self.count()
        else:
            self.credits = answer["balance"]
            self.jobs.append(answer["job_id"])

    def _new_gallery(self) -> str | None:
        """A story holds so many covers and no more."""
        body = {"title": "A gallery"}
        reply = self.person.rpc("write", "create_story", body)
        return str(reply.body) if reply.outcome is Outcome.DONE else None

    def cancel_cover(self) -> None:
        if not self.jobs:
            return
        body = {"job_id": self.chance.choice(self.jobs)}
        reply = self.person.persist(lambda: self.person.rpc("cancel a cover", "cancel_cover", body))
        self.person.allow("cancel a cover", reply, "cover_job_over")

    def ask_for_payout(self) -> None:
        """All of it, or some of it; sometimes it is taken back at once."""
        amount = None if self.chance.random() < 0.5 else self.chance.randint(100, 500) / 100
        body: dict[str, Any] = {} if amount is None else {"amount_usd": amount}

        def call(key: str) -> Reply:
            return self.person.rpc(PAYOUT.name, "request_payout", body, key)

        allowed = ("below_minimum_payout", "not_enough_available")
        answer = self.person.do(PAYOUT, call, *allowed)
        if answer is None or self.chance.random() < 0.7:
            return
        payout = {"payout_id": answer["payout_id"]}
        reply = self.person.persist(
            lambda: self.person.rpc("cancel a payout", "cancel_payout", payout)
        )
        self.person.allow("cancel a payout", reply, "payout_not_pending")

    def look_at_earnings(self) -> None:
        self.person.get("see earnings", "/rpc/earnings_summary")
        self.person.get("see payouts", "/payouts?order=id.desc&limit=10")

    # Before it begins ---------------------------------------------------------------------------

    def settle_in(self, *, is_for_all: bool) -> None:
        """A story for sale, and an account that can be paid."""
        story = self._write()
        self.board.stories.append(Story(story, self.person.id, is_for_all))
        self.board.creators.append(self.person.id)
        self.gallery = str(self._must(self.person.rpc("write", "create_story", {"title": "Art"})))
        connected = self._must(self.person.edge("set up payouts", "/creators/connect", {}))
        account = connected["stripe_account_id"]
        self._must(self.person.stripe("set up payouts", f"/accounts/{account}/complete", {}))
        for _ in range(READY_LOOKS):
            path = "/rpc/payout_account"
            if self.person.look("set up payouts", path, lambda found: bool(found["is_ready"])):
                return
        raise TimeoutError("Stripe does not make the creator's account ready")

    def _write(self) -> str:
        story = str(self._must(self.person.rpc("write", "create_story", {"title": "Hot"})))
        for number in range(1, CHAPTERS + 1):
            chapter = {
                "story_id": story,
                "chapter_number": number,
                "title": f"Chapter {number}",
                "content": "It went on as it had begun.",
            }
            self._must(self.person.rpc("write", "save_chapter", chapter))
        prices = {
            "story_id": story,
            "price_per_chapter": PRICE,
            "free_chapters": FREE_CHAPTERS,
        }
        self._must(self.person.rpc("write", "set_story_pricing", prices))
        self._must(self.person.rpc("write", "publish_story", {"story_id": story}))
        return story

    def _must(self, reply: Reply) -> Any:
        if reply.outcome is not Outcome.DONE:
            raise RuntimeError(f"before anything was broken: {reply.status} {reply.body}")
        return reply.body
