"""Taking everything along and being forgotten, as clients do it; and Stripe forgets too."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest

from api.sessions import short_transaction
from api.stack.postgres import EmbeddedPostgres
from api.stack.supervisor import Stack
from api.stack.wait import wait_until
from api.stripe import outbox
from api.stripe.client import raw
from tests.market import acting_as, in_parallel
from tests.payments import STARTER_CREDITS, Buyer, Till, till_of
from tests.shop import Caller, Shop, claims, open_shop, refusal
from tests.teller import WAIT_SECONDS
from tests.tills import OwnTill, own_till

ERASE = "select api.erase_me(true)"
REQUEST = (
    "select id, state, stripe_id, error_code, attempts from app.stripe_requests "
    "where user_id = %s and kind = 'customer_deletion'"
)
LATE = "select from app.stripe_events where type = 'customer.deleted' and object_id = %s"


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with open_shop(stack) as shop:
        yield shop


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


def with_address(till: Till, email: str) -> Buyer:
    """A buyer whose token has an address."""
    user = uuid4()
    told = claims(sub=str(user), email=email, email_verified=True)
    return till.caller(jwt.encode(told, till.jwt_secret, "HS256"), user)


def customer_of(till: Till, user: UUID) -> str:
    return str(
        till.value("select stripe_customer_id from app.stripe_customers where user_id = %s", user)
    )


def is_deleted(till: Till, customer: str) -> bool:
    return bool(raw(till.sandbox.api.customers.retrieve(customer)).get("deleted"))


def request_of(till: Till, user: UUID) -> dict[str, Any]:
    (request,) = till.rows(REQUEST, user)
    return request


def erased(till: Till) -> tuple[UUID, str]:
    """Somebody who paid and was forgotten, with the customer that Stripe still has."""
    buyer = till.buyer()
    buyer.pay()
    with acting_as(till.owner, buyer.id):
        till.owner.execute(ERASE)
    return buyer.id, customer_of(till, buyer.id)


def is_kept(till: Till, text: str) -> bool:
    """Whether the inbox or the outbox has this text."""
    return bool(
        till.value(
            "select exists (select from app.stripe_events where payload::text like %s) "
            "or exists (select from app.stripe_requests where parameters::text like %s)",
            f"%{text}%",
            f"%{text}%",
        )
    )


# Over PostgREST


def test_everything_about_somebody_and_nothing_about_others(shop: Shop) -> None:
    reader, other = shop.somebody(100), shop.somebody(100)
    notes = {"story_id": shop.story, "personal_notes": "It made me cry"}
    for caller in (reader, other):
        assert caller.call("purchase_story", shop.chapter(3)).status_code == 200
    assert reader.call("update_library", notes).status_code == 200

    answers = [reader.get("/rpc/export_my_data"), reader.call("export_my_data")]

    assert [each.status_code for each in answers] == [200, 200]
    for export in (each.json() for each in answers):
        assert export["user_id"] == str(reader.id)
        assert export["cut_off"] == []
        tables = export["tables"]
        assert [row["personal_notes"] for row in tables["user_library"]] == ["It made me cry"]
        assert [row["chapters_unlocked"] for row in tables["story_purchases"]] == [[3]]
        assert sum(row["remaining"] for row in tables["lots"]) == 95
        assert str(other.id) not in str(export)
    refusal(shop.with_claims(sub=None).call("export_my_data"), 401)
    assert shop.anonymous().get("/rpc/export_my_data").status_code == 401


def test_an_operator_takes_it_along_for_somebody(shop: Shop) -> None:
    reader, operator = shop.somebody(7), shop.operator()
    assert reader.call("me").status_code == 200
    whom = {"user_id": str(reader.id)}
    answer = operator.call("export_person", whom)
    assert answer.status_code == 200
    assert answer.json()["tables"]["profiles"][0]["id"] == str(reader.id)
    nobody = refusal(operator.call("export_person", {"user_id": str(uuid4())}), 404)
    assert nobody["hint"] == "user_not_found"
    for caller in (reader, shop.anonymous()):
        assert caller.call("export_person", whom).status_code in (401, 403)
        assert caller.call("erase_person", whom | {"reason": "?"}).status_code in (401, 403)


def test_being_forgotten_has_to_be_settled_first(shop: Shop) -> None:
    reader = shop.somebody(100)
    body = refusal(reader.call("erase_me"), 409)
    assert body["hint"] == "not_settled"
    assert body["message"] == "There is something to settle first."
    assert body["details"] == "100 credits: spend them, or pass `forfeit`"
    assert reader.get("/rpc/erase_me").status_code == 405  # nothing is forgotten by a link
    assert reader.call("credit_balance").json()["balance"] == 100

    gone = reader.call("erase_me", {"forfeit": True})

    assert gone.status_code == 200, gone.text
    assert gone.json()["handle"].startswith("gone_")
    check_gone(shop, reader, gone.json()["handle"])


def check_gone(shop: Shop, person: Caller, handle: str) -> None:
    (profile,) = person.get("/profiles").json()
    assert (profile["handle"], profile["display_name"]) == (handle, None)
    assert profile["credits_balance"] == 0
    again = refusal(person.call("erase_me", {"forfeit": True}), 409)
    assert (again["hint"], again["message"]) == (
        "already_erased",
        "There is nothing left to forget.",
    )
    assert shop.market.violations() == []


def test_an_operator_has_somebody_forgotten(shop: Shop) -> None:
    reader, operator = shop.somebody(100), shop.operator()
    whom = {"user_id": str(reader.id)}
    without = refusal(operator.call("erase_person", whom | {"reason": " "}), 400)
    assert without["hint"] == "text_required"
    asked = whom | {"reason": "asked by letter"}
    assert refusal(operator.call("erase_person", asked), 409)["hint"] == "not_settled"
    gone = operator.call("erase_person", asked | {"forfeit": True})
    assert gone.status_code == 200, gone.text
    check_gone(shop, reader, gone.json()["handle"])
    again = refusal(operator.call("erase_person", asked), 409)
    assert again["hint"] == "already_erased"


def test_who_bought_keeps_reading(shop: Shop) -> None:
    reader, creator = shop.somebody(100), shop.creator()
    assert reader.call("purchase_story", shop.chapter(3)).status_code == 200
    chapter = {"story_id": shop.story, "chapter_number": 3}
    before = reader.call("read_chapter", chapter).json()
    gone = creator.call("erase_me", {"forfeit": True})
    assert gone.status_code == 200, gone.text
    assert reader.call("read_chapter", chapter).json() == before
    nothing = refusal(shop.somebody(100).call("purchase_story", shop.chapter(3)), 404)
    assert nothing["hint"] == "story_not_found"


def test_a_payment_is_made_and_forgotten_at_stripe_too(stack: Stack) -> None:
    """The stack's own worker deletes the customer; what Stripe says of it names nobody."""
    with till_of(stack) as till:
        email = f"{uuid4().hex}@example.com"
        buyer = with_address(till, email)
        payment = buyer.pay()
        assert buyer.balance == STARTER_CREDITS
        customer = customer_of(till, buyer.id)
        assert raw(till.sandbox.api.customers.retrieve(customer))["email"] == email
        assert is_kept(till, email)
        with httpx.Client(base_url=stack.rest_url) as http:
            person = Caller(http, buyer.id, buyer.token)
            receipt = {"payment_id": str(payment)}
            number = person.call("receipt", receipt).json()["number"]
            gone = person.call("erase_me", {"forfeit": True})
            assert gone.status_code == 200, gone.text

            assert wait_until(lambda: is_deleted(till, customer), seconds=WAIT_SECONDS)
            done = wait_until(
                lambda: request_of(till, buyer.id)["state"] == "succeeded", seconds=WAIT_SECONDS
            )
            assert done
            late = (
                "select from app.stripe_events where type = 'customer.deleted' and object_id = %s"
            )
            assert wait_until(lambda: till.rows(late, customer) != [], seconds=WAIT_SECONDS)
            assert not is_kept(till, email)
            after = person.call("receipt", receipt).json()
        assert (after["number"], after["buyer_name"]) == (number, gone.json()["handle"])
        assert payment.row["status"] == "succeeded"


# The customer at Stripe, whatever happens on the way


@pytest.mark.parametrize("fault", ["lost_request", "lost_reply", "error_500", "error_429"])
def test_stripe_is_away(till: OwnTill, fault: str) -> None:
    user, customer = erased(till)
    till.sandbox.fault(f"/v1/customers/{customer}", fault, method="DELETE", times=None)
    for attempt in (1, 2):
        till.work()
        request = request_of(till, user)
        assert (request["state"], request["attempts"]) == ("pending", attempt)
    till.sandbox.calm()
    till.work()
    assert request_of(till, user)["state"] == "succeeded"
    assert is_deleted(till, customer)


@pytest.mark.parametrize("fault", ["lost_request", "hold"])
def test_a_worker_killed_while_it_deletes(till: OwnTill, fault: str) -> None:
    """Before the call comes through, or when it is done and the answer is not there yet."""
    user, customer = erased(till)
    till.due()
    times = None if fault == "lost_request" else 1
    till.sandbox.fault(f"/v1/customers/{customer}", fault, method="DELETE", times=times)
    worker = till.worker()

    def reached() -> bool:
        return till.sandbox.struck() >= 1 if fault == "lost_request" else till.sandbox.holding() > 0

    assert wait_until(reached, seconds=WAIT_SECONDS), (till.folder / "worker.log").read_text()
    worker.kill()
    worker.wait()
    assert request_of(till, user)["state"] == "pending"
    till.sandbox.calm()
    assert is_deleted(till, customer) is (fault == "hold")
    till.work()
    request = request_of(till, user)
    assert (request["state"], request["stripe_id"]) == ("succeeded", customer)
    assert is_deleted(till, customer)


def test_what_is_deleted_already_is_done(till: OwnTill) -> None:
    """By hand in Stripe's dashboard, or by another worker at the same moment."""
    user, customer = erased(till)
    till.sandbox.api.customers.delete(customer)
    till.work()
    request = request_of(till, user)
    assert (request["state"], request["stripe_id"]) == ("succeeded", customer)


def test_two_workers_at_the_same_moment(till: OwnTill) -> None:
    user, customer = erased(till)
    till.due()
    (request,) = outbox.claim(transact(till), 1, livemode=False)
    answers = in_parallel([deliver(till, request) for _ in range(4)])
    assert [cast(dict[str, Any], each)["id"] for each in answers] == [customer] * 4
    assert request_of(till, user)["state"] == "succeeded"


def transact(till: OwnTill) -> outbox.Transact:
    return lambda: short_transaction(till.owner)


def deliver(till: OwnTill, request: outbox.Request) -> Callable[[], dict[str, Any]]:
    def call() -> dict[str, Any]:
        with psycopg.connect(till.database_url, autocommit=True) as connection:
            return outbox.deliver(
                lambda: short_transaction(connection), till.sandbox.client, request
            )

    return call


def test_a_customer_whom_stripe_never_knew(till: OwnTill) -> None:
    """The key of another account: an operator has to look."""
    user, customer = erased(till)
    till.owner.execute(
        "update app.stripe_requests set parameters = jsonb_set(parameters, '{customer}', %s) "
        "where user_id = %s and kind = 'customer_deletion'",
        ('"cus_nobody"', user),
    )
    till.work()
    request = request_of(till, user)
    assert (request["state"], request["error_code"]) == ("failed", "resource_missing")
    assert not is_deleted(till, customer)


def test_erased_twice_at_the_same_moment(till: OwnTill) -> None:
    buyer = till.buyer()
    buyer.pay()
    barrier = threading.Barrier(2)

    def erase() -> str:
        with psycopg.connect(till.database_url, autocommit=True) as connection:
            barrier.wait()
            with acting_as(connection, buyer.id):
                try:
                    connection.execute(ERASE)
                except psycopg.Error as error:
                    return str(error.diag.message_hint)
        return "erased"

    assert sorted(map(str, in_parallel([erase, erase]))) == ["already_erased", "erased"]
    assert len(till.rows(REQUEST, buyer.id)) == 1
    till.work()
    assert is_deleted(till, customer_of(till, buyer.id))
