"""Pages for people: without a script, from a template of ours, closed to everything else."""

import secrets
from typing import Any

from flask import Response, make_response, render_template

CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page whose own style is all that it may load."""
    nonce = secrets.token_urlsafe(16)
    response = make_response(render_template(template, nonce=nonce, **values), status)
    response.headers["Content-Security-Policy"] = f"{CLOSED}; style-src 'nonce-{nonce}'"
    return response
