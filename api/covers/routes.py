"""The edge's side of covers: images for everybody, and the upload of an author's own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from flask import Blueprint, Flask, Response, abort, current_app, jsonify, request
from psycopg.types.json import Jsonb
from werkzeug.datastructures import FileStorage

from api.auth import current_caller, require_caller
from api.bodies import read_payload
from api.config import EdgeSettings
from api.covers import images
from api.covers.images import ImageError
from api.covers.store import CACHE_CONTROL, NAME, CoverStore, StoreError, media_type
from api.db import database
from api.errors import ApiError
from api.limits import count_upload
from api.logs import say

blueprint = Blueprint("covers", __name__)

LARGEST_IMAGE = 10 * 1024 * 1024
LARGEST_ENVELOPE = 16 * 1024  # what a form adds to the image in it
MOST_FORM_PARTS = 4

# A picture that is being decoded takes up to some hundred megabytes, and a processor.
DECODERS = 2
DECODER_SECONDS = 5.0

# Of the edge's threads only so many wait for the store: the others go on serving payments.
STORE_SLOTS = 12
STORE_SLOT_SECONDS = 1.0


class Gallery:
    """What the routes share: the store, and how many may use it or decode at once."""

    def __init__(self, store_url: str | None) -> None:
        self._store_url = store_url
        self._store: CoverStore | None = None
        self._opening = threading.Lock()
        self._slots = threading.BoundedSemaphore(STORE_SLOTS)
        self._decoders = threading.BoundedSemaphore(DECODERS)

    @contextmanager
    def store(self) -> Iterator[CoverStore]:
        """The store, with its failures told as answers of ours. Its first use opens it."""
        self.require_store()
        if not self._slots.acquire(timeout=STORE_SLOT_SECONDS):
            raise _store_unavailable()
        try:
            yield self._opened()
        except StoreError as error:
            current_app.logger.warning("the store of covers: %s", error)
            raise _store_unavailable() from None
        finally:
            self._slots.release()

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """A turn at decoding."""
        if not self._decoders.acquire(timeout=DECODER_SECONDS):
            raise ApiError(
                503,
                "Many images are being sent just now. Try again.",
                "uploads_busy",
                headers={"Retry-After": "5"},
            )
        try:
            yield
        except ImageError as error:
            raise _refusal(error) from None
        finally:
            self._decoders.release()

    def require_store(self) -> None:
        """Answer at once where no covers are kept."""
        if self._store_url is None:
            raise ApiError(503, "No covers are kept here.", "covers_unavailable")

    def _opened(self) -> CoverStore:
        with self._opening:
            if self._store is None:
                assert self._store_url is not None
                self._store = CoverStore.open(self._store_url)
            return self._store


def register_gallery(app: Flask, settings: EdgeSettings) -> None:
    """Attach the app's gallery."""
    app.extensions["gallery"] = Gallery(settings.cover_store_url)


def gallery() -> Gallery:
    """The gallery of the app that serves this request."""
    found: Gallery = current_app.extensions["gallery"]
    return found


# An address with further slashes is not this one, and is not sent on to it either.
@blueprint.get("/covers/<name>", merge_slashes=False)
def cover(name: str) -> Response:
    """An image. It never changes under its name, so whoever has it need not ask again."""
    known = NAME.fullmatch(name)
    if known is None:
        abort(404)
    with gallery().store() as store:
        data = store.read(name)
    if data is None:
        raise ApiError(404, "There is no such image.", "not_found")
    has_it = request.if_none_match.contains_weak(known["hash"])
    response = Response(status=304) if has_it else Response(data, mimetype=media_type(name))
    response.set_etag(known["hash"])
    response.headers["Cache-Control"] = CACHE_CONTROL
    response.headers["Accept-Ranges"] = "none"
    # For pages of any origin, and for what they draw with it.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


@blueprint.post("/stories/<uuid:story_id>/covers", merge_slashes=False)
@require_caller
def upload(story_id: UUID) -> tuple[Response, int]:
    """Make an image that the author sends a cover of a story of theirs."""
    caller = current_caller()
    gallery().require_store()
    count_upload(caller)
    is_primary = _is_primary()
    with database().connection(caller.claims) as connection:
        connection.execute("select app.check_cover_upload(%s)", (story_id,))
    sent = _read_image()
    with gallery().decoding():
        picture = images.uploaded(sent)
        thumbnail = images.thumbnail(picture)
    with gallery().store() as store:
        store.put(thumbnail.name, thumbnail.data)
        store.put(picture.name, picture.data)
    image = Jsonb(images.as_json(picture, thumbnail))
    with database().connection(caller.claims) as connection:
        row = connection.execute(
            "select cover_id, cover_url, thumbnail_url from app.add_uploaded_cover(%s, %s, %s)",
            (story_id, image, is_primary),
        ).fetchone()
    assert row is not None
    cover_id, cover_url, thumbnail_url = row
    say(cover_id=str(cover_id))
    return jsonify(
        cover_id=cover_id,
        cover_url=cover_url,
        thumbnail_url=thumbnail_url,
        width=picture.width,
        height=picture.height,
    ), 201


def _is_primary() -> bool:
    given = request.args.get("primary", "false")
    if given not in ("true", "false"):
        raise ApiError(400, "primary must be true or false.", "invalid_argument")
    return given == "true"


def _read_image() -> bytes:
    """The bytes of the image: the body itself, or a form's field."""
    if request.mimetype.startswith("image/"):
        return read_payload(LARGEST_IMAGE)
    if request.mimetype == "multipart/form-data":
        return _read_form()
    raise ApiError(
        415,
        "Send a PNG, JPEG or WebP image as the body, or as the field `file` of a form.",
        "unsupported_image",
    )


def _read_form() -> bytes:
    request.max_content_length = LARGEST_IMAGE + LARGEST_ENVELOPE
    request.max_form_parts = MOST_FORM_PARTS
    sent: list[FileStorage] = request.files.getlist("file")
    if len(sent) != 1:
        raise ApiError(400, "Send one image, as the field `file`.", "invalid_argument")
    data: bytes = sent[0].read(LARGEST_IMAGE + 1)
    if len(data) > LARGEST_IMAGE:
        abort(413)
    return data


def _refusal(error: ImageError) -> ApiError:
    sentence = str(error)
    match error.code:
        case "too_small":
            return ApiError(422, sentence, "image_too_small")
        case "too_large":
            return ApiError(422, sentence, "image_too_large")
        case "blank_image":
            return ApiError(422, sentence, "blank_image")
        case _:
            return ApiError(415, sentence, "unsupported_image")


def _store_unavailable() -> ApiError:
    return ApiError(
        503,
        "The store of images does not answer. Try again.",
        "store_unavailable",
        headers={"Retry-After": "5"},
    )
