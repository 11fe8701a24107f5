"""The minimalist look: a few flat shapes in two or three colors, and much space."""

import math
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

from api.sandbox.webui_lettering import Setting, fit, letters
from api.sandbox.webui_paint import (
    BLACK,
    WHITE,
    Color,
    Point,
    Size,
    around,
    hsv,
    mix,
    shapes,
    unit,
    veil,
)
from api.sandbox.webui_words import Mood, Subject

Pen = Callable[[ImageDraw.ImageDraw, float], None]
# What is drawn, from back to front: shapes and whether they have the first or the second color.
Layers = list[tuple[Pen, int]]


def paint(subject: Subject, random: Random, size: Size) -> Image.Image:
    """One idea in flat colors, and a small title at the left."""
    paper, ink, colors = _colors(subject.mood, random)
    picture = Image.new("RGB", size, paper)
    for pen, number in _composition(subject, random, size):
        veil(picture, shapes(size, pen), colors[number])
    _title(picture, subject, ink)
    return picture


def _colors(mood: Mood, random: Random) -> tuple[Color, Color, tuple[Color, Color, Color]]:
    """The paper, the ink of the title, and the colors of the shapes."""
    if mood.is_dark or random.random() < 0.2:
        paper = hsv(mood.main, 0.55, 0.18)
        first, second = hsv(mood.accent, 0.75, 0.96), hsv(mood.second, 0.5, 0.6)
        return paper, mix(paper, WHITE, 0.88), (first, second, mix(paper, second, 0.45))
    paper = mix(hsv(mood.accent, 0.12, 0.97), WHITE, random.uniform(0.0, 0.4))
    first, second = hsv(mood.accent - 0.03, 0.74, 0.93), hsv(mood.main, 0.6, 0.45)
    return paper, mix(second, BLACK, 0.45), (first, second, mix(paper, second, 0.5))


def _composition(subject: Subject, random: Random, size: Size) -> Layers:
    choices: dict[str, tuple[Callable[[Random, Size], Layers], ...]] = {
        "sea": (_waves, _sail),
        "mountains": (_peaks, _arches),
        "forest": (_trees, _leaf),
        "city": (_blocks, _stairs),
    }
    # Half of the pictures have to do with the place; the others are only shapes.
    picked = choices[subject.place] if random.random() < 0.7 else (_circles, _arches, _stairs)
    return random.choice(picked)(random, size)


def _circle(center: Point, radius: float) -> Pen:
    return lambda draw, k: draw.ellipse(around(center, radius, k), fill=255)


def _polygon(points: list[Point]) -> Pen:
    return lambda draw, k: draw.polygon([(x * k, y * k) for x, y in points], fill=255)


def _waves(random: Random, size: Size) -> Layers:
    width, height = size
    u = unit(size)
    sun = (width * random.uniform(0.55, 0.75), height * 0.55)
    layers: Layers = [(_circle(sun, random.uniform(70, 96) * u), 0)]
    turns, start = random.uniform(1.0, 1.6), random.random()
    for number in range(3):
        level = height * (0.62 + 0.12 * number)
        swing = (15 + 4 * number) * u
        line: list[Point] = [
            (x, level + swing * math.sin(math.tau * (x / width * turns + start + number * 0.37)))
            for x in range(0, width + 4, 4)
        ]
        layers.append((_polygon([*line, (width, height), (0, height)]), (2, 1, 0)[number]))
    return layers


def _sail(random: Random, size: Size) -> Layers:
    width, height = size
    u = unit(size)
    x, level = width * random.uniform(0.5, 0.66), height * 0.76
    sea = [(0.0, level), (float(width), level), (float(width), float(height)), (0.0, float(height))]
    return [
        (_circle((x - 84 * u, level - 200 * u), 34 * u), 2),
        (_polygon([(x, level - 230 * u), (x, level - 26 * u), (x + 116 * u, level - 26 * u)]), 0),
        (_polygon([(x - 10 * u, level - 180 * u), (x - 10 * u, level - 26 * u),
                   (x - 84 * u, level - 26 * u)]), 2),
        (_polygon(sea), 1),
        (_polygon([(x - 92 * u, level - 14 * u), (x + 124 * u, level - 14 * u),
                   (x + 84 * u, level + 20 * u), (x - 58 * u, level + 20 * u)]), 0),
    ]  # fmt: skip


def _peaks(random: Random, size: Size) -> Layers:
    width, height = size
    u = unit(size)
    base = height * 0.86
    top = (width * random.uniform(0.5, 0.66), height * random.uniform(0.5, 0.55))
    half = (base - top[1]) * random.uniform(0.72, 0.85)
    snow = 0.27
    cap: list[Point] = [
        top,
        (top[0] + half * snow, top[1] + (base - top[1]) * snow),
        (top[0] + half * snow * 0.35, top[1] + (base - top[1]) * snow * 0.72),
        (top[0] - half * snow * 0.2, top[1] + (base - top[1]) * snow * 1.1),
        (top[0] - half * snow * 0.55, top[1] + (base - top[1]) * snow * 0.74),
        (top[0] - half * snow, top[1] + (base - top[1]) * snow),
    ]
    second = (top[0] - half * 0.95, top[1] + (base - top[1]) * 0.42)
    reach = (base - second[1]) * half / (base - top[1])
    return [
        (_circle((top[0] + half * 0.55, top[1] - 4 * u), 58 * u), 0),
        (_polygon([second, (second[0] + reach, base), (second[0] - reach, base)]), 2),
        (_polygon([top, (top[0] + half, base), (top[0] - half, base)]), 1),
        (_polygon(cap), 0),
    ]


def _trees(random: Random, size: Size) -> Layers:
    width, height = size
    u = unit(size)
    base = height * 0.86
    layers: Layers = [(_circle((width * 0.68, height * 0.5), random.uniform(60, 84) * u), 0)]
    for number in range(5):
        x = width * (0.16 + 0.17 * number)
        tall, half = random.uniform(130, 280) * u, random.uniform(30, 46) * u
        color = (1, 2, 1, 2, 1)[number]
        layers.append((_polygon([(x, base - tall), (x + half, base), (x - half, base)]), color))
        trunk = [(x - 4 * u, base - 2), (x + 4 * u, base - 2), (x + 4 * u, base + 26 * u)]
        layers.append((_polygon([*trunk, (x - 4 * u, base + 26 * u)]), 1))
    return layers


def _leaf(random: Random, size: Size) -> Layers:
    width, height = size
    u = unit(size)
    x, foot, tall = width * random.uniform(0.5, 0.6), height * 0.92, 330 * u
    stem = [
        (x - 3 * u, foot),
        (x + 3 * u, foot),
        (x + 3 * u, foot - tall),
        (x - 3 * u, foot - tall),
    ]
    layers: Layers = [(_circle((x, foot - tall), 128 * u), 0), (_polygon(stem), 1)]
    for number in range(4):
        y = foot - tall * (0.3 + 0.18 * number)
        long = (120 - 18 * number) * u
        for side in (-1, 1):
            upper, lower = [], []
            for step in range(13):
                at = step / 12
                bulge = 26 * u * math.sin(math.pi * at)
                across, up = side * long * at, long * 0.62 * at
                upper.append((x + across, y - up - bulge))
                lower.append((x + across, y - up + bulge * 0.4))
            layers.append((_polygon([*upper, *reversed(lower)]), 1 if side < 0 else 2))
    return layers


def _blocks(random: Random, size: Size) -> Layers:
    width, height = size
    u = unit(size)
    layers: Layers = [(_circle((width * random.uniform(0.3, 0.7), height * 0.54), 78 * u), 0)]
    x, number = width * 0.0, 0
    while x < width:
        wide = random.choice((52, 70, 88)) * u
        top = height * random.uniform(0.56, 0.78)
        box = [(x, top), (x + wide, top), (x + wide, float(height)), (x, float(height))]
        layers.append((_polygon(box), 1 + number % 2))
        if random.random() < 0.6:
            side, left = 10 * u, x + wide * 0.3
            lit = top + random.uniform(24, 70) * u
            window = [(left, lit), (left + side, lit), (left + side, lit + side * 1.6)]
            layers.append((_polygon([*window, (left, lit + side * 1.6)]), 0))
        x, number = x + wide, number + 1
    return layers


def _stairs(random: Random, size: Size) -> Layers:
    width, height = size
    u = unit(size)
    steps = 6
    wide, tall = width / steps, height * 0.4 / steps
    up: list[Point] = [(0.0, float(height))]
    for number in range(steps):
        top = height - (number + 1) * tall - height * 0.03
        up += [(number * wide, top), ((number + 1) * wide, top)]
    up.append((float(width), float(height)))
    on = random.choice((1, 2, 3))
    place = ((on + 0.5) * wide, height - (on + 1) * tall - height * 0.03 - 30 * u)
    back = [(width - x, y - height * 0.0) for x, y in up]
    return [(_polygon(back), 2), (_polygon(up), 1), (_circle(place, 30 * u), 0)]


def _arches(random: Random, size: Size) -> Layers:
    width, height = size
    u = unit(size)
    middle, base = width * random.uniform(0.5, 0.62), height * 0.88
    layers: Layers = []
    for number, color in enumerate((1, 2, 0)):
        half, top = (170 - 52 * number) * u, base - (340 - 80 * number) * u

        def arch(draw: ImageDraw.ImageDraw, k: float, half: float = half, top: float = top) -> None:
            draw.ellipse(around((middle, top + half), half, k), fill=255)
            draw.rectangle(
                ((middle - half) * k, (top + half) * k, (middle + half) * k, base * k), fill=255
            )

        layers.append((arch, color))
    layers.append((_circle((middle, base - 34 * u), 15 * u), 1))
    return layers


def _circles(random: Random, size: Size) -> Layers:
    width, height = size
    u = unit(size)
    radius = random.uniform(120, 150) * u
    center = (width * random.uniform(0.48, 0.6), height * 0.63)
    angle = random.uniform(0, math.tau)
    other = (
        center[0] + math.cos(angle) * radius * 0.9,
        center[1] + math.sin(angle) * radius * 0.75,
    )

    def shared(draw: ImageDraw.ImageDraw, k: float) -> None:
        ring = []
        for step in range(240):
            turn = math.tau * step / 240
            point = (center[0] + radius * math.cos(turn), center[1] + radius * math.sin(turn))
            if math.dist(point, other) <= radius * 0.8:
                ring.append(point)
            point = (
                other[0] + radius * 0.8 * math.cos(turn),
                other[1] + radius * 0.8 * math.sin(turn),
            )
            if math.dist(point, center) <= radius:
                ring.append(point)
        heart = (sum(x for x, _ in ring) / len(ring), sum(y for _, y in ring) / len(ring))
        ring.sort(key=lambda each: math.atan2(each[1] - heart[1], each[0] - heart[0]))
        draw.polygon([(x * k, y * k) for x, y in ring], fill=255)

    return [(_circle(center, radius), 0), (_circle(other, radius * 0.8), 2), (shared, 1)]


def _title(picture: Image.Image, subject: Subject, ink: Color) -> None:
    """Plain letters at the left, a short stroke, and the genre under it."""
    width, height = picture.size
    u = unit(picture.size)
    box = (round(width * 0.8), round(height * 0.27))
    block = fit(
        subject.title,
        Setting(box, round(58 * u), round(14 * u), tracking=-0.01, leading=1.08, align="left"),
    )
    if not block.lines:
        return
    corner = (width * 0.1, height * 0.085)
    veil(picture, letters(picture.size, block, corner), ink)
    below = corner[1] + block.height + 30 * u
    pen = ImageDraw.Draw(picture)
    pen.rectangle((corner[0], below, corner[0] + 44 * u, below + max(3 * u, 1)), fill=ink)
    small = Setting((box[0], round(22 * u)), round(15 * u), 6, tracking=0.04, align="left")
    label = letters(picture.size, fit(subject.label, small), (corner[0], below + 18 * u))
    veil(picture, label, ink)
