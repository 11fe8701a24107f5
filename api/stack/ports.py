"""Loopback ports: which are free, and whether somebody answers there."""

import socket
import urllib.error
import urllib.request
from random import SystemRandom

from api.stack.errors import StackError

LOOPBACK = "127.0.0.1"
SERVER_PORTS = (20_000, 32_000)


def free_port() -> int:
    """A port that nobody listens on right now.

    Below those that the system gives to outgoing connections: one of these could be taken by
    anybody before whoever it is meant for has started.
    """
    choice = SystemRandom()
    while True:
        port = choice.randrange(*SERVER_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port


def require_free(port: int, variable: str) -> None:
    """Refuse a busy port by name, before anything is started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise StackError(
                f"port {port} cannot be used ({error.strerror}): "
                f"stop what listens there, or set {variable} to another port"
            ) from None


def answers_ok(url: str) -> bool:
    """Whether a GET of `url` is answered with a 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
