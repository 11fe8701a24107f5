"""What goes into a file, whatever its format: texts free of what no format can hold."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# What XML forbids, what HTML advises against, and code points that are no characters. The marks of
# a copy are none of these, and neither are the joiners of emoji and of Persian.
UNWRITABLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
# The letters of a language tag are checked where stories are written; here their order is.
LANGUAGE = re.compile(
    "[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*",
    re.IGNORECASE,
)
LANGUAGE_UNKNOWN = "und"


@dataclass(frozen=True)
class Chapter:
    """One chapter; its text is Markdown, and the reader's marks are in it already."""

    number: int
    title: str
    content: str


@dataclass(frozen=True)
class Line:
    """A line of a text that is not blank. `is_apart`: blank lines stand before it."""

    text: str
    is_apart: bool


@dataclass(frozen=True)
class Manuscript:
    """A story as one reader may have it. `copy_line` says whose copy it is."""

    title: str
    author: str
    language: str
    description: str
    copy_line: str
    identifier: str
    chapters: tuple[Chapter, ...]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Manuscript":
        """As `app.export_content` hands it out."""
        return cls(
            title=one_line(row["title"]),
            author=one_line(row["author"]),
            language=_language(row["language"]),
            description=clean(row["description"]),
            copy_line=one_line(row["copy_line"]),
            identifier=row["identifier"],
            chapters=tuple(
                Chapter(each["number"], one_line(each["title"]), clean(each["content"]))
                for each in row["chapters"]
            ),
        )


def clean(text: str) -> str:
    """The text with one kind of line end, and without what cannot be written into a file."""
    return UNWRITABLE.sub("", LINE_ENDS.sub("\n", text))


def one_line(text: str) -> str:
    """The text on one line, for headings and names."""
    return " ".join(clean(text).split())


def lines(text: str) -> Iterator[Line]:
    """The lines that hold something, and whether they begin something new."""
    is_apart = False
    is_first = True
    for each in text.split("\n"):
        if not each.strip():
            is_apart = True
            continue
        yield Line(each.rstrip(), is_apart and not is_first)
        is_apart = is_first = False


def _language(tag: str) -> str:
    if LANGUAGE.fullmatch(tag):
        return tag
    primary = tag.partition("-")[0]
    return primary if LANGUAGE.fullmatch(primary) else LANGUAGE_UNKNOWN
