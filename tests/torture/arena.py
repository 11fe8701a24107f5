"""The stack of `infinite-pages up`, whose parts can be killed and started again.

Its people are found nowhere: they come over HTTP. What must be set before they come, limits and
prices, is set here, as an operator would with SQL.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from api.stack.child import Child
from api.stack.lock import state_lock
from api.stack.log import no_log
from api.stack.ports import answers_ok, free_port
from api.stack.supervisor import Stack
from api.stack.wait import wait_until
from tests.conftest import throwaway_settings
from tests.torture.line import Places

PARTS = ("postgres", "postgrest", "edge", "worker")
READY_SECONDS = 120.0
DRAWING_SECONDS = 0.2
# Nobody waits for a hold or is told to slow down: of limits other tests tell.
RULES = """
    update app.rate_limits set capacity = 1000000, per_minute = 1000000;
    update app.economy set earnings_hold_days = 0, minimum_payout_cents = 100;
    update app.creator_tiers set hold_days = null;
    update app.plan_features set monthly_limit = 3 where feature = 'downloads';
"""


class Arena(Stack):
    """A stack of one's own, to be broken."""

    def kill(self, part: str) -> None:
        """`kill -9`, with everything that belongs to the part."""
        if part == "postgres":
            assert self.postgres is not None
            self.postgres.kill()
            return
        child = self._child(part)
        os.killpg(child.pid, signal.SIGKILL)
        child.stop()
        self.children.remove(child)

    def revive(self, part: str) -> None:
        """Start a part that was killed."""
        if part == "postgres":
            assert self.postgres is not None
            self.postgres.start()
            return
        starts: dict[str, Callable[[], None]] = {
            "postgrest": lambda: self._start_postgrest(self.binary),
            "edge": self._start_edge,
            "worker": self._start_worker,
        }
        starts[part]()

    def lacks(self) -> list[str]:
        """Parts that are not there."""
        assert self.postgres is not None
        alive = {child.name for child in self.children if child.exit_code is None}
        alive |= {"postgres"} if self.postgres.pid is not None else set()
        return [part for part in PARTS if part not in alive]

    def wait_until_ready(self) -> None:
        """Both doors answer, and the database behind them does."""
        doors = (f"{self.rest_url}/economy", f"{self.edge_url}/readyz")
        for door in doors:
            if not wait_until(lambda: answers_ok(door), seconds=READY_SECONDS):  # noqa: B023
                raise TimeoutError(f"{door} does not answer")

    @property
    def binary(self) -> str:
        """The PostgREST in use."""
        from api.stack import postgrest

        return postgrest.find_postgrest()

    @property
    def places(self) -> Places:
        assert self.covers is not None
        return Places(self.rest_url, self.edge_url, self.stripe_url, self.covers.servers[0].url)

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """As the owner, to prepare and to check; people never do."""
        return psycopg.connect(self.database_url, autocommit=True)

    def _child(self, name: str) -> Child:
        return next(child for child in self.children if child.name == name)

    def _start_webui(self) -> int:
        """The sandbox that draws covers, in a hurry."""
        port = free_port()
        command = [sys.executable, "-m", "api.sandbox.webui", "--port", str(port)]
        command += ["--seconds", str(DRAWING_SECONDS)]
        environment = {
            **self.stripe.without_webhook_secrets().environment(),
            "WEBUI_SANDBOX_AUTH": "",
        }
        ready = f"http://127.0.0.1:{port}/internal/ping"
        self._start_child("webui", command, environment, lambda: answers_ok(ready))
        return port


@contextmanager
def open_arena(log: Callable[[str, str], None] = no_log) -> Iterator[Arena]:
    """A running stack in a temporary folder, without demo data."""
    with tempfile.TemporaryDirectory(prefix="infinite-pages-torture-") as folder:
        settings = throwaway_settings(Path(folder))
        with state_lock(settings.state_folder):
            arena = Arena(settings, with_demo=False, log=log)
            try:
                arena.start()
                with arena.connect() as owner:
                    owner.execute(RULES.encode())
                yield arena
            finally:
                arena.stop()
