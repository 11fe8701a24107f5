"""What the checks share: the books to look into, and a list of what was wrong."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg.rows import dict_row

from tests.teller import Json, Sandbox
from tests.torture.arena import Arena
from tests.torture.board import Board
from tests.torture.journal import Deed, Journal, Kind

SHOWN = 5


@dataclass
class Findings:
    """Everything there is to compare, and what did not agree."""

    arena: Arena
    owner: psycopg.Connection[Any]
    sandbox: Sandbox
    journal: Journal
    board: Board
    checked: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    there: list[tuple[Deed, Any]] = field(default_factory=list)  # and the first answer that is kept

    def rows(self, statement: str, *arguments: object) -> list[Json]:
        with self.owner.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode(), arguments or None).fetchall()

    def value(self, statement: str, *arguments: object) -> Any:
        row = self.owner.execute(statement.encode(), arguments or None).fetchone()
        assert row is not None
        return row[0]

    def known(self, kind: Kind) -> list[tuple[Deed, Any]]:
        """Deeds of a kind that the database knows, with the answers it keeps."""
        return [(deed, answer) for deed, answer in self.there if deed.kind is kind]

    def count(self, what: str, number: int = 1) -> None:
        """So many things were looked at."""
        self.checked[what] = self.checked.get(what, 0) + number

    def blame(self, what: str) -> None:
        self.wrong.append(what)

    def compare(
        self,
        what: str,
        expected: Mapping[Any, Hashable],
        found: Mapping[Any, Hashable],
    ) -> None:
        """Both must say the same of everything; the first few that differ are told."""
        self.count(what, len(expected))
        names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
        for name in names[:SHOWN]:
            self.blame(f"{what}: {name} should be {expected.get(name)}, and is {found.get(name)}")
        if len(names) > SHOWN:
            self.blame(f"{what}: and {len(names) - SHOWN} more")


def once(things: Iterable[Hashable]) -> Counter[Hashable]:
    """Counted by name: each should be there once."""
    return Counter(things)


def text(value: UUID | str | None) -> str:
    return str(value)


@contextmanager
def open_findings(arena: Arena, journal: Journal, board: Board) -> Iterator[Findings]:
    """Everything that the checks look into."""
    with arena.connect() as owner, httpx.Client(timeout=60, trust_env=False) as http:
        yield Findings(arena, owner, Sandbox(arena.stripe, http), journal, board)
