"""The fantasy look: a castle under a great moon, northern lights, stars and sparks."""

import math
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

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
    gradient,
    hsv,
    land,
    mix,
    noise,
    ridge,
    shapes,
    shine,
    unit,
    veil,
    vignette,
)
from api.sandbox.webui_words import Mood, Subject

GOLD = (
    (0.0, (255, 246, 205)),
    (0.45, (240, 200, 105)),
    (0.55, (190, 130, 50)),
    (1.0, (250, 225, 150)),
)


def paint(subject: Subject, random: Random, size: Size) -> Image.Image:
    """A night with a golden title."""
    width, height = size
    mood = subject.mood
    night, glow, lights = _colors(mood)
    moon = (random.uniform(0.3, 0.7) * width, random.uniform(0.49, 0.54) * height)
    picture = gradient(
        size,
        [(0.0, mix(night, BLACK, 0.55)), (0.4, night), (0.7, _dawn(mood)), (1.0, night)],
    )
    picture = _stars(picture, random)
    picture = _aurora(picture, random, lights)
    picture = _moon(picture, random, moon, glow)
    picture = _ranges(picture, random, night, mix(glow, _dawn(mood), 0.6))
    _castle(picture, random, (moon[0] + random.uniform(-40, 40) * unit(size), night))
    if subject.place == "sea":
        picture = _lake(picture, random, night)
    else:
        picture = _valley(picture, random, night, mix(glow, _dawn(mood), 0.6))
    picture = _sparks(picture, random, lights)
    picture = vignette(picture, 0.6)
    return _title(picture, subject, glow)


def _colors(mood: Mood) -> tuple[Color, Color, Color]:
    """The night, the moon's light, and the northern lights."""
    night = hsv(0.66 + (mood.main - 0.66) * 0.35, 0.78, 0.34)
    glow = mix(hsv(mood.accent, 0.35, 1.0), hsv(mood.main, 0.3, 1.0), 0.35)
    return night, glow, hsv(mood.second, 0.7, 0.85)


def _dawn(mood: Mood) -> Color:
    """The light that is left at the horizon."""
    return hsv(mood.second + 0.08, 0.42, 0.62)


def _stars(picture: Image.Image, random: Random) -> Image.Image:
    width, height = picture.size
    u = unit(picture.size)
    # One point in some hundreds is bright enough, and more of them where the sky is milky.
    milky = clouds(random, picture.size, (3, 4), 4)
    field = ImageChops.multiply(
        noise(random, picture.size), curve(milky, lambda v: 0.55 + v * 0.45)
    )
    field = curve(field, lambda value: max(value - 0.955, 0) * 24)
    fade = gradient(picture.size, [(0.0, WHITE), (0.55, (150,) * 3), (0.72, BLACK)]).convert("L")
    field = ImageChops.multiply(field, fade)
    picture = ImageChops.screen(picture, Image.merge("RGB", (field, field, field)))
    haze = ImageChops.multiply(curve(milky, lambda value: max(value - 0.5, 0) * 0.5), fade)
    veil(picture, haze, (190, 190, 255))
    pen = ImageDraw.Draw(picture)
    for _ in range(16):
        x, y = random.random() * width, random.random() * height * 0.5
        arm = random.uniform(3, 8) * u
        for across, down in ((arm, 0), (0, arm)):
            pen.line((x - across, y - down, x + across, y + down), fill=(215, 215, 255), width=1)
        pen.ellipse(around((x, y), 1.3 * u), fill=WHITE)
    return picture


def _aurora(picture: Image.Image, random: Random, color: Color) -> Image.Image:
    """Curtains of light: bright at the lower hem, fading upwards, in folds."""
    width, height = picture.size
    for number in range(2):
        mask = Image.new("L", (width // 2, height // 2))
        pen = ImageDraw.Draw(mask)
        start, turns = random.random(), random.uniform(0.5, 1.1)
        hem = height * random.uniform(0.16, 0.2) + number * height * 0.045
        folds = noise(random, (64, 1)).resize((mask.width, 1), Image.Resampling.BICUBIC).tobytes()
        for x in range(mask.width):
            at = x / mask.width
            y = (
                hem
                + height * 0.05 * math.sin(math.tau * (turns * at + start))
                + 14 * math.sin(at * 21)
            )
            value = folds[x]
            tall = height * (0.07 + 0.08 * value / 255)
            for part in range(10):
                top = y - tall * (part + 1) / 10
                shade = int((70 + value * 0.62) * (1 - part / 10) ** 1.5)
                pen.line((x, top, x, y - tall * part / 10), fill=shade)
        mask = mask.filter(ImageFilter.GaussianBlur(2.2 * unit(picture.size)))
        mask = mask.resize(picture.size, Image.Resampling.BICUBIC)
        light = Image.new("RGB", picture.size)
        light.paste(
            mix(color, hsv(random.uniform(0.35, 0.55), 0.7, 0.9), 0.5 * number), (0, 0), mask
        )
        picture = ImageChops.screen(picture, light)
    return picture


def _moon(picture: Image.Image, random: Random, center: Point, glow: Color) -> Image.Image:
    u = unit(picture.size)
    radius = random.uniform(88, 112) * u
    picture = shine(picture, center, radius * 3.3, mix(glow, BLACK, 0.45), 1.8)
    side = max(round(radius * 2), 2)
    seas = curve(clouds(random, (side, side), (3, 3), 5), lambda value: 0.58 + value * 0.42)
    face = ImageChops.multiply(
        Image.new("RGB", (side, side), mix(glow, WHITE, 0.6)),
        Image.merge("RGB", (seas, seas, seas)),
    )
    round_mask = shapes(
        (side, side), lambda pen, k: pen.ellipse((0, 0, side * k, side * k), fill=255)
    )
    picture.paste(face, (round(center[0] - radius), round(center[1] - radius)), round_mask)
    return shine(picture, center, radius * 1.5, mix(glow, BLACK, 0.72), 1.2)


def _ranges(picture: Image.Image, random: Random, night: Color, glow: Color) -> Image.Image:
    """Jagged mountains far away, and mist at their feet."""
    width, height = picture.size
    for number, near in enumerate((0.2, 0.55)):
        level = height * (0.66 + 0.06 * number)
        line = ridge(random, width, level, height * 0.17, 0.62)
        color = mix(mix(night, glow, 0.42), mix(night, BLACK, 0.45), near)
        top = level / height - 0.15
        stops = [(top, color), (min(top + 0.28, 1), mix(color, glow, 0.4 * (1 - near)))]
        picture.paste(gradient(picture.size, stops), (0, 0), land(picture.size, line))
        _mist(picture, random, (top + 0.22, 0.4), mix(glow, night, 0.35))
    return picture


def _mist(picture: Image.Image, random: Random, form: tuple[float, float], color: Color) -> None:
    middle, strength = form
    banks = curve(clouds(random, picture.size, (2, 8), 4), lambda value: value**1.5 * strength)
    stops = [(max(middle - 0.12, 0), BLACK), (middle, WHITE), (min(middle + 0.14, 1), BLACK)]
    fade = gradient(picture.size, stops).convert("L")
    veil(picture, ImageChops.multiply(banks, fade), color)


def _castle(picture: Image.Image, random: Random, form: tuple[float, Color]) -> None:
    """Towers with pointed roofs on a crag, light in some windows."""
    middle, night = form
    width, height = picture.size
    u = unit(picture.size) * 1.15
    foot = height * 0.735
    towers = [
        (middle + offset * u, random.uniform(7, 15) * u, random.uniform(40, 96) * u * weight)
        for offset, weight in (
            (-62, 0.7), (-40, 1.0), (-20, 1.25), (0, 1.75), (22, 1.3), (43, 0.95), (64, 0.65)
        )
    ]  # fmt: skip
    crag = ridge(random, width, 0, 22 * u, 0.68)
    heights = []
    for x, y in crag:
        beyond = max(abs(x - middle) / u - 66, 0)
        heights.append((x, y * min(0.15 + beyond / 40, 1) + foot + (beyond**1.2 * 0.75 - 6) * u))

    def draw(pen: ImageDraw.ImageDraw, k: float) -> None:
        pen.rectangle(((middle - 62 * u) * k, (foot - 34 * u) * k, (middle + 62 * u) * k,
                       (foot + 4 * u) * k), fill=255)  # fmt: skip
        for x, half, tall in towers:
            top = foot - 26 * u - tall
            pen.rectangle(((x - half) * k, top * k, (x + half) * k, foot * k), fill=255)
            eave = half * 1.35
            tip = top - half * 3.1
            pen.polygon(
                [((x - eave) * k, top * k), (x * k, tip * k), ((x + eave) * k, top * k)], fill=255
            )
            pen.line((x * k, tip * k, x * k, (tip - 9 * u) * k), fill=255, width=max(int(k * u), 1))
            pen.polygon([(x * k, (tip - 9 * u) * k), ((x + 9 * u) * k, (tip - 6 * u) * k),
                         (x * k, (tip - 3 * u) * k)], fill=255)  # fmt: skip

    stone = mix(night, BLACK, 0.62)
    body = gradient(picture.size, [(0.4, stone), (0.72, mix(stone, night, 0.35)), (0.9, stone)])
    picture.paste(body, (0, 0), shapes(picture.size, draw))
    picture.paste(body, (0, 0), land(picture.size, heights))
    pen = ImageDraw.Draw(picture)
    for x, _, tall in towers:
        for level in range(int(tall / (20 * u)) + 1):
            if random.random() < 0.72:
                y = foot - 30 * u - level * 20 * u
                lit = (255, random.randint(190, 225), 120)
                pen.rounded_rectangle((x - 2 * u, y - 7 * u, x + 2 * u, y), 2 * u, fill=lit)
    picture.paste(shine(picture, (middle, foot - 30 * u), 120 * u, (70, 46, 14), 1.5))


def _valley(picture: Image.Image, random: Random, night: Color, glow: Color) -> Image.Image:
    """The dark woods in front, mist above them."""
    width, height = picture.size
    u = unit(picture.size)
    _mist(picture, random, (0.83, 0.7), mix(glow, night, 0.3))
    for level, share in ((0.88, 0.55), (0.95, 0.85)):
        color = mix(night, BLACK, share)
        line = ridge(random, width, height * level, height * 0.05, 0.5)
        firs = [
            (x, y, random.uniform(16, 58) * u)
            for x, y in line
            for _ in range(1 if level < 0.9 else 2)
        ]

        def draw(
            pen: ImageDraw.ImageDraw, k: float, firs: list[tuple[float, float, float]]
        ) -> None:
            for x, y, tall in firs:
                half = tall * 0.17
                for tier in range(5):
                    base = y + 8 * u - tall * tier / 5
                    wide = half * (1 - tier / 5.5)
                    tip = base - tall * 0.36
                    pen.polygon(
                        [((x - wide) * k, base * k), (x * k, tip * k), ((x + wide) * k, base * k)],
                        fill=255,
                    )

        trees = shapes(picture.size, lambda pen, k, firs=firs: draw(pen, k, firs))  # type: ignore[misc]
        veil(picture, ImageChops.lighter(trees, land(picture.size, line)), color)
        if level < 0.9:
            _mist(picture, random, (0.92, 0.5), mix(glow, night, 0.5))
    return picture


def _lake(picture: Image.Image, random: Random, night: Color) -> Image.Image:
    """Still water in front that shows everything once more, and the shore as a dark line."""
    width, height = picture.size
    u = unit(picture.size)
    shore = round(height * 0.79)
    below = picture.crop((0, max(2 * shore - height, 0), width, shore))
    below = below.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((width, height - shore))
    below = below.filter(ImageFilter.GaussianBlur(1.4 * u))
    ripples = clouds(random, below.size, (4, 34), 3)
    veil(below, curve(ripples, lambda value: max(0.55 - value, 0) * 1.3), mix(night, BLACK, 0.5))
    veil(below, curve(ripples, lambda value: max(value - 0.72, 0) * 0.9), (210, 215, 255))
    dusk = gradient(below.size, [(0.0, (70,) * 3), (1.0, (190,) * 3)]).convert("L")
    veil(below, dusk, mix(night, BLACK, 0.5))
    picture.paste(below, (0, shore))
    line = ridge(random, width, 0, 7 * u, 0.6)
    bank = [(x, shore + y - 3 * u) for x, y in line] + [(width, shore + 3 * u), (0, shore + 3 * u)]
    mask = shapes(
        picture.size, lambda pen, k: pen.polygon([(x * k, y * k) for x, y in bank], fill=255)
    )
    veil(picture, mask, mix(night, BLACK, 0.8))
    return picture


def _sparks(picture: Image.Image, random: Random, color: Color) -> Image.Image:
    """Fireflies, or what is left of a spell."""
    width, height = picture.size
    u = unit(picture.size)
    light = Image.new("L", picture.size)
    pen = ImageDraw.Draw(light)
    for _ in range(46):
        place = (random.random() * width, height * (1 - 0.42 * random.random() ** 1.4))
        pen.ellipse(around(place, random.uniform(0.7, 2.4) * u), fill=random.randint(120, 255))
    soft = curve(light.filter(ImageFilter.GaussianBlur(4 * u)), lambda value: min(value * 3, 1))
    glowing = Image.new("RGB", picture.size)
    glowing.paste(mix(color, (255, 220, 140), 0.55), (0, 0), soft)
    glowing.paste((255, 250, 225), (0, 0), light)
    return ImageChops.screen(picture, glowing)


def _title(picture: Image.Image, subject: Subject, glow: Color) -> Image.Image:
    """Golden capitals that shine, between two fine lines that end in diamonds."""
    width, height = picture.size
    u = unit(picture.size)
    box = (round(width * 0.86), round(height * 0.2))
    block = fit(
        subject.title.upper(),
        Setting(box, round(74 * u), round(14 * u), tracking=0.055, leading=1.12, weight=0.02),
    )
    if not block.lines:
        return picture
    corner = (width * 0.07, height * 0.075)
    mask = letters(picture.size, block, corner)
    below = corner[1] + block.height + 24 * u
    pen = ImageDraw.Draw(mask)
    for y in (corner[1] - 20 * u, below):
        for side in (-1, 1):
            pen.line(
                (width / 2 + side * 12 * u, y, width / 2 + side * 110 * u, y), fill=255, width=1
            )
        for x, arm in (
            (width / 2, 6 * u),
            (width / 2 - 110 * u, 3 * u),
            (width / 2 + 110 * u, 3 * u),
        ):
            pen.polygon([(x - arm, y), (x, y - arm), (x + arm, y), (x, y + arm)], fill=255)
    small = Setting((box[0], round(22 * u)), round(14 * u), 6, tracking=0.3, weight=0.0)
    label = letters(picture.size, fit(subject.label.upper(), small), (corner[0], below + 16 * u))
    mask = ImageChops.lighter(mask, label)
    veil(
        picture,
        curve(mask.filter(ImageFilter.GaussianBlur(6 * u)), lambda v: min(v * 1.6, 0.8)),
        BLACK,
    )
    halo = Image.new("RGB", picture.size)
    halo.paste(
        mix(glow, (255, 190, 90), 0.5), (0, 0), mask.filter(ImageFilter.GaussianBlur(11 * u))
    )
    picture = ImageChops.screen(picture, halo)
    # Each line of letters has the whole sheen of gold from its head to its foot.
    sheet = Image.new("RGB", picture.size, GOLD[1][1])
    for number in range(len(block.lines)):
        top = round(corner[1] + number * block.line_height)
        sheet.paste(gradient((width, max(round(block.size * 0.8), 1)), GOLD), (0, top))
    picture.paste(sheet, (0, 0), mask)
    return picture
