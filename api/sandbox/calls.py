"""A request to the API, from the key it bears to the answer, with the failures in between.

Replies are stored in the transaction of the work, so that nothing is done without its reply
being known, or the other way round.
"""

import json

from flask import Response, request

from api.sandbox import errors, forms, idempotency, lists, onboarding
from api.sandbox.context import Context
from api.sandbox.errors import StripeError
from api.sandbox.faults import ON_THE_WAY, WHILE_RUNNING, Fault
from api.sandbox.operations import Operation, Reply
from api.sandbox.sandbox import Sandbox
from api.sandbox.store import Body, new_id

DROPPED = "sandbox.dropped"
TEXTS = forms.list_of(forms.text)


class Calls:
    """Answers the operations of the API for one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._in_flight = idempotency.InFlight()

    def answer(self, operation: Operation, path: dict[str, str]) -> Response:
        """Answer the current request, unless a fault says otherwise."""
        request_id = new_id("req")
        fault = self._sandbox.faults.strike(request.method, request.path, ON_THE_WAY)
        kind = fault.fault if fault is not None else None
        if fault is not None and kind == "slow":
            self._sandbox.faults.wait(fault.seconds)
        if kind == "lost_request":
            return drop_connection()
        try:
            if kind == "error_429":
                raise errors.too_many_requests()
            require_key(self._sandbox.secret_key)
            if "Stripe-Account" in request.headers and not operation.speaks_for_accounts:
                raise errors.not_for_accounts()
            response = self._keyed(operation, path, request_id, is_held=kind == "hold")
        except StripeError as error:
            response = rendered(Reply(error.status, error.body), request_id)
        return drop_connection() if kind == "lost_reply" else response

    def _keyed(
        self, operation: Operation, path: dict[str, str], request_id: str, *, is_held: bool
    ) -> Response:
        """Answer while nobody else can use the request's idempotency key."""
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key:
            idempotency.require_usable(key)
            self._in_flight.take(key)
        try:
            response = self._run(operation, path, request_id, key or None)
            if is_held:
                self._sandbox.faults.hold()
            return response
        finally:
            if key:
                self._in_flight.give_back(key)

    def _run(
        self, operation: Operation, path: dict[str, str], request_id: str, key: str | None
    ) -> Response:
        raw = forms.parse_text(request.get_data() or request.query_string)
        with self._sandbox.work(
            request.host_url, path=path, request_id=request_id, idempotency_key=key
        ) as context:
            context.account = request.headers.get("Stripe-Account")
            if context.account is not None:
                onboarding.connected(context, context.account)
            if key is not None:
                stored = idempotency.earlier(context, key, request.path, raw)
                if stored is not None:
                    return rendered(stored[0], request_id, key, first_request=stored[1])
            given = {name: value for name, value in raw.items() if name != "expand"}
            context.parameters = forms.check(given, operation.parameters, operation.required)
            paths = TEXTS(raw.get("expand", ""), "expand")
            reply = self._reply(operation, context, paths)
            if key is not None:
                idempotency.keep(context, key, request.path, raw, reply)
        return rendered(reply, request_id, key)

    def _reply(self, operation: Operation, context: Context, paths: list[str]) -> Reply:
        """Run the operation; what is answered is what is stored."""
        fault: Fault | None = self._sandbox.faults.strike(
            request.method, request.path, WHILE_RUNNING
        )
        kind = fault.fault if fault is not None else None
        failure = errors.server_error()
        if kind == "error_500":
            return Reply(failure.status, failure.body)
        context.is_short_of_funds = kind == "insufficient_balance"
        try:
            with context.undoable():
                done = operation.run(context)
                if not isinstance(done, Reply):
                    done = Reply(200, lists.expanded(context, done, paths))
        except StripeError as error:
            if not error.is_stored:
                raise
            done = Reply(error.status, error.body)
        return Reply(failure.status, failure.body) if kind == "error_500_after" else done


def require_key(secret_key: str) -> None:
    """Refuse a request that does not bear the account's key, by Bearer or by Basic."""
    given = request.authorization
    if given is None:
        raise errors.wrong_key("")
    shown = given.token if given.type == "bearer" else given.username
    if shown != secret_key:
        raise errors.wrong_key(shown or "")


def rendered(
    reply: Reply, request_id: str, key: str | None = None, first_request: str | None = None
) -> Response:
    """An answer with the headers that Stripe adds."""
    response = json_response(reply.status, reply.body)
    response.headers["Request-Id"] = request_id
    version = request.headers.get("Stripe-Version")
    if version is not None:
        response.headers["Stripe-Version"] = version
    if key is not None:
        response.headers["Idempotency-Key"] = key
    if first_request is not None:
        response.headers["Idempotent-Replayed"] = "true"
        response.headers["Original-Request"] = first_request
    if reply.status >= 500:
        response.headers["Stripe-Should-Retry"] = "false"  # the same key would get the same
    return response


def json_response(status: int, body: Body | list[Body]) -> Response:
    """A JSON answer."""
    return Response(json.dumps(body) + "\n", status, mimetype="application/json")


def drop_connection() -> Response:
    """Mark the request as one whose connection is to be closed without an answer."""
    request.environ[DROPPED] = True
    return Response(status=500)
