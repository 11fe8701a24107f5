"""Passing over what stands already.

Making a view, a policy or a trigger anew locks its table even where nothing changes, and a deploy
that takes such locks one after the other collides with the sales that hold them. So a statement is
passed over when the same text was run before and the database still has what it made.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from psycopg import Connection

from api.deploy.books import SCHEMA
from api.deploy.statements import Statement

_VIEW = re.compile(r"create or replace view ([\w.]+)\b")
_TRIGGER = re.compile(r"create or replace trigger (\w+)\s.*?\bon ([\w.]+)", re.DOTALL)
_POLICY = re.compile(r"(?:drop policy if exists|create policy) (\w+) on ([\w.]+)")

# What the database has under a name; null where it has nothing.
_DEFINITIONS = {
    "view": """
        select pg_get_viewdef(c.oid) || coalesce(c.reloptions::text, '')
        from pg_class as c where c.oid = to_regclass(%s)
        """,
    "trigger": """
        select pg_get_triggerdef(t.oid) || t.tgenabled::text
        from pg_trigger as t where t.tgname = %s and t.tgrelid = to_regclass(%s)
        """,
    "policy": """
        select row(
            p.polcmd, p.polpermissive, p.polroles::regrole[],
            pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))::text
        from pg_policy as p where p.polname = %s and p.polrelid = to_regclass(%s)
        """,
}


@dataclass(frozen=True)
class Thing:
    """A view, a trigger or a policy, by its kind and its name."""

    kind: str
    names: tuple[str, ...]

    def definition(self, connection: Connection) -> str | None:
        """How the database has it now."""
        row = connection.execute(_DEFINITIONS[self.kind], self.names).fetchone()
        return None if row is None else row[0]

    def __str__(self) -> str:
        return " ".join((self.kind, *self.names))


def made_by(statement: Statement) -> Thing | None:
    """What the statement makes, or clears the place for; None for everything else."""
    for kind, pattern in (("view", _VIEW), ("trigger", _TRIGGER), ("policy", _POLICY)):
        if match := pattern.match(statement.text):
            return Thing(kind, match.groups())
    return None


class Standing:
    """What the last deploys made, and from which texts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, tuple[str, str]] = {
            thing: (text, definition)
            for thing, text, definition in connection.execute(
                f"select thing, text, definition from {SCHEMA}.standing"
            )
        }
        self._made: dict[Thing, str] = {}

    def to_run(self, statements: Iterable[Statement]) -> Iterator[Statement]:
        """The statements that are needed; what they made is noted as each is done."""
        listed = list(statements)
        texts: dict[Thing, str] = {}
        for statement in listed:
            if thing := made_by(statement):
                texts[thing] = texts.get(thing, "") + statement.text
        stands = {thing for thing, text in texts.items() if self._stands(thing, _hash(text))}
        for statement in listed:
            thing = made_by(statement)
            if thing not in stands:
                yield statement
                if thing is not None:
                    self._made[thing] = _hash(texts[thing])

    def record(self) -> None:
        """Keep what was made, as the login that deploys."""
        for thing, text in self._made.items():
            self._connection.execute(
                f"""
                insert into {SCHEMA}.standing (thing, text, definition) values (%s, %s, %s)
                on conflict (thing) do update
                set text = excluded.text, definition = excluded.definition
                """,
                (str(thing), text, _hash(thing.definition(self._connection) or "")),
            )

    def _stands(self, thing: Thing, text: str) -> bool:
        definition = thing.definition(self._connection)
        return definition is not None and self._known.get(str(thing)) == (text, _hash(definition))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
