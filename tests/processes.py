"""Running the commands as a person does: as processes, with an environment and a terminal."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from api.stack.ports import free_port
from api.stack.wait import wait_until

COMMAND = [sys.executable, "-m", "api.cli"]
UP_SECONDS = 120.0


def run_command(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `infinite-pages ARGUMENTS` to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=clean_environment() | (environment or {}),
        check=False,
        capture_output=True,
        text=True,
        timeout=UP_SECONDS,
    )


def clean_environment() -> dict[str, str]:
    """The environment without what a developer may have set for a stack of their own."""
    ours = {"DATABASE_URL", "STATE_DIR", "POSTGREST_PORT", "EDGE_PORT", "JWT_SECRET", "EDGE_URL"}
    ours |= {"CHECKOUT_RETURN_URLS", "TRUSTED_PROXIES", "SMTP_URL", "NOTICES_FROM"}
    ours |= {"STABLE_DIFFUSION_WEBUI_URL", "COVER_STORE_URL", "METRICS_TOKEN"}
    ours |= {"PROMETHEUS_MULTIPROC_DIR"}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith(("STRIPE_", "WEBUI_SANDBOX_", "AWS_"))
    }


class RunningUp:
    """An `infinite-pages up` in the background, its output in a file."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.environment = {
            "STATE_DIR": str(folder / "state"),
            "POSTGREST_PORT": str(free_port()),
            "EDGE_PORT": str(free_port()),
            "STRIPE_SANDBOX_PORT": str(free_port()),
            "WEBUI_SANDBOX_PORT": str(free_port()),
            **environment,
        }
        self.rest_url = f"http://127.0.0.1:{self.environment['POSTGREST_PORT']}"
        self.edge_url = f"http://127.0.0.1:{self.environment['EDGE_PORT']}"
        self._output = folder / "output"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "up", *options],
                env=clean_environment() | self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(
            lambda: "is up." in self.output or self.process.poll() is not None, seconds=UP_SECONDS
        )
        assert self.process.poll() is None, self.output

    @property
    def output(self) -> str:
        return self._output.read_text()

    def child(self, name: str) -> psutil.Process:
        """The process of one of the parts."""
        program = "gunicorn" if name == "edge" else name
        children = psutil.Process(self.process.pid).children()
        found = [
            each for each in children if program in [Path(word).name for word in each.cmdline()]
        ]
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(UP_SECONDS)
