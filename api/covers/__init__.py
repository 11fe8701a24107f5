"""Covers: pictures for stories, drawn by a server or sent by the author.

Who may have one, and what it costs, is decided in the database.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from api.config import EdgeSettings


def register(app: "Flask", settings: "EdgeSettings") -> None:
    """Give the edge its routes of covers.

    The imports are inside, so that the worker does without the web framework.
    """
    from api.covers import routes

    routes.register_gallery(app, settings)
    app.register_blueprint(routes.blueprint)
