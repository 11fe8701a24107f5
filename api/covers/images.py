"""Pictures, as others send them and as covers are kept.

Nothing is kept as it came. It is decoded, checked and written anew as WebP, so neither a file that
is something else as well, nor what a camera noted about place and time, gets past this module.
"""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image, ImageCms

Size = tuple[int, int]

FORMATS = ("PNG", "JPEG", "WEBP")
SHORTEST_SIDE = 256
LONGEST_SIDE = 4096
LARGEST_COVER = (1024, 1536)
LARGEST_THUMBNAIL = (256, 384)
COVER_QUALITY = 90
THUMBNAIL_QUALITY = 80

# A progressive JPEG is drawn in about ten passes. Each costs time and may be empty, so that a small
# file could ask for hours of them.
MOST_SCANS = 64
START_OF_SCAN = b"\xff\xda"

LARGEST_PROFILE = 1024 * 1024
SIXTEEN_BITS_TO_EIGHT = 1 / 256
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L")

# What is left of a picture whose parts all have (nearly) one color.
BLANK_GRID = (32, 48)
BLANK_DIFFERENCE = 4

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FIRST_ON_ITS_SIDE = 5

# Set once for the process: a setting that lasts for a block would be shared by all threads. What
# else Pillow warns of are notes of a camera that are damaged, and those are not kept anyway.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class ImageError(Exception):
    """An image that is not taken: a code for programs, and a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Picture:
    """An image as it is kept, under the hash of its bytes."""

    name: str
    data: bytes
    media_type: str
    width: int
    height: int


def generated(data: bytes, width: int, height: int) -> Picture:
    """What a server drew, if it is a picture of the size that was asked for."""
    image = _open(data, huge_is="wrong_size")
    if image.size != (width, height):
        raise ImageError(
            "wrong_size",
            f"The image is {image.width}x{image.height}; asked for was {width}x{height}.",
        )
    return _as_webp(_not_blank(_decode(image, image.size)), COVER_QUALITY)


def uploaded(data: bytes) -> Picture:
    """What somebody sent, if it can be a cover. Of an image that moves it is the first frame."""
    image = _open(data, huge_is="too_large")
    if max(image.size) > LONGEST_SIDE:
        raise ImageError("too_large", f"No side may be longer than {LONGEST_SIDE} pixels.")
    if min(image.size) < SHORTEST_SIDE:
        raise ImageError("too_small", f"No side may be shorter than {SHORTEST_SIDE} pixels.")
    return _as_webp(_not_blank(_decode(image, LARGEST_COVER)), COVER_QUALITY)


def thumbnail(picture: Picture) -> Picture:
    """The same picture, small enough for a list."""
    image = _open(picture.data, huge_is="too_large")
    return _as_webp(_decode(image, LARGEST_THUMBNAIL), THUMBNAIL_QUALITY)


def as_json(picture: Picture, thumbnail: Picture, **more: Any) -> dict[str, Any]:
    """How the database is told of a cover."""
    return {
        "file": picture.name,
        "thumbnail_file": thumbnail.name,
        "media_type": picture.media_type,
        "width": picture.width,
        "height": picture.height,
        "bytes": len(picture.data),
        **more,
    }


def _open(data: bytes, *, huge_is: str) -> Image.Image:
    """Read no more than the head: what the image is, and how large."""
    if data.count(START_OF_SCAN) > MOST_SCANS and data.startswith(b"\xff\xd8"):
        raise ImageError("not_an_image", "This JPEG is drawn in too many passes.")
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(huge_is, "The image has far too many pixels.") from None
    except Exception:  # bytes that are no image can break the reader anywhere
        raise ImageError("not_an_image", "This is no PNG, JPEG or WebP image.") from None


def _decode(image: Image.Image, largest: Size) -> Image.Image:
    """The first frame: upright, on white, in sRGB, fitted into a box and never enlarged.

    It is made small first, so that only one copy of its full size is ever held.
    """
    try:
        image.load()
        orientation = _orientation(image)
        profile = image.info.get("icc_profile")
        is_on_its_side = orientation >= FIRST_ON_ITS_SIDE
        image = _scalable(image)
        image.thumbnail(largest[::-1] if is_on_its_side else largest, Image.Resampling.LANCZOS)
        image = _in_srgb(_on_white(image), profile)
        way_up = UPRIGHT.get(orientation)
        return image if way_up is None else image.transpose(way_up)
    except MemoryError:
        raise  # of the size we allow, it is we who are short of memory
    except Exception:
        raise ImageError("not_an_image", "The image is damaged.") from None


def _orientation(image: Image.Image) -> int:
    """How the camera was held; the picture is worth having if that note is damaged."""
    try:
        found = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return found if isinstance(found, int) else 1


def _scalable(image: Image.Image) -> Image.Image:
    """In a mode whose pixels can be blended: no palette, not black or white, eight bits."""
    if image.mode in DEEP_MODES:
        return image.point(lambda value: value * SIXTEEN_BITS_TO_EIGHT).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "CMYK"):
        return image
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return page


def _in_srgb(image: Image.Image, profile: object) -> Image.Image:
    """With its colors as its profile means them; one that is damaged or does not fit is left out.

    WebP is written without a profile, and that means sRGB.
    """
    if isinstance(profile, bytes) and len(profile) <= LARGEST_PROFILE and image.mode != "L":
        try:
            meant = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(
                image, meant, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _not_blank(image: Image.Image) -> Image.Image:
    """The image, unless nothing can be seen on it. Single pixels that differ are no picture."""
    for channel in image.resize(BLANK_GRID, Image.Resampling.BOX).split():
        levels = channel.tobytes()
        if max(levels) - min(levels) > BLANK_DIFFERENCE:
            return image
    raise ImageError("blank_image", "The image is empty: all of it has one color.")


def _as_webp(image: Image.Image, quality: int) -> Picture:
    # A new image has nothing but pixels, so nothing else can be written.
    pixels = Image.new("RGB", image.size)
    pixels.paste(image)
    written = BytesIO()
    pixels.save(written, "WEBP", quality=quality, method=4)
    data = written.getvalue()
    name = f"{hashlib.sha256(data).hexdigest()}.webp"
    return Picture(name, data, "image/webp", image.width, image.height)
