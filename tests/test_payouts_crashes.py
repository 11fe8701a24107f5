"""Killed without a last word, and Stripe in trouble: every payout is sent once, or given back once.

Workers are real processes. Where only the answer may bring the news, the webhooks are held and
nobody reads Stripe's list of events.
"""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from threading import Condition
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from api import deploy
from api.config import DATABASE_NAME
from api.sandbox.server import running_sandbox
from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from tests.conftest import NewDatabase
from tests.market import acting_as, value
from tests.payments import READING_EVENTS
from tests.payouts import DOLLAR, TRANSFERS, Office, Popen, kill, log_of, open_office, workers
from tests.payroll import check_everybody_once, long_ago, new_creators
from tests.processes import COMMAND, clean_environment
from tests.shop import refusal
from tests.teller import WAIT_SECONDS, Sandbox
from tests.tills import STRIPE

ALWAYS = None
FAULTS = ("error_500", "error_500_after", "error_429", "lost_request", "lost_reply")


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    with open_office(postgres_server, next(database_names), migrated_template) as office:
        leave_nothing_but_sending(office)
        yield office


@pytest.fixture
def office(house: Office) -> Iterator[Office]:
    yield house
    house.till.settle()


@pytest.fixture
def poor_office(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    """One whose platform has no money at Stripe."""
    name = next(database_names)
    with open_office(postgres_server, name, migrated_template, funds=0) as office:
        leave_nothing_but_sending(office)
        yield office


def leave_nothing_but_sending(office: Office) -> None:
    """The month that is over is closed, and no worker looks for events."""
    office.execute("select app.run_monthly_payouts(%s)", office.month(back=1))
    office.execute(READING_EVENTS)


# At every step of sending -------------------------------------------------------------------------
# Each takes a worker to that point and kills it there. It answers what Stripe has made by then, and
# how often Stripe will have to be asked for it again.


def before_the_call(office: Office, payout: str) -> tuple[int, int]:
    """It is claimed, and the call does not come through."""
    office.till.sandbox.fault(TRANSFERS, "lost_request", times=ALWAYS)
    worker = office.till.worker()
    assert wait_until(lambda: office.till.sandbox.struck() >= 1, seconds=WAIT_SECONDS)
    kill(worker)
    return 0, 1


def before_the_answer(office: Office, payout: str) -> tuple[int, int]:
    """It is made at Stripe, and the answer has not left."""
    office.till.sandbox.fault(TRANSFERS, "hold")
    worker = office.till.worker()
    office.till.sandbox.wait_for_held()
    kill(worker)
    return 1, 0


def before_it_is_recorded(office: Office, payout: str) -> tuple[int, int]:
    """The answer is there, and its transaction has not ended."""
    office.till.sandbox.fault(TRANSFERS, "hold")
    worker = office.till.worker()
    office.till.sandbox.wait_for_held()
    with recording_stopped(office, payout):
        office.till.sandbox.let_go()
        assert wait_until(lambda: is_recording(office), seconds=WAIT_SECONDS), log_of(office)
        kill(worker)
    return 1, 0


@contextmanager
def recording_stopped(office: Office, payout: str) -> Iterator[None]:
    with psycopg.connect(office.till.database_url) as holder:
        holder.execute("select from app.payouts where id = %s for update", (payout,))
        yield


def is_recording(office: Office) -> bool:
    statement = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock' and query like '%record_stripe_answer%'"
    )
    return bool(office.value(statement) == 1)


def while_it_looks_it_up(office: Office, payout: str) -> tuple[int, int]:
    """A second attempt, which asks first whether the first one made it."""
    refuse_once(office)
    office.till.sandbox.fault(TRANSFERS, "hold", method="GET")
    worker = office.till.worker()
    office.till.sandbox.wait_for_held()
    kill(worker)
    return 0, 2  # the first key is spent


def while_it_asks_for_the_balance(office: Office, payout: str) -> tuple[int, int]:
    """A second attempt, which has found nothing."""
    refuse_once(office)
    office.till.sandbox.fault("/v1/balance", "hold", method="GET")
    worker = office.till.worker()
    office.till.sandbox.wait_for_held()
    kill(worker)
    return 0, 2  # the first key is spent


def while_the_first_answer_is_repeated(office: Office, payout: str) -> tuple[int, int]:
    """A second attempt, which is told under the first key what it was told before."""
    refuse_once(office)
    before_the_answer(office, payout)
    return 0, 2


def in_the_second_attempt(office: Office, payout: str) -> tuple[int, int]:
    """The second attempt makes it under the second key, and nobody hears of it."""
    refuse_once(office)
    office.till.sandbox.fault(TRANSFERS, "slow", seconds=0)  # the repeated answer passes
    return before_the_answer(office, payout)


def refuse_once(office: Office) -> None:
    """The first attempt was answered with a 500, which Stripe keeps under its key."""
    office.till.sandbox.fault(TRANSFERS, "error_500")
    office.send()
    office.till.due()


STEPS = [
    before_the_call,
    before_the_answer,
    before_it_is_recorded,
    while_it_looks_it_up,
    while_it_asks_for_the_balance,
    while_the_first_answer_is_repeated,
    in_the_second_attempt,
]


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_every_step(
    office: Office, step: Callable[[Office, str], tuple[int, int]]
) -> None:
    creator = office.creator(5000)
    payout = creator.ask()
    office.till.sandbox.webhooks("hold")

    made, asked_again = step(office, payout)

    office.till.sandbox.control("/faults", method="DELETE")
    assert len(office.transfers(payout)) == made
    assert office.payout(payout)["status"] == "processing"
    assert creator.figures() == (0, 50 * DOLLAR, 0)
    assert office.till.violations() == []
    # Its lease is not over: nobody else sends it meanwhile, and nobody can take it back.
    assert office.rows("select * from app.claim_stripe_requests(10, false)") == []
    assert refusal(creator.cancel(payout), 409)["hint"] == "payout_not_pending"

    office.count_creates()
    office.till.due()
    with workers(office, 1):
        office.check_paid_once(payout)

    assert office.creates() == asked_again  # what was made is looked up, and not asked for again
    assert creator.figures() == (0, 0, 50 * DOLLAR)
    assert [each["state"] for each in office.requests(payout)] == ["succeeded"]


@pytest.mark.parametrize("step", [before_the_answer, before_it_is_recorded])
def test_the_event_comes_when_the_worker_was_killed(
    office: Office, step: Callable[[Office, str], tuple[int, int]]
) -> None:
    """The payout is paid by what the webhook says; the request finds its answer later."""
    creator = office.creator(5000)
    payout = creator.ask()
    office.till.sandbox.webhooks("hold")
    step(office, payout)
    office.till.sandbox.calm()
    office.wait_for(payout, "paid")
    assert [each["state"] for each in office.requests(payout)] in (["pending"], ["succeeded"])
    office.count_creates()
    office.send()
    office.check_paid_once(payout)
    assert office.creates() == 0
    assert [each["state"] for each in office.requests(payout)] == ["succeeded"]
    assert creator.figures() == (0, 0, 50 * DOLLAR)


def test_a_call_that_arrives_when_all_is_over(office: Office) -> None:
    """The same call under the same key, late on its way: Stripe answers what it has answered."""
    creator = office.creator(5000)
    payout = creator.ask()
    office.send()
    office.check_paid_once(payout)
    (request,) = office.requests(payout)
    late: Any = office.till.sandbox.api.transfers.create(
        request["parameters"], {"idempotency_key": request["idempotency_key"]}
    )
    assert late.id == request["stripe_id"]
    office.check_paid_once(payout)


def test_workers_at_once_and_one_of_them_killed(office: Office) -> None:
    """Of many payouts each is sent once; those of the killed one by the others, in a minute."""
    creators = [office.creator(2000) for _ in range(12)]
    payouts = [creator.ask() for creator in creators]
    office.till.sandbox.fault(TRANSFERS, "hold", times=2)
    office.count_creates()

    def paid() -> int:
        statement = "select count(*) from app.payouts where id = any (%s::uuid[]) and status = %s"
        return int(office.value(statement, payouts, "paid"))

    with workers(office, 1) as (first,):
        office.till.sandbox.wait_for_held(2)
        with workers(office, 2):
            assert wait_until(lambda: paid() >= 10, seconds=WAIT_SECONDS), log_of(office)
            kill(first)
            office.till.sandbox.let_go()
            office.till.due()
            for payout in payouts:
                office.check_paid_once(payout)
    assert office.creates() == 12
    assert {creator.figures() for creator in creators} == {(0, 0, 20 * DOLLAR)}


def test_a_payout_is_hurried_while_it_is_sent(office: Office) -> None:
    """The operator is impatient, and two senders ask at the same time: under the same key."""
    creator = office.creator(5000)
    payout = creator.ask()
    office.till.sandbox.webhooks("hold")
    office.till.sandbox.fault(TRANSFERS, "slow", seconds=2)
    with workers(office, 1):
        assert wait_until(lambda: office.till.sandbox.struck() == 1, seconds=WAIT_SECONDS)
        retry = office.service().call("retry_payout", {"payout_id": payout})
        assert retry.json() == payout
        office.send()
        office.check_paid_once(payout)
    # At its end the worker has heard its own answer.
    office.check_paid_once(payout)
    (request,) = office.requests(payout)
    assert (request["state"], request["attempts"]) == ("succeeded", 2)


# The month's end ----------------------------------------------------------------------------------


@contextmanager
def closing_worker(url: str, log: Path) -> Iterator[Popen]:
    """A worker that knows of no Stripe: it closes months."""
    with log.open("a") as output:
        worker = subprocess.Popen(
            [*COMMAND, "worker"],
            env={**clean_environment(), "DATABASE_URL": url},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.terminate()
            worker.wait(WAIT_SECONDS)


@pytest.mark.parametrize(("waits_at", "done"), [(100, 0), (700, 500)])
def test_a_worker_killed_while_it_closes_a_month(
    migrated_database: NewDatabase, tmp_path: Path, waits_at: int, done: int
) -> None:
    """Of many creators some are paid, and others not yet: two more go on at once."""
    url, log = migrated_database(), tmp_path / "worker.log"
    with psycopg.connect(url, autocommit=True) as owner:
        creators = new_creators(owner, 1100, 1500)
        long_ago(owner)
        owner.execute("update app.economy set payout_day = 1")
        month: date = value(owner, "select app.month_to_close()")
        owner.execute("select ledger.fold()")  # what is folded locks no creator's account any more

        def is_waiting() -> bool:
            statement = (
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and wait_event_type = 'Lock' and query like '%%continue_monthly_payouts%%'"
            )
            return bool(value(owner, statement) == 1)

        with psycopg.connect(url) as holder:
            holder.execute("select ledger.lock_earnings(array[%s])", (creators[waits_at],))
            with closing_worker(url, log) as worker:
                assert wait_until(is_waiting, seconds=WAIT_SECONDS), log.read_text()
                kill(worker)
        assert wait_until(lambda: not is_waiting(), seconds=WAIT_SECONDS)

        batches = owner.execute(
            "select state, creators_done, payouts from app.monthly_payout_batches"
        ).fetchall()
        assert batches == ([("running", done, done)] if done else [])
        paid = owner.execute("select creator_id from app.payouts order by creator_id").fetchall()
        assert [creator for (creator,) in paid] == creators[:done]
        assert owner.execute("select * from ledger.verify()").fetchall() == []
        assert value(owner, "select app.month_to_close()") == month

        with closing_worker(url, log), closing_worker(url, log):
            assert wait_until(
                lambda: value(owner, "select app.month_to_close()") is None, seconds=60
            ), log.read_text()
        check_everybody_once(owner, creators, month, 1500)
        assert log.read_text().count("1100 payouts") == 1  # said by the one that closed it


def test_workers_close_a_month_and_send_it(office: Office) -> None:
    """From the month's end to the transfers, by three workers at once."""
    creators = [office.creator(1100) for _ in range(10)]
    month = office.month(back=2)
    office.execute(
        "insert into app.monthly_payout_batches (month, currency, cutoff_at, creators)"
        " values (%s, 'usd', app.month_start((%s::date + interval '1 month')::date), 0)",
        month,
        month,
    )  # begun, and left by whoever began it: that is always due
    office.count_creates()

    def is_over() -> bool:
        return bool(office.value("select app.month_to_close()") is None)

    with workers(office, 3):
        assert wait_until(is_over, seconds=WAIT_SECONDS), log_of(office)
        batch = office.rows(
            "select p.id from app.payouts as p"
            " inner join app.monthly_payout_batches as b on b.id = p.batch_id where b.month = %s",
            month,
        )
        for payout in batch:  # also of those who had something left
            office.check_paid_once(payout["id"])
    assert office.creates() == len(batch) >= 10
    for creator in creators:
        assert creator.figures() == (0, 0, 11 * DOLLAR)


# The database itself ------------------------------------------------------------------------------

CREATORS = 300
CREATORS_A_STEP = 10
# After how many acknowledged steps, of all rounds, the server is killed.
KILLS = (1, 9, 20)


class Steps:
    """What the sessions that close a month were told, before the server was gone."""

    def __init__(self) -> None:
        self._changed = Condition()
        self.acknowledged: list[tuple[int, int]] = []

    def add(self, creators_done: int, payouts: int) -> None:
        with self._changed:
            self.acknowledged.append((creators_done, payouts))
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.acknowledged) >= number, timeout=60)
        assert enough

    def close(self, url: str, month: date) -> None:
        """Go on until the month is closed or the server is gone."""
        statement = (
            "select is_closed, creators_done, payouts from app.continue_monthly_payouts(%s, %s)"
        )
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                is_closed = False
                while not is_closed:
                    row = connection.execute(statement, (month, CREATORS_A_STEP)).fetchone()
                    assert row is not None
                    is_closed = row[0]
                    self.add(row[1], row[2])
        except psycopg.OperationalError:
            return


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="infinite-pages-crash-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        yield server
        server.stop()


def test_the_server_is_killed_in_the_middle_of_a_batch(server: EmbeddedPostgres) -> None:
    """What was acknowledged is there, once, and the rest is done after the restart."""
    url = server.url(DATABASE_NAME)
    server.create_database(DATABASE_NAME)
    deploy.migrate(url)
    with psycopg.connect(url, autocommit=True) as owner:
        creators = new_creators(owner, CREATORS, 1500)
        by_request = creators[::10]
        month: date = value(owner, "select (app.month_of(now()) - interval '1 month')::date")
    steps = Steps()
    requested: dict[UUID, UUID] = {}
    for kill_after in KILLS:
        with ThreadPoolExecutor(3) as threads:
            running = [threads.submit(steps.close, url, month) for _ in range(2)]
            running.append(threads.submit(request_until_gone, url, by_request, requested))
            steps.wait_for(kill_after)
            server.kill()
            for each in running:
                each.result()
        server.start()
        with psycopg.connect(url, autocommit=True) as owner:
            check_acknowledged(owner, steps, requested)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: steps.close(url, month), range(2)))
    with psycopg.connect(url, autocommit=True) as owner:
        check_acknowledged(owner, steps, requested)
        paid = owner.execute(
            "select creator_id, amount_cents, status from app.payouts order by creator_id"
        ).fetchall()
        assert paid == [(creator, 1500, "pending") for creator in creators]
        assert value(owner, "select state from app.monthly_payout_batches") == "closed"


def request_until_gone(url: str, creators: list[UUID], requested: dict[UUID, UUID]) -> None:
    """Ask for one creator's money after the other; some have been paid by the batch."""
    for creator in creators:
        if creator in requested:
            continue
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                with acting_as(connection, creator):
                    payout = value(connection, "select payout_id from api.request_payout()")
                requested[creator] = payout
        except psycopg.OperationalError:
            return
        except psycopg.Error as refused:
            assert refused.diag.message_hint == "below_minimum_payout"


def check_acknowledged(
    owner: psycopg.Connection[Any], steps: Steps, requested: dict[UUID, UUID]
) -> None:
    batch = owner.execute(
        "select creators_done, payouts from app.monthly_payout_batches"
    ).fetchone()
    assert batch is not None
    assert batch[0] >= max(done for done, _ in steps.acknowledged)
    assert batch[1] >= max(payouts for _, payouts in steps.acknowledged)
    rows = owner.execute("select creator_id, id from app.payouts where batch_id is null").fetchall()
    assert requested.items() <= dict(rows).items()
    assert owner.execute("select * from ledger.verify()").fetchall() == []


@dataclass
class Outpost:
    """A database and a sandbox, and nothing in between but workers."""

    server: EmbeddedPostgres
    sandbox: Sandbox
    log: Path

    @property
    def url(self) -> str:
        return self.server.url(DATABASE_NAME)

    @contextmanager
    def worker(self) -> Iterator[Popen]:
        settings = self.sandbox.settings.without_webhook_secrets()
        environment = {**clean_environment(), **settings.environment(), "DATABASE_URL": self.url}
        with self.log.open("a") as output:
            worker = subprocess.Popen(
                [*COMMAND, "worker"], env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            yield worker
        finally:
            worker.terminate()
            worker.wait(WAIT_SECONDS)

    def value(self, statement: str, *arguments: object) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return value(connection, statement, *arguments)


@pytest.fixture
def outpost(server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Outpost]:
    server.create_database(DATABASE_NAME)
    deploy.migrate(server.url(DATABASE_NAME))
    with (
        running_sandbox(
            tmp_path / "stripe",
            secret_key=STRIPE.secret_key,
            webhook_url="http://127.0.0.1:1/",  # where nobody listens
            webhook_secrets=STRIPE.webhook_secrets,
        ) as running,
        httpx.Client(timeout=30) as http,
    ):
        sandbox = Sandbox(replace(STRIPE, api_base=running.url), http)
        sandbox.webhooks("hold")
        yield Outpost(server, sandbox, tmp_path / "worker.log")


def test_the_server_is_killed_while_the_answer_is_on_its_way(outpost: Outpost) -> None:
    """The worker lives on, and finds at Stripe what it could not write down."""
    sandbox = outpost.sandbox
    sandbox.control("/balance/top_up", {"amount": 10_000})
    account: Any = sandbox.api.accounts.create(
        {"country": "US", "capabilities": {"transfers": {"requested": True}}}
    )
    sandbox.control(f"/accounts/{account.id}/complete")
    with psycopg.connect(outpost.url, autocommit=True) as owner:
        (creator,) = new_creators(owner, 1, 5000)
        owner.execute("update app.payout_accounts set stripe_account_id = %s", (account.id,))
        with acting_as(owner, creator):
            payout = value(owner, "select payout_id from api.request_payout()")
        owner.execute(
            "select app.run_monthly_payouts((app.month_of(now()) - interval '1 month')::date)"
        )
    sandbox.fault(TRANSFERS, "hold")
    # Events would tell as well: here nobody reads them.
    sandbox.fault("/v1/events", "error_500", method="GET", times=ALWAYS)
    with outpost.worker() as worker:
        sandbox.wait_for_held()
        outpost.server.kill()
        sandbox.let_go()
        assert wait_until(
            lambda: "trying again" in outpost.log.read_text(), seconds=WAIT_SECONDS
        ), outpost.log.read_text()
        outpost.server.start()
        assert outpost.value("select status from app.payouts") == "processing"
        assert outpost.value("select count(*) from ledger.verify()") == 0
        outpost.value("update app.stripe_requests set next_attempt_at = now() returning 1")

        def is_paid() -> bool:
            return bool(outpost.value("select status from app.payouts") == "paid")

        # It waits longer and longer for the server, at most half a minute.
        assert wait_until(is_paid, seconds=60), outpost.log.read_text()
        assert worker.poll() is None
    (transfer,) = sandbox.all_of(sandbox.api.transfers, transfer_group=f"payout-{payout}")
    assert outpost.value("select stripe_transfer_id from app.payouts") == transfer["id"]
    assert outpost.value("select ledger.balance(%s, 'paid')", creator) == 50 * DOLLAR
    assert outpost.value("select count(*) from ledger.verify()") == 0
