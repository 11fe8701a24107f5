"""Who is calling the edge."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar
from uuid import UUID

from flask import current_app, g, request

from api.errors import ApiError
from api.tokens import TokenError, check_token

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
ROLES_OF_USERS = ("authenticated", "service_role")


@dataclass(frozen=True)
class User:
    """The caller, as the token names them."""

    id: UUID
    role: str


def current_user() -> User:
    """The caller of a view that has `require_user`."""
    user: User = g.user
    return user


def require_user(view: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Let only signed-in callers reach a view; others get a 401 that says what is wrong."""

    @wraps(view)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        g.user = _user_of_request()
        return view(*args, **kwargs)

    return guarded


def _user_of_request() -> User:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ApiError(401, "Sign in first: no bearer token was sent.", "no_user")
    try:
        claims = check_token(current_app.config["JWT_SECRET"], token.strip())
        user_id = UUID(str(claims.get("sub")))
    except TokenError as error:
        raise ApiError(401, str(error), "invalid_token") from None
    except ValueError:
        raise ApiError(401, "The token names no user.", "no_user") from None
    role = claims.get("role")
    if role not in ROLES_OF_USERS:
        raise ApiError(401, "The token's role is not a user's.", "no_user")
    return User(id=user_id, role=role)
