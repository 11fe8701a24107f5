"""The sandbox as a web application: the API, the pages, and the controls."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import ClosingIterator

from api.sandbox import (
    TEMPLATES,
    account_links,
    accounts,
    balance,
    charges,
    checkout,
    customers,
    disputes,
    errors,
    events,
    invoices,
    payment_intents,
    payment_methods,
    payouts,
    portal,
    prices,
    products,
    refunds,
    subscriptions,
    transfers,
)
from api.sandbox.billing_pages import billing_pages
from api.sandbox.calls import DROPPED, Calls, rendered
from api.sandbox.connect_pages import connect_pages
from api.sandbox.control import control
from api.sandbox.operations import Operation, Reply
from api.sandbox.pages import pages
from api.sandbox.sandbox import Sandbox
from api.sandbox.store import new_id
from api.sandbox.subscription_control import subscription_control
from api.sandbox.webhooks import Endpoint

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RESOURCES = (
    customers,
    payment_methods,
    payment_intents,
    charges,
    refunds,
    disputes,
    checkout,
    products,
    prices,
    subscriptions,
    invoices,
    portal,
    accounts,
    account_links,
    transfers,
    payouts,
    events,
    balance,
)
LARGEST_BODY = 256 * 1024


class DropsConnections:
    """Closes the connection of a request that is to get no answer.

    The server takes this error for a client that went away, and closes without a word.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer, or not."""
        answer = self._app(environ, start_response)
        if environ.get(DROPPED):
            if isinstance(answer, ClosingIterator):
                answer.close()
            raise ConnectionAbortedError("the sandbox was asked to lose this answer")
        return answer


def create_sandbox(
    folder: Path,
    secret_key: str,
    endpoints: tuple[Endpoint, ...] = (),
    public_url: str | None = None,
) -> tuple[Flask, Sandbox]:
    """The application and the account behind it, which has to be closed in the end."""
    sandbox = Sandbox(folder, secret_key, endpoints, public_url)
    app = Flask("api.sandbox", template_folder=str(TEMPLATES), static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    calls = Calls(sandbox)
    for resource in RESOURCES:
        for operation in resource.OPERATIONS:
            _add(app, calls, operation)
    controls = control(sandbox)
    controls.register_blueprint(subscription_control(sandbox))
    app.register_blueprint(controls)
    app.register_blueprint(pages(sandbox))
    app.register_blueprint(billing_pages(sandbox))
    app.register_blueprint(connect_pages(sandbox))
    app.add_url_rule("/readyz", "readyz", lambda: jsonify(status="ready"))
    app.register_error_handler(HTTPException, _http_error)
    app.wsgi_app = DropsConnections(app.wsgi_app)  # type: ignore[method-assign]
    return app, sandbox


def _add(app: Flask, calls: Calls, operation: Operation) -> None:
    def view(**path: str) -> Response:
        return calls.answer(operation, path)

    name = f"{operation.method} {operation.path}".replace(".", "_")
    app.add_url_rule(operation.path, name, view, methods=[operation.method])


def _http_error(error: HTTPException) -> Response | HTTPException:
    """Errors of the web server in the API's own shape, except on the pages for people."""
    if not request.path.startswith(("/v1/", "/_sandbox/")):
        return error
    status = error.code or 500
    refusal = errors.StripeError(status, error.description or error.name)
    if status in (404, 405):
        refusal = errors.unknown_url(request.method, request.path)
    elif status >= 500:
        refusal = errors.server_error()
    return rendered(Reply(refusal.status, refusal.body), new_id("req"))
