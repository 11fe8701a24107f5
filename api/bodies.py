"""Bodies of requests: a JSON object with the fields that a route knows, and nothing else."""

import json
import re
from collections.abc import Collection
from typing import Any, NoReturn
from uuid import UUID

from flask import abort, request

from api.errors import ApiError

CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
LARGEST_BODY = 16 * 1024
LARGEST_NUMBER = 2**63 - 1  # what a bigint holds


class Body:
    """The object that was sent."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def uuid(self, name: str) -> UUID:
        """An id that has to be there."""
        given = self._fields.get(name)
        if not (isinstance(given, str) and CANONICAL_UUID.fullmatch(given)):
            raise _invalid(f"{name} must be a UUID.")
        return UUID(given)

    def text(self, name: str) -> str | None:
        """A text, or None."""
        given = self._fields.get(name)
        if given is not None and not (isinstance(given, str) and _is_storable(given)):
            raise _invalid(f"{name} must be a text.")
        return given

    def required_text(self, name: str) -> str:
        """A text that has to be there."""
        given = self.text(name)
        if given is None:
            raise _invalid(f"{name} is missing.")
        return given

    def number(self, name: str) -> int | None:
        """A whole number, or None."""
        given = self._fields.get(name)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int) or abs(given) > LARGEST_NUMBER:
            raise _invalid(f"{name} must be a whole number.")
        return given


def read_payload(largest: int) -> bytes:
    """The raw bytes, at most so many."""
    request.max_content_length = largest
    payload = request.get_data()
    # Of a body that comes in chunks without a length, werkzeug hands out what fits.
    if request.content_length is None and len(payload) >= largest:
        abort(413)
    return payload


def read_body(known: Collection[str], *, may_be_missing: bool = False) -> Body:
    """The body of this request, if it is an object with only these fields."""
    if may_be_missing and not request.mimetype and not read_payload(LARGEST_BODY):
        return Body({})
    if request.mimetype != "application/json":
        raise ApiError(415, "Send the body as application/json.", "unsupported_media_type")
    try:
        payload = read_payload(LARGEST_BODY)
        fields = json.loads(payload.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is not JSON.", "invalid_json") from None
    if not isinstance(fields, dict):
        raise _invalid("The body must be a JSON object.")
    unknown = sorted(fields.keys() - set(known))
    if unknown:
        raise _invalid(f"These fields are known: {', '.join(known)}.")
    return Body(fields)


def idempotency_key() -> str | None:
    """The caller's key, by which a call that is sent again is known."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise _invalid("Idempotency-Key must be printable ASCII.")
    return key


def _is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep it: no NUL, no half of a character."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _invalid(message: str) -> ApiError:
    return ApiError(400, message, "invalid_argument")
