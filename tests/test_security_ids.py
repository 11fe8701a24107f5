"""Other people's ids, given to every function that takes one.

The ids are all that the tables hold, the functions all that the catalog lists. What somebody is not
shown must be to them as what does not exist: the same refusal, to the letter.
"""

import re
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from api.stack.postgres import EmbeddedPostgres
from tests.market import acting_as
from tests.security.functions import Function, functions
from tests.security.world import FOLDER, PEOPLE, World, open_world, person

Outcomes = dict[str, tuple[str, list[str]]]

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The edge calls these about what it has just begun or heard of itself: no client names their ids.
OF_THE_EDGE_ALONE = {"app.begin_stripe_request", "app.record_stripe_answer"}
OF_THE_EDGE_ALONE |= {"app.record_stripe_failure"}
# Everything of one's own up to a notice, whose id may be any.
TAKES_ANY_ID = {"api.mark_notices_read"}
# Signed-in people may call it, and are told that it is not for them.
FOR_OPERATORS = {"app.refund_payment"}
# A co-author who leaves a story leaves their part to its author.
TOUCHES_OTHERS = {"api.leave_story"}


@pytest.fixture(scope="module")
def world(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[World]:
    with open_world(postgres_server, next(database_names), migrated_template) as world:
        world.owner.execute((FOLDER / "attempts.sql").read_bytes())
        world.owner.execute("select attack.remember()")
        yield world


@pytest.fixture(scope="module")
def takers(world: World) -> list[tuple[str, Function]]:
    """What takes an id of a person's choice: at PostgREST, and by way of the edge."""
    found = [("authenticated", each) for each in functions(world.owner, "authenticated")]
    found += [("edge", each) for each in functions(world.owner, "edge", "app")]
    takers = [(role, each) for role, each in found if each.takes_ids]
    takers = [(role, each) for role, each in takers if str(each) not in OF_THE_EDGE_ALONE]
    assert len(takers) > 25
    return takers


def ids_of(world: World) -> set[UUID]:
    return {id for (id,) in world.owner.execute("select distinct id from attack.ids()")}


def shown_to(world: World, handle: str) -> set[str]:
    """The ids that somebody finds in the views."""
    views = world.owner.execute(
        "select c.oid::regclass::text from pg_class as c where c.relkind = 'v'"
        " and c.relnamespace = 'api'::regnamespace"
        " and has_table_privilege('authenticated', c.oid, 'select')"
    ).fetchall()
    found = {str(person(handle))}
    with acting_as(world.owner, person(handle)):
        for (view,) in views:
            rows = world.owner.execute(f"select to_jsonb(v)::text from {view} as v".encode())
            found.update(id for (row,) in rows for id in ID.findall(row))
    return found


def call_of(world: World, function: Function) -> str:
    """The call as SQL, with %ID% in the place of each id."""
    given: list[sql.Composable] = []
    for each in function.arguments:
        name, kind = sql.Identifier(each.name), sql.SQL(each.type)
        if each.is_id:
            value: sql.Composable = sql.SQL("array['%ID%']" if each.type == "uuid[]" else "'%ID%'")
        elif each.name in function.suitable:
            suitable = function.suitable[each.name]
            value = sql.Literal(Jsonb(suitable) if each.type == "jsonb" else suitable)
        else:
            continue
        given.append(sql.SQL("{} => {}::{}").format(name, value, kind))
    call = sql.SQL("select to_jsonb(answer)::text from {}({}) as answer").format(
        sql.Identifier(function.schema, function.name), sql.SQL(", ").join(given)
    )
    return call.as_string(world.owner)


def outcomes(world: World, handle: str, role: str, function: Function, ids: set[UUID]) -> Outcomes:
    """What somebody is told for each id, and which rows of others change by it."""
    rows = world.owner.execute(
        "select given.id, attempted.outcome, attempted.touched from unnest(%s) as given (id),"
        " lateral attack.attempt(%s, %s, replace(%s, '%%ID%%', given.id::text)) as attempted",
        (list(ids), person(handle), role, call_of(world, function)),
    ).fetchall()
    return {str(id): (said.replace(str(id), "ID"), touched) for id, said, touched in rows}


def test_what_is_not_shown_does_not_exist(world: World, takers: list[tuple[str, Function]]) -> None:
    nobodys = uuid4()
    ids = ids_of(world) | {nobodys}
    told: dict[str, set[str]] = {}
    for handle in PEOPLE:
        hidden = {str(id) for id in ids} - shown_to(world, handle)
        assert len(hidden) > 50
        for role, function in takers:
            name = str(function)
            is_indifferent = name in TAKES_ANY_ID
            tried = {nobodys, *sorted(ids)[::40]} if is_indifferent else ids
            found = outcomes(world, handle, role, function, tried)
            if not is_indifferent:
                unknown, _ = found[str(nobodys)]
                assert unknown.startswith(("PT403 | ", "PT404 | ")), name
                assert {id: found[id][0] for id in hidden if found[id][0] != unknown} == {}, name
            if name not in TOUCHES_OTHERS:
                assert {id: rows for id, (_, rows) in found.items() if rows} == {}, name
            told.setdefault(name, set()).update(said for said, _ in found.values())
    # The ids are those that matter: each function does or says something else for one of them.
    assert {name for name, said in told.items() if len(said) == 1} == FOR_OPERATORS
