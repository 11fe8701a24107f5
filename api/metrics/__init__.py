"""What monitoring reads: the edge's own requests, and the figures of the database.

One edge says how everything is: payments, queues, payouts and the ledger are in the database, so
any of several edges answers the same.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from api.config import EdgeSettings


def register(app: "Flask", settings: "EdgeSettings") -> None:
    """Count the requests of the app, and add its page of figures."""
    # The import is inside: the library looks at PROMETHEUS_MULTIPROC_DIR while it is imported.
    from api.metrics.requests import count_requests
    from api.metrics.routes import make_blueprint

    registry = count_requests(app, settings.metrics_folder)
    app.register_blueprint(make_blueprint(registry, settings))
