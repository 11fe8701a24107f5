"""Closing months: batches of payouts, in steps of any size and in several sessions at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from tests.property.driver import OPERATOR
from tests.property.payout_driver import Answer, PayoutCall, PayoutDriver, ask
from tests.property.payout_model import Batch, Creator, Outcome

RUN = "select * from api.run_monthly_payouts(%s, %s)"
STEP = "select * from app.continue_monthly_payouts(%s, %s, %s)"
MONTH = "select (app.month_of(now()) - make_interval(months => %s))::date"
BATCH = """
    select id, state, last_creator_id, payouts, skipped, total_cents
    from app.monthly_payout_batches where month = %s
"""
SKIPS = "select creator_id, reason from app.payout_skips where batch_id = %s"
ACCOUNTS = "select count(*) from ledger.accounts where kind = 'earnings'"
# Two interleavings close the same months; what an earlier one closed becomes long ago.
YEARS_GO_BY = """
    update app.monthly_payout_batches as b
    set month = b.month - make_interval(years => 100 + 2 * (
        select count(*)::integer from app.monthly_payout_batches as o where o.month < '1990-01-01'))
    where b.month > '1990-01-01'
"""
ALL = 1_000_000
MOST_MONTHS_BACK = 12


class MonthDriver(PayoutDriver):
    """One interleaving, with the months that are closed in it."""

    def month(self, months: int) -> date:
        """The month so long ago; 0 is the running one."""
        month: date = self.world.value(MONTH, months)
        return month

    def close_month(self, months_back: int, share: float, *, is_early: bool = True) -> None:
        """One session goes on with a month; each step goes through a share of all creators."""
        self._close_month(months_back, share, is_early, sessions=1)

    def close_month_in_two_sessions(self, months_back: int, share: float) -> None:
        self._close_month(months_back, share, True, sessions=2)

    def close_month_beside(self, months_back: int, share: float, call: PayoutCall) -> None:
        """A creator asks for a payout at the same instant."""
        self._close_month(months_back, share, True, sessions=1, call=call)

    def close_all_months(self) -> None:
        """Go through everybody, in all months that were begun."""
        for batch in list(self.book.batches.values()):
            if not batch.is_closed:
                self._go_on(batch, ALL, sessions=1)
            assert batch.is_closed

    def leave(self) -> None:
        """Make room for the next interleaving: nobody has anything, no month is closed."""
        for creator in self.creators:
            balance = self.world.value("select ledger.balance(%s, 'earnings')", creator.id)
            if balance:
                self.correct(creator, -balance, f"the end of {creator.id}")
        self.world.owner.execute(YEARS_GO_BY)

    def _close_month(self, months_back: int, share: float, is_early: bool, **how: Any) -> None:
        month = self.month(months_back)
        batch = self.book.batches.get(month)
        refusal = None
        if batch is None:
            if months_back > MOST_MONTHS_BACK:
                refusal = "month_too_old"
            elif months_back == 0 and not is_early:
                refusal = "month_not_over"
            batch = self._new_batch(month, months_back)
        if refusal is not None:
            assert ask(self.world.web, OPERATOR, "service_role", RUN, month, is_early) == refusal
            return
        self.book.batches[month] = batch
        self._go_on(batch, max(1, round(self.world.value(ACCOUNTS) * share)), **how)

    def _new_batch(self, month: date, months_back: int) -> Batch:
        """Sales before the cutoff count: all so far, or none in a month that is over."""
        sales = self.book.sales
        earners = {author for sale in sales for author, _ in sale.story.shares}
        corrected = {creator.id for creator in self.creators if creator.has_moved}
        return Batch(month, 0 if months_back else len(sales), frozenset(earners | corrected))

    def _go_on(
        self, batch: Batch, creators: int, *, sessions: int, call: PayoutCall | None = None
    ) -> None:
        """Let the sessions go on, and compare what came of it creator by creator."""
        was_closed, answer = batch.is_closed, None
        with ThreadPoolExecutor(2) as threads:
            others = [
                threads.submit(self._run_elsewhere, batch, creators) for _ in range(sessions - 1)
            ]
            asked = threads.submit(self._request, call) if call is not None else None
            answers = [self._run(self.world.owner, batch, creators)]
            answers += [other.result() for other in others]
            if asked is not None:
                answer = asked.result()
        (row,) = self.world.rows(BATCH, batch.month)
        is_closed = row["state"] == "closed"
        news = {each["creator_id"]: each for each in self.new_payouts() if each["batch_id"]}
        for creator in self.creators:
            is_reached = not was_closed and batch.reaches(
                creator.id, row["last_creator_id"], is_closed=is_closed
            )
            done = self._done(row["id"], creator, news) if is_reached else None
            if call is not None and call.creator is creator:
                assert answer is not None
                self._take_in_both(batch, call, answer, done, is_reached=is_reached)
            elif is_reached:
                self._compare(batch, creator, done, self.book.batch_answers(creator, batch))
            if isinstance(done, int):
                batch.paid[creator.id] = done
                self.keep_payout(news.pop(creator.id))
            elif done is not None:
                batch.skipped[creator.id] = done
        assert not news, "somebody was paid out of turn"
        batch.last, batch.is_closed = row["last_creator_id"], is_closed
        self._check_figures(batch, row, answers)

    def _run_elsewhere(self, batch: Batch, creators: int) -> dict[str, Any]:
        with psycopg.connect(self.world.url, autocommit=True) as connection:
            return self._run(connection, batch, creators)

    def _run(
        self, connection: psycopg.Connection[Any], batch: Batch, creators: int
    ) -> dict[str, Any]:
        with connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(STEP, (batch.month, creators, True)).fetchone()
        assert row is not None
        return row

    def _request(self, call: PayoutCall) -> Answer:
        with self.world.connect() as connection:
            return self.send_request(connection, call)

    def _done(self, batch_id: UUID, creator: Creator, news: dict[UUID, Any]) -> Outcome:
        if creator.id in news:
            cents: int = news[creator.id]["amount_cents"]
            return cents
        skips = {row["creator_id"]: row["reason"] for row in self.world.rows(SKIPS, batch_id)}
        reason: str | None = skips.get(creator.id)
        return reason

    def _compare(
        self, batch: Batch, creator: Creator, done: Outcome, expected: set[Outcome]
    ) -> None:
        """Who earned nothing before the month was begun may have no account to be gone through."""
        is_passed_over = done is None and creator.id not in batch.known
        assert is_passed_over or done in expected, (done, expected)

    def _take_in_both(
        self, batch: Batch, call: PayoutCall, answer: Answer, done: Outcome, *, is_reached: bool
    ) -> None:
        """The request came first, or the batch: one of the two explains what came of both."""
        book, creator = self.book, call.creator
        asked: Outcome = answer if isinstance(answer, str) else answer["amount_cents"]
        before = self.expected(call)
        if not is_reached:
            self.take_in(call, answer, before)
            return
        taken = done if isinstance(done, int) else 0
        after = self.expected(call, less_cents=taken)
        sent = asked if isinstance(asked, int) else 0
        orders = (
            (before, book.batch_answers(creator, batch, sent)),
            (after, book.batch_answers(creator, batch)),
        )
        fitting = [first for first, second in orders if asked in first and done in second]
        assert fitting or creator.id not in batch.known, (asked, done, orders)
        self.take_in(call, answer, {asked}, less_cents=taken)

    def _check_figures(
        self, batch: Batch, row: dict[str, Any], answers: list[dict[str, Any]]
    ) -> None:
        """What a batch says of itself; the session that came last says the same."""
        figures = (len(batch.paid), len(batch.skipped), sum(batch.paid.values()))
        assert (row["payouts"], row["skipped"], row["total_cents"]) == figures
        last = max(answers, key=lambda answer: (answer["creators_done"], answer["is_closed"]))
        said = (last["payouts"], last["skipped"], last["total_cents"])
        assert (said, last["is_closed"]) == (figures, batch.is_closed)
