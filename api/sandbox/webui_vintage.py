"""The vintage look: two muted inks on paper that has yellowed, a frame, and a halftone picture."""

import math
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from api.sandbox.webui_engraving import Box, engraving, sun_of
from api.sandbox.webui_lettering import Setting, fit, letters
from api.sandbox.webui_paint import (
    BLACK,
    WHITE,
    Color,
    Point,
    Size,
    around,
    clouds,
    curve,
    grain,
    hsv,
    mix,
    noise,
    shapes,
    unit,
    veil,
)
from api.sandbox.webui_words import Mood, Subject

PAPER: Color = (233, 217, 180)
SEPIA: Color = (58, 40, 26)


def paint(subject: Subject, random: Random, size: Size) -> Image.Image:
    """An old print: frame, title, picture, and the marks of eighty years."""
    width, height = size
    u = unit(size)
    ink = _ink(subject.mood)
    picture = _paper(random, size)
    window = (width * 0.14, height * 0.385, width * 0.86, height * 0.865)
    scene, front = engraving(subject, random, size, window)
    # An arch needs a window that is high enough for it.
    is_round = random.random() < 0.5 and window[3] - window[1] > 0.6 * (window[2] - window[0])
    hole = shapes(size, lambda pen, k: _window(pen, window, k, is_round=is_round))
    # The colored plate was never laid on quite straight.
    plate = _tint(subject, random, size, window)
    shift = (round(random.choice((-2, 2)) * u), round(random.choice((-2, 1)) * u))
    tint = ImageChops.offset(ImageChops.subtract(plate, front), *shift)
    tint = ImageChops.multiply(tint, hole)
    picture = _printed(picture, curve(tint, lambda value: value * 0.82), ink)
    picture = _printed(picture, ImageChops.multiply(_halftone(scene, u), hole), SEPIA)
    frame = shapes(size, lambda pen, k: _frame(pen, size, (window, u), k, is_round=is_round))
    picture = _printed(picture, frame, SEPIA)
    picture = _title(picture, subject, ink, random)
    return _aged(picture, random)


def _ink(mood: Mood) -> Color:
    """The second ink, muted as the inks of the time were."""
    hue = mood.accent if mood.accent < 0.05 or mood.accent > 0.8 else mood.main
    return hsv(hue, 0.62, 0.5)


def _printed(picture: Image.Image, mask: Image.Image, ink: Color) -> Image.Image:
    """Ink on paper: what lies under it still shows."""
    layer = Image.new("RGB", picture.size, WHITE)
    layer.paste(ink, (0, 0), mask)
    return ImageChops.multiply(picture, layer)


def _paper(random: Random, size: Size) -> Image.Image:
    picture = Image.new("RGB", size, PAPER)
    blotches = clouds(random, size, (3, 4), 5)
    veil(picture, curve(blotches, lambda value: max(value - 0.45, 0) * 0.5), (196, 164, 108))
    veil(picture, curve(blotches, lambda value: max(0.45 - value, 0) * 0.7), (248, 238, 214))
    fibres = noise(random, (size[0], max(size[1] // 5, 1))).resize(size, Image.Resampling.BICUBIC)
    fibres = curve(fibres, lambda value: 0.47 + value * 0.06)
    return ImageChops.overlay(picture, Image.merge("RGB", (fibres, fibres, fibres)))


def _window(pen: ImageDraw.ImageDraw, window: Box, k: float, *, is_round: bool) -> None:
    """Where the picture is: an arch, or a plain rectangle."""
    left, top, right, bottom = (each * k for each in window)
    if is_round:
        radius = (right - left) / 2
        pen.ellipse((left, top, right, top + radius * 2), fill=255)
        pen.rectangle((left, top + radius, right, bottom), fill=255)
    else:
        pen.rectangle((left, top, right, bottom), fill=255)


def _tint(subject: Subject, random: Random, size: Size, window: Box) -> Image.Image:
    """What the colored plate prints: rays around the sun, and the ground."""
    sun = sun_of(window)
    u = unit(size)
    rays = random.choice((18, 22, 26))
    floor = window[1] + (window[3] - window[1]) * 0.7

    def draw(pen: ImageDraw.ImageDraw, k: float) -> None:
        far = 700 * u
        for number in range(rays):
            start, end = math.tau * number / rays, math.tau * (number + 0.5) / rays
            corners = [
                sun,
                (sun[0] + far * math.cos(start), sun[1] + far * math.sin(start)),
                (sun[0] + far * math.cos(end), sun[1] + far * math.sin(end)),
            ]
            pen.polygon([(x * k, y * k) for x, y in corners], fill=150)
        pen.ellipse(around(sun, 92 * u, k), fill=0)
        pen.ellipse(around(sun, 66 * u, k), fill=255)
        if subject.place == "sea":
            pen.rectangle((0, floor * k, size[0] * k, size[1] * k), fill=225)

    return shapes(size, draw)


def _halftone(scene: Image.Image, u: float) -> Image.Image:
    """Dots, the larger the darker: the mask of what is printed."""
    pitch = max(round(4.4 * u), 3)
    scale, side = 3, max(round(4.4 * u), 3) * 3
    tile = Image.new("L", (side, side))
    for y in range(side):
        for x in range(side):
            waves = math.cos(math.tau * (x + 0.5) / side) + math.cos(math.tau * (y + 0.5) / side)
            tile.putpixel((x, y), round(127.5 + waves * 63))
    row = Image.new("L", (side * (scene.width // pitch + 2), side))
    for x in range(0, row.width, side):
        row.paste(tile, (x, 0))
    screen = Image.new("L", (row.width, side * (scene.height // pitch + 2)))
    for y in range(0, screen.height, side):
        screen.paste(row, (0, y))
    large = scene.resize((scene.width * scale, scene.height * scale), Image.Resampling.BILINEAR)
    screen = screen.crop((0, 0, large.width, large.height))
    # Ink where the screen is brighter than the picture; the range leaves no dot at white.
    dots = ImageChops.subtract(screen, curve(large, lambda value: 0.06 + value * 0.92))
    return dots.point([0] + [255] * 255).resize(scene.size, Image.Resampling.BOX)


def _frame(
    pen: ImageDraw.ImageDraw, size: Size, form: tuple[Box, float], k: float, *, is_round: bool
) -> None:
    """Two lines around everything with corners cut in, and one around the picture."""
    window, u = form
    width, height = size

    def ring(inset: float, breadth: float, cut: float) -> None:
        left, top, right, bottom = inset, inset, width - inset, height - inset
        outline: list[Point] = []
        for x, y, start in (
            (left, top, 90),
            (right, top, 180),
            (right, bottom, 270),
            (left, bottom, 0),
        ):
            arc = [
                (
                    x + cut * math.cos(math.radians(start - turn)),
                    y + cut * math.sin(math.radians(start - turn)),
                )
                for turn in range(0, 91, 9)
            ]
            outline += arc
        points = [(x * k, y * k) for x, y in [*outline, outline[0]]]
        pen.line(points, fill=255, width=max(round(breadth * k), 1), joint="curve")

    ring(20 * u, 5 * u, 26 * u)
    ring(29 * u, 1.6 * u, 26 * u)
    for x in (30 * u, width - 30 * u):
        for y in (30 * u, height - 30 * u):
            for turn in range(8):
                angle = math.tau * turn / 8
                petal = (x + 7 * u * math.cos(angle), y + 7 * u * math.sin(angle))
                pen.ellipse(around(petal, 2.8 * u, k), fill=255)
            pen.ellipse(around((x, y), 3.4 * u, k), fill=255)
    left, top, right, bottom = window
    for grow, breadth in ((4 * u, 3 * u), (10 * u, 1.4 * u)):
        line = max(round(breadth * k), 1)
        box = ((left - grow) * k, (top - grow) * k, (right + grow) * k, (bottom + grow) * k)
        if is_round:
            radius = (box[2] - box[0]) / 2
            pen.arc((box[0], box[1], box[2], box[1] + radius * 2), 180, 360, fill=255, width=line)
            pen.line((box[0], box[1] + radius, box[0], box[3]), fill=255, width=line)
            pen.line((box[2], box[1] + radius, box[2], box[3]), fill=255, width=line)
            pen.line((box[0], box[3], box[2], box[3]), fill=255, width=line)
        else:
            pen.rectangle(box, outline=255, width=line)


def _title(picture: Image.Image, subject: Subject, ink: Color, random: Random) -> Image.Image:
    """Heavy capitals in the second ink, a rule with a lozenge, the genre below the picture."""
    width, height = picture.size
    u = unit(picture.size)
    box = (round(width * 0.76), round(height * 0.2))
    block = fit(
        subject.title.upper(),
        Setting(box, round(62 * u), round(13 * u), tracking=0.045, leading=1.06, weight=0.035),
    )
    if not block.lines:
        return picture
    top = height * 0.095 + max(box[1] - block.height, 0) * 0.45
    corner = (width * 0.12, top)
    mask = letters(picture.size, block, corner)
    # A soft edge of shadow to the lower right, as if the letters stood out.
    shadow = ImageChops.offset(mask, max(round(2 * u), 1), max(round(2 * u), 1))
    shadow = ImageChops.subtract(shadow, mask)
    worn = curve(
        noise(random, picture.size).filter(ImageFilter.GaussianBlur(0.8)), lambda v: v * 5 - 0.9
    )
    picture = _printed(picture, curve(shadow, lambda value: value * 0.55), SEPIA)
    picture = _printed(picture, ImageChops.multiply(mask, worn), mix(ink, BLACK, 0.1))
    rule = height * 0.345

    def ornament(pen: ImageDraw.ImageDraw, k: float) -> None:
        for side in (-1, 1):
            line = (width / 2 + side * 14 * u, rule, width / 2 + side * 120 * u, rule)
            pen.line(tuple(each * k for each in line), fill=255, width=max(round(1.8 * u * k), 1))
            pen.ellipse(around((width / 2 + side * 124 * u, rule), 3 * u, k), fill=255)
        arm = 8 * u
        points = [(width / 2 - arm, rule), (width / 2, rule - arm), (width / 2 + arm, rule),
                  (width / 2, rule + arm)]  # fmt: skip
        pen.polygon([(x * k, y * k) for x, y in points], fill=255)

    if rule < height * 0.385 - 26 * u:
        picture = _printed(picture, shapes(picture.size, ornament), SEPIA)
    small = Setting((box[0], round(24 * u)), round(16 * u), 6, tracking=0.24, weight=0.03)
    label = letters(picture.size, fit(subject.label.upper(), small), (corner[0], height * 0.9))
    return _printed(picture, label, SEPIA)


def _aged(picture: Image.Image, random: Random) -> Image.Image:
    """Edges gone brown, spots, a fold, and less of everything."""
    width, height = picture.size
    u = unit(picture.size)
    reach = round(46 * u)
    edge = Image.new("L", picture.size, 255)
    ImageDraw.Draw(edge).rectangle(
        (reach / 2, reach / 2, width - reach / 2, height - reach / 2), fill=0
    )
    edge = edge.filter(ImageFilter.BoxBlur(reach / 2)).filter(ImageFilter.BoxBlur(reach / 3))
    edge = ImageChops.multiply(
        edge, curve(clouds(random, picture.size, (4, 6), 5), lambda v: 0.35 + v)
    )
    veil(picture, curve(edge, lambda value: value * 0.75), (122, 82, 40))
    spots = Image.new("L", picture.size)
    pen = ImageDraw.Draw(spots)
    for _ in range(34):
        place = (random.random() * width, random.random() * height)
        pen.ellipse(around(place, random.uniform(0.6, 2.6) * u), fill=random.randint(40, 130))
    veil(picture, spots.filter(ImageFilter.GaussianBlur(0.7 * u)), (120, 78, 36))
    fold = round(random.uniform(0.3, 0.7) * height)
    pen = ImageDraw.Draw(spots)
    pen.rectangle((0, 0, width, height), fill=0)
    pen.line((0, fold, width, fold + random.uniform(-4, 4) * u), fill=84, width=max(round(u), 1))
    veil(picture, spots.filter(ImageFilter.GaussianBlur(0.8)), (250, 240, 215))
    return grain(picture, random, 0.05)
