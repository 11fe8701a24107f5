"""The house style of SQL text that sqlfluff cannot see, above all inside plpgsql bodies.

sqlfluff takes a `$$` body for one long string. What matters for reading is simple enough to be
looked at line by line, once comments, strings and documentation are out of the way.
"""

import re
from collections.abc import Iterator
from pathlib import Path

LONGEST_LINE = 140
INDENT = 4

TEXT = "_"  # stands for a character of a string or a comment
CONTINUED = "\0"  # the same, on its second and later lines

TOKEN = re.compile(
    r"""
    --[^\n]*                                                        # a comment
    | /\*.*?\*/
    | \be'(?:[^'\\]|\\.|'')*'                                       # a string
    | '(?:[^']|'')*'
    | (?P<opening>\b(?:as|do)\s+)? (?P<quote>\$\w*\$) (?P<quoted>.*?) (?P=quote)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def findings(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not in the house style, with what is wrong with each."""
    text = path.read_text(encoding="utf-8")
    for number, (line, code) in enumerate(
        zip(text.split("\n"), only_code(text).split("\n"), strict=True), start=1
    ):
        if "\t" in line:
            yield number, "a tab: indent with spaces"
            continue
        if line != line.rstrip():
            yield number, "white space at the end of the line"
        if code.startswith(CONTINUED):
            continue
        if len(line) > LONGEST_LINE and not line.startswith("comment on "):
            yield number, f"{len(line)} characters in a line: {LONGEST_LINE} are allowed"
        if (len(line) - len(line.lstrip())) % INDENT != 0:
            yield number, f"indented by other than steps of {INDENT} spaces"
        if shouted := re.search(r"\b[A-Z]+\b", code):
            yield number, f"upper case: write {shouted[0].lower()}"


def only_code(text: str) -> str:
    """Put fillers for comments, strings and documentation; bodies after `as` and `do` are code."""

    def fill_unless_code(match: re.Match[str]) -> str:
        if match["opening"]:
            return match["opening"] + match["quote"] + only_code(match["quoted"]) + match["quote"]
        first, *others = match[0].split("\n")
        return "\n".join([TEXT * len(first), *(CONTINUED * len(other) for other in others)])

    return TOKEN.sub(fill_unless_code, text)
