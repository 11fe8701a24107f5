"""Small HTTP clients: the API as one person sees it, and a browser for pages."""

import html
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

SECONDS = 30.0


class AnswerError(RuntimeError):
    """An answer with which the story cannot go on; the text is one line."""


class RefusedError(AnswerError):
    """The API refused a call."""

    def __init__(self, what: str, status: int, body: dict[str, Any]) -> None:
        self.summary = f"{status} {body.get('hint')}"
        super().__init__(f"{what} was refused: {self.summary}: {body.get('message')}")


def _opener() -> urllib.request.OpenerDirector:
    # A proxy set for the machine has no business on the way to 127.0.0.1.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Download:
    """What is at an address, as it came."""

    status: int
    media_type: str
    etag: str
    content: bytes


class Browser:
    """Opens pages, sends forms and goes where it is sent. Answers the heading of what it shows."""

    def __init__(self) -> None:
        self._opener = _opener()

    def open(self, url: str) -> str:
        """Look at a page."""
        return self._heading(url, None)

    def submit(self, url: str, **fields: str) -> str:
        """Send the form of a page."""
        return self._heading(url, urlencode(fields).encode())

    def download(self, url: str, etag: str | None = None) -> Download:
        """Get a picture; with the tag of an earlier one, only if it is not that one any more."""
        headers = {} if etag is None else {"If-None-Match": etag}
        try:
            with self._opener.open(urllib.request.Request(url, None, headers), None, SECONDS) as it:
                return _as_download(it.status, it.headers, it.read())
        except urllib.error.HTTPError as error:
            with error:
                return _as_download(error.code, error.headers, error.read())
        except OSError as error:
            raise AnswerError(f"a picture did not come: {error}") from None

    def _heading(self, url: str, form: bytes | None) -> str:
        try:
            with self._opener.open(url, form, timeout=SECONDS) as answer:
                page = answer.read().decode()
        except OSError as error:
            raise AnswerError(f"a page could not be shown: {error}") from None
        found = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.DOTALL)
        return html.unescape(found[1]) if found else "a page without a heading"


def _as_download(status: int, headers: Message, content: bytes) -> Download:
    return Download(status, headers.get("Content-Type", ""), headers.get("ETag", ""), content)


class RestClient:
    """Calls with somebody's token."""

    def __init__(
        self, rest_url: str, token: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._rest_url = rest_url
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            **headers,
        }
        self._opener = _opener()

    def rows(self, view: str, **filters: str) -> list[dict[str, Any]]:
        """The rows of a view."""
        rows: list[dict[str, Any]] = self._answer(view, f"{view}?{urlencode(filters)}", None)
        return rows

    def row(self, view: str, **filters: str) -> dict[str, Any]:
        """The only row of a view."""
        rows = self.rows(view, **filters)
        if len(rows) != 1:
            raise AnswerError(f"{view} answered with {len(rows)} rows instead of one")
        return rows[0]

    def call(self, function: str, **arguments: Any) -> Any:
        """What a function answers."""
        return self._answer(function, f"rpc/{function}", json.dumps(arguments).encode())

    def get(self, path: str) -> Any:
        """What is there to read."""
        return self._answer(path, path, None)

    def post(self, path: str, **body: Any) -> Any:
        """What a route of the edge or of the sandbox answers."""
        return self._answer(path, path, json.dumps(body).encode())

    def refusal(self, function: str, **arguments: Any) -> str:
        """How a call that must fail is refused: status and hint."""
        try:
            self.call(function, **arguments)
        except RefusedError as error:
            return error.summary
        return "not refused"

    def _answer(self, what: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(f"{self._rest_url}/{path}", body, self._headers)
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise RefusedError(what, error.code, json.load(error)) from None
        except OSError as error:
            raise AnswerError(f"{what} got no answer: {error}") from None
