"""SQL in every text that somebody can send, and in every part of a query.

Whatever is run by mistake draws from a sequence, and no rollback gives that back: so it is seen
even where the call fails. Where nothing may be written it is refused, which is seen as well. The
functions and views are those of the catalog.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api.stack.postgres import EmbeddedPostgres
from tests.catalog import fingerprint
from tests.security.functions import Argument, Function, functions
from tests.security.leaks import check_answer
from tests.security.world import World, open_world, person
from tests.shop import Caller

DRAW = "nextval('public.drawn')"
TRICKS = (
    f"'||{DRAW}||'",
    f"'; select {DRAW}; --",
    f"'); select {DRAW}; --",
    f"' or {DRAW} > 0 --",
    f"1 union select {DRAW}",
    f"$$; select {DRAW}; $$",
    f"\\'; select {DRAW}; --",
    f'"; select {DRAW}; --',
    f"{{{DRAW}}}",
    f"%s%I%L' || {DRAW} || '",
    f"\u02bc; select {DRAW}; --",
    f"*/ select {DRAW} /*",
)
# Where a query may hold a name, an operator, a value or a list.
QUERIES = (
    "select={}",
    "select=*,{}",
    "select=id::{}",
    "select=x:{}(*)",
    "select=*,{}(*)",
    "order={}",
    "order=id.{}",
    "id=eq.{}",
    "id=in.({})",
    "id={}.1",
    "{}=eq.1",
    "or=({})",
    "and=(id.eq.{},id.eq.1)",
    "limit={}",
    "offset={}",
    "on_conflict={}",
    "columns={}",
)
HEADERS = ("Prefer", "Range", "Accept", "Idempotency_Key", "X_Request_Id", "Range_Unit")


@pytest.fixture(scope="module")
def world(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[World]:
    with open_world(postgres_server, next(database_names), migrated_template) as world:
        world.owner.execute(
            "create sequence public.drawn; grant all on sequence public.drawn to public"
        )
        yield world


@pytest.fixture(autouse=True)
def nothing_was_run(world: World) -> Iterator[None]:
    before = fingerprint(world.owner)
    yield
    world.owner.execute("reset search_path")
    drawn = world.owner.execute("select is_called from public.drawn").fetchone()
    assert drawn == (False,), "SQL out of a text was run"
    assert fingerprint(world.owner) == before


def test_the_sequence_tells_of_sql_that_is_run_and_undone(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.owner.transaction():
        world.owner.execute(f"select {DRAW}".encode())
        raise ZeroDivisionError
    assert world.owner.execute("select is_called from public.drawn").fetchone() == (True,)
    world.owner.execute("select setval('public.drawn', 1, false)")


def check(answer: httpx.Response, trick: str) -> None:
    """It is no fault of ours, and was not tried in a transaction that is read-only."""
    check_answer(answer, sent=trick)
    assert "25006" not in answer.text, answer.text


def callers_of(world: World, function: Function) -> list[Caller]:
    callers = {"authenticated": world.caller("ann"), "service_role": world.operator()}
    return [callers[role] for role in callers if role in function.roles]


def ids_for(argument: Argument) -> Any:
    return [str(person("ann"))] if argument.type == "uuid[]" else str(person("ann"))


def with_trick(argument: Argument, trick: str) -> list[Any]:
    """The trick in the place of a text, in a list of them, and anywhere in an object."""
    if argument.type == "text[]":
        return [[trick], "{" + trick + "}"]
    if argument.type == "jsonb":
        return [trick, {trick: trick}, {**_request(argument), "prompt": trick, "genre": trick}]
    return [trick]


def _request(argument: Argument) -> dict[str, Any]:
    return {"genre": "fiction", "model": "m", "prompt": "x"} if argument.name == "request" else {}


def test_sql_in_a_text_of_a_function_is_text(world: World) -> None:
    seen = 0
    for function in functions(world.owner):
        ids = {each.name: ids_for(each) for each in function.arguments if each.is_id}
        for argument in (each for each in function.arguments if each.is_text):
            for caller in callers_of(world, function):
                for trick in TRICKS:
                    for given in with_trick(argument, trick):
                        sent = {**ids, **function.suitable, argument.name: given}
                        answer = caller.call(function.name, sent)
                        check(answer, trick)
                        seen += 1
    assert seen > 500


def test_sql_in_an_argument_of_another_type_is_refused(world: World) -> None:
    """What is no number, time or id is turned away by its type, before a function sees it."""
    for function in functions(world.owner):
        ids = {each.name: ids_for(each) for each in function.arguments if each.is_id}
        for argument in (each for each in function.arguments if not each.is_text):
            caller = callers_of(world, function)[0]
            for trick in TRICKS[:3]:
                answer = caller.call(function.name, {**ids, argument.name: trick})
                check(answer, trick)
                assert answer.status_code in (400, 404), answer.text


def test_sql_in_a_query_is_no_query(world: World) -> None:
    views = [
        name
        for (name,) in world.owner.execute(
            "select relname from pg_class where relkind = 'v'"
            " and relnamespace = 'api'::regnamespace order by relname"
        )
    ]
    tricks = [quote(trick, safe="") for trick in TRICKS[:4]]
    caller = world.operator()
    for number, view in enumerate(views):
        for place, query in enumerate(QUERIES):
            trick = tricks[(number + place) % len(tricks)]
            answer = caller.get(f"/{view}?{query.format(trick)}")
            check(answer, trick)


def test_sql_in_a_path_or_a_header_is_nothing(world: World) -> None:
    caller = world.caller("ann")
    for trick in TRICKS:
        for path in (f"/{quote(trick, safe='')}", f"/rpc/{quote(trick, safe='')}"):
            answer: httpx.Response = caller.get(path)
            check(answer, trick)
            assert answer.status_code == 404, answer.text
        if trick.isascii():
            for header in HEADERS:
                check(caller.get("/stories", **{header: trick}), trick)
                check(caller.call("me", {}, **{header: trick}), trick)
