"""PostgREST before a database of the benchmark, configured as the stack configures it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from api.config.machine import with_login
from api.stack import postgrest
from api.stack.child import Child
from api.stack.log import no_log
from api.stack.ports import LOOPBACK, answers_ok, free_port
from api.stack.wait import wait_until
from bench.database import Database
from bench.errors import BenchError

READY_SECONDS = 60.0


@dataclass(frozen=True)
class Gate:
    """A running PostgREST."""

    port: int
    version: str
    process: psutil.Process

    def processor_seconds(self) -> float:
        """The CPU time that it has used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def open_gate(database: Database, jwt_secret: str) -> Iterator[Gate]:
    """Let PostgREST answer for this database, until the block ends."""
    binary = postgrest.find_postgrest()
    port, admin_port = free_port(), free_port()
    environment = postgrest.environment(
        database_url=with_login(database.url, "authenticator", None),
        jwt_secret=jwt_secret,
        port=port,
        admin_port=admin_port,
    )
    child = Child("postgrest", [binary], environment, no_log, lambda _: None)
    try:
        ready = f"http://{LOOPBACK}:{admin_port}/ready"
        wait_until(lambda: child.exit_code is not None or answers_ok(ready), seconds=READY_SECONDS)
        if not answers_ok(ready):
            raise BenchError(f"PostgREST did not start: {' '.join(child.last_lines)}")
        yield Gate(port, _version(binary), psutil.Process(child.pid))
    finally:
        child.stop()


def _version(binary: str) -> str:
    done = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True)
    return done.stdout.strip()
