"""Infinite Pages: a creator economy in PostgreSQL. This package is its edge and its tools."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from api.config import EdgeSettings


def create_app(settings: "EdgeSettings | None" = None) -> "Flask":
    """The edge. Without `settings` they come from the environment, as under gunicorn.

    The imports are inside, so that the commands start without loading a web framework.
    """
    from flask import Flask

    from api import health
    from api.config import EdgeSettings
    from api.db import register_database
    from api.errors import register_error_handlers

    settings = settings or EdgeSettings.from_environment()
    app = Flask(__name__)
    app.config["JWT_SECRET"] = settings.jwt_secret
    register_error_handlers(app)
    register_database(app, settings.database_url)
    app.register_blueprint(health.blueprint)
    return app
