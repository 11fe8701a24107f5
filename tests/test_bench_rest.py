"""The benchmark over HTTP is honest: what is not a purchase that was answered is no figure."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from bench.database import Database
from bench.errors import BenchError
from bench.pgbench import Load
from bench.purchase.rounds import Run
from bench.rest.calls import Call, Callers
from bench.rest.client import fire, is_whole
from bench.rest.gate import Gate
from bench.rest.plan import Plan
from bench.rest.race import HttpOutcome, HttpResults, Racecourse
from bench.rest.report import judge
from bench.server import Used
from bench.timing import Timing

PROJECT = Path(__file__).resolve().parents[1]
SHORT = Load(clients=3, seconds=1)
REQUEST = b"POST /rpc/nothing HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 402 Payment Required\r\nContent-Length: 7\r\n\r\nno cash"


@pytest.mark.parametrize(
    "answer",
    [
        DONE,
        b"HTTP/1.1 204 No Content\r\nDate: today\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_an_answer_is_whole_with_its_last_byte(answer: bytes) -> None:
    assert [is_whole(answer[:size]) for size in range(len(answer))].count(True) == 0
    assert is_whole(answer)


def test_every_call_that_was_answered_is_counted() -> None:
    with _server(DONE) as (port, served):
        burst = fire(port, repeat(REQUEST), 200, SHORT)
    assert burst.timing.transactions == sum(served) > SHORT.clients
    timing = burst.timing
    assert 0 < timing.median_milliseconds <= timing.p95_milliseconds <= timing.p99_milliseconds
    assert burst.seconds >= SHORT.seconds
    assert 0 < burst.client_seconds <= burst.seconds


def test_a_refused_call_is_not_a_fast_one() -> None:
    with (
        _server(REFUSED) as (port, _),
        pytest.raises(BenchError, match="PostgREST answered 402: no cash"),
    ):
        fire(port, repeat(REQUEST), 200, SHORT)


def test_half_an_answer_is_none() -> None:
    with _server(DONE[:-1]) as (port, _), pytest.raises(BenchError, match="hung up in the middle"):
        fire(port, repeat(REQUEST), 200, SHORT)


def test_an_answer_without_its_purchase_is_noticed() -> None:
    """A server that says 200 to everything and moves nothing."""
    with _server(DONE) as (port, _):
        gate = Gate(port, "PostgREST", psutil.Process())
        course = Racecourse(cast(Database, _Still()), gate, cast(Callers, _Anybody()))
        with pytest.raises(BenchError, match=r"0 credits were spent on them instead of \d+"):
            course.run(Call.PURCHASE, SHORT)


def test_what_is_slow_or_measures_itself_meets_no_aim() -> None:
    plan = Plan().shrunk()
    good = _results(plan, purchase=500, nothing=1000, share=0.5)
    assert [aim.is_met for aim in judge(good, plan)] == [True, True]
    bad = _results(plan, purchase=499, nothing=1000, share=0.51)
    assert [aim.is_met for aim in judge(bad, plan)] == [False, False]
    # 8 ms for a purchase and 2 for nothing: the CPU time of the client is in neither.
    assert good.processor_ratio(plan.most_clients).median == pytest.approx(0.25)


def test_a_quick_run_reports_everything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.rest", "--quick", "--output", str(tmp_path)],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "rest.json").read_text())
    plan = Plan().shrunk()
    assert found["quick"] is True
    assert found["violations"] == []
    assert found["postgrest"].startswith("PostgREST ")
    assert len(found["runs"]) == len(Call) * len(plan.clients) * plan.rounds
    assert all(run["outcome"]["timing"]["transactions"] > 0 for run in found["runs"])
    assert all(run["outcome"]["client_share"] < 1 for run in found["runs"])
    assert all(aim["figure"] is not None for aim in found["aims"])
    text = (tmp_path / "rest.txt").read_text()
    assert "No figure counts" in text
    assert "What a purchase costs over HTTP" in (tmp_path / "rest.svg").read_text()
    assert "A quick run" in (tmp_path / "README.md").read_text()


@contextmanager
def _server(answer: bytes) -> Iterator[tuple[int, list[int]]]:
    """Answers every request with the same; its port, and how many came on each connection."""
    served: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, answer, served), daemon=True).start()
        yield listener.getsockname()[1], served


def _accept(listener: socket.socket, answer: bytes, served: list[int]) -> None:
    while True:
        try:
            line, _ = listener.accept()
        except OSError:  # the test is over
            return
        served.append(0)
        place = len(served) - 1
        threading.Thread(target=_serve, args=(line, answer, served, place), daemon=True).start()


def _serve(line: socket.socket, answer: bytes, served: list[int], place: int) -> None:
    with line, suppress(ConnectionError):  # whoever is refused goes away
        while line.recv(1 << 16):
            served[place] += 1
            line.sendall(answer)
            if not is_whole(answer):
                return


class _Still:
    """A database in which nothing happens."""

    name = "still"

    @property
    def server(self) -> "_Still":
        return self

    def used(self, _: str) -> Used:
        return Used(0, 0, 0, 0.0)

    def value(self, _: str) -> int:
        return 0


class _Anybody:
    """Callers of whom it does not matter who they are."""

    requests: dict[Call, Any] = dict.fromkeys(Call, repeat(REQUEST))


def _results(plan: Plan, purchase: float, nothing: float, share: float) -> HttpResults:
    figures = {Call.PURCHASE: (purchase, 8.0), Call.NOTHING: (nothing, 2.0)}
    return HttpResults(
        [
            Run(call, clients, 1, _outcome(per_second, milliseconds, share))
            for call, (per_second, milliseconds) in figures.items()
            for clients in plan.clients
        ]
    )


def _outcome(per_second: float, milliseconds: float, share: float) -> HttpOutcome:
    half = 1000 * milliseconds / 1000 / 2  # of a thousand calls, in seconds
    timing = Timing(1000, per_second, 1.0, 1.0, 1.0, 1)
    return HttpOutcome(timing, Used(0, 0, 0, half), half, 100.0, share)
