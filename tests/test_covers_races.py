"""Covers at one instant: every race ends with one cover, one charge, and a ledger that is right.

A refusal that a test does not name fails it: a deadlock (40P01) above all.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import Event
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.conftest import NewDatabase
from tests.covers import (
    PRICE,
    STYLES,
    Author,
    Call,
    Studio,
    Work,
    at_one_instant,
    claim_over,
    in_turn,
)
from tests.market import LOCK_WALLET, acting_as, answers, open_market, outcome_of, refusals, value

ROUNDS = 8
CREDITS = 100
LOST = [("PT409", "lease_lost")]
OVER = [("PT409", "cover_job_over")]
LOCK_STORY = "select from app.stories where id = %s for update"


@pytest.fixture
def studio(migrated_database: NewDatabase) -> Iterator[Studio]:
    with open_market(migrated_database()) as market:
        yield Studio(market)


def check_end(studio: Studio, author: Author, job: UUID, state: str) -> None:
    """The only job of somebody with a hundred credits ended so, once, and left nothing behind."""
    row = studio.job(job)
    assert (row["state"], row["lease_token"]) == (state, None)
    assert None not in studio.attempts(job)
    spent = PRICE if state == "completed" else 0
    assert studio.figures(author) == (CREDITS - spent, 0)
    covers = [cover["job_id"] for cover in studio.covers(author)]
    assert covers == ([job] if state == "completed" else [])
    told = studio.rows("select kind from app.notices where data ->> 'job_id' = %s", str(job))
    kinds = {"completed": ["cover_ready"], "failed": ["cover_failed"], "canceled": []}
    assert [each["kind"] for each in told] == kinds[state]


# Asking -------------------------------------------------------------------------------------------


def test_one_key_many_times(studio: Studio) -> None:
    author = studio.author()
    outcomes = at_one_instant([studio.request(author, key="a key")] * 16)
    assert refusals(outcomes) == []
    assert len(set(outcomes)) == 1
    assert len(studio.jobs(author)) == 1
    assert studio.figures(author) == (CREDITS - PRICE, PRICE)


def test_one_key_for_two_styles(studio: Studio) -> None:
    author = studio.author()
    calls = [studio.request(author, style, key="a key") for style in ("fantasy", "vintage") * 8]
    outcomes = at_one_instant(calls)
    assert refusals(outcomes) == [("PT409", "idempotency_mismatch")] * 8
    assert len(set(answers(outcomes))) == 1
    assert studio.figures(author) == (CREDITS - PRICE, PRICE)


def test_the_same_cover_many_times(studio: Studio) -> None:
    """Without a key it is the request itself that is there once."""
    author = studio.author()
    prompts = ("a lighthouse", " a lighthouse\n")
    outcomes = at_one_instant([studio.request(author, prompt=each) for each in prompts * 4])
    assert refusals(outcomes) == [("PT409", "cover_already_requested")] * 7
    assert [job["wish"] for job in studio.jobs(author)] == ["a lighthouse"]
    assert studio.figures(author) == (CREDITS - PRICE, PRICE)


def test_the_last_credits_for_two_covers(studio: Studio) -> None:
    for _ in range(ROUNDS):
        author = studio.author(credits=PRICE)
        outcomes = at_one_instant([studio.request(author, style) for style in STYLES[:2]])
        assert refusals(outcomes) == [("PT402", "insufficient_credits")]
        assert len(studio.jobs(author)) == 1
        assert studio.figures(author) == (0, PRICE)


def test_the_last_credits_for_a_cover_or_a_chapter(studio: Studio) -> None:
    for _ in range(ROUNDS):
        author = studio.author(credits=PRICE)
        buy = studio.call(
            author.id,
            "authenticated",
            "select credits_spent from api.purchase_story(%s, 'chapter', '{3}')",
            studio.market.story,
        )
        outcomes = at_one_instant([studio.request(author), buy])
        assert refusals(outcomes) == [("PT402", "insufficient_credits")]
        is_asked = not isinstance(outcomes[0], psycopg.Error)
        assert studio.figures(author) == (0, PRICE if is_asked else 0)
        assert studio.market.purchases(author.id) == (0 if is_asked else 1)


def test_no_more_at_once_than_a_person_may_have(studio: Studio) -> None:
    author = studio.author()
    other = Author(author.id, studio.story(author.id))
    calls = [studio.request(story, prompt=str(n)) for n in range(8) for story in (author, other)]
    outcomes = at_one_instant(calls)
    assert refusals(outcomes) == [("PT429", "too_many_cover_jobs")] * 6
    assert len(studio.jobs(author)) == 10
    assert studio.figures(author) == (CREDITS - 10 * PRICE, 10 * PRICE)


# Taking work --------------------------------------------------------------------------------------


def test_two_claims_of_one_job(studio: Studio) -> None:
    for _ in range(ROUNDS):
        author = studio.author()
        job = studio.request(author)()
        outcomes = at_one_instant([studio.claim()] * 2)
        assert refusals(outcomes) == []
        (work,) = [each for each in outcomes if each is not None]
        assert (work.job_id, work.attempt, studio.attempts(job)) == (job, 1, [None])
        studio.finish(work)()
        check_end(studio, author, job, "completed")


def test_what_somebody_is_taking_is_left_out(studio: Studio) -> None:
    """Nobody waits for whoever is slow with the next job; it goes on with the one behind it."""
    author = studio.author()
    first, second = (studio.request(author, style)() for style in STYLES[:2])
    with studio.market.connect_as_owner() as slow, slow.transaction():
        taken = claim_over(slow)
        assert taken is not None and taken.job_id == first
        work = studio.claim()()
        assert work is not None and work.job_id == second
        assert studio.claim()() is None
    assert studio.attempts(first) == studio.attempts(second) == [None]


def test_sixteen_claimers_of_forty_jobs(studio: Studio) -> None:
    """Each is taken once, and each has its own cover in the end."""
    authors = [studio.author() for _ in range(8)]
    wanted = [studio.request(author, style)() for author in authors for style in STYLES]

    def take_all(connection: psycopg.Connection[Any]) -> list[Work]:
        taken: list[Work] = []
        left = "select count(*) from app.cover_jobs where state = 'pending'"
        while value(connection, left):
            work = claim_over(connection)
            taken += [work] if work else []
        return taken

    outcomes = at_one_instant([Call(studio.market.connect_as_owner, take_all)] * 16)
    assert refusals(outcomes) == []
    taken = [work for each in outcomes for work in each]
    assert sorted(work.job_id for work in taken) == sorted(wanted)
    assert len({work.lease_token for work in taken}) == len({work.task_id for work in taken}) == 40
    assert {work.attempt for work in taken} == {1}
    assert refusals(at_one_instant([studio.finish(work) for work in taken])) == []
    for author in authors:
        assert len(studio.covers(author)) == 5
        assert len(studio.primaries(author)) == 1
        assert studio.figures(author) == (CREDITS - 5 * PRICE, 0)


# Cancel -------------------------------------------------------------------------------------------


def test_canceled_many_times(studio: Studio) -> None:
    author = studio.author()
    job = studio.claimed(author).job_id
    outcomes = at_one_instant([studio.cancel(author, job)] * 8)
    assert answers(outcomes) == [PRICE]
    assert refusals(outcomes) == OVER * 7
    check_end(studio, author, job, "canceled")


@pytest.mark.parametrize("is_finish_first", [True, False])
def test_cancel_and_then_finish(studio: Studio, is_finish_first: bool) -> None:
    author = studio.author()
    work = studio.claimed(author)
    calls = [studio.cancel(author, work.job_id), studio.finish(work)]
    turns = calls[::-1] if is_finish_first else calls
    first, second = in_turn(studio, turns, LOCK_WALLET, author.id)
    assert not isinstance(first, psycopg.Error)
    assert refusals([second]) == (OVER if is_finish_first else LOST)
    check_end(studio, author, work.job_id, "completed" if is_finish_first else "canceled")


def test_cancel_and_whatever_the_worker_does(studio: Studio) -> None:
    """Whoever holds the lease may finish, give up, give back or beat at that instant."""
    for number in range(3 * ROUNDS):
        author = studio.author()
        work = studio.claimed(author)
        steps = (
            studio.finish(work),
            studio.fail(work, is_permanent=True),
            studio.release(work),
            studio.beat(work, 50),
        )
        canceled, step = at_one_instant(
            [studio.cancel(author, work.job_id), steps[number % len(steps)]]
        )
        if isinstance(canceled, psycopg.Error):
            assert refusals([canceled]) == OVER
            assert step == "failed" or isinstance(step, UUID)
            check_end(studio, author, work.job_id, "failed" if step == "failed" else "completed")
        else:
            assert canceled == PRICE
            assert isinstance(step, bool) or refusals([step]) == LOST
            check_end(studio, author, work.job_id, "canceled")
            assert studio.beat(work)() is False


def test_cancel_and_claim(studio: Studio) -> None:
    """Taken before, the attempt ends with it; canceled before, there is nothing to take."""
    for _ in range(ROUNDS):
        author = studio.author()
        job = studio.request(author)()
        canceled, work = at_one_instant([studio.cancel(author, job), studio.claim()])
        assert canceled == PRICE
        assert refusals([work]) == []
        check_end(studio, author, job, "canceled")
        assert studio.attempts(job) == ([] if work is None else ["canceled"])
        if work is not None:
            assert refusals([outcome_of(studio.finish(work))]) == LOST


def test_cancel_waits_for_a_claim(studio: Studio) -> None:
    author = studio.author()
    job = studio.request(author)()
    with ThreadPoolExecutor(1) as threads:
        with studio.market.connect_as_owner() as worker, worker.transaction():
            assert claim_over(worker) is not None
            canceling = threads.submit(studio.cancel(author, job))
            studio.market.wait_for_queue(1)
        assert canceling.result() == PRICE
    check_end(studio, author, job, "canceled")
    assert studio.attempts(job) == ["canceled"]


def test_a_claim_does_not_wait_for_a_cancel(studio: Studio) -> None:
    author = studio.author()
    job = studio.request(author)()
    with studio.market.connect() as connection, acting_as(connection, author.id):
        assert value(connection, "select state from api.cancel_cover(%s)", job) == "canceled"
        assert studio.claim()() is None
    check_end(studio, author, job, "canceled")
    assert studio.attempts(job) == []


# Leases that run out ------------------------------------------------------------------------------


def test_finished_many_times(studio: Studio) -> None:
    """An answer that was lost on the way makes a worker ask again."""
    author = studio.author()
    work = studio.claimed(author)
    outcomes = at_one_instant([studio.finish(work)] * 8)
    assert refusals(outcomes) == LOST * 7
    assert answers(outcomes) == [cover["id"] for cover in studio.covers(author)]
    check_end(studio, author, work.job_id, "completed")


@pytest.mark.parametrize("is_finish_first", [True, False])
def test_recover_and_then_finish(studio: Studio, is_finish_first: bool) -> None:
    """A lease that ran out is still good for whoever comes before it is taken away."""
    author = studio.author()
    work = studio.claimed(author)
    studio.let_lease_run_out(work.job_id)
    calls = [studio.recover(), studio.finish(work)]
    turns = calls[::-1] if is_finish_first else calls
    outcomes = in_turn(studio, turns, LOCK_WALLET, author.id)
    if is_finish_first:
        assert refusals(outcomes) == []
        check_end(studio, author, work.job_id, "completed")
        return
    assert refusals(outcomes) == LOST
    again = studio.claim()()
    assert again is not None and (again.job_id, again.attempt) == (work.job_id, 2)
    assert again.lease_token != work.lease_token
    assert at_one_instant([studio.beat(work), studio.release(work)]) == [False, False]
    late, in_time = at_one_instant([studio.finish(work), studio.finish(again)])
    assert refusals([late]) == LOST
    assert isinstance(in_time, UUID)
    check_end(studio, author, work.job_id, "completed")
    assert studio.attempts(work.job_id) == ["expired", "finished"]


def test_recover_and_whatever_the_late_worker_does(studio: Studio) -> None:
    for number in range(3 * ROUNDS):
        author = studio.author()
        work = studio.claimed(author)
        studio.let_lease_run_out(work.job_id)
        steps = (studio.finish(work), studio.fail(work), studio.release(work), studio.beat(work))
        step, *recovered = at_one_instant([steps[number % 4], studio.recover(), studio.recover()])
        assert refusals(recovered) == []
        row, (ended,) = studio.job(work.job_id), studio.attempts(work.job_id)
        if step is False or isinstance(step, psycopg.Error):
            assert step is False or refusals([step]) == LOST
            assert (row["state"], row["attempts"], ended) == ("pending", 1, "expired")
        else:
            states = [("completed", 1, "finished"), ("pending", 1, "failed"),
                      ("pending", 0, "released"), ("generating", 1, None)]  # fmt: skip
            assert (row["state"], row["attempts"], ended) == states[number % 4]
        if row["state"] != "completed":
            assert studio.figures(author) == (CREDITS - PRICE, PRICE)
            assert studio.cancel(author, work.job_id)() == PRICE


def test_the_last_attempt_is_given_up_once(studio: Studio) -> None:
    studio.execute("update app.economy set cover_attempts = 1")
    for _ in range(ROUNDS):
        author = studio.author()
        work = studio.claimed(author)
        studio.let_lease_run_out(work.job_id)
        outcomes = at_one_instant([*[studio.recover()] * 4, studio.cancel(author, work.job_id)])
        assert refusals(outcomes) in ([], OVER)
        check_end(studio, author, work.job_id, "failed" if refusals(outcomes) else "canceled")


def test_what_waited_too_long_and_a_claim(studio: Studio) -> None:
    """It is given up or it is drawn: the credits come back, or they are still set aside."""
    for _ in range(ROUNDS):
        author = studio.author()
        job = studio.request(author)()
        studio.execute("update app.cover_jobs set created_at = now() - interval '2 days'")
        work, *recovered = at_one_instant([studio.claim(), studio.recover(), studio.recover()])
        assert refusals([work, *recovered]) == []
        if work is None:
            check_end(studio, author, job, "failed")
        else:
            studio.finish(work)()
            check_end(studio, author, job, "completed")


# Which one is shown -------------------------------------------------------------------------------


def test_many_are_made_primary_at_once(studio: Studio) -> None:
    author = studio.author()
    covers = [studio.made(author, style) for style in STYLES]
    calls = [studio.set_primary(author, cover) for cover in covers]
    assert studio.primaries(author) == covers[:1]
    for _ in range(ROUNDS):
        assert at_one_instant(calls * 2) == covers * 2
        assert len(studio.primaries(author)) == 1
    assert in_turn(studio, calls, LOCK_STORY, author.story) == covers
    assert studio.primaries(author) == covers[-1:]


@pytest.mark.parametrize("is_upload_first", [True, False])
def test_the_first_of_an_upload_and_a_finish_is_shown(
    studio: Studio, is_upload_first: bool
) -> None:
    author = studio.author()
    calls = [studio.finish(studio.claimed(author)), studio.upload(author)]
    turns = calls[::-1] if is_upload_first else calls
    first, second = in_turn(studio, turns, LOCK_STORY, author.story)
    assert [cover["id"] for cover in studio.covers(author)] == sorted([first, second])
    assert studio.primaries(author) == [first]


def test_uploads_and_finishes_at_one_instant(studio: Studio) -> None:
    for _ in range(ROUNDS):
        author = studio.author()
        works = [studio.claimed(author, style) for style in STYLES[:3]]
        calls = [studio.finish(work) for work in works] + [studio.upload(author)] * 3
        outcomes = at_one_instant(calls)
        assert sorted(outcomes) == [cover["id"] for cover in studio.covers(author)]
        assert len(studio.primaries(author)) == 1
        shown = at_one_instant([studio.upload(author, is_primary=True)] * 3)
        (primary,) = studio.primaries(author)
        assert primary in shown


def test_no_more_uploads_than_a_story_may_have(studio: Studio) -> None:
    studio.execute("update app.economy set covers_per_story = 3")
    author = studio.author()
    outcomes = at_one_instant([studio.upload(author)] * 8)
    assert refusals(outcomes) == [("PT422", "too_many_covers")] * 5
    assert len(studio.covers(author)) == 3
    assert refusals([outcome_of(studio.request(author))]) == [("PT422", "too_many_covers")]


@pytest.mark.parametrize("is_removed_first", [True, False])
def test_the_shown_one_is_removed_while_another_comes(
    studio: Studio, is_removed_first: bool
) -> None:
    """What comes after it is shown; what came before it was not the first."""
    author = studio.author()
    shown = studio.made(author)
    calls = [studio.finish(studio.claimed(author, "vintage")), studio.remove(author, shown)]
    turns = calls[::-1] if is_removed_first else calls
    outcomes = in_turn(studio, turns, LOCK_STORY, author.story)
    assert refusals(outcomes) == []
    (cover,) = studio.covers(author)
    assert cover["is_primary"] is is_removed_first


def test_the_shown_one_is_removed_while_another_is_asked_for(studio: Studio) -> None:
    for _ in range(ROUNDS):
        author = studio.author()
        shown = studio.made(author)
        calls = [studio.request(author, "vintage"), studio.remove(author, shown)]
        job, removed, again = at_one_instant([*calls, studio.remove(author, shown)])
        assert studio.job(job)["state"] == "pending"
        assert refusals([removed, again]) == [("PT404", "cover_not_found")]
        assert studio.covers(author) == []
        cover = studio.finish(studio.claim()())()
        assert studio.primaries(author) == [cover]


def test_what_is_removed_is_not_made_primary(studio: Studio) -> None:
    author = studio.author()
    shown = studio.made(author)
    for _ in range(ROUNDS):
        cover = studio.upload(author)()
        calls = [studio.set_primary(author, cover), studio.remove(author, cover)]
        primary, removed = at_one_instant([*calls, studio.set_primary(author, shown)])[:2]
        assert removed == cover
        assert primary == cover or refusals([primary]) == [("PT404", "cover_not_found")]
        assert [each["id"] for each in studio.covers(author)] == [shown]
        studio.set_primary(author, shown)()


# Everything at once -------------------------------------------------------------------------------


class Bustle:
    """Authors who are many times at it, and workers who go on until they are through."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.authors = [studio.author(credits=10_000) for _ in range(4)]
        self.over = Event()

    def run(self) -> None:
        studio = self.studio
        people = [partial(self.ask, author) for author in self.authors]
        others: list[Callable[[], object]] = [*[self.draw] * 4, self.let_time_pass]
        others += [
            studio.recover(),
            *(studio.work(f"select ledger.{do}()") for do in ("fold", "seal")),
        ]
        with ThreadPoolExecutor(len(people) + len(others)) as threads:
            running = [threads.submit(self.until_over, each) for each in others]
            try:
                for asking in [threads.submit(self.often, each) for each in people]:
                    asking.result()
            finally:
                self.over.set()
            assert all(each.result() > 0 for each in running)

    def often(self, step: Callable[[int], object]) -> None:
        for number in range(15):
            self.attempt(partial(step, number))

    def until_over(self, step: Callable[[], object]) -> int:
        for steps in count():
            if self.over.is_set():
                return steps
            self.attempt(step)
        raise AssertionError("it never ends")

    def attempt(self, step: Callable[[], object]) -> None:
        """Refused it may be, but nothing else may go wrong."""
        try:
            step()
        except psycopg.Error as refused:
            if not (refused.sqlstate or "").startswith("PT"):
                raise

    def ask(self, author: Author, number: int) -> None:
        """Two covers, of which one is canceled, sooner or later; and what is there is shown."""
        wanted = [self.studio.request(author, style, str(number)) for style in STYLES[:2]]
        first, _ = wanted[0](), wanted[1]()
        if number % 3 == 0:
            self.studio.upload(author, is_primary=number % 2 == 0)()
        shown = self.studio.covers(author)[number % 2 :]
        if shown:
            self.studio.set_primary(author, shown[0]["id"])()
            self.studio.remove(author, shown[-1]["id"])()
        self.studio.cancel(author, first)()

    def draw(self) -> None:
        """Made, given up, given back, or left alone: as the seed will have it."""
        work = self.studio.claim()()
        if work is None:
            return
        self.studio.beat(work, 50)()
        match work.seed % 4:
            case 0:
                self.studio.finish(work)()
            case 1:
                self.studio.fail(work, is_permanent=work.seed % 3 == 0)()
            case 2:
                self.studio.release(work)()

    def let_time_pass(self) -> None:
        """Leases run out, also of those who are still at it, and what waits is due."""
        self.studio.execute(
            "update app.cover_jobs set leased_until = now() - interval '1 second', run_at = now()"
            " where state = 'generating'"
        )
        self.studio.let_all_be_due()


def test_everything_at_once(studio: Studio) -> None:
    """Nothing waits for itself, and what is gone from the wallets is what was made."""
    bustle = Bustle(studio)
    bustle.run()
    bustle.let_time_pass()
    studio.recover()()
    while (work := studio.claim()()) is not None:
        studio.finish(work)()
    states = {job["state"] for author in bustle.authors for job in studio.jobs(author)}
    assert states == {"completed", "failed", "canceled"}
    for author in bustle.authors:
        made = [job for job in studio.jobs(author) if job["state"] == "completed"]
        assert studio.figures(author) == (10_000 - PRICE * len(made), 0)
        covers = "select job_id from app.story_covers where story_id = %s and job_id is not null"
        assert {row["job_id"] for row in studio.rows(covers, author.story)} == {
            job["id"] for job in made
        }
        assert len(studio.primaries(author)) <= 1
    assert studio.violations() == []
    studio.market.fold()
    assert studio.violations() == []
