"""Requests at random, by the description that a door gives of itself.

What PostgREST says of its functions and views, and what `edge.py` says of the edge, is the frame;
in it stand values that suit, values that nearly do, and values that nobody sane would send.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from tests.security.doors import NOBODYS
from tests.security.functions import OF_TYPE, SUITABLE

TEXTS = (
    "", " ", "x", "fantasy", "en", "epub", "chapter", "reader", "null", "NaN", "\u0000", "a\u0000b",
    "' or true --", "$$", "%s", "{}", "{", "[1", "\\", "\u0665", "\U0001f4a9", "\u202e", "x" * 6000,
    "../../etc/passwd", "https://example.com/x.png", "javascript:alert(1)", "2026-02-30",
)  # fmt: skip
URLS = (
    "http://127.0.0.1:8000/done", "https://evil.example/", "javascript:alert(1)", "//evil.example",
    "http://127.0.0.1:8000@evil.example/", "https://", "https://[::1", "data:text/html,x",
)  # fmt: skip
NUMBERS = (
    0, 1, 2, 3, 5, -1, 100, 10_000, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1,
    10**30, 0.5, 1e300, -0.0,
)  # fmt: skip
MOMENTS = ("2026-01-01", "2100-01-01T00:00:00Z", "294277-01-01", "-infinity", "now", "0000-00-00")
OPERATORS = (
    "eq", "gt", "gte", "lt", "lte", "neq", "like", "ilike", "match", "imatch", "in", "is", "fts",
    "plfts", "phfts", "wfts", "cs", "cd", "ov", "sl", "adj", "isdistinct", "not.eq", "not.is",
    "like(any)", "eq(all)", "nonsense", "",
)  # fmt: skip
SELECTS = (
    "*", "id", "count()", "id.sum()", "id::text", "id::regclass", "x:id", "*,stories(*)",
    "*,profiles!inner(*)", "...stories(*)", "id->a->>b", "id->0", "", ",", "(", "nowhere",
)  # fmt: skip
HEADERS = {
    "Prefer": (
        "count=exact", "count=planned", "count=estimated", "return=representation", "tx=rollback",
        "handling=strict, x=y", "missing=default", "resolution=ignore-duplicates",
    ),
    "Range": ("0-0", "5-1", "0-", "-5", "a-b", "0-99999999999999999999"),
    "Accept": (
        "*/*", "text/csv", "text/html", "application/vnd.pgrst.object+json", "application/geo+json",
        "application/openapi+json", "application/octet-stream", "nonsense", "a/b;q=x",
    ),
    "Content-Type": (
        "application/json", "text/csv", "text/plain", "application/x-www-form-urlencoded",
        "application/octet-stream", "multipart/form-data", "nonsense",
    ),
    "Accept-Profile": ("api", "app", ""),
    "Idempotency-Key": ("k", "x" * 300, ""),
}  # fmt: skip
BODIES = (
    b"", b"{", b"null", b"[]", b"[{}]", b"5", b"\xff\xfe", b'{"a": NaN}', b"[" * 2000, b"a=b&c=d",
    b'{"a":' * 2000 + b"1" + b"}" * 2000, b'{"x": "\\ud800"}', b'{"x": "\\u0000"}', b"a,b\n1,2",
)  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """One argument of an operation, as the description has it."""

    name: str
    type: str
    is_required: bool = False


@dataclass(frozen=True)
class Operation:
    """One method of one path; `{name}` in the path stands for an argument of this name."""

    method: str
    path: str
    parameters: tuple[Parameter, ...] = ()
    takes_body: bool = False
    writes_a_view: bool = False  # which nobody may

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_view(self) -> bool:
        return any(each.name == "select" for each in self.parameters)


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None


class Chance:
    """What is drawn for one request; the same seed draws the same."""

    def __init__(self, seed: str, ids: Sequence[str]) -> None:
        self.random = Random(seed)
        self.ids = ids

    def one_of(self, choices: Sequence[Any]) -> Any:
        return self.random.choice(choices)

    def happens(self, tenths: int) -> bool:
        return self.random.randrange(10) < tenths

    def anything(self, depth: int = 0) -> Any:
        """Any value that JSON can hold."""
        if depth < 3 and self.happens(2):
            return [self.anything(depth + 1) for _ in range(self.random.randrange(4))]
        if depth < 3 and self.happens(2):
            return {self.one_of(TEXTS): self.anything(depth + 1) for _ in range(2)}
        return self.one_of((None, True, False, *NUMBERS, *TEXTS))

    def value(self, parameter: Parameter) -> Any:
        """What suits an argument, or has its type, or has not."""
        if parameter.name == "forfeit":  # people are to last until the end
            return self.one_of((False, "false", "", 0, []))
        if self.happens(3):
            return self.anything()
        return SUITABLE.get(parameter.name, self._of_type(parameter.type))

    def _of_type(self, kind: str) -> Any:
        if "uuid" in kind:
            one = self.one_of(self.ids)
            return [one] if kind == "uuid[]" else one
        if kind == "url":
            return self.one_of(URLS)
        if "timestamp" in kind or kind == "date":
            return self.one_of(MOMENTS)
        if kind in ("integer", "bigint", "smallint", "numeric", "real"):
            return self.one_of(NUMBERS)
        usual = OF_TYPE.get(kind, "A text")
        return usual if self.happens(5) else self.one_of(TEXTS)


def written(value: Any) -> str:
    """A value as a query writes it."""
    if isinstance(value, list):
        return "{" + ",".join(written(each) for each in value) + "}"
    return value if isinstance(value, str) else json.dumps(value)


def request_for(operation: Operation, chance: Chance) -> Request:
    """One request for an operation."""
    headers = {"Content-Type": "application/json"} if operation.takes_body else {}
    if chance.happens(2):
        name = chance.one_of(sorted(HEADERS))
        headers[name] = chance.one_of(HEADERS[name])
    given = {
        each.name: chance.value(each)
        for each in operation.parameters
        if chance.happens(9 if each.is_required else 3)
    }
    target = operation.path
    for name in [name for name in given if f"{{{name}}}" in target]:
        target = target.replace(f"{{{name}}}", quote(written(given.pop(name)), safe=""))
    target = re.sub(r"[{].*?[}]", NOBODYS, target)
    if operation.takes_body:
        body = chance.one_of(BODIES) if chance.happens(1) else json.dumps(given).encode()
        return Request(operation.method, target, headers, body)
    query = _filters(chance, given) if operation.is_view else _arguments(given)
    if query:
        target += "?" + urlencode(query)
    return Request(operation.method, target, headers, None)


def _arguments(given: Mapping[str, Any]) -> dict[str, str]:
    return {name: written(value) for name, value in given.items()}


def _filters(chance: Chance, given: Mapping[str, Any]) -> dict[str, str]:
    """A view's query: its columns with operators, and the words that PostgREST knows."""
    query = {}
    for name, value in given.items():
        if name == "select":
            query[name] = chance.one_of(SELECTS)
        elif name in ("order", "limit", "offset", "on_conflict", "columns"):
            query[name] = chance.one_of(("id", "id.desc", "1", "-1", "x", "id->a", "9" * 20))
        else:
            query[name] = f"{chance.one_of(OPERATORS)}.{written(value)}"
    return query


def _schema(description: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = description["definitions"][schema["$ref"].rpartition("/")[2]]
    return found


def of_openapi(description: Mapping[str, Any]) -> list[Operation]:
    """The operations that PostgREST lists for a caller."""
    shared = description["parameters"]
    found = []
    for path, methods in description["paths"].items():
        for method, told in methods.items():
            listed = [
                shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
                for each in told.get("parameters", ())
            ]
            in_body = [each["schema"] for each in listed if each["in"] == "body"]
            schema = _schema(description, in_body[0]) if in_body else {}
            required = schema.get("required", ())
            parameters = [
                Parameter(name, each.get("format", "text"), name in required)
                for name, each in schema.get("properties", {}).items()
            ] or [
                Parameter(each["name"], each.get("format", "text"), each.get("required", False))
                for each in listed
                if each["in"] == "query"
            ]
            writes = method != "get" and not path.startswith("/rpc/")
            told_of = Operation(method.upper(), path, tuple(parameters), bool(in_body), writes)
            found.append(told_of)
    return found
