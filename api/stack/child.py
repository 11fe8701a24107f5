"""A process of the stack: started, listened to, stopped."""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from api.stack import tether
from api.stack.log import LogLine

KEPT_LINES = 12
STOP_SECONDS = 10.0


def exit_reason(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


class Child:
    """A command that ends with this process, its output handed on line by line.

    `on_exit` is called from another thread when the process ends, for whatever reason.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        log: LogLine,
        on_exit: Callable[[str], None],
    ) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._log = log
        self._on_exit = on_exit
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(tether.__file__)), str(os.getpid()), *command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops it in order
        )
        self._listener = threading.Thread(target=self._listen, name=name, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when one killed it."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to end, and insist if it does not."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(STOP_SECONDS)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.last_lines.append(line.rstrip())
                self._log(self.name, line.rstrip())
        self._process.wait()
        self._on_exit(self.name)
