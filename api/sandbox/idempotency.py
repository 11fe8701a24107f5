"""Idempotency keys: the first reply is the only one, for a day."""

import json
import threading
from typing import Any

from api.sandbox import errors
from api.sandbox.context import Context
from api.sandbox.operations import Reply
from api.sandbox.store import Body

SECONDS_KEYS_LIVE = 24 * 3600
LONGEST_KEY = 255


class InFlight:
    """The keys whose first request is still running."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[str] = set()

    def take(self, key: str) -> None:
        """Begin a request, unless one with that key is running."""
        with self._lock:
            if key in self._keys:
                raise errors.key_in_use(key)
            self._keys.add(key)

    def give_back(self, key: str) -> None:
        """The request is over."""
        with self._lock:
            self._keys.discard(key)


def require_usable(key: str) -> None:
    """Refuse keys that are too long to be kept."""
    if len(key) > LONGEST_KEY:
        raise errors.invalid(f"An idempotency key has at most {LONGEST_KEY} characters.")


def earlier(context: Context, key: str, path: str, raw: Body) -> tuple[Reply, str] | None:
    """The reply that the key was given before, and the request that was."""
    rows = context.store.query(
        "select path, parameters, request, status, body, created from replies where key = ?",
        (key,),
    )
    if not rows:
        return None
    first_path, first_parameters, first_request, status, body, created = rows[0]
    if created <= context.now() - SECONDS_KEYS_LIVE:
        context.store.query("delete from replies where key = ?", (key,))
        return None
    if (first_path, first_parameters) != (path, _canonical(raw)):
        raise errors.key_reused(key)
    return Reply(status, json.loads(body)), first_request


def keep(context: Context, key: str, path: str, raw: Body, reply: Reply) -> None:
    """Write the reply down, in the transaction of what it tells about."""
    context.store.query(
        "insert into replies (key, path, parameters, request, status, body, created) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        (
            key,
            path,
            _canonical(raw),
            context.request_id,
            reply.status,
            json.dumps(reply.body),
            context.now(),
        ),
    )


def _canonical(raw: dict[str, Any]) -> str:
    return json.dumps(raw, sort_keys=True)
