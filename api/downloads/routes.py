"""The edge's side of downloads: a file, once for each address.

Whoever has the address has the file: it is given out to one reader, holds 244 random bits, and is
neither kept nor logged here.
"""

import re
import unicodedata
from urllib.parse import quote

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from api.db import database
from api.errors import ApiError

blueprint = Blueprint("downloads", __name__)

TOKEN = re.compile("[0-9a-f]{64}")
UNQUOTABLE = re.compile(r"[^A-Za-z0-9 ._,'!&()-]")
NAMELESS = "story"


# An address with further slashes is not this one, and is not sent on to it either.
@blueprint.get("/downloads/<token>", merge_slashes=False)
def download(token: str) -> Response:
    """The file of this address, which is then used up."""
    if request.method == "HEAD":
        # It must not use the address up, and could not say more than GET would.
        raise MethodNotAllowed(valid_methods=["GET"])
    if TOKEN.fullmatch(token) is None:
        raise ApiError(404, "There is no such download.", "download_not_found")
    with database().connection() as connection:
        row = connection.execute(
            "select file_name, media_type, content from app.take_download(%s)",
            (token,),
            binary=True,
        ).fetchone()
    assert row is not None
    file_name, media_type, content = row
    response = Response(content, content_type=media_type)
    response.headers["Content-Disposition"] = _attachment(file_name)
    response.headers["Accept-Ranges"] = "none"
    return response


def _attachment(file_name: str) -> str:
    """The name in plain letters for those who know no others, and as it is."""
    stem, _, ending = file_name.rpartition(".")
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    plain = " ".join(UNQUOTABLE.sub(" ", plain).split()) or NAMELESS
    return (
        f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(file_name, safe='')}"
    )
