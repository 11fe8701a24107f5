"""Infinite Pages: a creator economy in PostgreSQL. This package is its edge and its tools."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from api.config import EdgeSettings


def create_app(settings: "EdgeSettings | None" = None) -> "Flask":
    """The edge. Without `settings` they come from the environment, as under gunicorn.

    The imports are inside, so that the commands start without loading a web framework.
    """
    from flask import Flask
    from flask_cors import CORS
    from werkzeug.middleware.proxy_fix import ProxyFix

    from api import covers, downloads, health, metrics, stripe
    from api.config.keys import read_token_keys
    from api.db import register_database
    from api.errors import register_error_handlers
    from api.headers import register_headers
    from api.logs import register_request_log, set_up_logging

    settings = settings or _settings_or_exit()
    set_up_logging()
    app = Flask(__name__, static_folder=None)
    app.config["TOKEN_KEYS"] = read_token_keys(settings.jwt_secret)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024  # a route that takes more says so
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    if settings.return_origins:  # frontends of ours: their pages may call from the browser
        CORS(
            app,
            resources=r"/((credits|payments)/.*|subscriptions/(checkout|portal)|creators/connect"
            r"|stories/[^/]+/covers)$",
            # As expressions, for the library would take the brackets of an IPv6 address for one.
            origins=[re.compile(re.escape(each) + r"\Z") for each in settings.return_origins],
            methods=["POST"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Retry-After", "X-Request-Id"],
            max_age=600,
            always_send=False,
        )
    register_request_log(app)
    metrics.register(app, settings)
    register_headers(app)
    register_error_handlers(app)
    register_database(app, settings.database_url)
    app.register_blueprint(health.blueprint)
    stripe.register(app, settings)
    covers.register(app, settings)
    downloads.register(app)
    return app


def _settings_or_exit() -> "EdgeSettings":
    """Settings that are wrong stop the start with one line, under gunicorn too."""
    import sys

    from api.config import EdgeSettings, SettingsError

    try:
        return EdgeSettings.from_environment()
    except SettingsError as error:
        print(f"edge: {error}", file=sys.stderr)
        # To gunicorn this means that it need not try again.
        raise SystemExit(4) from None
