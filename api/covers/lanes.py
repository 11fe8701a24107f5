"""Lanes: each makes one cover after the other, by one server, for as long as there are any.

A server has as many lanes as it draws at once. It is asked for its models before a job is claimed,
so that a server that is away costs no job an attempt; and whoever fails again and again is left
alone for longer and longer, be it a server or the store.
"""

import logging
import threading
import time
from contextlib import closing
from typing import Any

import psycopg

from api.config import WebuiServer
from api.covers.making import Jobs, Outcome, make
from api.covers.store import CoverStore
from api.covers.webui import AwayError, Webui

POLL_SECONDS = 5.0
LISTEN_SECONDS = 0.5
MODELS_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
FAILURES_BORNE = 2  # in a row: a single one may be the picture's own fault
NOT_THE_SERVERS_FAULT = ("bad_request", "store_failed")

logger = logging.getLogger(__name__)


class Standing:
    """How somebody outside does, and whether they are to be left alone. Threads may share it."""

    def __init__(self, name: str, failures_borne: int = 0) -> None:
        self._name = name
        self._failures_borne = failures_borne
        self._lock = threading.Lock()
        self._failures = 0
        self._pause_until = 0.0
        self._said: str | None = None

    @property
    def is_paused(self) -> bool:
        with self._lock:
            return time.monotonic() < self._pause_until

    def failed(self, why: str, *, at_once: bool = False) -> None:
        """Pause after one failure too many, each time for twice as long."""
        with self._lock:
            now = time.monotonic()
            if now < self._pause_until:
                return  # began before the pause, and says nothing new
            self._failures = max(self._failures + 1, self._failures_borne + 1 if at_once else 0)
            further = self._failures - self._failures_borne - 1
            if further < 0:
                return
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(further, 10), LONGEST_PAUSE_SECONDS)
            self._pause_until = now + pause
            if why != self._said:
                logger.warning("%s is left alone: %s", self._name, why)
                self._said = why

    def worked(self) -> None:
        with self._lock:
            self._failures = 0
            if self._said is not None:
                logger.info("%s is back", self._name)
                self._said = None


class Server:
    """A server as all its lanes know it."""

    def __init__(self, settings: WebuiServer) -> None:
        self.settings = settings
        self.drawing = Standing(f"drawing by {settings.name}", FAILURES_BORNE)
        self._reaching = Standing(f"the server {settings.name}")
        self._lock = threading.Lock()
        self._models = frozenset[str]()
        self._models_until = 0.0

    def models(self, webui: Webui) -> frozenset[str]:
        """What it can draw with now; nothing while it is left alone."""
        if self.drawing.is_paused:
            return frozenset()
        with self._lock:
            if time.monotonic() < self._models_until:
                return self._models
            if self._reaching.is_paused:
                return frozenset()
            try:
                self._models = webui.models()
            except AwayError as error:
                self._reaching.failed(str(error))
                return frozenset()
            self._reaching.worked()
            self._models_until = time.monotonic() + MODELS_SECONDS
            return self._models

    def ask_again(self) -> None:
        """What we know of it is not true any more."""
        with self._lock:
            self._models_until = 0.0


class News:
    """Wakes whoever waits when there may be something to do."""

    def __init__(self) -> None:
        self._bells: list[threading.Event] = []

    def bell(self) -> threading.Event:
        bell = threading.Event()
        self._bells.append(bell)
        return bell

    def tell(self) -> None:
        for bell in self._bells:
            bell.set()

    def listen(self, connection: psycopg.Connection[Any], stop: threading.Event) -> None:
        """Pass on what the database tells, until the worker ends."""
        try:
            connection.execute("listen cover_jobs")
            self.tell()  # who knows what was said before
            while not stop.is_set():
                for _ in connection.notifies(timeout=LISTEN_SECONDS, stop_after=1):
                    self.tell()
        finally:
            self.tell()


class Workshop:
    """What the lanes of a worker share."""

    def __init__(self, store: CoverStore, stop: threading.Event, *, waits: bool = True) -> None:
        self.store = store
        self.storing = Standing("the store of covers")
        self.stop = stop
        self.waits = waits
        self.news = News()


class Lane:
    """Makes one cover at a time."""

    def __init__(self, server: Server, workshop: Workshop) -> None:
        self._server = server
        self._workshop = workshop
        self._bell = workshop.news.bell()

    def work(self, connection: psycopg.Connection[Any]) -> int:
        """Make covers until there are none to make, then wait for news; how many were made."""
        made = 0
        self._bell.clear()
        try:
            if connection.closed:
                raise psycopg.OperationalError("the connection is lost")
            with (
                closing(Jobs(connection)) as jobs,
                closing(Webui(self._server.settings)) as webui,
            ):
                while (outcome := self._next(jobs, webui)) is not None:
                    made += outcome.how == "finished"
        finally:
            if self._workshop.waits and not self._workshop.stop.is_set():
                self._bell.wait(POLL_SECONDS)
        return made

    def _next(self, jobs: Jobs, webui: Webui) -> Outcome | None:
        """Make the next cover; None if there is none, or nobody to make it."""
        shop = self._workshop
        if shop.stop.is_set() or shop.storing.is_paused:
            return None
        models = self._server.models(webui)
        if not models:
            return None
        models &= jobs.wanted_models()
        lease = jobs.claim(webui.server.name, sorted(models)) if models else None
        if lease is None:
            return None
        outcome = make(lease, webui, shop.store, shop.stop)
        self._learn(outcome)
        return outcome

    def _learn(self, outcome: Outcome) -> None:
        drawing, storing = self._server.drawing, self._workshop.storing
        if outcome.how == "finished":
            drawing.worked()
            storing.worked()
        elif outcome.away is not None:
            drawing.failed(outcome.away, at_once=True)
        elif outcome.code == "store_failed":
            storing.failed("it does not take what is drawn")
        elif outcome.code is not None and outcome.code not in NOT_THE_SERVERS_FAULT:
            drawing.failed(f"it failed again and again, just now with {outcome.code}")
        if outcome.away is not None or outcome.code in ("model_missing", "model_swapped"):
            self._server.ask_again()
