"""The demonstration's books, as they lie in the folders beside this file."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Chapter:
    """One chapter; the content is Markdown."""

    number: int
    title: str
    content: str


@dataclass(frozen=True)
class Book:
    """What a story is made of, chapters in order."""

    title: str
    description: str
    genre: str
    language: str
    tags: list[str]
    chapters: list[Chapter]


def read_book(folder: Path) -> Book:
    """A book from its `book.toml` and the chapter files named in it."""
    described = tomllib.loads((folder / "book.toml").read_text(encoding="utf-8"))
    chapters = [
        Chapter(
            number=chapter["number"],
            title=chapter["title"],
            content=(folder / chapter["file"]).read_text(encoding="utf-8"),
        )
        for chapter in described.pop("chapters")
    ]
    return Book(chapters=chapters, **described)


_HERE = Path(__file__).parent
FIRST_BOOK = read_book(_HERE / "book")
SECOND_BOOK = read_book(_HERE / "second")
THIRD_BOOK = read_book(_HERE / "third")
