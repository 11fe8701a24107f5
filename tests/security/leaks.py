"""What an answer may say: refusals in the house shape, and nothing of how things work inside."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from werkzeug.exceptions import default_exceptions

from tests.shop import ERROR_FIELDS

ERRORS_PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
OURS = re.compile(r"PT\d{3}")
# PostgREST's refusals, and those of PostgreSQL about what was sent or may not be done.
THEIRS = re.compile(
    r"PGRST\d{3}|0A000|22\w{3}|25006|42501|42703|42704|42725|42883|42P01|42601|42804|42846"
)
# `api` and what is in it are public. What is below is not, nor are the tools it is made with.
INSIDE = re.compile(
    r"""
      \b (?: app | ledger | yoyo | pg_catalog ) \. \w
    | \b pg_ \w+ | PL/pgSQL | SQL\ function | Traceback | psycopg | [.]py \b
    | \b constraint \b | \b violates \b | Failing\ row | postgres(?:ql)?://
    | permission\ denied\ for\ (?: table | schema | sequence | type | database )
    | \b select \b .* \b from \b
    """,
    re.VERBOSE | re.IGNORECASE,
)


@cache
def documented_hints() -> frozenset[str]:
    """The hints that the page of errors lists, the web server's own among them."""
    listed = re.findall(r"^\| `([a-z_]+)`", ERRORS_PAGE.read_text(), re.MULTILINE)
    of_http = [error().name.lower().replace(" ", "_") for error in default_exceptions.values()]
    return frozenset([*listed, *of_http])


def check_answer(answer: httpx.Response, *, sent: str = "") -> None:
    """No fault of ours, no leak; what is refused says so as all else that is refused.

    What a message quotes of that which was `sent` is no leak.
    """
    about = f"{answer.request.method} {answer.request.url} {answer.status_code} {answer.text[:600]}"
    assert answer.status_code < 500, about
    if answer.status_code < 400:
        return
    if not answer.content:
        # HEAD, and what PostgREST refuses before it has read the request.
        return
    body = answer.json()
    assert body.keys() == ERROR_FIELDS, about
    assert body["message"], about
    if OURS.fullmatch(body["code"]):
        assert body["code"] == f"PT{answer.status_code}", about
        assert body["hint"] in documented_hints(), about
    else:
        assert THEIRS.fullmatch(body["code"]), about
    check_words(body, sent=sent, about=about)


def check_words(body: dict[str, Any], *, sent: str, about: str) -> None:
    """The sentences for people name nothing that is inside."""
    for field in ("message", "details", "hint"):
        said = body[field] or ""
        said = said if isinstance(said, str) else json.dumps(said)
        for quoted in (sent, json.dumps(sent)[1:-1], json.dumps(sent, ensure_ascii=False)[1:-1]):
            said = said.replace(quoted, "") if quoted else said
        assert not INSIDE.search(said), about
