"""One stream of lines for a person, each with the name of the part that said it."""

import json
import threading
from collections.abc import Callable

import click

LogLine = Callable[[str, str], None]
"""Takes the name of a part and one line of it."""

WIDTH = 9
COLOURS = {"postgres": "blue", "migrate": "yellow", "demo": "yellow", "postgrest": "green"}
COLOURS |= {"edge": "magenta", "worker": "cyan", "sandbox": "blue", "stack": "white"}


class TerminalLog:
    """Writes to standard output, and goes quiet when nobody is left to read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone = False

    def __call__(self, part: str, line: str) -> None:
        prefix = click.style(f"{part:<{WIDTH}} |", fg=COLOURS.get(part))
        for each in readable(line).splitlines() or [""]:
            self.write(f"{prefix} {each}")

    def write(self, text: str) -> None:
        """Text as it is, without a prefix."""
        with self._lock:
            if self._gone:
                return
            try:
                click.echo(text)
            except OSError:  # the terminal was closed; the children still have to be stopped
                self._gone = True


def no_log(part: str, line: str) -> None:
    """For tests and throwaway stacks."""


def readable(line: str) -> str:
    """A line of the log for a person at a terminal; what is not of ours stays as it is."""
    if not line.startswith("{"):
        return line
    try:
        fields = json.loads(line)
        message = fields.pop("message")
    except (ValueError, KeyError):
        return line
    for name in ("time", "logger", "request_id", "taskName"):
        fields.pop(name, None)
    level = fields.pop("level", "INFO")
    if message == "request" and "status" in fields:
        message = f"{fields.pop('method')} {fields.pop('route')} {fields.pop('status')}"
        message += f" in {fields.pop('milliseconds')} ms"
    trace = fields.pop("exc_info", None)
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    parts = [message if level == "INFO" else f"{level.lower()}: {message}", rest]
    return " ".join(part for part in parts if part) + (f"\n{trace}" if trace else "")
