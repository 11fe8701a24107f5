"""Where Stripe may send somebody back: to our own pages, and to the origins that are set.

Anything else would let a link to us end wherever its author likes.
"""

import re
from collections.abc import Collection

from api.config.reading import SettingsError, origin_of, read_url
from api.errors import ApiError

LONGEST = 2000
# No backslash, blank or control character: browsers read those in ways of their own.
PLAIN = re.compile(
    r"""
    https?://
    (?: [A-Za-z0-9.-]+ | \[ [0-9A-Fa-f:.]+ \] ) (?: : [0-9]{1,5} )?
    (?: [/?\#] [!-\[\]-~]* )?
    """,
    re.VERBOSE,
)


def check_return_url(url: str, origins: Collection[str]) -> str:
    """The address as it is, if it leads to one of the origins."""
    if len(url) <= LONGEST and PLAIN.fullmatch(url):
        try:
            if origin_of(read_url(url, "url")) in origins:
                return url
        except SettingsError:
            pass
    raise ApiError(
        400,
        "Stripe may not send anybody back to this address.",
        "return_url_not_allowed",
    )
