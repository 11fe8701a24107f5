"""One job from its claim to its end.

The server draws in a thread of its own, and no transaction is open meanwhile. Beside it the job is
kept by beating, every second: that is also how we hear that it was canceled, or given to somebody
else. Whatever comes after that is thrown away.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from uuid import UUID

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from api.covers import images
from api.covers.store import CoverStore
from api.covers.webui import AwayError, MakingError, Order, Webui
from api.sessions import short_transaction

LEASE_SECONDS = 60.0  # app.cover_lease()
BEAT_SECONDS = 1.0
GENERATION_SECONDS = 180.0
STORE_SECONDS = 60.0
CONNECT_SECONDS = 5
AGAIN_SECONDS = 1.0
IMAGE_CODES = ("not_an_image", "wrong_size", "blank_image")

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Connection = psycopg.Connection[Any]
PASSING = (psycopg.OperationalError, psycopg.InterfaceError)
"""The database is away, or somebody holds what we need: another time it may go well."""


class LostError(Exception):
    """The job is not ours any more, or was canceled."""


class StoppedError(Exception):
    """The worker is to end."""


@dataclass(frozen=True)
class Claim(Order):
    """A job that is ours until its lease runs out."""

    job_id: UUID
    lease_token: UUID
    attempt: int
    style: str


@dataclass(frozen=True)
class Outcome:
    """How it ended. `code` says what failed, `away` why the server cannot be asked."""

    how: Literal["finished", "failed", "released", "dropped"]
    code: str | None = None
    away: str | None = None


class Jobs:
    """The queue, as the worker asks it: each call in a short transaction of its own.

    The connection is a given one. When that breaks, another is made, for what is being drawn
    outlives a restart of the database.
    """

    def __init__(self, given: Connection) -> None:
        self._url = make_conninfo(
            given.info.dsn, password=given.info.password or None, connect_timeout=CONNECT_SECONDS
        )
        self._given = given
        self._own: Connection | None = None

    def close(self) -> None:
        """Let go of the connection that was not given."""
        if self._own is not None:
            self._own.close()
            self._own = None

    def wanted_models(self) -> frozenset[str]:
        with self.transaction() as transaction:
            rows = transaction.execute("select app.wanted_cover_models()").fetchall()
        return frozenset(model for (model,) in rows)

    def claim(self, server: str, models: list[str]) -> "Lease | None":
        """The next job that one of these models can draw."""
        asked_at = time.monotonic()
        with self.transaction() as transaction:
            cursor = transaction.cursor(row_factory=class_row(Claim))
            cursor.execute("select * from app.claim_cover(%s, %s)", (server, models))
            claim = cursor.fetchone()
        return None if claim is None else Lease(self, claim, asked_at)

    def transaction(self) -> AbstractContextManager[Connection]:
        """A short transaction, on a connection that is not known to be broken."""
        if not self._given.closed:
            return short_transaction(self._given)
        if self._own is None or self._own.closed:
            self._own = psycopg.connect(self._url, autocommit=True)
        return short_transaction(self._own)


class Lease:
    """A job that is ours, and until when that is sure.

    The time is told by our own clock, which goes on while the database is away.
    """

    def __init__(self, jobs: Jobs, claim: Claim, asked_at: float) -> None:
        self.claim = claim
        self._jobs = jobs
        self._until = asked_at + LEASE_SECONDS
        self._is_away = False

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def beat(self, percent: int | None) -> None:
        """Keep the job; LostError once it is not ours any more."""
        asked_at = time.monotonic()
        try:
            is_ours = self._call("beat_cover", percent)
        except PASSING as error:
            self._bear(error)
            return
        self._is_away = False
        if not is_ours:
            raise LostError("it was canceled, or given to somebody else")
        self._until = asked_at + LEASE_SECONDS

    def finish(self, image: dict[str, Any], stop: threading.Event) -> UUID:
        """The story has its cover, by this id."""
        cover_id: UUID = self._insist(lambda: self._call("finish_cover", Jsonb(image)), stop)
        return cover_id

    def fail(self, error: MakingError, stop: threading.Event) -> str:
        """The job's new state."""
        said = (error.code, str(error), error.is_permanent)
        return str(self._insist(lambda: self._call("fail_cover", *said), stop))

    def release(self, stop: threading.Event) -> None:
        """Give the job back as if it had not been tried."""
        self._insist(lambda: self._call("release_cover"), stop)

    def _call(self, function: str, *arguments: object) -> Any:
        given = (self.claim.job_id, self.claim.lease_token, *arguments)
        places = ", ".join(["%s"] * len(given))
        try:
            with self._jobs.transaction() as transaction:
                row = transaction.execute(f"select app.{function}({places})".encode(), given)
                return (row.fetchone() or (None,))[0]
        except psycopg.Error as error:
            if error.diag.message_hint == "lease_lost":
                raise LostError("it was canceled, or given to somebody else") from None
            raise

    def _insist(self, call: Callable[[], Answer], stop: threading.Event) -> Answer:
        """Let the database do it; while it is away, try again for as long as the job is ours."""
        while True:
            try:
                return call()
            except PASSING as error:
                self._bear(error)
                if stop.wait(AGAIN_SECONDS):
                    raise LostError("the worker ends while the database is away") from None

    def _bear(self, error: Exception) -> None:
        """The error is nothing to us, unless the time is over."""
        if self.is_over:
            raise LostError("the database was away for longer than the lease") from None
        if not self._is_away:
            logger.warning("the database is away", extra={"error": str(error)})
        self._is_away = True


class Drawing(threading.Thread):
    """The picture is drawn, checked and stored. The process does not wait for it at its end."""

    def __init__(self, claim: Claim, webui: Webui, store: CoverStore) -> None:
        super().__init__(name=f"cover {claim.task_id}", daemon=True)
        self.is_storing = False
        self.is_unwanted = False
        self._claim = claim
        self._webui = webui
        self._store = store
        self._ended = threading.Event()
        self._image: dict[str, Any] | None = None
        self._error: Exception | None = None
        self._due = time.monotonic() + GENERATION_SECONDS

    def run(self) -> None:
        try:
            self._image = self._make()
        except Exception as error:  # it is raised again by whoever waits
            self._error = error
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Whether it has come to an end within so many seconds."""
        return self._ended.wait(seconds)

    def check_time(self) -> None:
        """MakingError if it takes too long."""
        if time.monotonic() >= self._due:
            if self.is_storing:
                raise MakingError("store_failed", "The picture could not be stored in time.")
            raise MakingError("timeout", "The server did not answer in time.")

    def image(self) -> dict[str, Any]:
        """What came of it; raises what went wrong."""
        if self._error is not None:
            raise self._error
        assert self._image is not None
        return self._image

    def _make(self) -> dict[str, Any]:
        options = self._claim.options
        drawn = self._webui.draw(self._claim, GENERATION_SECONDS)
        picture = images.generated(drawn.data, options["width"], options["height"])
        thumbnail = images.thumbnail(picture)
        if self.is_unwanted:
            raise LostError("nobody wants it any more")
        self._due = time.monotonic() + STORE_SECONDS
        self.is_storing = True
        try:
            for each in (picture, thumbnail):
                self._store.put(each.name, each.data)
        except Exception as error:  # each kind of store has its own
            logger.exception("cover not stored", extra={"job": str(self._claim.job_id)})
            raise MakingError("store_failed", "The picture could not be stored.") from error
        return images.as_json(
            picture,
            thumbnail,
            seed=drawn.seed,
            model=self._claim.model,
            server=self._webui.server.name,
        )


def make(lease: Lease, webui: Webui, store: CoverStore, stop: threading.Event) -> Outcome:
    """Make the cover of this job; whatever happens, the job goes on from there."""
    claim = lease.claim
    about = {"job": str(claim.job_id), "attempt": claim.attempt, "server": webui.server.name}
    try:
        try:
            image = _draw(lease, Drawing(claim, webui, store), webui, stop)
        except (AwayError, StoppedError) as error:
            logger.info("cover given back", extra={**about, "error": str(error)})
            lease.release(stop)
            return Outcome("released", away=str(error) if isinstance(error, AwayError) else None)
        except MakingError as error:
            state = lease.fail(error, stop)
            said = {"code": error.code, "error": str(error), "state": state}
            logger.warning("cover not made", extra={**about, **said})
            return Outcome("failed", code=error.code)
        cover_id = lease.finish(image, stop)
    except LostError as error:
        logger.warning("cover dropped", extra={**about, "error": str(error)})
        return Outcome("dropped")
    logger.info("cover made", extra={**about, "cover": str(cover_id)})
    return Outcome("finished")


def _draw(lease: Lease, drawing: Drawing, webui: Webui, stop: threading.Event) -> dict[str, Any]:
    """The image as the database takes it, or one of the errors of this module and of `webui`."""
    claim = lease.claim
    drawing.start()
    try:
        while not drawing.wait(BEAT_SECONDS):
            if stop.is_set():
                raise StoppedError("the worker ends")
            drawing.check_time()
            progress = None if drawing.is_storing else webui.progress(claim.task_id)
            lease.beat(None if progress is None else progress.percent)
        return drawing.image()
    except (LostError, StoppedError):
        _leave(drawing, webui, claim.task_id)
        raise
    except MakingError as error:
        if error.code in ("timeout", "connection_lost"):
            # The line is dead; the server may be at it still.
            _leave(drawing, webui, claim.task_id, even_if_ended=True)
        elif error.code == "server_error" and _lacks(webui, claim.model):
            raise MakingError("model_missing", "The server lost the model.") from error
        raise
    except images.ImageError as error:
        code = error.code if error.code in IMAGE_CODES else "wrong_size"
        raise MakingError(code, str(error)) from error
    except (AwayError, psycopg.Error):
        raise
    except Exception as error:
        logger.exception("cover not made", extra={"job": str(claim.job_id)})
        raise MakingError("server_error", "The picture could not be worked on.") from error


def _leave(drawing: Drawing, webui: Webui, task_id: str, *, even_if_ended: bool = False) -> None:
    """Nobody waits for it any more: spare the server the rest, if it is just at it."""
    drawing.is_unwanted = True
    is_drawn = drawing.is_storing or drawing.wait(0)
    if even_if_ended or not is_drawn:
        webui.interrupt_if_active(task_id)


def _lacks(webui: Webui, model: str) -> bool:
    try:
        return model not in webui.models()
    except AwayError:
        return False
