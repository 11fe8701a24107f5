"""Errors of the edge, in the one shape that PostgREST uses too.

{"code": "PT404", "message": "...", "details": null, "hint": "not_found"}
"""

import json
from collections.abc import Mapping

import psycopg
from flask import Flask, Response, current_app, jsonify
from werkzeug.exceptions import HTTPException

NO_HEADERS: Mapping[str, str] = {}


class ApiError(Exception):
    """An answer other than success, with a sentence a person can act on and a stable hint."""

    def __init__(
        self,
        status: int,
        message: str,
        hint: str,
        *,
        details: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.details = details
        self.headers = headers


def register_error_handlers(app: Flask) -> None:
    """Every error of the app leaves in the house shape."""
    app.register_error_handler(ApiError, _api_error)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(psycopg.Error, _database_error)
    app.register_error_handler(Exception, _unexpected)


def _answer(
    status: int,
    message: str,
    hint: str | None,
    details: str | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Response:
    response = jsonify(code=f"PT{status}", message=message, details=details, hint=hint)
    response.status_code = status
    response.headers.update(headers)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _api_error(error: ApiError) -> Response:
    return _answer(error.status, error.message, error.hint, error.details, error.headers)


def _http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    hint = error.name.lower().replace(" ", "_")
    answer = _answer(status, error.description or error.name, hint)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            answer.headers[name] = value
    return answer


def _database_error(error: psycopg.Error) -> Response:
    """What the database refused with a sentence is passed on; anything else is our fault."""
    state = error.sqlstate or ""
    if state == "PGRST":
        return _refused_with_headers(error)
    if state.startswith("PT") and state[2:].isdigit():
        said = error.diag
        return _answer(
            int(state[2:]), said.message_primary or "", said.message_hint, said.message_detail
        )
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        current_app.logger.warning("database unavailable: %s", error)
        return _answer(503, "The database does not answer. Try again.", "database_unavailable")
    if isinstance(error, psycopg.DataError):
        # What our own checks let pass and PostgreSQL did not understand came from the caller.
        current_app.logger.warning("the database did not understand an argument: %s", error)
        return _answer(400, "An argument cannot be understood.", "invalid_argument")
    return _unexpected(error)


def _refused_with_headers(error: psycopg.Error) -> Response:
    """The form in which the database can say more than a status, such as Retry-After."""
    try:
        body = json.loads(error.diag.message_primary or "")
        how = json.loads(error.diag.message_detail or "")
        return _answer(
            int(how["status"]),
            body["message"],
            body.get("hint"),
            body.get("details"),
            {str(name): str(value) for name, value in how.get("headers", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return _unexpected(error)


def _unexpected(error: Exception) -> Response:
    current_app.logger.error("unexpected error", exc_info=error)
    return _answer(500, "Something went wrong here. It was logged.", "internal_error")
