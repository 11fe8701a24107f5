"""Thousands of requests at random: no fault of ours, no leak, and no money out of place.

`FUZZ=500` tries so many requests of each operation, where CI tries a few. The requests are always
the same ones; a failure shows the one that it is about.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from api import create_app
from api.config import EdgeSettings
from api.stack.postgres import EmbeddedPostgres
from tests.payouts import Office, open_office
from tests.security import edge
from tests.security.leaks import check_answer
from tests.security.requests import Chance, Operation, Request, of_openapi, request_for
from tests.security.world import World, open_world
from tests.shop import Caller
from tests.tills import Edge

EXAMPLES = int(os.environ.get("FUZZ", "8"))
# What is Ann's or Bob's alone, wherever it stands.
OF_ANN = ("A secret draft", "Not for anybody yet", "ann@example.com", "cus_ann", "acct_ann")
OF_BOB = ("bob@example.com", "cus_bob", "sub_bob")


@pytest.fixture(scope="module")
def world(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[World]:
    with open_world(postgres_server, next(database_names), migrated_template) as world:
        yield world


def tries(operations: list[Operation], ids: list[str]) -> Iterator[tuple[Operation, Request]]:
    """The requests, so many of each operation."""
    for operation in operations:
        for number in range(1 if operation.writes_a_view else EXAMPLES):
            yield operation, request_for(operation, Chance(f"{operation} {number}", ids))


def send(caller: Caller, request: Request) -> httpx.Response:
    headers = dict(request.headers)
    if caller.token is not None:
        headers["Authorization"] = f"Bearer {caller.token}"
    return caller.http.request(
        request.method, request.target, content=request.body, headers=headers
    )


def check(answer: httpx.Response, request: Request) -> None:
    check_answer(answer, sent=request.target + (request.body or b"").decode("latin-1"))


def changes_nothing(request: Request) -> bool:
    """Whether it names no column: then PostgREST says yes, and does nothing."""
    try:
        columns = json.loads(request.body or b"")
    except ValueError:
        return False
    return request.method == "PATCH" and (not isinstance(columns, dict) or not columns)


def ids_of(world: World) -> list[str]:
    """Some of everything that has an id and a name of its own."""
    tables = ["stories", "profiles", "payments", "payouts", "cover_jobs", "story_covers"]
    tables += ["generation_jobs", "exports", "notices", "story_purchases", "credit_packages"]
    queries = [f"select id from app.{table}" for table in tables]
    found = world.owner.execute(" union all ".join(queries).encode()).fetchall()
    return sorted(str(id) for (id,) in found)


@pytest.mark.parametrize("who", ["anonymous", "reader", "creator", "operator"])
def test_postgrest(world: World, who: str) -> None:
    nobody = Caller(world.rest, world.operator().id, None)
    callers: dict[str, tuple[Caller, tuple[str, ...]]] = {
        "anonymous": (nobody, (*OF_ANN, *OF_BOB)),
        "reader": (world.caller("bob"), OF_ANN),
        "creator": (world.caller("ann"), OF_BOB),
        "operator": (world.operator(), ()),
    }
    caller, secrets = callers[who]
    operations = of_openapi(caller.get("/", Accept="application/openapi+json").json())
    assert len(operations) > 20
    answered: Counter[int] = Counter()
    for operation, request in tries(operations, ids_of(world)):
        answer = send(caller, request)
        check(answer, request)
        if operation.writes_a_view:
            assert answer.is_error or changes_nothing(request), request
        for secret in secrets:
            assert secret not in answer.text, request
        answered[answer.status_code] += 1
    # Not everything was nonsense, and not everything was allowed.
    assert min(answered[200], answered[400]) > 0.05 * answered.total()
    assert world.violations() == []


# The edge -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def office(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    """At its end the ledger must be right, and agree with the sandbox."""
    with open_office(postgres_server, next(database_names), migrated_template) as office:
        office.execute("update app.rate_limits set capacity = 1000000")
        yield office


@pytest.fixture(scope="module")
def door(office: Office) -> Edge:
    """An edge that keeps covers too."""
    return office.till.edge(COVER_STORE_URL=f"file://{office.till.folder}/covers")


def test_the_description_of_the_edge_is_whole(office: Office) -> None:
    app = create_app(EdgeSettings.from_environment(office.till.environment))
    app.extensions["database"].close()
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(each.method, each.path) for each in edge.OPERATIONS} == routes


@pytest.mark.parametrize("who", ["anonymous", "reader", "creator", "operator"])
def test_the_edge(office: Office, door: Edge, who: str) -> None:
    till = office.till
    payer = till.buyer()
    payment = payer.pay()
    creator = office.creator(cents=5000)
    tokens = {
        "anonymous": None,
        "reader": payer.token,
        "creator": till.buyer(creator.id).token,
        "operator": till.service().token,
    }
    buyer = till.caller(tokens[who], url=door.url)
    caller = Caller(buyer.http, buyer.id, buyer.token)
    ids = [str(payment), till.package("Starter Pack"), str(payer.id), str(creator.id)]
    answered: Counter[int] = Counter()
    for _, request in tries(list(edge.OPERATIONS), ids):
        answer = send(caller, request)
        assert answer.status_code < 500, (request, answer.text)
        if answer.headers.get("Content-Type", "").startswith("application/json"):
            check(answer, request)
        assert payment.intent not in answer.text or who in ("reader", "operator"), request
        answered[answer.status_code] += 1
    assert answered[400] and answered[200] and answered[404], answered
    if who != "anonymous":
        assert answered[201], answered
    assert "Traceback" not in door.log
    assert till.violations() == []
