"""Stripe in trouble: whatever becomes of a call, nothing is lost and nothing is made twice."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from tests.payments import STARTER_CREDITS, Buyer, Payment
from tests.shop import refusal
from tests.teller import WAIT_SECONDS, Json
from tests.tills import OwnTill, own_till

# Of the library's three tries all have to fail for the edge to notice.
ALWAYS = None
CUSTOMERS, INTENTS, SESSIONS, REFUNDS = (
    "/v1/customers",
    "/v1/payment_intents",
    "/v1/checkout/sessions",
    "/v1/refunds",
)
FAULTS = ("error_500", "error_500_after", "error_429", "lost_request", "lost_reply")


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[OwnTill]:
    with own_till(postgres_server, next(database_names), migrated_template) as till:
        yield till


@pytest.fixture
def till(house: OwnTill) -> Iterator[OwnTill]:
    yield house
    house.settle()


def begin(buyer: Buyer, path: str) -> httpx.Response:
    """The call that comes to ask Stripe for this, always with the same key."""
    return buyer.checkout(key="k") if path == SESSIONS else buyer.purchase(key="k")


def made(till: OwnTill, buyer: Buyer) -> list[Json]:
    """The intents or sessions of a buyer at Stripe."""
    api = till.sandbox.api
    customers = [
        each["id"]
        for each in till.sandbox.all_of(api.customers)
        if each["metadata"]["user_id"] == str(buyer.id)
    ]
    assert len(customers) <= 1
    found: list[Json] = []
    for customer in customers:
        found += till.sandbox.all_of(api.payment_intents, customer=customer)
        found += till.sandbox.all_of(api.checkout.sessions, customer=customer)
    return found


@pytest.mark.parametrize("path", [CUSTOMERS, INTENTS, SESSIONS])
def test_beginning_a_payment(till: OwnTill, path: str) -> None:
    """Every failure there is, one time and every time, for every kind of call."""
    for fault in FAULTS:
        for times in (1, ALWAYS):
            buyer = till.buyer()
            till.sandbox.fault(path, fault, times=times)
            first = begin(buyer, path)
            assert till.sandbox.struck() >= 1, fault
            if first.status_code != 201:
                assert refusal(first, 502)["hint"] == "stripe_unavailable", fault
                assert first.headers["Content-Type"] == "application/json"
            else:
                assert times == 1, fault  # the library's second try went well
            till.sandbox.calm()

            second = begin(buyer, path)

            payment = buyer.payment(second)
            if first.status_code == 201:
                assert second.json() == first.json()
            assert len(made(till, buyer)) == 1, (fault, times)
            assert till.value("select count(*) from app.payments where user_id = %s", buyer.id) == 1
            assert begin(buyer, path).json() == second.json()
            finish(payment, path)


def finish(payment: Payment, path: str) -> None:
    answer = payment.pay_session() if path == SESSIONS else payment.confirm()
    assert answer.is_success
    payment.wait_for("succeeded")
    assert payment.buyer.balance == STARTER_CREDITS
    assert payment.till.violations() == []


@pytest.mark.parametrize("path", [CUSTOMERS, INTENTS, SESSIONS])
def test_the_worker_finishes_what_the_edge_could_not(till: OwnTill, path: str) -> None:
    for fault in ("error_500", "error_500_after", "lost_reply"):
        buyer = till.buyer()
        till.sandbox.fault(path, fault, times=ALWAYS)
        assert refusal(begin(buyer, path), 502)["hint"] == "stripe_unavailable"
        assert till.pending_requests() == 1
        if fault == "error_500":
            till.work()  # in vain
            assert till.pending_requests() == 1
        till.sandbox.calm()
        till.work()
        assert till.pending_requests() == 0, fault
        payment = buyer.payment(begin(buyer, path))
        assert len(made(till, buyer)) == 1, fault
        finish(payment, path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_refund_is_made_once(till: OwnTill, fault: str) -> None:
    for times in (1, ALWAYS):
        payment = till.buyer().pay()
        till.sandbox.fault(REFUNDS, fault, times=times)
        answer = till.service().refund(payment, key="k", amount_cents=100)
        assert answer.status_code == 201  # it stands, whether Stripe knows of it yet or not
        assert payment.buyer.balance < STARTER_CREDITS
        assert till.violations() == []
        till.sandbox.calm()
        again = till.service().refund(payment, key="k", amount_cents=100)
        assert again.json()["refund_id"] == answer.json()["refund_id"]
        till.work()
        payment.wait_for_refunds("succeeded")
        refunds = till.sandbox.all_of(till.sandbox.api.refunds, payment_intent=payment.intent)
        assert [each["amount"] for each in refunds] == [100], (fault, times)


def test_a_refund_that_nobody_asks_for_again(till: OwnTill) -> None:
    """The worker sends it, as often as it takes."""
    payment = till.buyer().pay()
    till.sandbox.fault(REFUNDS, "error_500", times=ALWAYS)
    answer = till.service().refund(payment)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    for _ in range(3):
        till.work()
    assert payment.refunds()[0]["status"] == "pending"
    till.sandbox.calm()
    till.work()
    payment.wait_for_refunds("succeeded")
    refunds = till.sandbox.all_of(till.sandbox.api.refunds, payment_intent=payment.intent)
    assert len(refunds) == 1


def test_a_stored_500_does_not_come_back_for_a_day(till: OwnTill) -> None:
    """One 500, kept under the idempotency key: the same key would be answered with it again."""
    buyer = till.buyer()
    till.sandbox.fault(INTENTS, "error_500", times=1)
    assert refusal(buyer.purchase(key="k"), 502)["hint"] == "stripe_unavailable"
    till.work()
    (intent,) = made(till, buyer)
    payment = buyer.payment(buyer.purchase(key="k"))
    assert payment.intent == intent["id"]


def test_a_key_that_is_wrong_waits_for_the_operator(till: OwnTill) -> None:
    """A key that Stripe does not take says nothing about the payment."""
    buyer = till.buyer()
    edge = till.edge(STRIPE_SECRET_KEY="sk_test_anotherAccount")
    elsewhere = till.caller(buyer.token, buyer.id, edge.url)
    assert refusal(elsewhere.purchase(key="k"), 502)["hint"] == "stripe_unavailable"
    assert "anotherAccount" not in edge.log
    assert till.pending_requests() == 1
    assert buyer.purchase(key="k").status_code == 201


def test_a_webhook_while_the_database_is_away(till: OwnTill) -> None:
    """503, so that Stripe sends it again: nothing is lost."""
    payment = till.buyer().begin()
    with till.owner.transaction():
        till.owner.execute("lock table app.stripe_events in access exclusive mode")
        payment.confirm()

        def refused() -> bool:
            listed = till.sandbox.control("/webhooks", method="GET")["deliveries"]
            return any(a["status"] == 503 for each in listed for a in each["attempts"])

        assert wait_until(refused, seconds=WAIT_SECONDS)
    payment.wait_for("succeeded")
    assert payment.buyer.balance == STARTER_CREDITS


# No call to Stripe inside a transaction -----------------------------------------------------------

IN_TRANSACTION = """
    select state, query from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
        and (state like 'idle in transaction%' or state = 'active')
"""


@pytest.mark.parametrize("path", [CUSTOMERS, INTENTS, SESSIONS, REFUNDS])
def test_no_transaction_is_open_while_stripe_thinks(till: OwnTill, path: str) -> None:
    payment = till.buyer().pay() if path == REFUNDS else None
    buyer = till.buyer()
    till.sandbox.fault(path, "hold")
    with ThreadPoolExecutor(1) as thread:
        if payment is not None:
            answer = thread.submit(till.service().refund, payment)
        else:
            answer = thread.submit(begin, buyer, path)
        till.sandbox.wait_for_held()
        backends = till.value(
            "select count(*) from pg_stat_activity "
            "where datname = current_database() and application_name = 'infinite-pages-edge'"
        )
        assert backends >= 1
        # News of what was made before may be taken in meanwhile, and are done in no time.
        assert wait_until(lambda: till.rows(IN_TRANSACTION) == [], seconds=5)
        till.sandbox.let_go()
        assert answer.result().status_code == 201


def test_no_transaction_is_open_while_an_intent_is_read_again(till: OwnTill) -> None:
    buyer = till.buyer()
    first = buyer.purchase(key="k").json()
    till.sandbox.fault(f"{INTENTS}/*", "hold", method="GET")
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(buyer.purchase, key="k")
        till.sandbox.wait_for_held()
        # News of what was made before may be taken in meanwhile, and are done in no time.
        assert wait_until(lambda: till.rows(IN_TRANSACTION) == [], seconds=5)
        till.sandbox.let_go()
        assert answer.result().json() == first


@pytest.mark.parametrize("path", ["/v1/events", "/v1/balance_transactions", REFUNDS])
def test_no_transaction_is_open_while_the_worker_waits(till: OwnTill, path: str) -> None:
    payment = till.buyer().pay()
    till.sandbox.fault(REFUNDS, "error_500", times=ALWAYS)
    till.service().refund(payment)
    till.sandbox.calm()
    till.due()
    till.sandbox.fault(path, "hold", method="*")
    worker = till.worker()
    till.sandbox.wait_for_held()
    # Other tasks begin and end meanwhile; one that waited for Stripe would stay.
    idle = "select query from pg_stat_activity where state like 'idle in transaction%'"
    ours = f"{idle} and datname = current_database()"
    assert wait_until(lambda: till.rows(ours) == [], seconds=WAIT_SECONDS)
    till.sandbox.let_go()
    payment.wait_for_refunds("succeeded")
    worker.terminate()
    assert worker.wait(WAIT_SECONDS) == 0


def test_a_stripe_that_hangs_does_not_keep_webhooks_out(till: OwnTill) -> None:
    """Of the edge's threads only some may wait for Stripe."""
    waiting = [till.buyer() for _ in range(7)]
    payment = till.buyer().begin()
    till.sandbox.fault(CUSTOMERS, "hold", times=ALWAYS)
    with ThreadPoolExecutor(7) as threads:
        answers = [threads.submit(buyer.purchase) for buyer in waiting]
        till.sandbox.wait_for_held(5)
        payment.confirm()
        payment.wait_for("succeeded")
        assert wait_until(lambda: sum(map(Future.done, answers)) == 2, seconds=WAIT_SECONDS)
        till.sandbox.calm()
        statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [201] * 5 + [502] * 2
