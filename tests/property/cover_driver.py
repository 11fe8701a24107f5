"""Covers in one interleaving: authors ask for them, workers draw them, fail, or fall silent."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from tests.market import acting_as, value
from tests.property.credits import Cover
from tests.property.driver import Driver
from tests.property.world import World

MOST_ATTEMPTS = 3
SET_PRICE = """
    update app.economy set cover_price_credits = %s where cover_price_credits <> %s
"""
CREATE_STORY = "select api.create_story('A story that is being written')"
ASK = """
    select job_id, cost_credits, balance, state
    from api.request_cover(%s, 'fantasy', %s, idempotency_key => %s)
"""
CANCEL = "select state, credits_returned, balance from api.cancel_cover(%s)"
MAKE_DUE = "update app.cover_jobs set run_at = now() where state = 'pending'"
CLAIM = """
    select job_id, lease_token, attempt
    from app.claim_cover('a server', array(select app.wanted_cover_models()))
"""
FINISH = "select app.finish_cover(%s, %s, %s)"
FAIL = "select app.fail_cover(%s, %s, %s, 'a test', %s)"
RELEASE = "select app.release_cover(%s, %s)"
# A worker that has died, and a cover that nobody could draw for days.
LOSE_LEASE = "update app.cover_jobs set leased_until = now() - interval '1 second' where id = %s"
MAKE_OLD = "update app.cover_jobs set created_at = now() - interval '100 days' where id = %s"
RECOVER = "select app.recover_cover()"
OPEN = ("pending", "generating")


@dataclass(eq=False)
class Work:
    """What a worker was given. It may have been taken from them since."""

    cover: Cover
    lease: UUID

    @property
    def is_held(self) -> bool:
        return self.cover.lease == self.lease


class CoverDriver(Driver):
    """One interleaving, with the covers that are asked for in it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.works: list[Work] = []
        self._drafts: dict[UUID, UUID] = {}

    def open_covers(self, *states: str) -> list[Cover]:
        return [cover for cover in self.book.covers if cover.state in (states or OPEN)]

    # Authors

    def ask_for_cover(self, author: UUID, price: int) -> None:
        """Ask, and ask again with the same key."""
        self.world.owner.execute(SET_PRICE, (price, price))
        if author not in self._drafts:
            self._drafts[author] = self._as(author, CREATE_STORY)[0]
        arguments = (self._drafts[author], str(uuid4()), str(uuid4()))
        is_enough = price <= self.book.balance(author)
        try:
            answer = self._as(author, ASK, *arguments)
        except psycopg.Error as error:
            assert (hint_of(error), is_enough) == ("insufficient_credits", False), error
            return
        assert is_enough
        job_id, *figures = answer
        cover = self.book.ask_for_cover(job_id, author, price)
        assert figures == [price, self.book.balance(author), cover.state]
        assert self._as(author, ASK, *arguments) == answer, "one key, one cover"

    def cancel_cover(self, cover: Cover) -> None:
        was_open = cover.is_open
        try:
            answer = self._as(cover.person, CANCEL, cover.id)
        except psycopg.Error as error:
            assert (hint_of(error), was_open) == ("cover_job_over", False), error
            return
        assert was_open
        back = self.book.end_cover(cover, "canceled")
        assert answer == ("canceled", back, self.book.balance(cover.person))

    # Workers

    def claim_cover(self) -> None:
        """Take whatever comes next."""
        self.world.owner.execute(MAKE_DUE)
        row = self.world.owner.execute(CLAIM).fetchone()
        waiting = self.open_covers("pending")
        assert (row is None) == (not waiting)
        if row is not None:
            cover = waiting[0]
            job_id, cover.lease, attempt = row
            cover.state, cover.attempts = "generating", cover.attempts + 1
            assert (job_id, attempt) == (cover.id, cover.attempts), "who came first is drawn first"
            self.works.append(Work(cover, row[1]))

    def finish_cover(self, work: Work) -> None:
        """The picture is there."""
        if self._report(work, FINISH, picture_of(work)) is not None:
            self.book.end_cover(work.cover, "completed")

    def fail_cover(self, work: Work, *, is_permanent: bool) -> None:
        """It did not work this time, or cannot."""
        state = self._report(work, FAIL, "a_test", is_permanent)
        if state is not None:
            assert state == self._come_to_nothing(work.cover, is_permanent=is_permanent)

    def release_cover(self, work: Work) -> None:
        """Give it back untried."""
        assert value(self.world.owner, RELEASE, work.cover.id, work.lease) == work.is_held
        if work.is_held:
            work.cover.state, work.cover.lease = "pending", None
            work.cover.attempts -= 1

    def lose_worker(self, cover: Cover) -> None:
        """Nobody hears of it any more; its lease is over."""
        self.world.owner.execute(LOSE_LEASE, (cover.id,))
        self._recover()
        self._come_to_nothing(cover, is_permanent=False)

    def wait_too_long(self, cover: Cover) -> None:
        self.world.owner.execute(MAKE_OLD, (cover.id,))
        self._recover()
        self.book.end_cover(cover, "failed")

    def finish_while_it_is_canceled(self, work: Work) -> None:
        """The worker and the author, at the same instant: one of them comes too late."""
        cover = work.cover

        def finish() -> str | None:
            with psycopg.connect(self.world.url, autocommit=True) as other:
                return refusal(lambda: value(other, FINISH, cover.id, work.lease, picture_of(work)))

        with ThreadPoolExecutor(1) as at:
            finishing = at.submit(finish)
            canceled = refusal(lambda: self._as(cover.person, CANCEL, cover.id))
        finished = finishing.result()
        if finished is None:
            assert canceled == "cover_job_over"
            self.book.end_cover(cover, "completed")
        else:
            assert (finished, canceled) == ("lease_lost", None)
            self.book.end_cover(cover, "canceled")

    def cancel_all_covers(self) -> None:
        """Leave nothing to the next interleaving."""
        for cover in self.open_covers():
            self.cancel_cover(cover)

    def _report(self, work: Work, statement: str, *arguments: object) -> Any:
        """What the worker is told; nothing where the job is not theirs any more."""
        try:
            answer = value(self.world.owner, statement, work.cover.id, work.lease, *arguments)
        except psycopg.Error as error:
            assert (hint_of(error), work.is_held) == ("lease_lost", False), error
            return None
        assert work.is_held
        return answer

    def _come_to_nothing(self, cover: Cover, *, is_permanent: bool) -> str:
        """An attempt failed; there is another one, or none. The job's new state."""
        if is_permanent or cover.attempts == MOST_ATTEMPTS:
            self.book.end_cover(cover, "failed")
        else:
            cover.state, cover.lease = "pending", None
        return cover.state

    def _recover(self) -> None:
        while value(self.world.owner, RECOVER):
            pass

    def _as(self, author: UUID, statement: str, *arguments: object) -> tuple[Any, ...]:
        """A row, as PostgREST would ask for it."""
        with acting_as(self.world.web, author):
            row: tuple[Any, ...] | None = self.world.web.execute(
                statement.encode(), arguments
            ).fetchone()
        assert row is not None
        return row


def picture_of(work: Work) -> Jsonb:
    """What the worker says of the picture that it has stored."""
    file = f"{work.cover.id.hex}{work.lease.hex}.webp"
    size = {"width": 512, "height": 768, "bytes": 40_000, "seed": 1}
    files = {"file": file, "thumbnail_file": file, "media_type": "image/webp"}
    return Jsonb({**files, **size, "model": "a model", "server": "a server"})


def hint_of(error: psycopg.Error) -> str | None:
    return error.diag.message_hint


def refusal(call: Callable[[], object]) -> str | None:
    """How a call was refused, or nothing."""
    try:
        call()
    except psycopg.Error as error:
        return hint_of(error) or str(error)
    return None
