"""One file from the words of a story: in which format, and under which name."""

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime

from api.downloads import book, markdown, page
from api.downloads.manuscript import Manuscript

LONGEST_NAME = 120  # bytes: file systems take 255, and browsers add to a name
KEPT = frozenset(" -_,'!&()\u200c\u200d")  # beside letters and digits; the last two join letters
NAMELESS = "story"
# Windows keeps these for devices, whatever ending they have.
RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10))]
)


class UnmakableError(Exception):
    """There is no such file, however often it is tried."""


@dataclass(frozen=True)
class MadeFile:
    """What the reader gets."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    chapters: int


def make_file(format_name: str, manuscript: Manuscript, made_at: datetime) -> MadeFile:
    """The same each time for the same words and time."""
    if not manuscript.chapters:
        raise UnmakableError("There is nothing left of this story that its reader can read.")
    match format_name:
        case "markdown":
            ending, media_type = "md", markdown.MEDIA_TYPE
            content = markdown.write(manuscript)
        case "html":
            ending, media_type = "html", page.MEDIA_TYPE
            content = page.write(manuscript)
        case "epub":
            ending, media_type = "epub", book.MEDIA_TYPE
            content = book.write(manuscript, made_at)
        case _:
            raise UnmakableError("This version knows no such format.")
    name = f"{file_stem(manuscript.title)}.{ending}"
    return MadeFile(name, media_type, content, len(manuscript.chapters))


def file_stem(title: str) -> str:
    """A title as the name of a file on any system, without its ending."""
    characters = (
        each if each in KEPT or unicodedata.category(each)[0] in "LMN" else " "
        for each in unicodedata.normalize("NFC", title)
    )
    words = " ".join("".join(characters).split())
    name = words.encode()[:LONGEST_NAME].decode(errors="ignore").strip(" -\u200c\u200d")
    if not name:
        return NAMELESS
    return f"{NAMELESS} {name}" if name.lower() in RESERVED else name
