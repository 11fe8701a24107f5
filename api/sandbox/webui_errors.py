"""Errors in the shape in which the WebUI answers them."""

from typing import Any

from flask import Response, jsonify


class WebuiError(Exception):
    """A request that failed; `error` is the name of what was raised on the server."""

    def __init__(self, status: int, error: str, *, detail: str = "", errors: str = "") -> None:
        super().__init__(errors or detail)
        self.status = status
        self.body = {"error": error, "detail": detail, "body": "", "errors": errors}


class InvalidError(Exception):
    """A body of the wrong form: which field, what is wrong with it, and what kind of error."""

    def __init__(self, *problems: tuple[str, str, str]) -> None:
        super().__init__(f"{len(problems)} fields are wrong")
        self.problems = problems

    @property
    def body(self) -> dict[str, Any]:
        return {
            "detail": [
                {"loc": ["body", *([field] if field else [])], "msg": message, "type": kind}
                for field, message, kind in self.problems
            ]
        }


def refused(status: int, detail: str) -> WebuiError:
    """What the API refuses by itself, rather than failing at it."""
    return WebuiError(status, "HTTPException", detail=detail)


def out_of_memory() -> WebuiError:
    """The error that everybody with a small card knows."""
    return WebuiError(
        500,
        "OutOfMemoryError",
        errors="CUDA out of memory. Tried to allocate 2.25 GiB. GPU 0 has a total capacity of "
        "7.79 GiB of which 1.02 GiB is free.",
    )


def json_response(status: int, content: object) -> Response:
    """An answer in JSON."""
    response = jsonify(content)
    response.status_code = status
    return response
