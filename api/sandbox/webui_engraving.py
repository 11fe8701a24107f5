"""The picture in an old print, in shades of gray as an engraver would have cut it."""

import math
from collections.abc import Callable
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from api.sandbox.webui_paint import (
    BLACK,
    WHITE,
    Point,
    Size,
    around,
    clouds,
    curve,
    gradient,
    land,
    ridge,
    shapes,
)
from api.sandbox.webui_words import Subject

Box = tuple[float, float, float, float]


def sun_of(window: Box) -> Point:
    """Where the sun stands in the picture."""
    left, top, right, bottom = window
    return ((left + right) / 2, top + (bottom - top) * 0.42)


def engraving(
    subject: Subject, random: Random, size: Size, window: Box
) -> tuple[Image.Image, Image.Image]:
    """The picture in shades of gray, and a mask of what stands before the sun."""
    _, top, _, bottom = window
    tall = bottom - top
    stops = [(top / size[1], (150,) * 3), (bottom / size[1] - 0.12, (252,) * 3), (1.0, (205,) * 3)]
    picture = gradient(size, stops).convert("L")
    banks = curve(clouds(random, size, (2, 8), 4), lambda value: max(value - 0.55, 0) * 0.9)
    picture.paste(255, (0, 0), banks)
    draw: dict[str, Callable[[Image.Image, Random, Box], Image.Image]] = {
        "sea": _ship,
        "mountains": _mountains,
        "forest": _woods,
        "city": _town,
    }
    glow = shapes(
        size, lambda pen, k: pen.ellipse(around(sun_of(window), tall * 0.19, k), fill=255)
    )
    picture.paste(255, (0, 0), curve(glow, lambda value: value * 0.8))
    return picture, draw[subject.place](picture, random, window)


def _shade(picture: Image.Image, mask: Image.Image, value: int) -> None:
    picture.paste(value, (0, 0), mask)


def _mountains(picture: Image.Image, random: Random, window: Box) -> Image.Image:
    _, top, _, bottom = window
    tall = bottom - top
    front = Image.new("L", picture.size)
    for level, rise, value in ((0.58, 0.5, 172), (0.76, 0.32, 100), (0.9, 0.16, 24)):
        line = ridge(random, picture.width, top + tall * level, tall * rise, 0.6)
        mask = land(picture.size, line)
        _shade(picture, mask, value)
        # Slopes that the light does not reach, as the engraver would hatch them.
        flank = clouds(random, picture.size, (10, 6), 3)
        dark = ImageChops.multiply(mask, curve(flank, lambda each: max(each - 0.5, 0) * 1.8))
        _shade(picture, dark, max(value - 90, 0))
        front = ImageChops.lighter(front, curve(mask, lambda each: each * 0.75))
    return front


def _ship(picture: Image.Image, random: Random, window: Box) -> Image.Image:
    left, top, right, bottom = window
    tall, middle = bottom - top, (left + right) / 2 + random.uniform(-0.06, 0.06) * (right - left)
    sea = top + tall * 0.7
    u = tall / 370

    def water(pen: ImageDraw.ImageDraw, k: float) -> None:
        pen.rectangle((0, sea * k, picture.width * k, picture.height * k), fill=255)

    _shade(picture, shapes(picture.size, water), 150)
    pen = ImageDraw.Draw(picture)
    for row in range(13):
        y = sea + (6 + row * 9) * u
        start, swing = random.random(), (2 + row * 0.35) * u
        line = [
            (x, y + swing * math.sin(math.tau * (x / (52 * u) + start)))
            for x in range(0, picture.width + 3, 3)
        ]
        pen.line(line, fill=24 if row % 2 else 236, width=max(round(2.4 * u), 1))
    sails: list[list[Point]] = []
    for x, high in ((-56, 150), (2, 192), (60, 140)):
        for level in range(3):
            low = -34 - high * (0.05 + 0.31 * level)
            half = 33 - 7 * level
            sails.append(
                [(x - half, low), (x + half, low), (x + half * 0.76, low - high * 0.27),
                 (x - half * 0.76, low - high * 0.27)]
            )  # fmt: skip
    hull = [(-106.0, -34.0), (-72, -24), (74, -24), (112, -44), (92, 12), (-82, 12)]

    def placed(points: list[Point], k: float) -> list[Point]:
        return [((middle + x * u) * k, (sea + y * u) * k) for x, y in points]

    def rigging(pen: ImageDraw.ImageDraw, k: float) -> None:
        pen.polygon(placed(hull, k), fill=255)
        for x, high in ((-56, 150), (2, 192), (60, 140)):
            mast: list[Point] = [(x, -24), (x, -high - 32)]
            pen.line(placed(mast, k), fill=255, width=max(round(3 * u * k), 1))
            pen.polygon(
                placed([(x, -high - 32), (x + 20, -high - 26), (x, -high - 19)], k), fill=255
            )
        pen.line(placed([(104, -40), (150, -66)], k), fill=255, width=max(round(3 * u * k), 1))

    def canvas(pen: ImageDraw.ImageDraw, k: float) -> None:
        for sail in sails:
            pen.polygon(placed(sail, k), fill=255)
        pen.polygon(placed([(146, -64), (82, -50), (64, -136)], k), fill=255)

    _shade(picture, shapes(picture.size, rigging), 0)
    cloth = shapes(picture.size, canvas)
    edge = cloth.filter(ImageFilter.MaxFilter(5))
    _shade(picture, edge, 10)
    _shade(picture, cloth.filter(ImageFilter.MinFilter(3)), 240)
    return ImageChops.lighter(cloth, shapes(picture.size, rigging))


def _woods(picture: Image.Image, random: Random, window: Box) -> Image.Image:
    """Old trunks at both sides, a path of light between them."""
    left, top, right, bottom = window
    tall = bottom - top
    front = land(picture.size, ridge(random, picture.width, top + tall * 0.86, tall * 0.06, 0.5))
    _shade(picture, front, 120)
    rows = ((196, 0.2, 0.02, 0.78), (130, 0.31, 0.034, 0.86), (8, 0.43, 0.062, 1.02))
    for value, away, breadth, level in rows:
        mask = shapes(picture.size, _trunks(random, window, (away, breadth, level)))
        _shade(picture, mask, value)
        front = ImageChops.lighter(front, mask)
    _walker(picture, ((left + right) / 2, top + tall * 0.92), tall / 330)
    leaves = clouds(random, picture.size, (9, 12), 5)
    stops = [(top / picture.height, WHITE), ((top + tall * 0.3) / picture.height, BLACK)]
    crown = gradient(picture.size, stops).convert("L")
    mask = ImageChops.multiply(curve(leaves, lambda each: (each - 0.4) * 8), crown)
    _shade(picture, mask, 20)
    return ImageChops.lighter(front, curve(mask, lambda each: each * 0.8))


def _trunks(
    random: Random, window: Box, form: tuple[float, float, float]
) -> Callable[[ImageDraw.ImageDraw, float], None]:
    """A row of trees with bare boughs, as many on one side as on the other."""
    left, top, right, bottom = window
    tall, width = bottom - top, right - left
    away, breadth, level = form
    trees: list[list[Point]] = []
    boughs: list[tuple[Point, Point, float]] = []
    for number in range(4):
        side = 1 if number % 2 else -1
        x = left + width * (
            0.5 + side * (away + 0.07 * (number // 2) + random.uniform(-0.02, 0.02))
        )
        foot, half = top + tall * level, width * breadth * random.uniform(0.6, 0.8)
        trees.append([(x - half * 2, foot), (x - half, foot - tall * 0.09), (x - half * 0.7, top),
                      (x + half * 0.7, top), (x + half, foot - tall * 0.09),
                      (x + half * 2, foot)])  # fmt: skip
        for _ in range(6):
            start = foot - tall * random.uniform(0.35, 0.8)
            reach = width * random.uniform(0.05, 0.15) * random.choice((-1, 1))
            end = (x + reach, start - abs(reach) * random.uniform(0.6, 1.2))
            boughs.append(((x, start), end, half * 0.45))

    def draw(pen: ImageDraw.ImageDraw, k: float) -> None:
        for tree in trees:
            pen.polygon([(x * k, y * k) for x, y in tree], fill=255)
        for (x, y), (end_x, end_y), thick in boughs:
            line = max(round(thick * k), 1)
            pen.line((x * k, y * k, end_x * k, end_y * k), fill=255, width=line)

    return draw


def _walker(picture: Image.Image, foot: Point, u: float) -> None:
    """Somebody in a long coat and a hat, seen from behind."""
    coat = [(-9, -58), (9, -58), (15, -44), (20, -14), (-20, -14), (-15, -44)]
    left_leg = [(-11, -16), (-2, -16), (-4, 0), (-11, 0)]
    right_leg = [(3, -16), (11, -16), (13, -4), (6, -4)]
    brim = [(-17, -74), (17, -74), (17, -71), (-17, -71)]
    crown = [(-9, -84), (9, -84), (10, -74), (-10, -74)]

    def draw(pen: ImageDraw.ImageDraw, k: float) -> None:
        for outline in (coat, left_leg, right_leg, brim, crown):
            pen.polygon(
                [((foot[0] + x * u) * k, (foot[1] + y * u) * k) for x, y in outline], fill=255
            )
        pen.ellipse(around((foot[0], foot[1] - 65 * u), 8 * u, k), fill=255)

    _shade(picture, shapes(picture.size, draw), 0)


def _town(picture: Image.Image, random: Random, window: Box) -> Image.Image:
    """Towers with setbacks, as they were built then."""
    left, top, right, bottom = window
    tall, width = bottom - top, right - left
    front = Image.new("L", picture.size)
    for value, low, high, count in ((170, 0.35, 0.62, 9), (104, 0.22, 0.55, 7), (14, 0.1, 0.42, 7)):
        places: list[tuple[float, float, float]] = []
        for number in range(count):
            half = width * random.uniform(0.05, 0.085)
            centre = 1 - abs((number + 0.5) / count - 0.5)
            rise = tall * (low + (high - low) * random.random() * centre * 1.4)
            places.append((left + width * (number + 0.5) / count, half, rise))

        def towers(
            pen: ImageDraw.ImageDraw, k: float, form: list[tuple[float, float, float]] = places
        ) -> None:
            for x, half, rise in form:
                for share, up in ((1.0, 0.7), (0.68, 0.88), (0.36, 1.0)):
                    box = (x - half * share, bottom - rise * up, x + half * share, bottom)
                    pen.rectangle(tuple(each * k for each in box), fill=255)
                pen.line((x * k, (bottom - rise) * k, x * k, (bottom - rise * 1.12) * k), fill=255,
                         width=max(round(2 * k), 1))  # fmt: skip

        mask = shapes(picture.size, towers)
        front = ImageChops.lighter(front, mask)
        _shade(picture, mask, value)
        pen = ImageDraw.Draw(picture)
        step = width / 60
        for x, half, rise in places:
            for column in range(int(half * 2 / step) - 1):
                for floor in range(int(rise * 0.66 / (step * 1.6))):
                    if random.random() < 0.55:
                        at = (x - half + step * (column + 0.8), bottom - step * 1.6 * (floor + 1))
                        pen.rectangle((*at, at[0] + step * 0.4, at[1] + step * 0.7), fill=244)
    return front
