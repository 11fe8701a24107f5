"""The artistic look: a scene painted in thousands of brush strokes that stand out from the canvas.

First the scene is laid down in flat colors. Then strokes follow a stream that winds through the
picture, each in the color that it finds, from broad ones to fine ones, and light falls on them.
"""

import math
from collections.abc import Callable
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from api.sandbox.webui_lettering import Setting, each_letter, fit, font, letters
from api.sandbox.webui_paint import (
    BLACK,
    WHITE,
    Color,
    Point,
    Size,
    around,
    clouds,
    curve,
    gradient,
    hsv,
    mix,
    unit,
    veil,
)
from api.sandbox.webui_words import Mood, Subject

Stream = Callable[[float, float], float]


def paint(subject: Subject, random: Random, size: Size) -> Image.Image:
    """A painting with a title that somebody painted on it."""
    light = (random.uniform(0.3, 0.7) * size[0], random.uniform(0.5, 0.58) * size[1])
    ground = _ground(subject, random, size, light)
    stream = _stream(random, size, light, falls=subject.place == "city")
    picture = ground.copy()
    relief = Image.new("L", size, 128)
    # How many strokes, how long, how broad, and how far their color strays.
    for layer in ((560, 46, 19, 0.10), (1050, 30, 9, 0.13), (1100, 16, 4, 0.16)):
        _strokes(picture, relief, ground, (random, stream, layer))
    picture = _impasto(picture, relief, random)
    _title(picture, subject, random)
    return picture


def _palette(mood: Mood) -> tuple[Color, Color, Color, Color]:
    """The colors of the sky, of the light, of the land and of what is dark."""
    value = 0.5 if mood.is_dark else 0.72
    return (
        hsv(mood.main, 0.78, value),
        hsv(mood.accent, 0.72, 1.0),
        hsv(mood.second + 0.02, 0.62, value * 0.92),
        hsv(mood.main + 0.03, 0.8, 0.22),
    )


def _ground(subject: Subject, random: Random, size: Size, light: Point) -> Image.Image:
    sky, glow, land, dark = _palette(subject.mood)
    height = size[1]
    horizon = light[1] + height * random.uniform(0.06, 0.12)
    at = horizon / height
    stops = [(0.0, mix(sky, dark, 0.55)), (at * 0.55, sky), (at, mix(sky, glow, 0.6))]
    picture = gradient(size, [*stops, (min(at + 0.001, 1), land), (1.0, mix(land, dark, 0.6))])
    swirls = clouds(random, size, (3, 5), 3)
    picture.paste(mix(sky, WHITE, 0.45), (0, 0), curve(swirls, lambda value: max(value - 0.6, 0)))
    picture.paste(mix(sky, dark, 0.7), (0, 0), curve(swirls, lambda value: max(0.36 - value, 0)))
    pen = ImageDraw.Draw(picture)
    u = unit(size)
    for ring in range(6, 0, -1):
        shade = mix(glow, mix(sky, glow, 0.35), ring / 6)
        pen.ellipse(around(light, (34 + ring * 15) * u), fill=shade)
    pen.ellipse(around(light, 38 * u), fill=mix(glow, WHITE, 0.55))
    _fields(pen, random, size, (horizon, (land, glow, dark)))
    if subject.place == "sea":
        _water(picture, random, horizon, (light, (sky, glow, dark)))
    elif subject.place == "city":
        _houses(pen, random, size, (horizon, (glow, dark)))
    else:
        _cypresses(pen, random, size, (4 if subject.place == "forest" else 2, dark, land))
    return picture


def _fields(
    pen: ImageDraw.ImageDraw,
    random: Random,
    size: Size,
    form: tuple[float, tuple[Color, Color, Color]],
) -> None:
    """Rolling fields, each in a color of its own."""
    horizon, (land, glow, dark) = form
    width, height = size
    for number in range(6):
        level = horizon + (height - horizon) * number / 6
        swing, start = random.uniform(10, 34) * unit(size), random.random()
        line = [
            (x, level + swing * math.sin(math.tau * (x / width * 0.8 + start)))
            for x in range(-8, width + 9, 8)
        ]
        shade = mix(land, random.choice((glow, dark, land)), random.uniform(0.2, 0.55))
        pen.polygon([*line, (width, height), (0, height)], fill=shade)


def _water(
    picture: Image.Image,
    random: Random,
    horizon: float,
    form: tuple[Point, tuple[Color, Color, Color]],
) -> None:
    light, (sky, glow, dark) = form
    width, height = picture.size
    water = gradient(picture.size, [(horizon / height, mix(sky, dark, 0.2)), (1.0, dark)])
    box = (0, round(horizon), width, height)
    picture.paste(water.crop(box), box)
    pen = ImageDraw.Draw(picture)
    u = unit(picture.size)
    for _ in range(90):
        depth = random.random()
        x, y = random.gauss(light[0], (30 + 70 * depth) * u), horizon + depth * (height - horizon)
        half = (8 + 26 * depth) * u
        shade = mix(glow, sky, random.random() * 0.7)
        pen.line((x - half, y, x + half, y), fill=shade, width=max(round((3 + 5 * depth) * u), 1))
    x, y = random.uniform(0.25, 0.75) * width, horizon + (height - horizon) * 0.3
    pen.polygon([(x - 44 * u, y - 6 * u), (x + 48 * u, y - 9 * u), (x + 28 * u, y + 12 * u),
                 (x - 30 * u, y + 12 * u)], fill=mix(dark, BLACK, 0.4))  # fmt: skip
    pen.polygon([(x, y - 104 * u), (x, y - 12 * u), (x + 44 * u, y - 14 * u)], fill=WHITE)
    pen.polygon([(x - 6 * u, y - 90 * u), (x - 6 * u, y - 12 * u), (x - 38 * u, y - 10 * u)],
                fill=mix(glow, WHITE, 0.4))  # fmt: skip


def _houses(
    pen: ImageDraw.ImageDraw,
    random: Random,
    size: Size,
    form: tuple[float, tuple[Color, Color]],
) -> None:
    """A street front under gables, with light behind the windows."""
    horizon, (glow, dark) = form
    u = unit(size)
    lamp = mix(glow, (255, 216, 120), 0.7)
    x = -20 * u
    while x < size[0]:
        wide, tall = random.uniform(56, 92) * u, random.uniform(60, 130) * u
        foot = horizon + 90 * u
        top = foot - tall - 40 * u
        wall = mix(dark, hsv(random.random(), 0.6, 0.75), 0.5)
        pen.rectangle((x, top, x + wide, size[1]), fill=wall)
        roof = [(x - 4 * u, top), (x + wide / 2, top - wide * 0.6), (x + wide + 4 * u, top)]
        pen.polygon(roof, fill=mix(wall, BLACK, 0.45))
        for column in (0.22, 0.62):
            for floor in range(4):
                corner = (x + wide * column, top + (16 + floor * 38) * u)
                if random.random() < 0.7:
                    pen.rectangle((*corner, corner[0] + 15 * u, corner[1] + 22 * u), fill=lamp)
        x += wide


def _cypresses(
    pen: ImageDraw.ImageDraw, random: Random, size: Size, form: tuple[int, Color, Color]
) -> None:
    """Tall dark trees, leaning like flames."""
    count, dark, land = form
    width, height = size
    u = unit(size)
    for number in range(count):
        x = width * (0.12 if number % 2 else 0.86) + random.uniform(-50, 50) * u
        tall, half = random.uniform(300, 420) * u, random.uniform(28, 44) * u
        for share, shade in ((1.0, dark), (0.55, mix(dark, land, 0.35))):
            outline = []
            for step in range(21):
                at = step / 20
                wide = half * share * math.sin(math.pi * at**0.55) ** 0.8
                sway = 9 * u * math.sin(at * 5 + number)
                outline.append((x + sway, wide, height * 1.02 - tall * at))
            left = [(middle - wide, y) for middle, wide, y in outline]
            right = [(middle + wide, y) for middle, wide, y in reversed(outline)]
            pen.polygon([*left, *right], fill=shade)


def _stream(random: Random, size: Size, light: Point, *, falls: bool) -> Stream:
    """The direction of the brush at each place: round the light, and along waves elsewhere.

    On the walls of a city it falls straight down.
    """
    width, height = size
    turns, start = random.uniform(0.6, 1.3), random.random()
    whirls = [
        (random.uniform(0, 1) * width, random.uniform(0.05, 0.5) * height, random.choice((-1, 1)))
        for _ in range(3)
    ]
    reach = 105 * unit(size)
    ground = light[1] + 60 * unit(size)  # below it the brush is calmer, or nothing can be made out

    def direction(x: float, y: float) -> float:
        if falls and y > ground:
            return math.pi / 2
        angle = 0.55 * math.sin(math.tau * (turns * x / width + y / height + start))
        across, down = math.cos(angle), math.sin(angle)
        for middle_x, middle_y, turn in ((*light, 1), *whirls):
            away_x, away_y = x - middle_x, y - middle_y
            distance = math.hypot(away_x, away_y) + 0.001
            strength = 2.6 if y < ground else 0.6
            pull = strength * math.exp(-((distance / reach) ** 2))
            across -= turn * pull * away_y / distance
            down += turn * pull * away_x / distance
        return math.atan2(down, across)

    return direction


def _strokes(
    picture: Image.Image,
    relief: Image.Image,
    ground: Image.Image,
    form: tuple[Random, Stream, tuple[int, float, float, float]],
) -> None:
    random, stream, (count, length, breadth, straying) = form
    width, height = picture.size
    u = unit(picture.size)
    pen, height_pen = ImageDraw.Draw(picture), ImageDraw.Draw(relief)
    colors = ground.load()
    assert colors is not None
    broad = max(round(breadth * u), 1)
    for _ in range(count):
        x, y = random.uniform(0, width - 1), random.uniform(0, height - 1)
        found = colors[int(x), int(y)]
        assert isinstance(found, tuple)
        toward = WHITE if random.random() < 0.5 else BLACK
        drift = random.uniform(-18, 18)
        shade = mix(
            (
                min(max(round(found[0] + drift), 0), 255),
                round(found[1]),
                min(max(round(found[2] - drift), 0), 255),
            ),
            toward,
            random.random() * straying,
        )
        path = [(x, y)]
        for _ in range(3):
            angle = stream(*path[-1])
            step = length * u / 3
            path.append(
                (path[-1][0] + math.cos(angle) * step, path[-1][1] + math.sin(angle) * step)
            )
        pen.line(path, fill=shade, width=broad, joint="curve")
        height_pen.line(path, fill=random.randint(70, 190), width=broad, joint="curve")


def _impasto(picture: Image.Image, relief: Image.Image, random: Random) -> Image.Image:
    """Light from above on the edges of the paint, and the bristles' furrows."""
    furrows = Image.blend(relief, clouds(random, relief.size, (50, 75), 2), 0.25)
    lit = furrows.filter(ImageFilter.GaussianBlur(0.7)).filter(ImageFilter.EMBOSS)
    lit = curve(lit, lambda value: 0.5 + (value - 0.5) * 0.62)
    return ImageChops.overlay(picture.filter(ImageFilter.GaussianBlur(0.5)),
                              Image.merge("RGB", (lit, lit, lit)))  # fmt: skip


def _title(picture: Image.Image, subject: Subject, random: Random) -> None:
    """Large letters that dance a little, in thick light paint with a dark edge."""
    width, height = picture.size
    u = unit(picture.size)
    box = (round(width * 0.86), round(height * 0.34))
    block = fit(
        subject.title,
        Setting(box, round(92 * u), round(15 * u), tracking=0.025, leading=1.02, weight=0.035),
    )
    if not block.lines:
        return
    _, glow, _, dark = _palette(subject.mood)
    mask = Image.new("L", picture.size)
    loaded, weight = font(block.size), max(round(block.size * 0.035), 1)

    def put(letter: str, x: float, y: float) -> None:
        side = block.size * 2
        stamp = Image.new("L", (side, side))
        ImageDraw.Draw(stamp).text(
            (side / 2, side * 0.7), letter, font=loaded, fill=255, anchor="ms", stroke_width=weight
        )
        turned = stamp.rotate(random.uniform(-5, 5), Image.Resampling.BICUBIC)
        y += random.uniform(-0.03, 0.03) * block.size
        corner = (round(x - side / 2), round(y - side * 0.7))
        mask.paste(255, corner, turned)

    each_letter(block, (width * 0.07, height * 0.06), put)
    edge = mask.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(3.5 * u))
    veil(picture, curve(edge, lambda value: min(value * 1.5, 0.92)), mix(dark, BLACK, 0.45))
    streaks = clouds(random, picture.size, (8, 130), 2)
    paint_color = Image.composite(
        Image.new("RGB", picture.size, mix(glow, WHITE, 0.88)),
        Image.new("RGB", picture.size, mix(glow, WHITE, 0.35)),
        streaks,
    )
    picture.paste(paint_color, (0, 0), mask)
    small = Setting((box[0], round(24 * u)), round(17 * u), 6, tracking=0.14, weight=0.03)
    line = letters(picture.size, fit(subject.label, small), (width * 0.07, height - 46 * u))
    veil(
        picture,
        curve(line.filter(ImageFilter.GaussianBlur(4 * u)), lambda v: min(v * 2, 0.8)),
        dark,
    )
    veil(picture, line, mix(glow, WHITE, 0.75))
