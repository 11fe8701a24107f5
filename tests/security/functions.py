"""What can be called from outside, as the catalog lists it, and arguments that suit it.

Nobody has to think of a new function: it is found here, and what its arguments are called says what
would suit them. A name that is not in the list gets something of its type.
"""

from dataclasses import dataclass
from typing import Any

import psycopg

# A function that takes a row is a computed column, and no client calls it as a function.
_ARGUMENTS = """
    select p.proname, p.proargnames[a.place::integer], a.type::regtype::text,
        a.place > p.pronargs - p.pronargdefaults,
        array(select r from unnest(%(roles)s::text[]) as r
              where has_function_privilege(r, p.oid, 'execute'))
    from pg_proc as p
    left join unnest(p.proargtypes::oid[]) with ordinality as a (type, place) on true
    where p.pronamespace = %(schema)s::regnamespace and p.prokind = 'f'
        and p.proname <> 'before_request'
        and not exists (
            select from unnest(p.proargtypes::oid[]) as given (type)
            join pg_type as t on t.oid = given.type and t.typtype = 'c')
    order by p.proname, a.place
"""
_ROLES = ("anon", "authenticated", "service_role", "edge")

# What does its work if nothing in it is changed.
SUITABLE: dict[str, Any] = {
    "basis_points": [10000],
    "chapters": [3],
    "content": "Some words.",
    "feature": "library",
    "format": "epub",
    "operation": "other",
    "purchase_type": "chapter",
    "request": {"genre": "fiction", "model": "m", "prompt": "A lighthouse"},
    "style": "fantasy",
}
OF_TYPE: dict[str, Any] = {
    "text": "A text",
    "text[]": ["a"],
    "integer": 1,
    "integer[]": [1],
    "bigint": 1,
    "numeric": 10,
    "boolean": False,
    "jsonb": {},
    "date": "2026-01-01",
    "timestamp with time zone": "2100-01-01T00:00:00Z",
}


@dataclass(frozen=True)
class Argument:
    """One argument of a function."""

    name: str
    type: str
    is_optional: bool

    @property
    def is_id(self) -> bool:
        return self.type in ("uuid", "uuid[]")

    @property
    def is_text(self) -> bool:
        return self.type in ("text", "text[]", "jsonb")


@dataclass(frozen=True)
class Function:
    """A function, and which of the roles may call it."""

    schema: str
    name: str
    arguments: tuple[Argument, ...]
    roles: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def takes_ids(self) -> bool:
        return any(each.is_id for each in self.arguments)

    @property
    def suitable(self) -> dict[str, Any]:
        """What it needs to do its work, its ids left out."""
        return {
            each.name: SUITABLE.get(each.name, OF_TYPE.get(each.type))
            for each in self.arguments
            if not each.is_id and (each.name in SUITABLE or not each.is_optional)
        }


def functions(
    connection: psycopg.Connection[Any], role: str | None = None, schema: str = "api"
) -> list[Function]:
    """Those that a role may call, or any of them, by their names."""
    found: dict[str, Function] = {}
    asked = {"roles": list(_ROLES), "schema": schema}
    for name, argument, kind, is_optional, roles in connection.execute(_ARGUMENTS, asked):
        arguments = found[name].arguments if name in found else ()
        if argument is not None:
            arguments += (Argument(argument, kind, is_optional),)
        found[name] = Function(schema, name, arguments, tuple(roles))
    wanted = {role} if role else set(_ROLES)
    return [each for each in found.values() if wanted & set(each.roles)]
