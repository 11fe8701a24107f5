"""Closing months: batches of payouts, in steps of any size and in several sessions at once."""

from collections.abc import Callable
from datetime import date
from typing import Any

from psycopg.rows import dict_row

from tests.property.driver import OPERATOR
from tests.property.payout_driver import Answer, PayoutCall, PayoutDriver, Session, ask
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
EVERYBODY = 1_000_000
MOST_MONTHS_BACK = 12

Figures = dict[str, Any]
Run = Callable[[Callable[[Session], Figures]], list[Figures]]
"""Lets sessions go on with a month; what each of them was answered."""


class MonthDriver(PayoutDriver):
    """One interleaving, with the months that are closed in it."""

    def month(self, months: int) -> date:
        """The month so long ago; 0 is the running one."""
        month: date = self.world.value(MONTH, months)
        return month

    def close_month(self, months_back: int, share: float, *, is_early: bool = True) -> None:
        """Go on with a month; each step goes through a share of all creators."""
        batch = self._batch(months_back)
        if batch is not None and (is_early or months_back or batch.is_begun):
            self._go_on(batch, share, lambda step: [step(self.world.owner)])
            return
        month = self.month(months_back)
        answer = ask(self.world.web, OPERATOR, "service_role", RUN, month, is_early)
        assert answer == ("month_too_old" if batch is None else "month_not_over")

    def close_month_in_two_sessions(self, months_back: int, share: float) -> None:
        batch = self._batch(months_back)
        assert batch is not None
        self._go_on(batch, share, lambda step: list(self.at_once(step, step)))

    def close_month_beside(
        self, months_back: int, share: float, call: PayoutCall, *, is_second: bool
    ) -> None:
        """A creator asks for a payout at the same instant."""
        batch = self._batch(months_back)
        assert batch is not None
        asked: list[Answer] = []

        def request(session: Session) -> None:
            asked.append(self.send_request(session, call))

        def batch_first(step: Callable[[Session], Figures]) -> list[Figures]:
            return [self.at_once(step, request)[0]]

        def request_first(step: Callable[[Session], Figures]) -> list[Figures]:
            figures = self.at_once(request, step)[1]
            self.take_in(call, asked[0], self.expected(call))
            return [figures]

        self._go_on(batch, share, batch_first if is_second else request_first)
        if is_second:
            self.take_in(call, asked[0], self.expected(call))

    def close_all_months(self) -> None:
        """Go through everybody, in all months that were begun."""
        for batch in list(self.book.batches.values()):
            if not batch.is_closed:
                self._go_on(batch, EVERYBODY, lambda step: [step(self.world.owner)])
            assert batch.is_closed

    def leave(self) -> None:
        """Make room for the next interleaving: nobody has anything, no month is closed."""
        for creator in self.creators:
            balance = self.world.value("select ledger.balance(%s, 'earnings')", creator.id)
            if balance:
                self.correct(creator, -balance, f"the end of {creator.id}")
        self.world.owner.execute(YEARS_GO_BY)

    def _batch(self, months_back: int) -> Batch | None:
        """The batch of a month, which may be begun now; None where it is too late for that.

        Sales before the cutoff count: all so far, or none in a month that is over.
        """
        month = self.month(months_back)
        if month in self.book.batches:
            return self.book.batches[month]
        sales = self.book.sales
        earners = {author for sale in sales for author, _ in sale.story.shares}
        corrected = {creator.id for creator in self.creators if creator.has_moved}
        known = frozenset(earners | corrected)
        is_too_old = months_back > MOST_MONTHS_BACK
        return None if is_too_old else Batch(month, 0 if months_back else len(sales), known)

    def _go_on(self, batch: Batch, share: float, run: Run) -> None:
        """Let the sessions go on, and compare what came of it creator by creator."""
        creators = max(1, round(self.world.value(ACCOUNTS) * share))

        def step(session: Session) -> Figures:
            with session.cursor(row_factory=dict_row) as cursor:
                figures = cursor.execute(STEP, (batch.month, creators, True)).fetchone()
            assert figures is not None
            return figures

        self.book.batches[batch.month] = batch
        was_closed, answers = batch.is_closed, run(step)
        (row,) = self.world.rows(BATCH, batch.month)
        batch.is_begun, is_closed = True, row["state"] == "closed"
        news = {each["creator_id"]: each for each in self.new_payouts() if each["batch_id"]}
        skips = {each["creator_id"]: each["reason"] for each in self.world.rows(SKIPS, row["id"])}
        for creator in self.creators:
            if not was_closed and batch.reaches(creator.id, row["last_creator_id"], is_closed):
                self._compare(batch, creator, news.pop(creator.id, None), skips.get(creator.id))
        assert not news, "somebody was paid out of turn"
        assert skips == batch.skipped
        batch.last, batch.is_closed = row["last_creator_id"], is_closed
        self._check_figures(batch, row, answers)

    def _compare(
        self, batch: Batch, creator: Creator, paid: dict[str, Any] | None, reason: str | None
    ) -> None:
        """What became of somebody who was gone through, and what had to.

        Who earned nothing before the month was begun may have no account to be gone through.
        """
        done: Outcome = reason if paid is None else paid["amount_cents"]
        is_passed_over = done is None and creator.id not in batch.known
        expected = self.book.batch_answers(creator, batch)
        assert is_passed_over or done in expected, (done, expected)
        if paid is not None:
            assert reason is None
            batch.paid[creator.id] = self.keep_payout(paid).cents
        elif reason is not None:
            batch.skipped[creator.id] = reason

    def _check_figures(self, batch: Batch, row: Figures, answers: list[Figures]) -> None:
        """What a batch says of itself; the session that came last says the same."""
        figures = (len(batch.paid), len(batch.skipped), sum(batch.paid.values()))
        said = [
            (each["payouts"], each["skipped"], each["total_cents"]) for each in (row, answers[-1])
        ]
        assert (said, answers[-1]["is_closed"]) == ([figures] * 2, batch.is_closed)
