"""A lean HTTP client: one thread that keeps many connections busy and times every call.

It shares the machine with what it measures, so it does the least that will do. A request is bytes
of which most were made before; of an answer it reads the status and finds the end. How much of a
core that took is part of every run.
"""

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from api.stack.ports import LOOPBACK
from bench.errors import BenchError
from bench.pgbench import Load
from bench.timing import MICROSECONDS, Entry, Timing, summarize

ANSWER_SECONDS = 30.0
CHUNK = 1 << 16
HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
NO_CONTENT = 204


@dataclass(frozen=True)
class Burst:
    """What came of a load, and what the client itself needed for it."""

    timing: Timing
    seconds: float
    client_seconds: float  # CPU time


class Line:
    """One connection, with one call at a time on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._turn = 0
        self._asked_at = 0.0
        self._heard = b""

    def ask(self, request: bytes) -> None:
        """Send the next request."""
        self._turn += 1
        self._heard = b""
        self._asked_at = time.perf_counter()
        self.socket.sendall(request)

    def listen(self, expected: int) -> Entry | None:
        """Take what has come; what the call was like, if that was all of its answer."""
        more = self.socket.recv(CHUNK)
        if not more:
            raise BenchError("PostgREST hung up in the middle of a call")
        self._heard += more
        if not is_whole(self._heard):
            return None
        now = time.perf_counter()
        if status(self._heard) != expected:
            said = self._heard.decode(errors="replace").partition("\r\n\r\n")
            raise BenchError(f"PostgREST answered {status(self._heard)}: {said[2] or said[0]}")
        microseconds = int((now - self._asked_at) * MICROSECONDS)
        return Entry(self._turn, microseconds, int(now * MICROSECONDS))


def status(answer: bytes) -> int:
    """The status of an answer of which at least the first line is there."""
    return int(answer[9:12])


def is_whole(answer: bytes) -> bool:
    """Whether all of an answer is there, however its end is told."""
    head, found, body = answer.partition(HEAD_END)
    if not found:
        return False
    if status(answer) == NO_CONTENT:
        return True
    _, has_length, rest = head.lower().partition(LENGTH)
    if has_length:
        return len(body) >= int(rest.partition(b"\r\n")[0])
    return body.endswith(b"0\r\n\r\n")


def fire(port: int, requests: Iterator[bytes], expected: int, load: Load) -> Burst:
    """Keep every connection busy until the time is up, then wait for the last answers."""
    entries: list[Entry] = []
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        lines = [Line(port) for _ in range(load.clients)]
        for line in lines:
            stack.enter_context(line.socket)
            selector.register(line.socket, selectors.EVENT_READ, line)
        began, used_before = time.perf_counter(), time.thread_time()
        ends = began + load.warm_up + load.seconds
        for line in lines:
            line.ask(next(requests))
        unanswered = len(lines)
        while unanswered:
            ready = selector.select(ANSWER_SECONDS)
            if not ready:
                raise BenchError(f"PostgREST did not answer within {ANSWER_SECONDS:.0f} seconds")
            for key, _ in ready:
                line = key.data
                entry = line.listen(expected)
                if entry is None:
                    continue
                entries.append(entry)
                if time.perf_counter() < ends:
                    line.ask(next(requests))
                else:
                    unanswered -= 1
        client_seconds = time.thread_time() - used_before
        seconds = time.perf_counter() - began
    timing = summarize(entries, warm_up=load.warm_up, seconds=load.seconds)
    return Burst(timing, seconds, client_seconds)
