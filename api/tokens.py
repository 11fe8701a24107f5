"""JSON Web Tokens: issued for people at a terminal, checked as PostgREST checks them."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
import psycopg

ALGORITHM = "HS256"
CLOCK_SKEW_SECONDS = 30  # what PostgREST allows for clocks that differ


class TokenError(ValueError):
    """The token is not acceptable; the text says why."""


def sign_token(secret: str, *, subject: UUID, role: str, hours: float) -> str:
    """A token that PostgREST and the edge accept until `hours` from now."""
    now = int(time.time())
    claims = {"sub": str(subject), "role": role, "iat": now, "exp": now + int(hours * 3600)}
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def check_token(secret: str, token: str) -> dict[str, Any]:
    """The claims of a valid token.

    The algorithm is pinned; as in PostgREST `exp`, `nbf` and `iat` bind where they are present,
    and the audience is not looked at.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            leeway=CLOCK_SKEW_SECONDS,
            options={"verify_aud": False},
        )
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
