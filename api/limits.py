"""How often somebody may call: counted before anything else, and kept even if refused."""

import json
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from flask import request

from api.auth import Caller
from api.db import database
from api.errors import ApiError

UNKNOWN_ADDRESS = "unknown"
IPV6_HOUSEHOLD = 64  # what one line at home is usually given


def count_payment_call(caller: Caller) -> None:
    """Count what begins to pay for its address and person; refuse it when there were too many."""
    count_page_call()
    _count("payment", _person(caller))


def count_page_call() -> None:
    """Count this call for its address alone, where nobody has to sign in."""
    _count("payment_address", address_class(request.remote_addr))


def count_upload(caller: Caller) -> None:
    """Count a picture that is sent, for its person."""
    _count("uploads", _person(caller))


def address_class(address: str | None) -> str:
    """The address, and for IPv6 the network that belongs to one household."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address or "")
    except ValueError:
        return UNKNOWN_ADDRESS
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed), IPV6_HOUSEHOLD), strict=False))


def _person(caller: Caller) -> str:
    """As JSON, which keeps apart what a separator could not, and is text whatever a token holds."""
    return json.dumps([caller.claims.get("iss"), caller.claims.get("sub")])


def _count(limit: str, subject: str) -> None:
    """In a transaction of its own: what is refused counts too."""
    with database().connection() as connection:
        row = connection.execute("select app.count_call(%s, %s)", (limit, subject)).fetchone()
    seconds = 0 if row is None else row[0]
    if seconds > 0:
        raise ApiError(
            429,
            "Too many calls. Please wait a moment.",
            "rate_limited",
            details=f"Try again in {seconds} seconds.",
            headers={"Retry-After": str(seconds)},
        )
