"""Setting a title: the largest letters that fit, in balanced lines, with room between them.

Pillow brings one font, which has the letters of English. Accents are taken off, and what it
cannot write is left out: a cover without a title is better than one with boxes.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from api.sandbox.webui_paint import Size

Align = Literal["left", "center", "right"]
PLAIN = str.maketrans(
    {
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": "'",
        "\N{RIGHT DOUBLE QUOTATION MARK}": "'",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "ß": "ss",
        "æ": "ae",
        "Æ": "AE",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "œ": "oe",
        "Œ": "OE",
    }
)


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The bundled font."""
    loaded = ImageFont.load_default(max(size, 6))
    assert isinstance(loaded, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return loaded


def writable(text: str) -> str:
    """What the font can write of a text."""
    plain = unicodedata.normalize("NFKD", text.translate(PLAIN))
    return " ".join("".join(each for each in plain if " " <= each <= "~").split())


@dataclass(frozen=True)
class Setting:
    """How a text is set. `tracking` and `leading` are in parts of the font's size."""

    box: Size
    largest: int
    smallest: int = 12
    tracking: float = 0.0
    leading: float = 1.15
    weight: float = 0.0
    align: Align = "center"


@dataclass(frozen=True)
class Block:
    """A text that has been broken into lines at a size."""

    lines: tuple[str, ...]
    size: int
    setting: Setting

    @property
    def line_height(self) -> float:
        return self.size * self.setting.leading

    @property
    def height(self) -> float:
        """From the top of the first line to the foot of the last."""
        return self.line_height * (len(self.lines) - 1) + self.size * 0.75

    @property
    def width(self) -> float:
        return max((_width(line, self.size, self.setting) for line in self.lines), default=0)


def fit(text: str, setting: Setting) -> Block:
    """A text as large as the box allows; one that never fits is cut off."""
    words = writable(text).split()
    size = setting.largest
    while True:
        lines = _wrap(words, setting.box[0], size, setting)
        block = Block(tuple(lines), size, setting)
        if block.height <= setting.box[1] and block.width <= setting.box[0]:
            return Block(tuple(_balanced(words, lines, size, setting)), size, setting)
        if size <= setting.smallest:
            return _cut(block, words)
        size = max(setting.smallest, int(size * 0.94))


def letters(canvas: Size, block: Block, corner: tuple[float, float]) -> Image.Image:
    """A mask of the text on a canvas; `corner` is where its box begins."""
    mask = Image.new("L", canvas)
    draw = ImageDraw.Draw(mask)
    setting = block.setting
    # A fraction of a pixel is lost, so the weight of small letters is at least asked for whole.
    weight = round(setting.weight * block.size)
    loaded = font(block.size)
    free = {"left": 0.0, "center": 0.5, "right": 1.0}[setting.align]
    for number, line in enumerate(block.lines):
        x = corner[0] + (setting.box[0] - _width(line, block.size, setting)) * free
        y = corner[1] + number * block.line_height + block.size * 0.75
        for letter, offset in _places(line, block.size, setting.tracking):
            draw.text(
                (x + offset, y), letter, font=loaded, fill=255, anchor="ls", stroke_width=weight
            )
    return mask


def each_letter(
    block: Block, corner: tuple[float, float], put: Callable[[str, float, float], None]
) -> None:
    """Call `put` with every letter and the middle of its foot, for letters that dance."""
    setting = block.setting
    free = {"left": 0.0, "center": 0.5, "right": 1.0}[setting.align]
    for number, line in enumerate(block.lines):
        x = corner[0] + (setting.box[0] - _width(line, block.size, setting)) * free
        y = corner[1] + number * block.line_height + block.size * 0.75
        for letter, offset in _places(line, block.size, setting.tracking):
            put(letter, x + offset + font(block.size).getlength(letter) / 2, y)


def _places(line: str, size: int, tracking: float) -> list[tuple[str, float]]:
    """Where each letter of a line begins; pairs keep the distance that the font gives them."""
    loaded = font(size)
    places, offset = [], 0.0
    for index, letter in enumerate(line):
        places.append((letter, offset))
        following = line[index + 1 : index + 2]
        offset += loaded.getlength(letter + following) - loaded.getlength(following)
        offset += tracking * size
    return places


def _width(line: str, size: int, setting: Setting) -> float:
    gaps = max(len(line) - 1, 0) * setting.tracking * size
    return font(size).getlength(line) + gaps + 2 * setting.weight * size


def _wrap(words: list[str], width: float, size: int, setting: Setting) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and _width(f"{lines[-1]} {word}", size, setting) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _balanced(words: list[str], lines: list[str], size: int, setting: Setting) -> list[str]:
    """As many lines, but of about the same length."""
    width = float(setting.box[0])
    while lines:
        width *= 0.95
        narrower = _wrap(words, width, size, setting)
        if len(narrower) > len(lines) or Block(tuple(narrower), size, setting).width > width:
            break
        lines = narrower
    return lines


def _cut(block: Block, words: list[str]) -> Block:
    """What fits of a text that is too long even in the smallest letters."""
    setting, size = block.setting, block.size
    pieces: list[str] = []
    for word in words:
        piece = ""
        for letter in word:
            if piece and _width(piece + letter, size, setting) > setting.box[0]:
                pieces.append(piece)
                piece = ""
            piece += letter
        pieces.append(piece)
    lines = _wrap(pieces, setting.box[0], size, setting)
    room = max(int((setting.box[1] - size * 0.75) / block.line_height) + 1, 1)
    if len(lines) > room:
        lines = lines[:room]
        last = lines[-1]
        while last and _width(f"{last}...", size, setting) > setting.box[0]:
            last = last[:-1]
        lines[-1] = f"{last.rstrip()}..."
    return Block(tuple(lines), size, setting)
