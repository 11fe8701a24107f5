"""Authors, the covers they ask for, and whoever draws them: what the tests of covers act on.

Authors call the way PostgREST does it, the worker logs in as the owner, the edge as itself. Nothing
is drawn: the pictures are names only.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from api.config import with_login
from api.stack import postgrest
from api.stack.ports import answers_ok, free_port
from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from api.tokens import sign_token
from tests.market import Connection, Market, acting_as, open_market, outcome_of, value
from tests.processes import clean_environment
from tests.shop import Caller, refusal
from tests.teller import WAIT_SECONDS, Json

PRICE = 5
STYLES = ("realistic", "artistic", "fantasy", "minimalist", "vintage")
MODELS = ("realisticVision_v40", "deliberate_v2", "dreamshaper_7")
SERVER = "gpu1:7860"
SECRET = "a secret of the tests, long enough"

_CLAIM = "select * from app.claim_cover(%s, %s)"
_FINISH = "select app.finish_cover(%s, %s, %s)"
_FAIL = "select app.fail_cover(%s, %s, %s, %s, %s)"


@dataclass(frozen=True)
class Author:
    """Somebody with credits and a published story."""

    id: UUID
    story: UUID


@dataclass(frozen=True)
class Work:
    """What `claim_cover` answers."""

    job_id: UUID
    lease_token: UUID
    attempt: int
    task_id: str
    model: str
    prompt: str
    negative_prompt: str
    options: Json
    seed: int
    style: str


@dataclass(frozen=True)
class Call:
    """One call over a connection of its own, which can be made before the call."""

    connect: Callable[[], Connection]
    run: Callable[[Connection], Any]

    def __call__(self) -> Any:
        with self.connect() as connection:
            return self.run(connection)


def picture() -> Json:
    """A picture that nobody else has, as the worker and the edge tell of it."""
    name = sha256(uuid4().bytes).hexdigest()
    return {
        "file": f"{name}.webp",
        "thumbnail_file": f"{sha256(name.encode()).hexdigest()}.webp",
        "media_type": "image/webp",
        "width": 512,
        "height": 768,
        "bytes": 12_345,
    }


@dataclass
class Studio:
    """Where covers are asked for and made: one database, at its end in order."""

    market: Market

    @property
    def owner(self) -> Connection:
        return self.market.owner

    # Who there is

    def author(self, credits: int = 100, title: str = "Carried Forward") -> Author:
        """Somebody new."""
        author = self.market.reader(credits)
        return Author(author, self.story(author, title))

    def story(self, author: UUID, title: str = "Another One", *, is_published: bool = True) -> UUID:
        """A further story of somebody."""
        with acting_as(self.owner, author):
            story: UUID = value(self.owner, "select api.create_story(%s, genre => 'drama')", title)
            if is_published:
                self.owner.execute(
                    "select api.save_chapter(%s, 1, 'A chapter', 'Some words.')", (story,)
                )
                self.owner.execute("select api.publish_story(%s)", (story,))
        return story

    # What authors do; each is a call for a thread

    def call(self, user: UUID, role: str, statement: str, *arguments: object) -> Call:
        """A call as PostgREST makes it; the one value that it answers."""

        def run(connection: Connection) -> Any:
            with acting_as(connection, user, role):
                return value(connection, statement, *arguments)

        return Call(self.market.connect, run)

    def request(
        self,
        author: Author,
        style: str = "fantasy",
        prompt: str | None = None,
        key: str | None = None,
        priority: int = 3,
    ) -> Call:
        """Ask for a cover; the job."""
        statement = "select job_id from api.request_cover(%s, %s, %s, %s, %s)"
        arguments = (author.story, style, prompt, priority, key)
        return self.call(author.id, "authenticated", statement, *arguments)

    def cancel(self, author: Author, job: UUID) -> Call:
        """Take it back; the credits that came back."""
        statement = "select credits_returned from api.cancel_cover(%s)"
        return self.call(author.id, "authenticated", statement, job)

    def set_primary(self, author: Author, cover: UUID) -> Call:
        return self.call(author.id, "authenticated", "select api.set_primary_cover(%s)", cover)

    def remove(self, author: Author, cover: UUID) -> Call:
        return self.call(author.id, "authenticated", "select api.remove_cover(%s)", cover)

    def upload(self, author: Author, *, is_primary: bool = False) -> Call:
        """What the edge does with an image of the author's own; the cover."""
        claims = json.dumps({"sub": str(author.id), "role": "authenticated"})

        def connect() -> Connection:
            return psycopg.connect(with_login(self.market.url, "edge", None), autocommit=True)

        def run(connection: Connection) -> Any:
            with connection.transaction():
                connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
                return value(
                    connection,
                    "select cover_id from app.add_uploaded_cover(%s, %s, %s)",
                    author.story,
                    Jsonb(picture()),
                    is_primary,
                )

        return Call(connect, run)

    # What the worker does

    def work(self, statement: str, *arguments: object) -> Call:
        """A step of the worker, in a transaction of its own; the one value that it answers."""
        return Call(
            self.market.connect_as_owner,
            lambda connection: value(connection, statement, *arguments),
        )

    def claim(self, models: Sequence[str] = MODELS, server: str = SERVER) -> Call:
        """Take the next job; None when there is none."""
        return Call(
            self.market.connect_as_owner,
            lambda connection: claim_over(connection, models, server),
        )

    def finish(self, work: Work, image: Json | None = None) -> Call:
        """The picture is there; the cover."""
        told = (image or picture()) | {"seed": work.seed, "model": work.model, "server": SERVER}
        return self.work(_FINISH, work.job_id, work.lease_token, Jsonb(told))

    def fail(self, work: Work, code: str = "server_error", *, is_permanent: bool = False) -> Call:
        """It did not work; the job's state after it."""
        message = "The server said 500."
        return self.work(_FAIL, work.job_id, work.lease_token, code, message, is_permanent)

    def beat(self, work: Work, progress: int | None = None) -> Call:
        statement = "select app.beat_cover(%s, %s, %s)"
        return self.work(statement, work.job_id, work.lease_token, progress)

    def release(self, work: Work) -> Call:
        return self.work("select app.release_cover(%s, %s)", work.job_id, work.lease_token)

    def recover(self) -> Call:
        """All that is left alone, each in a transaction of its own; how many steps that took."""

        def run(connection: Connection) -> int:
            steps = 1
            while value(connection, "select app.recover_cover()"):
                steps += 1
            return steps

        return Call(self.market.connect_as_owner, run)

    def claimed(self, author: Author, style: str = "fantasy", prompt: str | None = None) -> Work:
        """A job of this author that somebody has begun; it was alone in the queue."""
        job = self.request(author, style, prompt)()
        work = self.claim()()
        assert work is not None
        assert work.job_id == job
        return work  # type: ignore[no-any-return]

    def made(self, author: Author, style: str = "fantasy", prompt: str | None = None) -> UUID:
        """A cover that is there."""
        cover: UUID = self.finish(self.claimed(author, style, prompt))()
        return cover

    def let_lease_run_out(self, job: UUID) -> None:
        self.owner.execute(
            "update app.cover_jobs set leased_until = now() - interval '1 second' where id = %s",
            (job,),
        )

    def let_all_be_due(self) -> None:
        """What waits after a failure waits no longer."""
        self.owner.execute("update app.cover_jobs set run_at = now() where state = 'pending'")

    # What the database says

    def rows(self, statement: str, *arguments: object) -> list[Json]:
        cursor = self.owner.cursor(row_factory=dict_row)
        return cursor.execute(statement.encode(), arguments or None).fetchall()

    def value(self, statement: str, *arguments: object) -> Any:
        return value(self.owner, statement, *arguments)

    def execute(self, statement: str, *arguments: object) -> None:
        self.owner.execute(statement.encode(), arguments or None)

    def job(self, job: object) -> Json:
        (row,) = self.rows("select * from app.cover_jobs where id = %s", job)
        return row

    def jobs(self, author: Author) -> list[Json]:
        return self.rows("select * from app.cover_jobs where user_id = %s order by id", author.id)

    def attempts(self, job: object) -> list[str | None]:
        """How the attempts at a job ended; None: it runs."""
        rows = self.rows(
            "select outcome from app.cover_attempts where job_id = %s order by number", job
        )
        return [row["outcome"] for row in rows]

    def covers(self, author: Author) -> list[Json]:
        """The covers of the author's story that were not removed."""
        return self.rows(
            "select * from app.story_covers where story_id = %s and removed_at is null order by id",
            author.story,
        )

    def primaries(self, author: Author) -> list[UUID]:
        return [cover["id"] for cover in self.covers(author) if cover["is_primary"]]

    def figures(self, author: Author) -> tuple[int, int]:
        """Credits in the wallet, and credits set aside."""
        wallet, reserved = (
            int(self.value("select coalesce(ledger.balance(%s, %s), 0)", author.id, kind))
            for kind in ("wallet", "reserved")
        )
        return wallet, reserved

    def violations(self) -> list[tuple[str, str, str]]:
        return self.market.violations()


def claim_over(
    connection: Connection, models: Sequence[str] = MODELS, server: str = SERVER
) -> Work | None:
    with connection.cursor(row_factory=class_row(Work)) as cursor:
        return cursor.execute(_CLAIM, (server, list(models))).fetchone()


def at_one_instant(calls: Sequence[Call]) -> list[Any]:
    """Let calls begin together, each in a thread and connected before; answers, or refusals."""
    barrier = Barrier(len(calls))

    def run(call: Call) -> Any:
        with call.connect() as connection:
            barrier.wait(WAIT_SECONDS)
            return outcome_of(lambda: call.run(connection))

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def in_turn(studio: Studio, calls: list[Call], lock: str, *locked: object) -> list[Any]:
    """All wait for this lock, and get it in this order; answers, or refusals."""
    with ThreadPoolExecutor(len(calls)) as threads:
        running = []
        with studio.market.gate(len(calls), lock, *locked):
            for queue_length, call in enumerate(calls, start=1):
                running.append(threads.submit(outcome_of, call))
                studio.market.wait_for_queue(queue_length)
        return [each.result() for each in running]


# Over HTTP ----------------------------------------------------------------------------------------


@dataclass
class Gallery(Studio):
    """A studio with PostgREST before it, and without a worker: nothing happens by itself."""

    http: httpx.Client
    rest_url: str

    def empty_queue(self) -> None:
        """Nothing of another test is waiting or drawn any more."""
        for job in self.rows("select id from app.cover_jobs where finished_at is null"):
            end = "select app.end_cover_job(app.lock_cover_job(%s), 'canceled', 'canceled', 'x')"
            self.execute(end, job["id"])

    def caller(self, user: UUID, role: str = "authenticated") -> Caller:
        token = sign_token(SECRET, subject=user, role=role, hours=1)
        return Caller(self.http, user, token)

    def service(self) -> Caller:
        return self.caller(uuid4(), "service_role")

    def anonymous(self) -> Caller:
        return Caller(self.http, uuid4(), None)

    def client(self, credits: int = 100, title: str = "Carried Forward") -> "Client":
        """Somebody new who calls."""
        author = self.author(credits, title)
        return Client(author.id, author.story, self.caller(author.id))


@dataclass(frozen=True)
class Client(Author):
    """An author who calls over HTTP."""

    rest: Caller

    def ask(self, style: object = "fantasy", key: str | None = None, **more: Any) -> httpx.Response:
        about = {"story_id": str(self.story), "style": style, **more}
        headers = {} if key is None else {"Idempotency_Key": key}
        return self.rest.call("request_cover", about, **headers)

    def asked(self, style: str = "fantasy", **more: Any) -> Json:
        """A request that is accepted; what it answers."""
        answer = self.ask(style, **more)
        assert answer.status_code == 200, answer.text
        said: Json = answer.json()
        return said

    def take_back(self, job: object) -> httpx.Response:
        return self.rest.call("cancel_cover", {"job_id": str(job)})

    def queue(self, query: str = "") -> list[Json]:
        return self.rows(f"/rpc/cover_queue?{query}")

    def rows(self, path: str) -> list[Json]:
        answer = self.rest.get(path)
        assert answer.status_code == 200, answer.text
        rows: list[Json] = answer.json()
        return rows

    @property
    def balance(self) -> int:
        answer = self.rest.get("/rpc/credit_balance")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["balance"])


@contextmanager
def open_gallery(server: EmbeddedPostgres, name: str, template: str) -> Iterator[Gallery]:
    """A gallery in a new database; at the end its ledger must be right."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        names = (sql.Identifier(name), sql.Identifier(template))
        connection.execute(sql.SQL("create database {} template {}").format(*names))
        with (
            open_market(server.url(name)) as market,
            running_postgrest(server.url(name)) as rest_url,
            httpx.Client(base_url=rest_url, timeout=30) as http,
        ):
            yield Gallery(market, http, rest_url)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def running_postgrest(database_url: str, secret: str = SECRET) -> Iterator[str]:
    """PostgREST before a database, until the block ends; its address."""
    port, admin_port = free_port(), free_port()
    environment = postgrest.environment(
        database_url=with_login(database_url, "authenticator", None),
        jwt_secret=secret,
        port=port,
        admin_port=admin_port,
    )
    with (
        tempfile.TemporaryDirectory(prefix="infinite-pages-gallery-") as folder,
        (Path(folder) / "log").open("w+") as log,
    ):
        process = subprocess.Popen(
            [postgrest.find_postgrest()],
            env={**clean_environment(), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            ready = f"http://127.0.0.1:{admin_port}/ready"
            is_ready = wait_until(lambda: answers_ok(ready), seconds=WAIT_SECONDS)
            assert is_ready, Path(log.name).read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)


def refused(answer: httpx.Response, status: int, hint: str) -> Json:
    body = refusal(answer, status)
    assert body["hint"] == hint, body
    return body
