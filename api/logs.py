"""Logs as JSON lines, without secrets, tokens or card numbers, whoever wrote the line."""

import logging
import re
import sys
import time
import uuid
from typing import TextIO

from flask import Flask, Response, g, request
from pythonjsonlogger.json import JsonFormatter

LOGGER = "api"  # of the whole package, Flask's own included
HEALTH_CHECKS = ("/healthz", "/readyz", "/metrics")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

SECRETS = re.compile(
    r"""
      (?P<kept> \b (?: sk | rk ) _ (?: test | live ) _ | \b whsec_ | _secret_ ) [A-Za-z0-9_+/=-]+
    | \b ey[A-Za-z0-9_-]{6,} \. [A-Za-z0-9_-]{4,} (?: \. [A-Za-z0-9_-]* )?
    """,
    re.VERBOSE,
)
PASSWORD_IN_URL = re.compile(r"(?<=://)([^\s:/@]*):[^\s/@]+(?=@)")
CARD_NUMBER = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w-]|\.\d)")


def redact(text: str) -> str:
    """The text without what looks like a key, a token, a client secret or a card number."""
    text = SECRETS.sub(lambda found: f"{found['kept'] or ''}[redacted]", text)
    text = PASSWORD_IN_URL.sub(r"\1:[redacted]", text)
    return CARD_NUMBER.sub(_redact_card_number, text)


def _redact_card_number(found: re.Match[str]) -> str:
    digits = [int(character) for character in found[0] if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    is_card = (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
    return "[redacted]" if is_card else found[0]


class RedactingFormatter(JsonFormatter):
    """One JSON object a line. What is redacted is the finished line, its traceback included."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def set_up_logging(stream: TextIO | None = None) -> None:
    """Let the package log to standard error (or `stream`); called again, it changes nothing."""
    logger = logging.getLogger(LOGGER)
    if any(isinstance(each.formatter, RedactingFormatter) for each in logger.handlers):
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(RedactingFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def register_request_log(app: Flask) -> None:
    """One line for each request: what was asked for and how it went, nothing of what was sent.

    Checks of health that find nothing wrong are not worth a line, nor are looks at the figures.
    """
    logger = logging.getLogger(f"{LOGGER}.requests")

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        g.began = time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        if request.path in HEALTH_CHECKS and response.status_code < 400:
            return response
        logger.info(
            "request",
            extra={
                "method": request.method,
                "route": "unknown" if request.url_rule is None else request.url_rule.rule,
                "status": response.status_code,
                "milliseconds": round(1000 * (time.monotonic() - g.began), 1),
                "request_id": g.request_id,
                **g.get("said", {}),
            },
        )
        return response


def say(**fields: str | int | None) -> None:
    """Add to the line of the request that is being served."""
    g.said = {**g.get("said", {}), **fields}
