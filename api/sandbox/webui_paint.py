"""The brushes of the sandbox's WebUI: gradients, clouds, light, ridges, grain.

Only Pillow's own tools, and only chance that comes from the seed, so that the same request
draws the same picture on every machine.
"""

import colorsys
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Color = tuple[int, int, int]
Size = tuple[int, int]
Point = tuple[float, float]
BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)


def hsv(hue: float, saturation: float, value: float) -> Color:
    """A color by its hue, each from 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(one: Color, other: Color, share: float) -> Color:
    """A color between two; share 0 is the first."""
    return (
        round(one[0] + (other[0] - one[0]) * share),
        round(one[1] + (other[1] - one[1]) * share),
        round(one[2] + (other[2] - one[2]) * share),
    )


def unit(size: Size) -> float:
    """What one pixel of a cover of 512 by 768 is at this size."""
    return min(size[0] / 512, size[1] / 768)


def gradient(size: Size, stops: Sequence[tuple[float, Color]]) -> Image.Image:
    """Colors from top to bottom; the stops lie between 0 and 1, in order."""
    height = 256
    column = Image.new("RGB", (1, height))
    for y in range(height):
        at = y / (height - 1)
        after = next((i for i, stop in enumerate(stops) if stop[0] >= at), len(stops) - 1)
        (start, above), (end, below) = stops[max(after - 1, 0)], stops[after]
        share = 0.0 if end <= start else min(max((at - start) / (end - start), 0.0), 1.0)
        column.putpixel((0, y), mix(above, below, share if after else 1.0))
    return column.resize(size, Image.Resampling.BILINEAR)


def noise(random: Random, size: Size) -> Image.Image:
    """Every pixel a chance of its own."""
    return Image.frombytes("L", size, random.randbytes(size[0] * size[1]))


def clouds(random: Random, size: Size, cells: Size = (3, 4), octaves: int = 5) -> Image.Image:
    """Soft noise, from large shapes to small ones, over the whole range of brightness."""
    columns, rows = cells
    # The large shapes are drawn small and enlarged: nobody sees the difference.
    small = (max(size[0] // 2, 1), max(size[1] // 2, 1))
    picture = Image.new("L", small, 128)
    for octave in range(octaves):
        part = noise(random, (columns << octave, rows << octave))
        part = part.resize(small, Image.Resampling.BICUBIC)
        picture = Image.blend(part, picture, 0.5) if octave == 0 else _add(picture, part, octave)
    return stretched(picture).resize(size, Image.Resampling.BILINEAR)


def _add(picture: Image.Image, part: Image.Image, octave: int) -> Image.Image:
    return Image.blend(picture, part, 0.5 / (octave + 1))


def stretched(picture: Image.Image) -> Image.Image:
    """The darkest becomes black and the brightest white."""
    low, high = picture.getextrema()
    assert isinstance(low, int | float) and isinstance(high, int | float)
    return curve(picture, lambda value: (value * 255 - low) / max(high - low, 1))


def curve(picture: Image.Image, change: Callable[[float], float]) -> Image.Image:
    """Another brightness for each brightness, both from 0 to 1."""
    table = [round(min(max(change(value / 255), 0.0), 1.0) * 255) for value in range(256)]
    return picture.point(table * len(picture.getbands()))


def disc(radius: float, power: float = 2.0) -> Image.Image:
    """A mask that is full in the middle and fades out towards its rim."""
    side = max(round(radius * 2), 2)
    rings = Image.radial_gradient("L").resize((side, side), Image.Resampling.BILINEAR)
    return curve(rings, lambda value: max(1 - value, 0.0) ** power)


def shine(
    picture: Image.Image, center: Point, radius: float, color: Color, power: float = 2.0
) -> Image.Image:
    """The picture with a light in it."""
    light = Image.new("RGB", picture.size)
    mask = disc(radius, power)
    corner = (round(center[0] - mask.width / 2), round(center[1] - mask.height / 2))
    light.paste(color, corner, mask)
    return ImageChops.screen(picture, light)


def veil(picture: Image.Image, mask: Image.Image, color: Color) -> None:
    """Lay a color over the picture, as strong as the mask says."""
    picture.paste(color, (0, 0), mask)


def vignette(picture: Image.Image, strength: float = 0.5, color: Color = BLACK) -> Image.Image:
    """The picture with its corners darker."""
    rings = Image.radial_gradient("L").resize(picture.size, Image.Resampling.BILINEAR)
    mask = curve(rings, lambda value: strength * max(value - 0.35, 0.0) ** 1.5 * 2)
    return Image.composite(Image.new("RGB", picture.size, color), picture, mask)


def grain(picture: Image.Image, random: Random, strength: float = 0.08) -> Image.Image:
    """The picture with the grain of film or paper."""
    specks = noise(random, picture.size).filter(ImageFilter.GaussianBlur(0.6))
    specks = curve(specks, lambda value: 0.5 + (value - 0.5) * strength * 4)
    return ImageChops.overlay(picture, Image.merge("RGB", (specks, specks, specks)))


def ridge(
    random: Random, width: int, level: float, height: float, roughness: float = 0.55
) -> list[Point]:
    """The line of a mountain ridge, by moving the middle of each stretch up or down."""
    heights = [random.uniform(-0.5, 0.5), random.uniform(-0.5, 0.5)]
    reach = 1.0
    while len(heights) < 130:
        between = [
            (left + right) / 2 + random.uniform(-reach, reach) / 2
            for left, right in pairwise(heights)
        ]
        pairs = zip(heights, between, strict=False)
        heights = [*(each for pair in pairs for each in pair), heights[-1]]
        reach *= roughness
    step = width / (len(heights) - 1)
    return [(index * step, level - each * height) for index, each in enumerate(heights)]


def land(size: Size, line: Sequence[Point]) -> Image.Image:
    """A mask of everything below a line; drawn twice as large, so that its edge is smooth."""
    mask = Image.new("L", (size[0] * 2, size[1] * 2))
    outline = [(x * 2, y * 2) for x, y in line]
    below = size[1] * 2 + 2
    ImageDraw.Draw(mask).polygon([*outline, (size[0] * 2, below), (0, below)], fill=255)
    return mask.resize(size, Image.Resampling.BOX)


def shapes(size: Size, draw: Callable[[ImageDraw.ImageDraw, float], None]) -> Image.Image:
    """A mask of shapes that `draw` makes at the scale it is given, with smooth edges."""
    factor = 3 if size[0] * size[1] <= 512 * 768 else 2
    mask = Image.new("L", (size[0] * factor, size[1] * factor))
    draw(ImageDraw.Draw(mask), factor)
    return mask.resize(size, Image.Resampling.BOX)


def around(center: Point, radius: float, scale: float = 1.0) -> tuple[float, float, float, float]:
    """The box of a circle."""
    x, y = center
    return (
        (x - radius) * scale,
        (y - radius) * scale,
        (x + radius) * scale,
        (y + radius) * scale,
    )
