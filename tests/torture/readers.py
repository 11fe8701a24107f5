"""Readers: they pay, buy, read, keep their place, subscribe, download, and some want forgetting."""

from collections.abc import Callable

from tests.torture.board import Board, Sale, Story
from tests.torture.journal import EXPORT, PURCHASE, SUBSCRIBE, Outcome, Reply
from tests.torture.paying import VISA, pay, top_up
from tests.torture.person import Person

PRICE = 20
FREE_CHAPTERS = 1
CHAPTERS = 30
FILE_PRICE = 250
TOKENS_KEPT = 3


class Reader:
    """One reader's visit, from their first call to their last."""

    def __init__(self, person: Person, board: Board) -> None:
        self.person = person
        self.board = board
        self.chance = person.chance
        self.credits = 0
        self.is_subscriber = self.chance.random() < 0.2
        self.subscription: str | None = None
        self.owned: list[tuple[Story, int]] = []
        self.calls = self.chance.randint(12, 36)
        if self.chance.random() < 0.25:
            board.troubled.add(person.id)
        board.readers.add(person.id)

    def step(self) -> bool:
        """One thing that readers do; False when they leave."""
        if self.calls == 0:
            self.leave()
            return False
        self.calls -= 1
        if self.is_subscriber and self.subscription is None:
            self.subscribe()
        elif self.credits < PRICE:
            top_up(self.person, self.board)
            self.count()
        else:
            self._anything()()
        return True

    def _anything(self) -> Callable[[], None]:
        choices: list[tuple[float, Callable[[], None]]] = [
            (10, self.buy),
            (3, self.keep_place),
            (1, self.count),
            (1, lambda: top_up(self.person, self.board)),
            (2 if self.subscription else 0, self.renew),
            (1 if self.subscription else 0, self.open_portal),
            (4 if self.subscription and self.credits >= FILE_PRICE else 0, self.download),
        ]
        weights = [weight for weight, _ in choices]
        return self.chance.choices([act for _, act in choices], weights)[0]

    # What they do -------------------------------------------------------------------------------

    def count(self) -> None:
        """Look into the wallet."""
        reply = self.person.get("see the wallet", "/rpc/credit_balance")
        if reply.outcome is Outcome.DONE:
            self.credits = reply.body["balance"]

    def buy(self) -> None:
        """A chapter of one of a few; what was bought can be read at once."""
        is_troubled = self.person.id in self.board.troubled
        story = self.chance.choice(
            [each for each in self.board.stories if each.is_for_all or not is_troubled]
        )
        chapter = self.chance.randint(FREE_CHAPTERS + 1, CHAPTERS)
        body = {"story_id": story.id, "purchase_type": "chapter", "chapters": [chapter]}

        def call(key: str) -> Reply:
            return self.person.rpc(PURCHASE.name, "purchase_story", body, key)

        answer = self.person.do(
            PURCHASE, call, "insufficient_credits", story=story, chapter=chapter
        )
        if answer is None:
            self.count()
            return
        self.credits = answer["balance"]
        if answer["purchase_id"] is None:
            return
        if (answer["credits_spent"], answer["chapters_unlocked"]) != (PRICE, [chapter]):
            self._violate(f"bought chapter {chapter}, was answered {answer}")
        if not is_troubled:
            self._must_read(story, chapter)
        self.owned.append((story, chapter))
        self.board.sales.add(Sale(self.person.id, answer["purchase_id"]))

    def _must_read(self, story: Story, chapter: int) -> None:
        query = f"/rpc/read_chapter?story_id={story.id}&chapter_number={chapter}"
        reply = self.person.get("read", query)
        if reply.outcome is Outcome.REFUSED:
            self._violate(f"paid for chapter {chapter} and cannot read it: {reply.body}")

    def keep_place(self) -> None:
        """Progress in a free chapter: it never goes back."""
        story = self.chance.choice(self.board.stories)
        percent = self.chance.randint(0, 100)
        body = {"story_id": story.id, "chapter_number": 1, "percent": percent, "seconds_read": 1}
        reply = self.person.persist(lambda: self.person.rpc("keep a place", "save_progress", body))
        self.person.allow("keep a place", reply)
        if reply.outcome is Outcome.DONE:
            place = (self.person.id, story.id, 1)
            kept = reply.body["chapter_percent"]
            if kept < max(percent, self.board.progress.get(place, 0)):
                self._violate(f"progress went back: {percent} was answered {kept}")
            self.board.progress[place] = kept

    def subscribe(self) -> None:
        """A plan, paid on Stripe's page."""

        def call(key: str) -> Reply:
            body = {"plan": "premium"}
            return self.person.edge(SUBSCRIBE.name, "/subscriptions/checkout", body, key)

        answer = self.person.do(SUBSCRIBE, call, "already_subscribed")
        self.is_subscriber = False
        if answer is None or answer["url"] is None:
            return
        paid = pay(self.person, f"/checkout/sessions/{answer['session_id']}/pay", VISA)
        path = "/rpc/my_plan?family=eq.pages"
        self.person.look("see a plan", path, lambda found: found[0]["plan"] == "premium")
        if paid.outcome is Outcome.DONE:
            self.subscription = self._at_stripe(answer["session_id"])
        self.count()

    def _at_stripe(self, session: str) -> str | None:
        """What Stripe calls the subscription, of which its payer is never told."""
        reply = self.person.persist(
            lambda: self.person.read_stripe(f"/checkout/sessions/{session}")
        )
        return str(reply.body["subscription"]) if reply.outcome is Outcome.DONE else None

    def renew(self) -> None:
        """A period ends before its time, and the next one is paid."""
        path = f"/subscriptions/{self.subscription}/renew"
        self.person.stripe("renew", path, {"outcome": "paid"})
        self.count()

    def open_portal(self) -> None:
        """End the plan with its period, and often keep it after all."""
        reply = self.person.edge("open the portal", "/subscriptions/portal", {})
        self.person.allow("open the portal", reply)
        if reply.outcome is not Outcome.DONE or self.subscription is None:
            return
        for button in ("cancel", "keep") if self.chance.random() < 0.7 else ("cancel",):
            form = {"subscription": self.subscription, "button": button}
            self.person.line.call(f"press {button}", reply.body["url"], form=form)

    def download(self) -> None:
        """A story as a file, fetched once."""
        story = self.chance.choice(self.board.stories)
        form = self.chance.choice(("markdown", "html"))
        body = {"story_id": story.id, "format": form}

        def call(key: str) -> Reply:
            return self.person.rpc(EXPORT.name, "request_export", body, key)

        allowed = ("insufficient_credits", "limit_reached", "plan_required")
        answer = self.person.do(EXPORT, call, *allowed)
        self.count()
        if answer is None:
            return
        path = f"/exports?id=eq.{answer['export_id']}&select=status,bytes"
        rows = self.person.look("see a file", path, lambda found: found[0]["status"] == "ready")
        if rows:
            self._fetch(answer["export_id"], rows[0]["bytes"])

    def _fetch(self, export: str, size: int) -> None:
        link = self.person.rpc("ask for an address", "make_export_link", {"export_id": export})
        self.person.allow("ask for an address", link)
        if link.outcome is not Outcome.DONE:
            return
        url = self.person.line.places.edge + link.body["path"]
        first = self.person.line.call("fetch a file", url, method="GET")
        if first.outcome is Outcome.DONE and len(first.body) != size:
            self._violate(f"a file of {size} bytes came as {len(first.body)}")
        again = self.person.line.call("fetch a file again", url, method="GET")
        if first.outcome is Outcome.DONE and again.outcome is Outcome.DONE:
            self._violate("an address was good twice")

    # How they leave -----------------------------------------------------------------------------

    def leave(self) -> None:
        """The subscription ends; some want to be forgotten."""
        if self.subscription is not None:
            path = f"/subscriptions/{self.subscription}/cancel"
            self.person.persist(lambda: self.person.stripe("end a plan", path, {}))
        elif self.chance.random() < 0.15 and self.person.id not in self.board.troubled:
            self.be_forgotten()

    def be_forgotten(self) -> None:
        """With everything that is left."""

        def call() -> Reply:
            return self.person.rpc("be forgotten", "erase_me", {"forfeit": True})

        for _ in range(5):
            reply = self.person.persist(call)
            if reply.outcome is Outcome.DONE or reply.hint in ("already_erased", "account_erased"):
                self.board.erased.add(self.person.id)
                return
            self.person.allow("be forgotten", reply, "not_settled")
            if self.person.scene.over.wait(0.5):
                return

    def _violate(self, what: str) -> None:
        self.person.scene.journal.violate(f"{self.person.id}: {what}")
