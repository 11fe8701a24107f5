"""Who is calling the edge.

The token is checked here; who its subject is, the database decides from the claims
(`app.current_user_id()`), for the edge as for PostgREST.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import current_app, g, request

from api.errors import ApiError
from api.tokens import TokenError, check_token

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
SERVICE_ROLE = "service_role"
ROLES_OF_USERS = ("authenticated", SERVICE_ROLE)


@dataclass(frozen=True)
class Caller:
    """Who calls, as the token names them."""

    claims: dict[str, Any]

    @property
    def role(self) -> str:
        """The role of the token."""
        return str(self.claims["role"])


def current_caller() -> Caller:
    """The caller of a view that has `require_caller`."""
    caller: Caller = g.caller
    return caller


def require_caller(view: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Let only signed-in callers reach a view; others get a 401 that says what is wrong."""

    @wraps(view)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        g.caller = _caller_of_request()
        return view(*args, **kwargs)

    return guarded


def _caller_of_request() -> Caller:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ApiError(401, "Sign in first: no bearer token was sent.", "no_user")
    try:
        claims = check_token(current_app.config["TOKEN_KEYS"], token.strip())
    except TokenError as error:
        raise ApiError(401, str(error), "invalid_token") from None
    if claims.get("role") not in ROLES_OF_USERS:
        raise ApiError(401, "The token's role is not a user's.", "no_user")
    if claims["role"] != SERVICE_ROLE and not claims.get("sub"):
        raise ApiError(401, "The token names no user.", "no_user")
    return Caller(claims)
