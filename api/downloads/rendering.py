"""The text of a chapter, which is Markdown, as HTML that is well-formed as XML too.

What is in it comes from whoever wrote it: HTML is shown as text, nothing is loaded from elsewhere,
and a link leads only to where a reader can be sent.
"""

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from api.downloads.manuscript import clean

# The story is a first heading, its chapters are second ones; those in a text come below.
HEADINGS_ABOVE = 2
LOWEST_HEADING = 6
OF_ONE_DIRECTION = ("paragraph_open", "heading_open", "list_item_open")

_HOST = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?"
_MORE = r"(?:[a-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-f]{2})*"
# Stricter than browsers are: a book with an address that is none is not valid.
LINK = re.compile(
    rf"https?://{_HOST}(?::[0-9]{{1,5}})?(?:[/?]{_MORE})?(?:#{_MORE})?"
    rf"|mailto:[a-z0-9._+-]+@{_HOST}(?:\?{_MORE})?",
    re.IGNORECASE,
)


class _Parser(MarkdownIt):
    """Takes every link for one, so that its address is not shown where it is left out."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - its name there
        return True


PARSER = _Parser("commonmark", {"html": False, "xhtmlOut": True})
RENDERER = RendererHTML()


def render(text: str) -> str:
    """The text as elements, each in the direction in which its letters are written."""
    tokens = PARSER.parse(text)
    for token in tokens:
        if token.type in OF_ONE_DIRECTION:
            token.attrSet("dir", "auto")
        if token.type in ("heading_open", "heading_close"):
            level = int(token.tag.removeprefix("h"))
            token.tag = f"h{min(level + HEADINGS_ABOVE, LOWEST_HEADING)}"
        if token.children:
            token.children = list(_harmless(token.children))
    # An entity may stand for a character that no file can hold.
    return clean(RENDERER.render(tokens, PARSER.options, {})).strip()


def missing_fence(text: str) -> str | None:
    """What would close the code with which the text ends, where its author did not."""
    if "```" not in text and "~~~" not in text:
        return None
    tokens = PARSER.parse(text)
    if not tokens or tokens[-1].type != "fence" or tokens[-1].map is None:
        return None
    fence = tokens[-1].markup
    start, end = tokens[-1].map
    last = text.split("\n")[end - 1].strip()
    is_closed = end - 1 > start and len(last) >= len(fence) and set(last) == {fence[0]}
    return None if is_closed else fence


def _harmless(tokens: Sequence[Token]) -> Iterator[Token]:
    """Without the pictures, of which their description stays, and links to elsewhere."""
    is_kept = False
    for token in tokens:
        match token.type:
            case "image":
                described = RENDERER.renderInlineAsText(token.children or [], PARSER.options, {})
                yield Token("text", "", 0, content=described)
            case "link_open":
                is_kept = LINK.fullmatch(str(token.attrGet("href"))) is not None
                if is_kept:
                    token.attrSet("rel", "nofollow noreferrer")
                    yield token
            case "link_close":
                if is_kept:
                    yield token
            case _:
                yield token
