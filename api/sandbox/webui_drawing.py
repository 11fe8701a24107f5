"""From a prompt to a picture: finished, half drawn, or spoilt on purpose."""

import base64
from collections.abc import Callable
from io import BytesIO
from random import Random

from PIL import Image, ImageFilter, PngImagePlugin

from api.sandbox import (
    webui_artistic,
    webui_fantasy,
    webui_minimalist,
    webui_realistic,
    webui_vintage,
)
from api.sandbox.webui_paint import Size, hsv, noise
from api.sandbox.webui_words import Subject, subject

SCENES: dict[str, Callable[[Subject, Random, Size], Image.Image]] = {
    "realistic": webui_realistic.paint,
    "artistic": webui_artistic.paint,
    "fantasy": webui_fantasy.paint,
    "minimalist": webui_minimalist.paint,
    "vintage": webui_vintage.paint,
}
NO_IMAGE = b"The GPU was thinking of something else. " * 20


def draw(prompt: str, model: str, seed: int, size: Size) -> Image.Image:
    """A picture; the same prompt, model, seed and size give the same one again."""
    random = Random(f"{seed} {model} {prompt}")
    asked = subject(prompt, model, random)
    return SCENES[asked.style](asked, random, size)


def half_drawn(picture: Image.Image, share: float, seed: int) -> Image.Image:
    """What can be seen after a share of the steps: noise at first, then shapes, then details."""
    if share >= 1:
        return picture
    random = Random(seed)
    size = picture.size
    cells = (max(size[0] // 8, 1), max(size[1] // 8, 1))
    grey = Image.merge("RGB", [noise(random, cells) for _ in range(3)])
    grey = grey.resize(size, Image.Resampling.BICUBIC)
    soft = picture.filter(ImageFilter.GaussianBlur(max((1 - share) * size[0] / 24, 0.1)))
    return Image.blend(grey, soft, share)


def blank(seed: int, size: Size) -> Image.Image:
    """One color and nothing else."""
    return Image.new("RGB", size, hsv(Random(seed).random(), 0.2, 0.5))


def grid(pictures: list[Image.Image]) -> Image.Image:
    """All pictures of a request side by side."""
    width, height = pictures[0].size
    columns = max(round(len(pictures) ** 0.5), 1)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    return sheet


def encoded(picture: Image.Image, form: str, quality: int, notes: str) -> str:
    """The picture in base64; a PNG says in its notes what it was made with, as there."""
    buffer = BytesIO()
    if form == "png":
        metadata = PngImagePlugin.PngInfo()
        metadata.add_text("parameters", notes)
        picture.save(buffer, "PNG", pnginfo=metadata, compress_level=1)
    else:
        picture.save(buffer, "WEBP" if form == "webp" else "JPEG", quality=quality)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def small_jpeg(picture: Image.Image, largest: Size) -> bytes:
    """A small one, for previews and for the page."""
    copy = picture.copy()
    copy.thumbnail(largest)
    buffer = BytesIO()
    copy.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
