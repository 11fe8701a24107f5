"""One variable at a time: what the settings of every part have in common."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

SHORTEST_JWT_SECRET = 32  # bytes; HS256 with less is open to guessing


class SettingsError(ValueError):
    """A setting is missing, malformed or contradicts another; the text is one clear line."""


def read_database_url(environment: Mapping[str, str]) -> str | None:
    """DATABASE_URL, or None where it is not set."""
    given = environment.get("DATABASE_URL")
    if not given:
        return None
    if urlsplit(given).scheme not in ("postgres", "postgresql"):
        raise SettingsError("DATABASE_URL must begin with postgresql://")
    return given


def read_port(environment: Mapping[str, str], variable: str, default: int) -> int:
    """A port number."""
    given = environment.get(variable) or str(default)
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= 65535):
        raise SettingsError(f"{variable} must be a port from 1 to 65535, not {given!r}")
    return int(given)


def read_count(environment: Mapping[str, str], variable: str, largest: int) -> int:
    """A small number of something; none where it is not set."""
    given = environment.get(variable) or "0"
    if not (given.isascii() and given.isdigit() and int(given) <= largest):
        raise SettingsError(f"{variable} must be a number from 0 to {largest}, not {given!r}")
    return int(given)


def check_jwt_secret(given: str | None, source: str) -> str | None:
    """A secret that is long enough, or a set of keys; None where nothing is given.

    PostgREST gets the same text, so what it would take for something else is refused.
    """
    if not given:
        return None
    if given.startswith("@"):
        raise SettingsError(f"{source} must be the secret itself, not the name of a file")
    if given.startswith("-----BEGIN"):
        raise SettingsError(f"{source} is a key in PEM form: give it as a JWK, or a JWK set")
    if given.startswith("{"):
        _check_key_set(given, source)
        return given
    if len(given.encode()) < SHORTEST_JWT_SECRET:
        raise SettingsError(f"{source} must be at least {SHORTEST_JWT_SECRET} characters long")
    return given


def _check_key_set(given: str, source: str) -> None:
    # The import is inside: keys need cryptography, which most commands can do without.
    from api.config.keys import read_token_keys

    try:
        document = json.loads(given)
    except ValueError:
        raise SettingsError(f"{source} begins with {{ and is not JSON") from None
    if "keys" not in document and "kty" not in document:
        raise SettingsError(f"{source} is JSON without keys: give a JWK or a JWK set")
    read_token_keys(given)


def read_url(given: str, variable: str) -> SplitResult:
    """An http address, taken apart; with a host, without a name or password in it."""
    try:
        parts = urlsplit(given)
        _ = parts.port  # a port that is no number is found out only now
    except ValueError:
        raise SettingsError(f"{variable} is not an address: {given!r}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{variable} must begin with https:// or http://, not {given!r}")
    if "@" in parts.netloc:
        raise SettingsError(f"{variable} must not hold a name or a password")
    return parts


def origin_of(parts: SplitResult) -> str:
    """Scheme, host and port, written in one way."""
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    usual_port = {"http": 80, "https": 443}[parts.scheme]
    if parts.port in (None, usual_port):
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{parts.port}"


def kept_secret(folder: Path, name: str, prefix: str = "") -> str:
    """The secret that a file of the state folder keeps, made on first use."""
    file = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        kept = file.read_text().strip()
        if not kept:
            raise SettingsError(f"{file} is empty: remove it to have a new one made") from None
        return kept
    except OSError as error:
        raise SettingsError(f"STATE_DIR cannot be written: {error}") from None
    # Letters and digits after a prefix, like the keys and secrets that Stripe makes.
    made = prefix + secrets.token_hex(32) if prefix else secrets.token_urlsafe(48)
    with os.fdopen(descriptor, "w") as output:
        output.write(made)
    return made
