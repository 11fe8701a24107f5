"""The realistic look: misty mountains or a coast in low light, with depth, haze and grain."""

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
    grain,
    hsv,
    land,
    mix,
    ridge,
    shapes,
    shine,
    unit,
    veil,
    vignette,
)
from api.sandbox.webui_words import Mood, Subject


def paint(subject: Subject, random: Random, size: Size) -> Image.Image:
    """A landscape with the title in its sky."""
    width, height = size
    mood = subject.mood
    deep, glow = _colors(mood)
    horizon = random.uniform(0.56, 0.64) * height
    sun = (random.uniform(0.25, 0.75) * width, horizon - random.uniform(0.02, 0.12) * height)
    haze = mix(glow, hsv(mood.second, 0.3, 0.62 if mood.is_dark else 0.85), 0.45)
    second = hsv(mood.second, 0.45, 0.5 if mood.is_dark else 0.75)
    picture = _sky(random, size, (deep, second, glow), sun, horizon / height)
    if subject.place == "sea":
        picture = _sea(picture, random, sun, horizon, deep)
        _boat(picture, random, horizon, deep)
        _cliffs(picture, random, horizon, (haze, deep))
    else:
        picture = _hills(picture, random, (horizon, 5), (haze, deep))
    if subject.place in ("forest", "mountains"):
        _trees(picture, random, dense=subject.place == "forest", color=_shadow(deep))
    elif subject.place == "city":
        _skyline(picture, random, _shadow(deep))
    _birds(picture, random, sun, _shadow(deep))
    picture = vignette(picture, 0.4)
    _title(picture, subject)
    return grain(picture, random, 0.03)


def _colors(mood: Mood) -> tuple[Color, Color]:
    """The color of the high sky, and that of the light."""
    if mood.is_dark:
        return hsv(mood.main, 0.62, 0.16), hsv(mood.accent, 0.55, 0.78)
    return hsv(mood.main, 0.62, 0.40), hsv(mood.accent, 0.46, 1.0)


def _shadow(deep: Color) -> Color:
    return mix(deep, BLACK, 0.72)


def _sky(
    random: Random, size: Size, colors: tuple[Color, Color, Color], sun: Point, horizon: float
) -> Image.Image:
    deep, second, glow = colors
    middle = mix(mix(deep, glow, 0.45), second, 0.35)
    stops = [(0.0, mix(deep, BLACK, 0.25)), (horizon * 0.45, deep), (horizon * 0.8, middle)]
    picture = gradient(size, [*stops, (horizon, glow), (1.0, glow)])
    # Long banks of cloud: noise that is much wider than it is high.
    banks = curve(clouds(random, size, (2, 9)), lambda value: max(value - 0.48, 0) * 1.25)
    fade = gradient(size, [(0.0, (120,) * 3), (horizon * 0.7, WHITE), (horizon, BLACK)])
    veil(picture, ImageChops.multiply(banks, fade.convert("L")), mix(glow, WHITE, 0.25))
    u = unit(size)
    picture = shine(picture, sun, 430 * u, mix(glow, BLACK, 0.35), 1.6)
    picture = shine(picture, sun, 130 * u, glow, 2.2)
    body = shapes(size, lambda draw, k: draw.ellipse(around(sun, 26 * u, k), fill=255))
    veil(picture, body.filter(ImageFilter.GaussianBlur(1.6 * u)), mix(glow, WHITE, 0.75))
    return picture


def _hills(
    picture: Image.Image, random: Random, form: tuple[float, int], colors: tuple[Color, Color]
) -> Image.Image:
    """Ridges one before the other: the far ones pale, the near ones dark, mist between them."""
    horizon, count = form
    haze, deep = colors
    width, height = picture.size
    slopes = curve(clouds(random, picture.size, (6, 12), 4), lambda value: 0.4 + value * 0.2)
    for number in range(count):
        near = (number + 1) / count
        level = horizon + (height * 0.98 - horizon) * (number / count) ** 1.15
        rise = height * (0.10 + 0.13 * random.random()) * (1.15 - 0.5 * near)
        line = ridge(random, width, level, rise, 0.5 + 0.06 * random.random())
        color = mix(mix(haze, deep, 0.3), mix(deep, BLACK, 0.6), near**0.9)
        top = max(level - rise, 0) / height
        foot = min(top + 0.34, 0.999)
        misty = mix(color, haze, 0.62 * (1 - near))
        body = gradient(picture.size, [(top, color), (foot, misty), (1.0, mix(misty, BLACK, 0.2))])
        body = ImageChops.overlay(body, Image.merge("RGB", (slopes, slopes, slopes)))
        picture.paste(body, (0, 0), land(picture.size, line))
        if number < count - 1:
            mist = curve(clouds(random, picture.size, (2, 7), 4), lambda value: value**2 * 0.5)
            band = [(max(top - 0.02, 0), BLACK), (top + 0.14, WHITE), (min(top + 0.3, 1), BLACK)]
            fade = gradient(picture.size, band).convert("L")
            veil(picture, ImageChops.multiply(mist, fade), haze)
    return picture


def _cliffs(
    picture: Image.Image, random: Random, horizon: float, colors: tuple[Color, Color]
) -> None:
    """Land that falls off into the sea: far away on one side, near on the other."""
    haze, deep = colors
    width, height = picture.size
    side = random.choice((-1, 1))
    far = ridge(random, width, 0, height * 0.05)
    near = ridge(random, width, 0, height * 0.1, 0.6)

    def falling(line: list[Point], toward: int, foot: float, rise: float) -> list[Point]:
        fallen = []
        for x, y in line:
            at = max((x / width if toward > 0 else 1 - x / width) - 0.35, 0) / 0.65
            fallen.append((x, foot - rise * at**1.4 + y * at**0.5))
        return fallen

    away = land(picture.size, falling(far, side, horizon + 2, height * 0.16))
    away.paste(0, (0, round(horizon) + 1, width, height))
    veil(picture, away, mix(mix(haze, deep, 0.5), BLACK, 0.15))
    shore = falling(near, -side, height * 1.02, height * 0.3)
    body = gradient(picture.size, [(0.6, mix(deep, BLACK, 0.35)), (1.0, mix(deep, BLACK, 0.8))])
    rocks = curve(clouds(random, picture.size, (9, 9), 5), lambda value: 0.3 + value * 0.4)
    body = ImageChops.overlay(body, Image.merge("RGB", (rocks, rocks, rocks)))
    picture.paste(body, (0, 0), land(picture.size, shore))


def _sea(
    picture: Image.Image, random: Random, sun: Point, horizon: float, deep: Color
) -> Image.Image:
    """Water that mirrors the sky, broken up by waves, with the sun's path on it."""
    width, height = picture.size
    line = round(horizon)
    mirrored = picture.crop((0, max(2 * line - height, 0), width, line))
    mirrored = mirrored.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((width, height - line))
    water = Image.blend(mirrored, Image.new("RGB", mirrored.size, deep), 0.45)
    ripples = clouds(random, water.size, (5, 46), 4)
    dark = curve(ripples, lambda value: max(0.5 - value, 0) * 1.1)
    veil(water, dark, mix(deep, BLACK, 0.5))
    path = Image.new("L", water.size)
    draw = ImageDraw.Draw(path)
    for _ in range(320):
        depth = random.random() ** 1.6
        y = depth * water.height
        reach = (0.05 + 0.2 * depth) * width
        x, half = random.gauss(sun[0], reach * 0.55), reach * random.uniform(0.05, 0.3)
        draw.line(
            (x - half, y, x + half, y), fill=random.randint(60, 210), width=1 + int(depth * 3)
        )
    path = path.filter(ImageFilter.GaussianBlur(1.1 * unit(picture.size)))
    light = picture.getpixel((int(sun[0]), int(sun[1])))
    assert isinstance(light, tuple)
    veil(water, path, (int(light[0]), int(light[1]), int(light[2])))
    picture.paste(water, (0, line))
    return picture


def _trees(picture: Image.Image, random: Random, *, dense: bool, color: Color) -> None:
    """Firs before everything else, the tallest at the sides."""
    width, height = picture.size
    count = 64 if dense else 30

    def draw(pen: ImageDraw.ImageDraw, k: float) -> None:
        for _ in range(count):
            x = random.random()
            side = abs(x - 0.5) * 2
            tall = height * (0.05 + random.random() * 0.06 + (0.3 if dense else 0.12) * side**2)
            _fir(pen, random, (x * width, height * 1.01), tall, k)

    veil(picture, shapes(picture.size, draw), mix(color, BLACK, 0.35))


def _fir(pen: ImageDraw.ImageDraw, random: Random, foot: Point, tall: float, k: float) -> None:
    x, base = foot
    tiers = max(int(tall / 7), 6)
    pen.line(
        (x * k, base * k, x * k, (base - tall) * k), fill=255, width=max(int(tall * k / 70), 2)
    )
    for tier in range(tiers):
        share = tier / tiers
        half = tall * 0.2 * (1 - share) * random.uniform(0.65, 1.1)
        y = base - tall * (0.06 + 0.94 * share)
        tip = y - tall * 1.7 / tiers
        pen.polygon([((x - half) * k, y * k), (x * k, tip * k), ((x + half) * k, y * k)], fill=255)


def _skyline(picture: Image.Image, random: Random, color: Color) -> None:
    """Towers in the mist, two rows of them, with windows lit in the near one."""
    width, height = picture.size
    u = unit(picture.size)
    lit: list[Point] = []

    def row(
        pen: ImageDraw.ImageDraw, k: float, form: tuple[float, float], *, windows: bool
    ) -> None:
        x, (low, high) = -10 * u, form
        while x < width:
            wide = random.uniform(26, 64) * u
            centre = 1 - abs((x + wide / 2) / width - 0.5)
            top = height * (1 - low - (high - low) * random.random() * centre)
            pen.rectangle((x * k, top * k, (x + wide) * k, height * k), fill=255)
            if random.random() < 0.4:
                mast = x + wide / 2
                pen.line((mast * k, top * k, mast * k, (top - 34 * u) * k), fill=255, width=int(k))
            if windows:
                for column in range(int(wide / (9 * u)) - 1):
                    for floor in range(int((height - top) / (11 * u))):
                        if random.random() < 0.24:
                            lit.append((x + (column + 1) * 9 * u, top + (floor + 0.8) * 11 * u))
            x += wide + random.uniform(-2, 6) * u

    back = shapes(picture.size, lambda pen, k: row(pen, k, (0.2, 0.46), windows=False))
    veil(picture, curve(back, lambda value: value * 0.6), color)
    front = shapes(picture.size, lambda pen, k: row(pen, k, (0.1, 0.32), windows=True))
    veil(picture, front, mix(color, BLACK, 0.4))
    pen = ImageDraw.Draw(picture)
    for x, y in lit:
        shade = mix((255, 214, 140), color, random.random() * 0.6)
        pen.rectangle((x, y, x + 3 * u, y + 4 * u), fill=shade)


def _boat(picture: Image.Image, random: Random, horizon: float, deep: Color) -> None:
    """A small boat under sail, not far out."""
    width, height = picture.size
    u = unit(picture.size) * random.uniform(0.9, 1.5)
    x, y = random.uniform(0.2, 0.8) * width, horizon + (height - horizon) * 0.2

    def draw(pen: ImageDraw.ImageDraw, k: float) -> None:
        hull = [(x - 17 * u, y - 4 * u), (x + 19 * u, y - 5 * u), (x + 13 * u, y + 2 * u)]
        hull.append((x - 13 * u, y + 2 * u))
        main = [(x + 1 * u, y - 46 * u), (x + 1 * u, y - 7 * u), (x + 18 * u, y - 8 * u)]
        jib = [(x - 1 * u, y - 40 * u), (x - 1 * u, y - 7 * u), (x - 15 * u, y - 7 * u)]
        for outline in (hull, main, jib):
            pen.polygon([(a * k, b * k) for a, b in outline], fill=255)

    mask = shapes(picture.size, draw)
    veil(picture, mask, mix(deep, BLACK, 0.6))
    box = (0, round(y + 2 * u), width, min(round(y + 40 * u), height))
    shadow = mask.crop((0, round(y - 36 * u), width, round(y + 2 * u)))
    shadow = shadow.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((width, box[3] - box[1]))
    shadow = curve(shadow.filter(ImageFilter.GaussianBlur(1.5 * u)), lambda value: value * 0.35)
    picture.paste(mix(deep, BLACK, 0.6), (0, box[1]), shadow)


def _birds(picture: Image.Image, random: Random, sun: Point, color: Color) -> None:
    u = unit(picture.size)
    flock = [
        (sun[0] + random.uniform(-150, 150) * u, sun[1] - random.uniform(20, 130) * u)
        for _ in range(random.randint(4, 9))
    ]

    def draw(pen: ImageDraw.ImageDraw, k: float) -> None:
        for x, y in flock:
            wing = random.uniform(4, 8) * u
            for side in (-1, 1):
                tip = (x + side * wing, y - wing * random.uniform(0.2, 0.6))
                pen.line((x * k, y * k, tip[0] * k, tip[1] * k), fill=210, width=int(1.4 * k))

    veil(picture, shapes(picture.size, draw), color)


def _title(picture: Image.Image, subject: Subject) -> None:
    """White capitals with room between them, a fine rule, and the genre."""
    width, height = picture.size
    u = unit(picture.size)
    box = (round(width * 0.84), round(height * 0.27))
    block = fit(
        subject.title.upper(),
        Setting(box, round(66 * u), round(14 * u), tracking=0.1, leading=1.2, weight=0.012),
    )
    if not block.lines:
        return
    corner = (width * 0.08, height * 0.085)
    mask = letters(picture.size, block, corner)
    shade = curve(mask.filter(ImageFilter.GaussianBlur(9 * u)), lambda value: value * 0.75)
    veil(picture, shade, BLACK)
    veil(picture, mask, WHITE)
    below = corner[1] + block.height + 26 * u
    ImageDraw.Draw(picture).line(
        (width / 2 - 32 * u, below, width / 2 + 32 * u, below), fill=(235, 235, 235), width=1
    )
    small = Setting((box[0], round(20 * u)), round(14 * u), 6, tracking=0.32)
    line = letters(picture.size, fit(subject.label.upper(), small), (corner[0], below + 14 * u))
    veil(picture, line, (240, 240, 240))
