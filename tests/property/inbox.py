"""What Stripe tells us in one interleaving: in any order, twice, at once, or never."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from api.sandbox.webhooks import sign
from tests.property.model import Book
from tests.property.world import WEBHOOK_SECRET, World

Event = dict[str, Any]
NOT_THERE = ("not there", 0)
PAGE = 100

ROWS = """
    select id, state, attempts, error from app.stripe_events where id = any(%s) order by handled_at
"""


class Inbox:
    """The events so far, and what the ledger made of each."""

    def __init__(self, world: World, book: Book) -> None:
        self._world = world
        self._book = book
        self._newest = _newest_event(world)
        self._newest_of_accounts = world.newest_event()
        self.events: dict[str, Event] = {}
        self._known: dict[str, tuple[str, int]] = {}

    def look(self) -> None:
        """See what has happened at Stripe."""
        page: list[Event] = [{}] * PAGE
        while len(page) == PAGE:
            page = self._world.list_events(ending_before=self._newest, limit=PAGE)
            if page:
                self._add(page)
        for event in self._world.events_of_accounts(self._newest_of_accounts):
            self._newest_of_accounts = event["id"]
            self.events[event["id"]] = event

    def _add(self, page: list[Event]) -> None:
        self._newest = page[0]["id"]
        self.events.update((event["id"], event) for event in reversed(page))

    @property
    def undelivered(self) -> list[str]:
        return [event_id for event_id in self.events if event_id not in self._known]

    def only_by_webhook(self, event_ids: Sequence[str]) -> bool:
        """Whether these are all of connected accounts: Stripe's list does not have those."""
        return all("account" in self.events[event_id] for event_id in event_ids)

    def in_state(self, *states: str) -> list[str]:
        """Those events, in the order in which they happened."""
        return [each for each in self.events if self._known.get(each, NOT_THERE)[0] in states]

    def deliver(self, event_ids: Sequence[str], *, at_once: bool = False) -> list[str]:
        """Bring these events, one after the other or all at the same instant."""
        with ThreadPoolExecutor(len(event_ids) if at_once else 1) as threads:
            return list(threads.map(self._deliver, event_ids))

    def _deliver(self, event_id: str) -> str:
        event = self.events[event_id]
        payload = json.dumps(event)
        signature = sign(payload, (WEBHOOK_SECRET,))
        door = "/connect" if "account" in event else ""
        status, body = self._world.deliver(payload.encode(), signature, door)
        assert status == 200, (status, body)
        state: str = body["state"]
        return state

    def notice(self, *, may_fail: bool = False) -> None:
        """Tell the model what the ledger has taken in, in the ledger's own order.

        What had been parked comes right after what it waited for, in the same transaction.
        """
        waiting: list[str] = []
        for row in self._world.rows(ROWS, list(self.events)):
            event_id, now = row["id"], (row["state"], row["attempts"])
            if now == self._known.get(event_id):
                continue
            self._known[event_id] = now
            if row["state"] == "failed" and may_fail:
                assert "poisoned" in row["error"], row
            elif row["state"] != "parked" and self._waits(event_id):
                waiting.append(event_id)
            else:
                self._learn(event_id, row["state"], row["error"])
                for each in [each for each in waiting if not self._waits(each)]:
                    waiting.remove(each)
                    self._learn(each, self._known[each][0], None)
        assert not waiting, f"taken up before what they waited for: {waiting}"

    def _waits(self, event_id: str) -> bool:
        """Whether the model would park this event now."""
        event = self.events[event_id]
        thing = event["data"]["object"]
        if "account" in event:
            return self._book.waits_for_account(event["account"], thing)
        return thing["object"] in ("refund", "dispute") and self._book.payment_of(thing) is None

    def _learn(self, event_id: str, state: str, error: str | None) -> None:
        event = self.events[event_id]
        thing = event["data"]["object"]
        if "account" in event:
            expected = self._book.learn_of_account(event["account"], thing)
        else:
            expected = self._book.learn(thing)
        assert state == expected, (event["type"], state, expected, error)


def _newest_event(world: World) -> str:
    """The last event before this interleaving; a first one is made where there is none."""
    while not (newest := world.list_events(limit=1)):
        world.dashboard.v1.customers.create(params={"metadata": {"user_id": "nobody"}})
    event_id: str = newest[0]["id"]
    return event_id
