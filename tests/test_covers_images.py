"""What becomes of images that others send: read with care, written anew, or refused by name."""

import hashlib
import io
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageDraw, ImageStat, PngImagePlugin

from api.covers import images
from api.covers.images import ImageError, Picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL[.]")  # as images.py has it

RED, GREEN, BLUE, WHITE = (220, 30, 40), (30, 160, 60), (40, 60, 200), (255, 255, 255)
NEAR = 12  # how far a color may stray by being written as WebP


def quarters(width: int = 400, height: int = 600, mode: str = "RGB") -> Image.Image:
    """A picture whose corners can be told apart: red and green above blue and white."""
    image = Image.new("RGB", (width, height), RED)
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 2, 0, width, height // 2), fill=GREEN)
    draw.rectangle((0, height // 2, width // 2, height), fill=BLUE)
    draw.rectangle((width // 2, height // 2, width, height), fill=WHITE)
    return image.convert(mode)


def written(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def shown(picture: Picture) -> Image.Image:
    """The picture as a browser decodes it."""
    image = Image.open(io.BytesIO(picture.data))
    assert image.format == "WEBP"
    image.load()
    return image


def corners(picture: Picture) -> list[tuple[int, ...]]:
    """The colors in the middles of the quarters: above left and right, below left and right."""
    image = shown(picture).convert("RGB")
    width, height = image.size
    found = []
    for top in (height // 4, 3 * height // 4):
        for left in (width // 4, 3 * width // 4):
            part = image.crop((left - 4, top - 4, left + 4, top + 4))
            found.append(tuple(round(mean) for mean in ImageStat.Stat(part).mean))
    return found


def are_near(found: Sequence[tuple[int, ...]], wanted: Sequence[tuple[int, ...]]) -> bool:
    levels = zip(chain(*found), chain(*wanted), strict=True)
    return all(abs(one - other) <= NEAR for one, other in levels)


def refused(read: Callable[[], object]) -> str:
    """The code with which it is refused; the sentence must be one."""
    with pytest.raises(ImageError) as error:
        read()
    assert str(error.value).endswith(".")
    return error.value.code


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def huge_png(side: int) -> bytes:
    """A few bytes that say they are an image of so many pixels a side."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


# What comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_upload_becomes_a_webp_under_its_own_hash(kind: str) -> None:
    picture = images.uploaded(written(quarters(), kind, quality=95))
    assert (picture.width, picture.height) == shown(picture).size == (400, 600)
    assert picture.media_type == "image/webp"
    assert picture.name == f"{hashlib.sha256(picture.data).hexdigest()}.webp"
    assert are_near(corners(picture), [RED, GREEN, BLUE, WHITE])


def test_the_same_image_gets_the_same_name() -> None:
    data = written(quarters())
    assert images.uploaded(data) == images.uploaded(data)
    assert images.uploaded(data).name != images.uploaded(written(quarters(500))).name


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ((256, 256), (256, 256)),
        ((600, 400), (600, 400)),
        ((1024, 1536), (1024, 1536)),
        ((4096, 4096), (1024, 1024)),
        ((2000, 4000), (768, 1536)),
        ((4096, 256), (1024, 64)),
    ],
)
def test_what_is_too_large_to_show_is_made_smaller_and_nothing_larger(
    sent: tuple[int, int], kept: tuple[int, int]
) -> None:
    picture = images.uploaded(written(quarters(*sent), "JPEG"))
    assert (picture.width, picture.height) == shown(picture).size == kept
    assert are_near(corners(picture), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize(
    ("sent", "kept"), [((400, 600), (256, 384)), ((1000, 300), (256, 77)), ((300, 300), (256, 256))]
)
def test_a_thumbnail_fits_into_a_list(sent: tuple[int, int], kept: tuple[int, int]) -> None:
    picture = images.uploaded(written(quarters(*sent)))
    small = images.thumbnail(picture)
    assert (small.width, small.height) == shown(small).size == kept
    assert small.name == f"{hashlib.sha256(small.data).hexdigest()}.webp" != picture.name
    assert are_near(corners(small), [RED, GREEN, BLUE, WHITE])


def test_the_database_is_told_what_is_kept() -> None:
    picture = images.uploaded(written(quarters()))
    small = images.thumbnail(picture)
    assert images.as_json(picture, small, seed=7, model="deliberate_v2") == {
        "file": picture.name,
        "thumbnail_file": small.name,
        "media_type": "image/webp",
        "width": 400,
        "height": 600,
        "bytes": len(picture.data),
        "seed": 7,
        "model": "deliberate_v2",
    }


# Kinds of pixels -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_colors_stay_as_they_are(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    picture = images.uploaded(written(quarters(mode=mode), kind))
    assert are_near(corners(picture), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grays_stay_as_they_are(mode: str) -> None:
    picture = images.uploaded(written(quarters(mode=mode)))
    # As television has it: of what is seen as light, most is green.
    grays = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in (RED, GREEN, BLUE, WHITE)]
    assert are_near(corners(picture), [(gray,) * 3 for gray in grays])


def test_black_and_white_stays_so() -> None:
    image = Image.new("1", (400, 600), 0)
    image.paste(1, (0, 0, 200, 600))
    picture = images.uploaded(written(image))
    black = (0, 0, 0)
    assert are_near(corners(picture), [WHITE, black, WHITE, black])


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    image = Image.new("I;16", (400, 600), 0x8080)
    image.paste(0xFFFF, (0, 0, 200, 300))
    image.paste(0, (200, 300, 400, 600))
    picture = images.uploaded(written(image))
    gray, black = (128,) * 3, (0, 0, 0)
    assert are_near(corners(picture), [WHITE, gray, gray, black])


def see_through(mode: str) -> bytes:
    """A picture of which all that is red can be seen through."""
    image = quarters()
    if mode == "RGBA":
        image = image.convert("RGBA")
        image.paste((0, 0, 0, 0), (0, 0, 200, 300))
        return written(image)
    if mode == "LA":
        image = image.convert("LA")
        image.paste((0, 0), (0, 0, 200, 300))
        return written(image)
    if mode == "P":
        image = image.quantize(4)
        return written(image, transparency=image.getpixel((10, 10)))
    return written(image, transparency=RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_what_can_be_seen_through_lies_on_white(mode: str) -> None:
    picture = images.uploaded(see_through(mode))
    assert are_near(corners(picture)[:1] + corners(picture)[3:], [WHITE, WHITE])
    assert shown(picture).mode == "RGB"


def swapped_profile() -> bytes:
    """sRGB, except that its red stands for blue and its blue for red."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    table = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * 17, 12)}
    red, blue = table[b"rXYZ"], table[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_colors_are_what_the_profile_means(kind: str) -> None:
    data = written(quarters(), kind, quality=95, icc_profile=swapped_profile())
    picture = images.uploaded(data)
    swapped = [color[::-1] for color in (RED, GREEN, BLUE)]
    assert are_near(corners(picture), [*swapped, WHITE])
    assert "icc_profile" not in shown(picture).info


@pytest.mark.parametrize("kind", ["broken", "cut short", "another kind's"])
def test_a_profile_that_is_of_no_use_is_left_out(kind: str) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    profiles = {"broken": b"profile" * 40, "cut short": swapped_profile()[:200]}
    profile = profiles.get(kind, lab)
    picture = images.uploaded(written(quarters(), "JPEG", quality=95, icc_profile=profile))
    assert are_near(corners(picture), [RED, GREEN, BLUE, WHITE])


# What the camera noted -----------------------------------------------------------------------

AS_SEEN = {
    1: [RED, GREEN, BLUE, WHITE],
    2: [GREEN, RED, WHITE, BLUE],
    3: [WHITE, BLUE, GREEN, RED],
    4: [BLUE, WHITE, RED, GREEN],
    5: [RED, BLUE, GREEN, WHITE],
    6: [BLUE, RED, WHITE, GREEN],
    7: [WHITE, GREEN, BLUE, RED],
    8: [GREEN, WHITE, RED, BLUE],
}


def noted(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[images.ORIENTATION_TAG] = orientation
    return exif


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", AS_SEEN)
def test_a_picture_stands_upright(orientation: int, kind: str) -> None:
    data = written(quarters(), kind, quality=95, exif=noted(orientation))
    picture = images.uploaded(data)
    is_turned = orientation >= 5
    assert (picture.width, picture.height) == ((600, 400) if is_turned else (400, 600))
    assert are_near(corners(picture), AS_SEEN[orientation])


def test_a_large_picture_is_fitted_as_it_stands() -> None:
    data = written(quarters(3000, 2000), "JPEG", exif=noted(6))
    assert (images.uploaded(data).width, images.uploaded(data).height) == (1024, 1536)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_is_passed_over(orientation: int) -> None:
    picture = images.uploaded(written(quarters(), "JPEG", quality=95, exif=noted(orientation)))
    assert are_near(corners(picture), AS_SEEN[1])


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff"])
def test_a_damaged_note_does_not_cost_the_picture(exif: bytes) -> None:
    picture = images.uploaded(written(quarters(), "JPEG", quality=95, exif=exif))
    assert are_near(corners(picture), AS_SEEN[1])


SECRET = b"51 degrees north, at home"


def with_secrets(kind: str) -> bytes:
    """An image that carries a text in every place that its format has for one, and behind it."""
    exif = noted(1)
    exif[0x010E] = SECRET.decode()  # the description
    options: dict[str, Any] = {"exif": exif, "xmp": SECRET, "quality": 95}
    if kind == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", SECRET.decode())
        options = {"pnginfo": texts, "exif": exif}
    elif kind == "JPEG":
        options["comment"] = SECRET
    return written(quarters(), kind, **options) + b"<script>" + SECRET + b"</script>PK\x03\x04"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_nothing_but_the_picture_is_kept(kind: str) -> None:
    data = with_secrets(kind)
    assert data.count(SECRET) >= 3
    picture = images.uploaded(data)
    for kept in (picture, images.thumbnail(picture)):
        assert SECRET not in kept.data
        assert b"<script>" not in kept.data
        assert set(shown(kept).info) <= {"loop", "background", "timestamp", "duration"}
        assert not shown(kept).getexif()


# More than one picture -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_image_that_moves_the_first_frame_is_kept(kind: str) -> None:
    frames = [quarters(), Image.new("RGB", (400, 600), "black"), quarters().rotate(180)]
    data = written(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    picture = images.uploaded(data)
    assert are_near(corners(picture), [RED, GREEN, BLUE, WHITE])
    assert getattr(shown(picture), "n_frames", 1) == 1


def test_a_photograph_of_several_pictures_is_a_jpeg() -> None:
    """As many telephones write them."""
    second = quarters().rotate(180)
    data = written(quarters(), "MPO", save_all=True, append_images=[second], quality=95)
    picture = images.uploaded(data)
    assert are_near(corners(picture), [RED, GREEN, BLUE, WHITE])


# What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(255, 600), (600, 255), (1, 1)])
def test_too_small(size: tuple[int, int]) -> None:
    assert refused(lambda: images.uploaded(written(quarters(*size)))) == "too_small"


@pytest.mark.parametrize("size", [(4097, 300), (300, 4097)])
def test_too_large(size: tuple[int, int]) -> None:
    assert refused(lambda: images.uploaded(written(quarters(*size)))) == "too_large"


@pytest.mark.parametrize("side", [4097, 10_000, 16_000, 2**31 - 1])
def test_a_bomb_is_refused_by_what_its_head_says(side: int) -> None:
    assert refused(lambda: images.uploaded(huge_png(side))) == "too_large"
    assert refused(lambda: images.generated(huge_png(side), 512, 768)) == "wrong_size"


NARROW = """
import resource, sys
from api.covers import images
resource.setrlimit(resource.RLIMIT_AS, (400 * 2**20, 400 * 2**20))
try:
    images.uploaded(sys.stdin.buffer.read())
except images.ImageError as error:
    print(error.code)
"""


@pytest.mark.parametrize("side", [9_400, 13_000, 20_000])
def test_a_bomb_takes_no_memory(side: int) -> None:
    """Refused within 400 MB, before any of it is decoded."""
    told = subprocess.run(
        [sys.executable, "-c", NARROW],
        input=huge_png(side),
        cwd=Path(__file__).parents[1],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert (told.stdout, told.returncode) == (b"too_large\n", 0), told.stderr


def test_a_jpeg_of_endless_passes_is_refused_unread() -> None:
    """Each pass takes but 56 bytes, and a hundredth of a second."""
    data = written(Image.new("RGB", (4096, 4096), "gray"), "JPEG", progressive=True)
    last_pass = data[data.rfind(b"\xff\xc4") : -2]
    bomb = data[:-2] + 10_000 * last_pass + data[-2:]
    assert len(bomb) < 1_000_000
    for read in (lambda: images.uploaded(bomb), lambda: images.generated(bomb, 4096, 4096)):
        assert refused(read) == "not_an_image"


def test_a_progressive_jpeg_is_fine() -> None:
    data = written(quarters(), "JPEG", progressive=True, quality=95)
    assert are_near(corners(images.uploaded(data)), [RED, GREEN, BLUE, WHITE])


NO_IMAGES = {
    "nothing": b"",
    "a text": b"hello",
    "noughts": bytes(5000),
    "a page": b"<!DOCTYPE html><script>alert(1)</script>",
    "a drawing": b'<svg xmlns="http://www.w3.org/2000/svg" width="400" height="600"/>',
    "a document": b"%PDF-1.7\n",
    "a script": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 400 600\n",
    "only the head of a PNG": b"\x89PNG\r\n\x1a\n",
    "only the head of a JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF\0",
    "only the head of a WebP": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
}


@pytest.mark.parametrize("data", NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_image(data: bytes) -> None:
    assert refused(lambda: images.uploaded(data)) == "not_an_image"
    assert refused(lambda: images.generated(data, 512, 768)) == "not_an_image"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "JPEG2000"])
def test_other_formats_are_not_even_opened(kind: str) -> None:
    data = written(quarters(mode="P" if kind == "GIF" else "RGB"), kind)
    assert refused(lambda: images.uploaded(data)) == "not_an_image"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_that_was_cut_short(kind: str) -> None:
    data = written(quarters(), kind)
    for part in (0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
        cut = data[: int(len(data) * part)]
        assert refused(lambda cut=cut: images.uploaded(cut)) == "not_an_image"  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_image_is_a_picture_or_is_refused(kind: str, seed: int) -> None:
    """Whatever breaks in the reader, nothing but an ImageError comes out of it."""
    chance = random.Random(seed)
    data = bytearray(with_secrets(kind))
    for _ in range(chance.choice([1, 3, 20])):
        reach = chance.choice([40, 300, len(data)])  # the head is what can be misread
        data[chance.randrange(reach)] = chance.randrange(256)
    try:
        picture = images.uploaded(bytes(data))
    except ImageError as error:
        assert error.code in ("not_an_image", "too_large", "too_small", "blank_image")
    else:
        assert shown(picture).size == (picture.width, picture.height)


BLANK = {
    "black": Image.new("RGB", (512, 768)),
    "nearly one color": Image.effect_noise((512, 768), 3).convert("RGB"),
    "one speck": Image.new("RGB", (512, 768), "navy"),
    "nothing but transparency": Image.new("RGBA", (512, 768), (255, 0, 0, 0)),
}
BLANK["one speck"].paste((255, 255, 0), (100, 100, 102, 101))


@pytest.mark.parametrize("image", BLANK.values(), ids=BLANK)
def test_an_empty_picture(image: Image.Image) -> None:
    assert refused(lambda: images.uploaded(written(image))) == "blank_image"
    assert refused(lambda: images.generated(written(image), 512, 768)) == "blank_image"


def test_little_is_not_nothing() -> None:
    image = Image.new("RGB", (512, 768), "white")
    ImageDraw.Draw(image).text((200, 380), "Carried Forward", fill="black")
    assert images.uploaded(written(image)).width == 512


# What a server drew --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_generated_image_of_the_size_that_was_asked_for(kind: str) -> None:
    picture = images.generated(written(quarters(512, 768), kind, quality=95), 512, 768)
    assert (picture.width, picture.height) == shown(picture).size == (512, 768)
    assert picture.name == f"{hashlib.sha256(picture.data).hexdigest()}.webp"
    assert are_near(corners(picture), [RED, GREEN, BLUE, WHITE])


def test_a_generated_image_is_kept_whole_however_large() -> None:
    picture = images.generated(written(quarters(1536, 2048)), 1536, 2048)
    assert (picture.width, picture.height) == (1536, 2048)


@pytest.mark.parametrize("size", [(768, 512), (511, 768), (512, 1536), (64, 64)])
def test_a_generated_image_of_another_size(size: tuple[int, int]) -> None:
    data = written(quarters(*size))
    assert refused(lambda: images.generated(data, 512, 768)) == "wrong_size"


def test_what_the_server_noted_is_not_published() -> None:
    """A WebUI writes the whole prompt into the file."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", SECRET.decode())
    data = written(quarters(512, 768), pnginfo=texts)
    assert SECRET in data
    assert SECRET not in images.generated(data, 512, 768).data
