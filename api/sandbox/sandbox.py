"""The sandbox as one object: what it remembers, what it delivers, what is to go wrong."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.sandbox import SandboxError
from api.sandbox.billing import run_due
from api.sandbox.checkout import expire_due
from api.sandbox.context import Clock, Context
from api.sandbox.faults import Faults
from api.sandbox.onboarding import meet_deadlines
from api.sandbox.store import Store
from api.sandbox.webhooks import Endpoint, Webhooks

TEST_KEY = re.compile(r"^(sk|rk)_test_\w+$")


def require_test_key(key: str) -> str:
    """Refuse whatever is not a test key, without repeating it."""
    if not TEST_KEY.match(key):
        kind = "a live key" if "_live_" in key else "not a Stripe test key (sk_test_...)"
        raise SandboxError(f"STRIPE_SECRET_KEY is {kind}: the sandbox takes only test keys")
    return key


class Sandbox:
    """One account in test mode."""

    def __init__(
        self,
        folder: Path,
        secret_key: str,
        endpoints: tuple[Endpoint, ...] = (),
        public_url: str | None = None,
    ) -> None:
        self.secret_key = require_test_key(secret_key)
        self.public_url = public_url
        self.clock = Clock()
        self.faults = Faults()
        self.store = Store(folder)
        with self.store.transaction():
            self.clock.ahead = self.store.setting("seconds_ahead") or 0
        self.webhooks = Webhooks(self.store, endpoints, self.tidy)
        self.webhooks.start()

    def close(self) -> None:
        """Stop delivering and let go of the file; a later start goes on from here."""
        self.faults.close()
        self.webhooks.close()
        self.store.close()

    @contextmanager
    def work(self, base_url: str, **fields: Any) -> Iterator[Context]:
        """One transaction, with whatever follows from it, and then its events on their way."""
        with self.store.transaction():
            context = Context(
                self.store,
                self.webhooks,
                self.clock,
                (self.public_url or base_url).rstrip("/"),
                **fields,
            )
            yield context
            context.finish()
        if context.has_events:
            self.webhooks.wake()

    def move_clock(self, seconds: int) -> int:
        """Let time pass; what the time is now."""
        with self.store.transaction():
            self.clock.ahead += seconds
            self.store.remember("seconds_ahead", self.clock.ahead)
        self.tidy()
        return self.clock.now()

    def tidy(self) -> None:
        """What happens by itself as time goes by."""
        with self.work("") as context:
            expire_due(context)
            meet_deadlines(context)
            run_due(context)
