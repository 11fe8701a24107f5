"""JSON Web Tokens: issued for people at a terminal, checked as PostgREST checks them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
import psycopg

from api.config.keys import TokenKey, read_token_keys
from api.config.reading import SettingsError

CLOCK_SKEW_SECONDS = 30  # what PostgREST allows for clocks that differ


class TokenError(ValueError):
    """The token is not acceptable; the text says why."""


def sign_token(secret: str, *, subject: UUID, role: str, hours: float) -> str:
    """A token that PostgREST and the edge accept until `hours` from now."""
    key = next((each for each in read_token_keys(secret) if each.is_shared), None)
    if key is None:
        raise SettingsError(
            "JWT_SECRET holds public keys only, which cannot sign: get the token from their issuer"
        )
    now = int(time.time())
    claims = {"sub": str(subject), "role": role, "iat": now, "exp": now + int(hours * 3600)}
    headers = None if key.id is None else {"kid": key.id}
    return jwt.encode(claims, key.key, algorithm=key.algorithms[0], headers=headers)


def check_token(keys: Sequence[TokenKey], token: str) -> dict[str, Any]:
    """The claims of a valid token.

    A key that has a name is for tokens that carry this name or none. As in PostgREST `exp`, `nbf`
    and `iat` bind where they are present, and the audience is not looked at.
    """
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise TokenError("The token is not valid.") from None
    name, algorithm = header.get("kid"), header.get("alg")
    for key in keys:
        if algorithm in key.algorithms and (name is None or key.id in (None, name)):
            try:
                return _claims(key, token)
            except jwt.InvalidSignatureError:
                continue
    raise TokenError("The token is not valid.")


def _claims(key: TokenKey, token: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=list(key.algorithms),
            leeway=CLOCK_SKEW_SECONDS,
            options={"verify_aud": False},
        )
    except jwt.InvalidSignatureError:
        raise
    except jwt.ExpiredSignatureError:
        raise TokenError("The token has expired.") from None
    except jwt.ImmatureSignatureError:
        raise TokenError("The token is not valid yet.") from None
    except jwt.InvalidTokenError:
        raise TokenError("The token is not valid.") from None
    return claims


def issue_token(
    connection: psycopg.Connection[Any], secret: str, handle: str, *, hours: float = 12
) -> str:
    """A token for the profile with that handle; operators get the service role."""
    person = find_person(connection, handle)
    role = "service_role" if person.is_operator else "authenticated"
    return sign_token(secret, subject=person.id, role=role, hours=hours)


@dataclass(frozen=True)
class Person:
    """Somebody with a profile."""

    id: UUID
    is_operator: bool


class UnknownHandleError(LookupError):
    """Nobody has that handle; the text lists some that exist."""


def find_person(connection: psycopg.Connection[Any], handle: str) -> Person:
    """The person with that handle."""
    found = connection.execute(
        """
        select profile.id, operator.user_id is not null
        from app.profiles as profile
        left join app.operators as operator on operator.user_id = profile.id
        where profile.handle = %s
        """,
        (handle,),
    ).fetchone()
    if found is None:
        known = ", ".join(known_handles(connection)) or "none yet"
        raise UnknownHandleError(f"nobody is called {handle!r}; known handles: {known}")
    return Person(*found)


def known_handles(connection: psycopg.Connection[Any], limit: int = 20) -> list[str]:
    """The handles of the first people who came."""
    rows = connection.execute(
        "select handle from app.profiles order by created_at, handle limit %s", (limit,)
    )
    return [handle for (handle,) in rows]
