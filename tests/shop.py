"""The running stack seen over HTTP: callers with tokens, and a story on sale for them."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt

from api.stack.supervisor import Stack
from api.tokens import sign_token
from tests.market import Market, open_market

ERROR_FIELDS = {"code", "message", "details", "hint"}


@dataclass(frozen=True)
class Caller:
    """Somebody who calls PostgREST, with or without a token."""

    http: httpx.Client
    id: UUID
    token: str | None

    def call(
        self, function: str, arguments: Mapping[str, object] | None = None, **headers: str
    ) -> httpx.Response:
        """POST to a function; header names are written with underscores."""
        return self.send(function, json.dumps(dict(arguments or {})).encode(), **headers)

    def send(self, function: str, body: bytes, **headers: str) -> httpx.Response:
        """POST a body as it stands, for what no JSON library would write."""
        return self.request("POST", f"/rpc/{function}", body, **headers)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.request("GET", path, **headers)

    def request(
        self, method: str, path: str, body: bytes | None = None, /, **headers: str
    ) -> httpx.Response:
        sent = {} if body is None else {"Content-Type": "application/json"}
        sent |= {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self.http.request(method, path, content=body, headers=sent)


class Shop:
    """A story of this test alone in the database of the shared stack."""

    def __init__(self, stack: Stack, market: Market, http: httpx.Client) -> None:
        self.market = market
        self.story = str(market.story)
        self.secret = stack.jwt_secret
        self._http = http

    def somebody(self, credits: int = 0) -> Caller:
        """A new reader."""
        return self.caller(self.market.reader(credits))

    def creator(self) -> Caller:
        return self.caller(self.market.creator)

    def operator(self) -> Caller:
        return self.caller(uuid4(), "service_role")

    def anonymous(self) -> Caller:
        return Caller(self._http, uuid4(), token=None)

    def caller(self, user: UUID, role: str = "authenticated") -> Caller:
        token = sign_token(self.secret, subject=user, role=role, hours=1)
        return Caller(self._http, user, token)

    def with_token(self, token: str) -> Caller:
        return Caller(self._http, uuid4(), token)

    def with_claims(self, **changed: object) -> Caller:
        """A reader whose signed token has other claims; None leaves one out."""
        return self.with_token(jwt.encode(claims(**changed), self.secret, "HS256"))

    def chapter(self, number: int, **more: object) -> dict[str, Any]:
        """The arguments that buy one chapter."""
        return {
            "story_id": self.story,
            "purchase_type": "chapter",
            "chapters": [number],
        } | more


@contextmanager
def open_shop(stack: Stack) -> Iterator[Shop]:
    """At the end the ledger of the shared stack must still be right."""
    with open_market(stack.database_url) as market, httpx.Client(base_url=stack.rest_url) as http:
        yield Shop(stack, market, http)


def claims(**changed: object) -> dict[str, object]:
    """The claims of a reader's token, with some of them changed; None leaves one out."""
    usual = {"sub": str(uuid4()), "role": "authenticated", "exp": int(time.time()) + 3600}
    return {name: claim for name, claim in (usual | changed).items() if claim is not None}


def refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of an error in the house shape: four fields, the status also as the code."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body.keys() == ERROR_FIELDS
    assert body["code"] == f"PT{status}"
    assert body["message"]
    assert body["hint"]
    return body
