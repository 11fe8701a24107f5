"""Killed without a last word, before the call to Stripe and after it: another one goes on."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from tests.payments import STARTER_CREDITS, Buyer, Payment
from tests.teller import WAIT_SECONDS
from tests.tills import Edge, OwnTill, own_till

INTENTS, SESSIONS, REFUNDS = "/v1/payment_intents", "/v1/checkout/sessions", "/v1/refunds"


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


def before_the_call(till: OwnTill, path: str) -> Callable[[], bool]:
    """Nothing comes through to Stripe; the edge has committed, and tries."""
    till.sandbox.fault(path, "lost_request", times=None)
    return lambda: till.sandbox.struck() >= 1


def after_the_call(till: OwnTill, path: str) -> Callable[[], bool]:
    """It is done at Stripe; the edge waits for the answer."""
    till.sandbox.fault(path, "hold")
    return lambda: till.sandbox.holding() == 1


def killed(edge: Edge, reached: Callable[[], bool], call: Callable[[], httpx.Response]) -> None:
    """Kill the edge at that point of a call, whose caller never hears of it."""
    with ThreadPoolExecutor(1) as thread:
        answer: Future[httpx.Response] = thread.submit(call)
        assert wait_until(reached, seconds=WAIT_SECONDS), edge.log
        edge.kill()
        assert isinstance(answer.exception(), httpx.TransportError)


def at_stripe(till: OwnTill, buyer: Buyer) -> int:
    """How many intents and sessions of this buyer there are."""
    customer = till.value(
        "select stripe_customer_id from app.stripe_customers where user_id = %s", buyer.id
    )
    api = till.sandbox.api
    return sum(
        len(till.sandbox.all_of(service, customer=customer))
        for service in (api.payment_intents, api.checkout.sessions)
    )


@pytest.mark.parametrize("where", [before_the_call, after_the_call])
@pytest.mark.parametrize("path", [INTENTS, SESSIONS])
def test_an_edge_killed_while_it_begins_a_payment(
    till: OwnTill, path: str, where: Callable[[OwnTill, str], Callable[[], bool]]
) -> None:
    edge = till.edge()
    buyer = till.buyer()
    caller = till.caller(buyer.token, buyer.id, edge.url)
    checkout = path == SESSIONS
    reached = where(till, path)
    killed(edge, reached, lambda: (caller.checkout if checkout else caller.purchase)(key="k"))
    assert till.pending_requests() == 1
    assert till.violations() == []

    till.sandbox.calm()
    till.work()

    assert till.pending_requests() == 0
    assert at_stripe(till, buyer) == 1
    payment = buyer.payment(buyer.checkout(key="k") if checkout else buyer.purchase(key="k"))
    assert at_stripe(till, buyer) == 1
    answer = payment.pay_session() if checkout else payment.confirm()
    assert answer.is_success
    payment.wait_for("succeeded")
    assert buyer.balance == STARTER_CREDITS


@pytest.mark.parametrize("where", [before_the_call, after_the_call])
def test_an_edge_killed_while_it_refunds(
    till: OwnTill, where: Callable[[OwnTill, str], Callable[[], bool]]
) -> None:
    payment = till.buyer().pay()
    edge = till.edge()
    service = till.service()
    caller = till.caller(service.token, service.id, edge.url)
    killed(edge, where(till, REFUNDS), lambda: caller.refund(payment, key="k", amount_cents=200))
    (refund,) = payment.refunds()
    assert refund["amount_cents"] == 200
    assert till.violations() == []

    till.sandbox.calm()
    till.work()

    check_refunded_once(payment, 200)
    again = service.refund(payment, key="k", amount_cents=200)
    assert (again.status_code, again.json()["refund_id"]) == (201, str(refund["id"]))
    check_refunded_once(payment, 200)


def check_refunded_once(payment: Payment, cents: int) -> None:
    payment.wait_for_refunds("succeeded")
    sandbox = payment.till.sandbox
    refunds = sandbox.all_of(sandbox.api.refunds, payment_intent=payment.intent)
    assert [each["amount"] for each in refunds] == [cents]
    assert payment.row["refunded_cents"] == cents


@pytest.mark.parametrize("where", [before_the_call, after_the_call])
def test_a_worker_killed_while_it_sends(
    till: OwnTill, where: Callable[[OwnTill, str], Callable[[], bool]]
) -> None:
    payment = till.buyer().pay()
    till.sandbox.fault(REFUNDS, "error_500", times=None)
    assert till.service().refund(payment, amount_cents=200).json()["status"] == "pending"
    till.sandbox.calm()
    till.due()
    reached = where(till, REFUNDS)
    worker = till.worker()
    assert wait_until(reached, seconds=WAIT_SECONDS), (till.folder / "worker.log").read_text()
    worker.kill()
    worker.wait()
    till.sandbox.calm()
    # Its lease is not over: nobody else sends it meanwhile.
    due = "select from app.stripe_requests where state = 'pending' and next_attempt_at <= now()"
    assert till.rows(due) == []
    till.work()
    check_refunded_once(payment, 200)


def test_two_workers_at_once(till: OwnTill) -> None:
    payments = [till.buyer().pay() for _ in range(3)]
    till.sandbox.fault(REFUNDS, "error_500", times=None)
    for payment in payments:
        assert till.service().refund(payment, amount_cents=200).status_code == 201
    till.sandbox.calm()
    till.due()
    workers = [till.worker() for _ in range(2)]
    for payment in payments:
        check_refunded_once(payment, 200)
    for worker in workers:
        worker.terminate()
        assert worker.wait(WAIT_SECONDS) == 0
