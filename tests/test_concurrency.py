"""Races: many connections at the same rows at the same moment, and what must come of it.

Where the moment matters, the calls are first made to queue for a lock that the test holds; that
they do is read from pg_stat_activity. Every test ends with a proof of the whole ledger.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import UUID

import pytest
from psycopg import IsolationLevel

from tests.conftest import NewDatabase
from tests.market import (
    EARNED,
    LOCK_WALLET,
    PRICE,
    Connection,
    Market,
    Purchase,
    acting_as,
    answers,
    in_parallel,
    open_market,
    outcome_of,
    refusals,
    value,
)

BOTH_LEVELS = pytest.mark.parametrize(
    "level",
    [IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ],
    ids=lambda level: level.name.lower(),
)


@pytest.fixture
def market(migrated_database: NewDatabase) -> Iterator[Market]:
    with open_market(migrated_database()) as market:
        yield market


# One person, many calls


def test_one_key_sixteen_times_is_one_purchase(market: Market) -> None:
    reader = market.reader(credits=100)
    outcomes = market.at_one_wallet(reader, [market.buyer(reader, [3], "a key")] * 16)
    assert refusals(outcomes) == []
    assert len({answer.purchase_id for answer in answers(outcomes)}) == 1
    assert all(answer == outcomes[0] for answer in outcomes)
    assert market.balance(reader) == 100 - PRICE
    assert market.purchases(reader) == 1
    assert market.earned() == EARNED


def test_one_key_for_two_things_buys_one_of_them(market: Market) -> None:
    reader = market.reader(credits=100)
    calls = [market.buyer(reader, [chapter], "a key") for chapter in [3, 4] * 8]
    outcomes = market.at_one_wallet(reader, calls)
    assert refusals(outcomes) == [("PT409", "idempotency_mismatch")] * 8
    assert len({answer.purchase_id for answer in answers(outcomes)}) == 1
    assert market.balance(reader) == 100 - PRICE


def test_one_key_of_two_people_is_two_keys(market: Market) -> None:
    readers = [market.reader(credits=PRICE) for _ in range(8)]
    outcomes = in_parallel([market.buyer(reader, [3], "a key") for reader in readers])
    assert refusals(outcomes) == []
    assert len({answer.purchase_id for answer in answers(outcomes)}) == 8
    assert market.earned() == 8 * EARNED


def test_the_last_credits_are_spent_once(market: Market) -> None:
    reader = market.reader(credits=PRICE)
    calls = [market.buyer(reader, [chapter]) for chapter in range(3, 11)]
    outcomes = market.at_one_wallet(reader, calls)
    assert len(answers(outcomes)) == 1
    assert refusals(outcomes) == [("PT402", "insufficient_credits")] * 7
    assert market.balance(reader) == 0
    assert market.earned() == EARNED


def test_a_chapter_bought_twice_at_once_is_paid_once(market: Market) -> None:
    reader = market.reader(credits=100)
    outcomes = market.at_one_wallet(reader, [market.buyer(reader, [3])] * 8)
    assert refusals(outcomes) == []
    assert sorted(answer.credits_spent for answer in answers(outcomes)) == [0] * 7 + [PRICE]
    assert sum(not answer.already_owned for answer in answers(outcomes)) == 1
    assert market.balance(reader) == 100 - PRICE


def test_overlapping_baskets_pay_each_chapter_once(market: Market) -> None:
    reader = market.reader(credits=100)
    baskets = [[3, 4, 5], [4, 5, 6], [5, 6, 7], [3, 7]]
    outcomes = market.at_one_wallet(reader, [market.buyer(reader, basket) for basket in baskets])
    assert refusals(outcomes) == []
    assert sum(answer.credits_spent for answer in answers(outcomes)) == 5 * PRICE
    assert market.balance(reader) == 100 - 5 * PRICE


def test_a_newcomer_calling_at_once_gets_one_profile_and_one_wallet(market: Market) -> None:
    newcomer = market.reader()

    def call() -> UUID:
        with market.connect() as connection, acting_as(connection, newcomer):
            return UUID(str(value(connection, "select id from api.me()")))

    assert in_parallel([call] * 16) == [newcomer] * 16
    for table, column in (("app.profiles", "id"), ("ledger.accounts", "owner_id")):
        found = value(market.owner, f"select count(*) from {table} where {column} = %s", newcomer)
        assert found == 1


# Taking back


def test_two_full_reversals_at_once_give_back_once(market: Market) -> None:
    reader = market.reader(credits=PRICE)
    bought = market.buyer(reader, [3])()
    outcomes = market.at_one_wallet(reader, [market.refunder(reader, bought.purchase_id)] * 2)
    assert answers(outcomes) == [PRICE]
    assert refusals(outcomes) == [("PT409", "already_reversed")]
    assert market.balance(reader) == PRICE
    assert market.earned() == 0


def test_partial_reversals_at_once_give_back_no_more_than_was_paid(market: Market) -> None:
    reader = market.reader(credits=PRICE)
    bought = market.buyer(reader, [3])()
    calls = [market.refunder(reader, bought.purchase_id, credits=3)] * 2
    assert refusals(market.at_one_wallet(reader, calls)) == [("PT422", "reversal_too_large")]
    calls = [market.refunder(reader, bought.purchase_id, credits=1)] * 4
    assert refusals(market.at_one_wallet(reader, calls)) == [("PT409", "already_reversed")] * 2
    assert market.balance(reader) == PRICE
    assert market.earned() == 0


def test_a_reversal_racing_a_purchase_of_the_same_leaves_what_was_paid_readable(
    market: Market,
) -> None:
    reader = market.reader(credits=PRICE)
    bought = market.buyer(reader, [3])()
    refund, buy = market.refunder(reader, bought.purchase_id), market.buyer(reader, [3])
    assert refusals(market.at_one_wallet(reader, [refund, buy])) == []
    # Before the refund the second purchase cost nothing, after it as much as the first. Either
    # way the chapter is now paid for once more.
    assert buy().balance == 0
    assert market.purchases(reader) == 2
    assert market.earned() == EARNED


# Credits that come, go and lapse at once


def test_grants_purchases_and_expiry_at_once_leave_exact_wallets(market: Market) -> None:
    readers = [market.reader(credits=20) for _ in range(4)]
    for reader in readers:
        for _ in range(3):
            market.give(reader, 7)
        # What was given last has lapsed and was not swept yet.
        market.owner.execute(
            "update ledger.lots set expires_at = now() where book_id = %s and credits = 7",
            (reader,),
        )

    def expire() -> int:
        with market.connect_as_owner() as connection:
            return int(value(connection, "select ledger.expire_lots()"))

    def give(reader: UUID) -> Callable[[], int]:
        def call() -> int:
            with market.connect_as_owner() as connection:
                connection.execute("select app.grant_credits(%s, 10, 'for a test')", (reader,))
            return 0

        return call

    calls: list[Callable[[], object]] = [expire] * 4
    for reader in readers:
        calls += [give(reader), market.buyer(reader, [3]), market.buyer(reader, [4])]
    outcomes = in_parallel(calls)
    assert refusals(outcomes) == []
    lapsed = "select sum(amount) from ledger.transfers where kind = 'expiry'"
    assert value(market.owner, lapsed) == 4 * 21
    assert [market.balance(reader) for reader in readers] == [20 + 10 - 2 * PRICE] * 4
    assert market.earned() == 8 * EARNED


def test_lapsed_credits_are_not_spent_by_a_call_that_waited_for_the_sweep(market: Market) -> None:
    reader = market.reader(credits=PRICE)
    market.owner.execute(
        "update ledger.lots set expires_at = clock_timestamp() where book_id = %s", (reader,)
    )
    with market.connect_as_owner() as sweeper, ThreadPoolExecutor(1) as threads:
        with sweeper.transaction():
            assert value(sweeper, "select ledger.expire_lots()") == PRICE
            buying = threads.submit(outcome_of, market.buyer(reader, [3]))
            market.wait_for_queue(1)
        assert refusals([buying.result()]) == [("PT402", "insufficient_credits")]
    assert market.balance(reader) == 0


# Folds


def test_readers_of_one_creator_while_folds_and_seals_run(market: Market) -> None:
    readers = [market.reader(credits=10 * PRICE) for _ in range(32)]
    sold_out = Event()

    def buy_everything(reader: UUID) -> Callable[[], int]:
        def call() -> int:
            with market.connect() as connection:
                for chapter in range(3, 13):
                    market.purchase(connection, reader, [chapter])
            return 0

        return call

    def until_sold_out(statement: str) -> Callable[[], int]:
        def call() -> int:
            rounds = 0
            with market.connect_as_owner() as connection:
                while not sold_out.is_set():
                    connection.execute(statement.encode())
                    rounds += 1
            return rounds

        return call

    def watch() -> int:
        """In every snapshot the balance, the months and the movements say the same."""
        looks = 0
        with market.connect_as_owner() as connection:
            while not sold_out.is_set():
                assert len(earnings_told(connection, market.creator)) == 1
                looks += 1
        return looks

    with ThreadPoolExecutor(4) as background:
        running = [
            background.submit(until_sold_out("select ledger.fold()")),
            background.submit(until_sold_out("select ledger.fold()")),
            background.submit(until_sold_out("select ledger.seal(100)")),
            background.submit(watch),
        ]
        try:
            outcomes = in_parallel([buy_everything(reader) for reader in readers])
        finally:
            sold_out.set()
        assert refusals(outcomes) == []
        assert all(each.result() > 0 for each in running)
    assert market.earned() == 320 * EARNED
    market.fold()
    assert market.earned() == 320 * EARNED
    assert [market.balance(reader) for reader in readers] == [0] * 32
    assert market.seal() == market.movements()


@BOTH_LEVELS
def test_a_sale_held_open_across_a_fold_and_a_seal_counts_once(
    market: Market, level: IsolationLevel
) -> None:
    early, late = market.reader(credits=PRICE), market.reader(credits=PRICE)
    with market.connect() as open_sale, market.connect() as other:
        open_sale.isolation_level = level
        with open_sale.transaction():
            market.purchase(open_sale, early, [3])
            held_at = value(open_sale, "select pg_current_xact_id()::text::bigint")
            market.purchase(other, late, [3])
            market.fold()
            sealed = market.seal()
            assert market.folded_position() <= held_at
            assert market.earned() == EARNED
            assert market.violations() == []
        assert market.earned() == 2 * EARNED
    assert sealed < market.movements()
    market.fold()
    assert market.folded_position() > held_at
    assert market.earned() == 2 * EARNED
    assert market.seal() == market.movements()


@BOTH_LEVELS
def test_a_transaction_that_began_before_a_fold_and_sells_after_a_seal(
    market: Market, level: IsolationLevel
) -> None:
    early, late = market.reader(credits=PRICE), market.reader(credits=PRICE)
    with market.connect() as open_sale, market.connect() as other:
        open_sale.isolation_level = level
        with open_sale.transaction():
            held_at = value(open_sale, "select pg_current_xact_id()::text::bigint")
            market.purchase(other, late, [3])
            market.fold()
            market.seal()
            market.purchase(open_sale, early, [3])  # its position is older than all of that
            market.fold()
            market.seal()
            assert market.folded_position() <= held_at
            assert market.earned() == EARNED
        assert market.earned() == 2 * EARNED
    market.fold()
    assert market.earned() == 2 * EARNED
    assert market.seal() == market.movements()


@BOTH_LEVELS
def test_a_reading_transaction_without_a_number_sells_after_the_fold(
    market: Market, level: IsolationLevel
) -> None:
    early, late = market.reader(credits=PRICE), market.reader(credits=PRICE)
    with market.connect() as open_sale, market.connect() as other:
        open_sale.isolation_level = level
        with open_sale.transaction():
            value(open_sale, "select 1")  # the snapshot of a repeatable read is taken here
            market.purchase(other, late, [3])
            market.fold()
            market.seal()
            market.purchase(open_sale, early, [3])
            market.fold()
        assert market.earned() == 2 * EARNED
    market.fold()
    assert market.earned() == 2 * EARNED
    assert market.seal() == market.movements()


def test_a_sale_in_a_savepoint_and_one_rolled_back(market: Market) -> None:
    reader = market.reader(credits=2 * PRICE)
    with market.connect() as connection, connection.transaction():
        market.purchase(connection, reader, [3])
        market.fold()
        with connection.transaction(force_rollback=True):
            market.purchase(connection, reader, [4])
            market.fold()
        assert market.earned() == 0
    assert market.earned() == EARNED
    market.fold()
    assert market.earned() == EARNED
    assert market.balance(reader) == PRICE


def test_a_repeatable_read_sees_one_balance_whatever_is_folded_meanwhile(market: Market) -> None:
    readers = [market.reader(credits=PRICE) for _ in range(2)]
    market.buyer(readers[0], [3])()
    with market.connect_as_owner() as accountant:
        accountant.isolation_level = IsolationLevel.REPEATABLE_READ
        with accountant.transaction():
            assert earnings_told(accountant, market.creator) == {EARNED}
            market.buyer(readers[1], [3])()
            market.fold()
            market.seal()
            assert earnings_told(accountant, market.creator) == {EARNED}
            assert accountant.execute("select * from ledger.verify()").fetchall() == []
        assert earnings_told(accountant, market.creator) == {2 * EARNED}


@BOTH_LEVELS
def test_folds_and_seals_at_once_count_everything_once(
    market: Market, level: IsolationLevel
) -> None:
    for _ in range(8):
        market.buyer(market.reader(credits=PRICE), [3])()

    def run(function: str) -> Callable[[], object]:
        def call() -> object:
            with market.connect_as_owner() as connection:
                connection.isolation_level = level
                return value(connection, f"select ledger.{function}()")

        return call

    calls = [run("fold"), run("fold"), run("fold"), run("seal"), run("seal")]
    with ThreadPoolExecutor(len(calls)) as threads:
        with market.gate(len(calls), "select from ledger.fold_state for update"):
            outcomes = [threads.submit(outcome_of, call) for call in calls]
        refused = refusals([outcome.result() for outcome in outcomes])
    if level is IsolationLevel.REPEATABLE_READ:  # who waited may give up, but not fold twice
        assert set(refused) <= {("40001", None)}
    else:
        assert refused == []
    assert market.earned() == 8 * EARNED
    market.fold()
    assert market.earned() == 8 * EARNED
    assert market.seal() == market.movements()


@BOTH_LEVELS
def test_a_sale_of_the_old_month_that_commits_after_its_payouts_is_paid_by_the_next(
    market: Market, level: IsolationLevel
) -> None:
    buyers = [market.reader(credits=PRICE) for _ in range(3)]
    market.owner.execute("update app.economy set earnings_hold_days = 0, minimum_payout_cents = 1")
    market.owner.execute(
        "insert into app.payout_accounts (user_id, is_live, stripe_account_id, transfers_status, "
        "payouts_enabled, read_at) values (%s, false, 'acct_1', 'active', true, now())",
        (market.creator,),
    )
    close = "select total_cents from app.run_monthly_payouts(%s, early => true)"
    this_month = value(market.owner, "select app.month_of(now())")
    last_month = value(market.owner, "select (%s::date - interval '1 month')::date", this_month)
    with market.connect_as_owner() as punctual, punctual.transaction():
        sell_at_the_end_of_last_month(market, punctual, buyers[0])
    with market.connect_as_owner() as late:
        late.isolation_level = level
        with late.transaction():
            sell_at_the_end_of_last_month(market, late, buyers[1])
            market.buyer(buyers[2], [3])()
            market.fold()
            assert sales_by_month(market) == [1, 1]
            assert value(market.owner, close, last_month) == 17
            assert market.violations() == []
    assert sales_by_month(market) == [2, 1]
    assert earnings_told(market.owner, market.creator) == {3 * EARNED - 170_000}
    market.fold()
    assert sales_by_month(market) == [2, 1]
    assert earnings_told(market.owner, market.creator) == {3 * EARNED - 170_000}
    assert value(market.owner, close, last_month) == 17
    assert value(market.owner, close, this_month) == 35
    assert earnings_told(market.owner, market.creator) == {5_000}


@pytest.mark.parametrize("first", ["fold", "zone"])
def test_months_that_begin_elsewhere_while_they_are_summed(market: Market, first: str) -> None:
    statements = {
        "fold": "select ledger.fold()",
        "zone": "update app.economy set business_time_zone = 'Pacific/Kiritimati'",
    }
    (second,) = statements.keys() - {first}
    reader = market.reader(credits=PRICE)
    with market.connect_as_owner() as sale, sale.transaction():
        sell_at_the_end_of_last_month(market, sale, reader)
    month = value(market.owner, "select month from ledger.earning_months(%s)", market.creator)

    def call() -> None:
        with market.connect_as_owner() as connection:
            connection.execute(statements[second].encode())

    with ThreadPoolExecutor(1) as threads:
        with market.gate(1, statements[first]):
            waiting = threads.submit(call)
        waiting.result()
    assert earnings_told(market.owner, market.creator) == {EARNED}
    assert market.violations() == []
    market.fold()
    totals = market.owner.execute(
        "select (month - interval '1 month')::date, movements from ledger.earning_totals"
    ).fetchall()
    assert totals == [(month, 1)]
    assert earnings_told(market.owner, market.creator) == {EARNED}


def test_repeatable_read_purchases_of_one_person_fail_rather_than_spend_twice(
    market: Market,
) -> None:
    reader = market.reader(credits=PRICE)

    def buy() -> Purchase:
        with market.connect() as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            return market.purchase(connection, reader, [4])

    with ThreadPoolExecutor(1) as threads:
        with market.connect() as first, first.transaction():
            market.purchase(first, reader, [3])
            second = threads.submit(outcome_of, buy)
            market.wait_for_queue(1)
        assert refusals([second.result()]) == [("40001", None)]
    assert market.balance(reader) == 0
    assert market.purchases(reader) == 1


# Authors act while readers buy


def test_a_price_change_during_a_purchase_never_exceeds_what_was_agreed(market: Market) -> None:
    reader = market.reader(credits=100)

    def buy() -> object:
        with market.connect() as connection, acting_as(connection, reader):
            return value(
                connection,
                "select credits_spent "
                "from api.purchase_story(%s, 'chapter', '{3}', max_credits => 5)",
                market.story,
            )

    with ThreadPoolExecutor(1) as threads:
        with market.gate(1, LOCK_WALLET, reader):
            buying = threads.submit(outcome_of, buy)
            with market.connect() as connection, acting_as(connection, market.creator):
                connection.execute(
                    "select api.set_story_pricing(%s, price_per_chapter => 6)", (market.story,)
                )
        assert refusals([buying.result()]) == [("PT409", "price_changed")]
    assert market.balance(reader) == 100


def test_new_splits_during_purchases_pay_each_sale_by_one_of_them(market: Market) -> None:
    partner = market.reader(credits=1)
    readers = [market.reader(credits=PRICE) for _ in range(16)]

    def split(parts: list[int]) -> Callable[[], object]:
        def call() -> object:
            with market.connect() as connection:
                for _ in range(10):
                    with acting_as(connection, market.creator):
                        connection.execute(
                            "select api.set_story_authors(%s, %s, %s)",
                            (market.story, [market.creator, partner], parts),
                        )
            return None

        return call

    calls: list[Callable[[], object]] = [split([9000, 1000]), split([5000, 5000])]
    calls += [market.buyer(reader, [3]) for reader in readers]
    assert refusals(in_parallel(calls)) == []
    earned = market.owner.execute(
        "select sum(amount) from ledger.transfers where kind = 'earning' group by transaction_id"
    ).fetchall()
    assert earned == [(EARNED,)] * 16
    assert (
        market.earned() + int(value(market.owner, "select ledger.balance(%s, 'earnings')", partner))
        == 16 * EARNED
    )


def earnings_told(connection: Connection, creator: UUID) -> set[int]:
    """What a creator has, by the balance, by the months and by the movements of one snapshot."""
    row = connection.execute(
        """
        select
            ledger.balance(%(creator)s, 'earnings'),
            (select sum(m.microdollars) from ledger.earning_months(%(creator)s) as m),
            sum(
                case when credit_owner_id = %(creator)s and credit_kind = 'earnings'
                    then amount else -amount end)
        from ledger.transfers
        where (credit_owner_id = %(creator)s and credit_kind = 'earnings')
            or (debit_owner_id = %(creator)s and debit_kind = 'earnings')
        """,
        {"creator": creator},
    ).fetchone()
    assert row is not None
    return {int(each or 0) for each in row}


def sales_by_month(market: Market) -> list[int]:
    """How many sales the creator's months have, the oldest month first."""
    months = market.owner.execute(
        "select movements from ledger.earning_months(%s) where kind = 'earning' order by month",
        (market.creator,),
    )
    return [sales for (sales,) in months]


def sell_at_the_end_of_last_month(market: Market, connection: Connection, reader: UUID) -> None:
    """A sale of 23:59:59.9, in the transaction that is open on an owner's connection."""
    market.purchase(connection, reader, [3])
    connection.execute("reset role")
    connection.execute("set local session_replication_role = replica")
    connection.execute(
        "update ledger.transfers "
        "set created_at = app.month_start(app.month_of(now())) - interval '100 milliseconds' "
        "where position = pg_current_xact_id()::text::bigint"
    )
