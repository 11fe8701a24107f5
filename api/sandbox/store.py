"""What the sandbox remembers: one SQLite file, one connection, one transaction for a request.

Objects are kept as the JSON that Stripe would show, plus keys that begin with an underscore and
are never shown. Durability stops at a crash of the process: this is not anybody's money.
"""

import json
import secrets
import sqlite3
import string
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.sandbox import SandboxError

Body = dict[str, Any]

LETTERS = string.ascii_letters + string.digits
FILE = "stripe.sqlite3"

# Filters of the lists that are worth an index.
INDEXED = (
    "customer",
    "payment_intent",
    "charge",
    "source",
    "status",
    "destination",
    "transfer_group",
    "invoice",
)

SCHEMA = """
create table if not exists objects (
    sequence integer primary key autoincrement,
    id text not null unique,
    kind text not null,
    created integer not null,
    body text not null
);
create index if not exists objects_kind on objects (kind, sequence);
create table if not exists replies (
    key text primary key, path text not null, parameters text not null, request text not null,
    status integer not null, body text not null, created integer not null
);
create table if not exists deliveries (
    id integer primary key, event text not null, endpoint text not null, state text not null,
    created real not null, due real not null
);
create index if not exists deliveries_event on deliveries (event);
create index if not exists deliveries_due on deliveries (state, due);
create table if not exists attempts (
    id integer primary key, delivery integer not null, at real not null, status integer,
    answer text not null
);
create index if not exists attempts_delivery on attempts (delivery);
create table if not exists balances (
    account text not null, currency text not null, amount integer not null,
    primary key (account, currency)
) without rowid;
create table if not exists settings (name text primary key, value text not null);
"""

# A file from before there were running balances gets them from its statement.
FIRST_BALANCES = """
insert into balances (account, currency, amount)
select '', json_extract(body, '$.currency'), sum(json_extract(body, '$.net')) from objects
where kind = 'balance_transaction' and not exists (select 1 from balances) group by 2
"""


def new_id(prefix: str, length: int = 24) -> str:
    """An id that nobody can guess, after Stripe's prefix."""
    return f"{prefix}_{random_text(length)}"


def random_text(length: int) -> str:
    """Letters and digits."""
    return "".join(LETTERS[byte % len(LETTERS)] for byte in secrets.token_bytes(length))


class Store:
    """The file and its one connection; every use is inside `transaction`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            folder / FILE, check_same_thread=False, isolation_level=None, timeout=1.0
        )
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            self._connection.close()
            raise SandboxError(
                f"{folder / FILE} cannot be used ({error}): does another sandbox run there?"
            ) from None
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise SandboxError(f"{folder / FILE} is not a sandbox's file: {error}") from None

    def _prepare(self) -> None:
        for pragma in ("locking_mode = exclusive", "journal_mode = wal", "synchronous = off"):
            self._connection.execute(f"pragma {pragma}").fetchall()
        self._connection.executescript(SCHEMA)
        for name in INDEXED:
            self._connection.execute(
                f"create index if not exists objects_{name} on objects "
                f"(kind, json_extract(body, '$.{name}'), sequence)"
            )
        self._connection.execute(FIRST_BALANCES)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is done inside, or nothing; one thread at a time."""
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement of the sandbox's own."""
        return self._connection.execute(statement, parameters).fetchall()

    def insert(self, body: Body) -> None:
        """Keep a new object."""
        self.query(
            "insert into objects (id, kind, created, body) values (?, ?, ?, ?)",
            (body["id"], body["object"], body["created"], json.dumps(body)),
        )

    def save(self, body: Body) -> None:
        """Keep what an object has become."""
        self.query("update objects set body = ? where id = ?", (json.dumps(body), body["id"]))

    def find(self, object_id: str) -> Body | None:
        """The object of that id, whatever it is."""
        rows = self.query("select body from objects where id = ?", (object_id,))
        return json.loads(rows[0][0]) if rows else None

    def get(self, kind: str, object_id: str) -> Body | None:
        """The object of that id, if it is of that kind."""
        body = self.find(object_id)
        return body if body is not None and body["object"] == kind else None

    def newest(self, kind: str, limit: int, **where: str) -> list[Body]:
        """The newest objects of a kind, those with these values."""
        conditions = "".join(f" and json_extract(body, '$.{name}') = ?" for name in where)
        rows = self.query(
            f"select body from objects where kind = ?{conditions} order by sequence desc limit ?",
            (kind, *where.values(), limit),
        )
        return [json.loads(body) for (body,) in rows]

    def setting(self, name: str) -> Any:
        """What was remembered under a name, or None."""
        rows = self.query("select value from settings where name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def remember(self, name: str, value: Any) -> None:
        """Remember a value under a name."""
        self.query("insert or replace into settings values (?, ?)", (name, json.dumps(value)))
