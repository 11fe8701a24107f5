"""A story as Markdown: its texts as their authors wrote them, the rest as plain words."""

import re

from api.downloads.manuscript import Manuscript, lines
from api.downloads.rendering import missing_fence

MEDIA_TYPE = "text/markdown; charset=utf-8"

ANYWHERE = re.compile(r"([\\`*_\[\]<>&~|])")
# At the beginning of a line these would make a heading, a list or a rule.
AT_THE_START = re.compile(r"([#+=-])")
NUMBERED = re.compile(r"([0-9]{1,9})([.)])")


def write(manuscript: Manuscript) -> bytes:
    """The file."""
    copy_line = f"*{_escape(manuscript.copy_line)}*"
    parts = [f"# {_escape(manuscript.title)}"]
    if manuscript.author:
        parts.append(f"**{_escape(manuscript.author)}**")
    if manuscript.description:
        parts.append(_plain(manuscript.description))
    parts.append(copy_line)
    for chapter in manuscript.chapters:
        parts.append(f"## {chapter.number}. {_escape(chapter.title)}")
        parts.append(_written(chapter.content))
        parts.append(copy_line)
    return ("\n\n".join(part for part in parts if part) + "\n").encode()


def _written(text: str) -> str:
    """As it stands; code that was never closed does not go on into the next chapter."""
    text = text.strip("\n")
    fence = missing_fence(text)
    return text if fence is None else f"{text}\n{fence}"


def _plain(text: str) -> str:
    """Lines stay lines: a backslash at the end of one keeps the next from being joined to it."""
    written = ""
    for line in lines(text):
        if written:
            written += "\n\n" if line.is_apart else "\\\n"
        written += _line(line.text.strip())
    return written


def _line(text: str) -> str:
    escaped = _escape(text)
    if AT_THE_START.match(escaped):
        return f"\\{escaped}"
    return NUMBERED.sub(r"\1\\\2", escaped, count=1) if NUMBERED.match(escaped) else escaped


def _escape(text: str) -> str:
    return ANYWHERE.sub(r"\\\1", text)
