"""The worker's part of covers: they are made, and nobody waits for one that was left alone."""

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg

from api.config import CoverSettings
from api.sessions import short_transaction
from api.worker import Task, WorkerError

RECOVER_EVERY_SECONDS = 10
LISTEN_AGAIN_SECONDS = 5


def cover_timetables(
    settings: CoverSettings | None, stop: threading.Event, *, once: bool = False
) -> list[Sequence[Task]]:
    """Timetables, each for a thread of its own: one for each cover that is drawn at once.

    Without settings nobody draws here, and what waits too long is still given up. With `once` each
    lane goes home when there is nothing to do, where it would wait for news.
    """
    recovery = Task("covers recovered", RECOVER_EVERY_SECONDS, partial(recover_covers, stop=stop))
    if settings is None:
        return [[recovery]]
    # The libraries that images and their store need are heavy.
    from api.covers.lanes import Lane, Server, Workshop

    workshop = Workshop(_open_store(settings.store_url), stop, waits=not once)
    lanes = [
        Task(f"covers made by {server.settings.name}", 0, Lane(server, workshop).work)
        for server in map(Server, settings.servers)
        for _ in range(server.settings.capacity)
    ]
    timetables: list[Sequence[Task]] = [[recovery], *([lane] for lane in lanes)]
    if not once:
        listen = partial(workshop.news.listen, stop=stop)
        timetables.append([Task("news of covers", LISTEN_AGAIN_SECONDS, listen)])
    return timetables


def recover_covers(connection: psycopg.Connection[Any], stop: threading.Event) -> int:
    """Look after jobs that are left alone, each in a transaction of its own; how many there were.

    Any number of workers may do so at once.
    """
    recovered = 0
    while not stop.is_set():
        with short_transaction(connection) as transaction:
            row = transaction.execute("select app.recover_cover()").fetchone()
        if row != (True,):
            break
        recovered += 1
    return recovered


def _open_store(url: str) -> Any:
    from api.covers.store import CoverStore, StoreError

    try:
        return CoverStore.open(url)
    except StoreError as error:
        raise WorkerError(f"COVER_STORE_URL: covers cannot be kept there: {error}") from None
