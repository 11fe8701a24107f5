"""Cutting an SQL file into statements, by the rules psql goes by.

Statements are sent one at a time because many errors of `create or replace` carry no position:
only by knowing which statement failed can a deploy name its line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>  \s+ | --[^\n]* )
  | (?P<comment> /\* )
  | (?P<quoted> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
              | \$(?P<tag>(?:[^\W\d]\w*)?)\$ .*? \$(?P=tag)\$ )
  | (?P<word>   [^\W\d][\w$]* )
  | (?P<other>  . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ROUTINE = re.compile(r"create (or replace )?(function|procedure)$")


@dataclass(frozen=True)
class Statement:
    """One statement of a file, from its first word to its semicolon."""

    text: str
    line: int

    def line_at(self, position: int | None) -> int:
        """The line of PostgreSQL's error position (counted from 1), or the statement's first."""
        return self.line + self.text.count("\n", 0, (position or 1) - 1)

    @property
    def first_word(self) -> str:
        """What kind of statement it is."""
        return self.text.split(maxsplit=1)[0].rstrip(";").lower()


def split(text: str) -> Iterator[Statement]:
    """The statements of a file; comments between them are left out.

    A semicolon ends a statement unless it stands in quotes, in parentheses, or between the
    `begin atomic` and the `end` of a routine.
    """
    start: int | None = None
    parentheses = blocks = 0
    words: list[str] = []
    place = 0
    while match := _TOKEN.match(text, place):
        place = match.end()
        if match.lastgroup == "comment":
            place = _end_of_comment(text, place)
        if match.lastgroup in ("comment", "space"):
            continue
        if start is None:
            start = match.start()
            parentheses = blocks = 0
            words = []
        token = match.group().lower()
        if match.lastgroup == "word":
            if blocks or _begins_body(words, token):
                blocks += {"begin": 1, "case": 1, "end": -1}.get(token, 0)
            words.append(token)
        parentheses += {"(": 1, ")": -1}.get(token, 0)
        if token == ";" and not parentheses and not blocks:
            yield Statement(text[start:place], text.count("\n", 0, start) + 1)
            start = None
    if start is not None:
        yield Statement(text[start:], text.count("\n", 0, start) + 1)


def _begins_body(words: list[str], token: str) -> bool:
    """Whether this word opens the `begin atomic` body of a routine."""
    return token == "begin" and any(_ROUTINE.match(" ".join(words[:length])) for length in (2, 4))


def _end_of_comment(text: str, place: int) -> int:
    """Where the block comment entered just before `place` ends; such comments may nest."""
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(text, place)):
        depth += 1 if edge.group() == "/*" else -1
        place = edge.end()
    return place if not depth else len(text)
