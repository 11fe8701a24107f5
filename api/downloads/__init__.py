"""Downloads: stories as files, each for one reader and marked with their name.

Who may have one, what it costs and what is in it is decided in the database. Here the files are
packed, and handed out once for each address.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def register(app: "Flask") -> None:
    """Give the edge its route of downloads.

    The import is inside, so that the worker does without the web framework.
    """
    from api.downloads import routes

    app.register_blueprint(routes.blueprint)
