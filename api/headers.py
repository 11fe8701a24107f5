"""Headers that every answer of the edge carries; a page may set its own."""

from flask import Flask, Response

# An answer is data, or a page that says for itself what it may load.
DEFAULTS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # addresses of the return page hold a session's id
    "Cache-Control": "no-store",
}


def register_headers(app: Flask) -> None:
    """Add what an answer does not say itself."""

    @app.after_request
    def add(response: Response) -> Response:
        for name, value in DEFAULTS.items():
            response.headers.setdefault(name, value)
        return response
