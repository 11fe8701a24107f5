"""A world with a past: creators who have sold for months, and are waiting to be paid."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.database import Database
from bench.errors import BenchError
from bench.payouts.plan import Plan, Size
from bench.purchase.arena import build_product_world
from bench.purchase.plan import Scenario
from bench.reading import Reading, Touched, look
from bench.server import BenchServer, run_script

HERE = Path(__file__).parent
MONTHS_PAST = 4  # that have partitions: 90 days and the month in which they begin
SECONDS_A_DAY = 86_400
OFFSET_DAYS = 0.5  # no evening comes out of the hold, or of the day, while all this is running
PAID = "paid"

READINGS = (
    Reading(  # the sales inside the hold are read one by one
        "the star's earnings",
        "select * from api.earnings_summary()",
        "bench.creator(0)",
        has_aim=False,
    ),
    Reading(
        "the star's statement of last month",
        "select * from api.payout_statement()",
        "bench.creator(0)",
    ),
    Reading(
        "another creator's earnings", "select * from api.earnings_summary()", "bench.creator(1)"
    ),
)


@dataclass(frozen=True)
class Due:
    """What must come out of a batch: creators and cents for every outcome."""

    creators: dict[str, int]
    cents: int


@dataclass(frozen=True)
class Past:
    """What a world holds before anybody is paid."""

    size: Size
    earnings: int
    movements: int
    gigabytes: float
    fold_seconds: float
    due: Due
    reading: dict[str, Touched]


def sold(size: Size) -> dict[Scenario, int]:
    """The chapters that the past has sold, of the star's story and of the others."""
    return {Scenario.ONE: size.evenings, Scenario.MANY: 1}


def build_past(
    server: BenchServer, name: str, size: Size, plan: Plan, evening: Callable[[], None]
) -> Past:
    """Make a database with a past, folded and analyzed as the worker and autovacuum leave it."""
    build_product_world(server, name, size.world)
    others = size.world.creators
    creators = {"creators": others}
    established = {"established": others - size.newcomers, "newcomers": size.newcomers}
    rules = {"minimum_cents": plan.minimum_cents, "months_past": MONTHS_PAST}
    run_script(server.postgres, name, HERE / "evenings.sql", **established)
    run_script(server.postgres, name, HERE / "creators.sql", **creators, **rules)
    run_script(server.postgres, name, HERE.parent / "history.sql")
    database = Database(server, name)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        for number in range(size.evenings):
            days = plan.days * (size.evenings - 1 - number) // size.evenings + OFFSET_DAYS
            connection.execute(
                "select bench.pass_evening(%s, %s, make_interval(secs => %s), false)",
                (number, size.readers, days * SECONDS_A_DAY),
            )
            evening()
    run_script(server.postgres, name, HERE / "troubles.sql", **creators)
    run_script(server.postgres, name, HERE / "truth.sql")
    database.execute("vacuum (analyze)")
    fold_seconds = database.timed("select ledger.fold()")
    database.execute("insert into bench.expected_payouts select * from bench.due_payouts")
    database.execute("vacuum (analyze)")
    return Past(
        size=size,
        earnings=int(
            database.value("select count(*) from ledger.transfers where kind = 'earning'")
        ),
        movements=int(database.value("select count(*) from ledger.transfers")),
        gigabytes=int(database.value("select pg_database_size(current_database())")) / 2**30,
        fold_seconds=fold_seconds,
        due=_due(database),
        reading=look(database, READINGS),
    )


def must_agree(database: Database, *, only_paid: bool = False) -> None:
    """Compare what was paid, and to whom not, with what the movements say; refuse any difference.

    `only_paid`: when people bought meanwhile, somebody below the minimum may have come above it,
    inside the hold. Nobody's payout changes by that.
    """
    where = f"where outcome = '{PAID}'" if only_paid else ""
    wrong = database.value(f"""
        select count(*)
        from (select * from bench.expected_payouts {where}) as e
        full join (select * from bench.made_payouts {where}) as m using (creator_id, outcome, cents)
        where e.creator_id is null or m.creator_id is null
    """)
    if wrong:
        raise BenchError(
            f"{wrong} rows of the batch in {database.name} are not what the movements say: "
            "compare bench.expected_payouts with bench.made_payouts"
        )


def _due(database: Database) -> Due:
    with psycopg.connect(database.url, autocommit=True) as connection:
        found = connection.execute(
            "select outcome, count(*), sum(cents)::bigint from bench.expected_payouts"
            " group by outcome order by outcome"
        ).fetchall()
    return Due({row[0]: row[1] for row in found}, sum(row[2] for row in found))
