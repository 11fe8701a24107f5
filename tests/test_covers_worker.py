"""The worker that makes covers, with servers that draw: each cover once, by whoever can."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from PIL import Image
from psycopg.rows import dict_row

from api import worker
from api.config import CoverSettings
from api.config.covers import cover_environment
from api.covers import lanes
from api.covers.tasks import cover_timetables
from api.sandbox.webui import running_webui
from api.stack.ports import free_port
from api.stack.wait import wait_until
from tests.conftest import NewDatabase
from tests.market import Market, acting_as, open_market, publish_story, value
from tests.processes import COMMAND, clean_environment, run_command

WAIT_SECONDS = 30.0
PRICE = 5
STYLES = ["realistic", "artistic", "fantasy", "minimalist", "vintage"]
LISTS = "/sdapi/v1/sd-models"

Json = dict[str, Any]


class Easel:
    """A sandbox that draws, and what it is told beside that."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        answer = httpx.request(method, self.url + path, json=body, timeout=30)
        assert answer.is_success, answer.text
        return answer.json()

    def fault(self, kind: str, **more: Any) -> None:
        self.ask("POST", "/_sandbox/faults", {"fault": kind, **more})

    def calm(self) -> None:
        self.ask("DELETE", "/_sandbox/faults")

    def wait_for_held(self) -> None:
        """Until a task hangs."""

        def hangs() -> bool:
            return bool(self.ask("GET", "/_sandbox/faults")["holding"])

        assert wait_until(hangs, seconds=WAIT_SECONDS), self.tasks()

    def let_go(self) -> None:
        self.ask("POST", "/_sandbox/faults/release")

    def tasks(self) -> list[Json]:
        found: list[Json] = self.ask("GET", "/_sandbox/tasks")["tasks"]
        return found

    def task(self, task_id: str) -> Json | None:
        return next((each for each in self.tasks() if each["id"] == task_id), None)

    def wait_for_task(self, state: str, count: int = 1) -> None:
        def there() -> bool:
            return len([each for each in self.tasks() if each["state"] == state]) >= count

        assert wait_until(there, seconds=WAIT_SECONDS), self.tasks()


@dataclass
class Studio:
    """A story whose author wants covers, a server that draws, and workers of the test's own."""

    market: Market
    easel: Easel
    folder: Path
    closing: ExitStack
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.market.url

    @property
    def author(self) -> UUID:
        return self.market.creator

    @property
    def store(self) -> Path:
        return self.folder / "covers"

    # What the author does

    def give(self, covers: int) -> None:
        self.market.give(self.author, covers * PRICE)

    def raise_limits(self) -> None:
        """Let one author ask for more than any author may."""
        self.market.owner.execute(
            "update app.economy set cover_jobs_per_user = 1000, covers_per_story = 10000"
        )
        self.market.owner.execute(
            "update app.rate_limits set capacity = 1000 where class = 'money'"
        )

    def request(self, style: str = "fantasy", wish: str | None = None) -> UUID:
        (job,) = self.request_all([(style, wish)])
        return job

    def request_all(self, wanted: Sequence[tuple[str, str | None]]) -> list[UUID]:
        """Ask for covers of these styles, with these wishes."""
        call = "select job_id from api.request_cover(%s, %s, %s)"
        jobs: list[UUID] = []
        with self.market.connect() as connection:
            for style, wish in wanted:
                with acting_as(connection, self.author):
                    jobs.append(value(connection, call, self.market.story, style, wish))
        return jobs

    def request_many(self, count: int) -> list[UUID]:
        """So many, in turn of each style."""
        self.raise_limits()
        self.give(count)
        return self.request_all([(STYLES[each % 5], f"wish {each}") for each in range(count)])

    def cancel(self, job: UUID) -> None:
        with self.market.connect() as connection, acting_as(connection, self.author):
            connection.execute("select * from api.cancel_cover(%s)", (job,))

    def queue(self) -> list[Json]:
        with self.market.connect() as connection, acting_as(connection, self.author):
            cursor = connection.cursor(row_factory=dict_row)
            return cursor.execute("select * from api.cover_queue()").fetchall()

    @property
    def balance(self) -> int:
        return self.market.balance(self.author)

    # What became of it

    def rows(self, statement: str, *arguments: object) -> list[Json]:
        cursor = self.market.owner.cursor(row_factory=dict_row)
        return cursor.execute(statement.encode(), arguments).fetchall()

    def job(self, job: UUID) -> Json:
        (row,) = self.rows("select * from app.cover_jobs where id = %s", job)
        return row

    def attempts(self, job: UUID) -> list[Json]:
        return self.rows("select * from app.cover_attempts where job_id = %s order by number", job)

    def covers(self) -> list[Json]:
        return self.rows("select * from app.story_covers order by id")

    def files(self) -> set[str]:
        return {each.name for each in self.store.glob("*.webp")}

    def wait_for(self, job: UUID, state: str) -> Json:
        reached = wait_until(lambda: self.job(job)["state"] == state, seconds=WAIT_SECONDS)
        assert reached, (self.job(job), self.attempts(job), self.said)
        return self.job(job)

    def wait_for_attempts(self, job: UUID, ended: int) -> list[Json]:
        """Until so many attempts have ended."""

        def there() -> bool:
            return sum(each["ended_at"] is not None for each in self.attempts(job)) >= ended

        assert wait_until(there, seconds=WAIT_SECONDS), (self.job(job), self.said)
        return self.attempts(job)

    def make_due(self) -> None:
        """Nobody waits for another attempt any longer."""
        self.market.owner.execute("update app.cover_jobs set run_at = now() where run_at > now()")
        self.market.owner.execute("notify cover_jobs")

    def expire(self, job: UUID) -> None:
        """The minute of whoever works on it is over."""
        self.market.owner.execute(
            "update app.cover_jobs set leased_until = now() - interval '1 second' where id = %s",
            (job,),
        )

    def check_once(self, job: UUID) -> Json:
        """There is one cover, and it was paid once; the cover."""
        assert self.job(job)["state"] == "completed"
        made = [each for each in self.covers() if each["job_id"] == job]
        assert len(made) == 1
        cover = made[0]
        for name in (cover["file"], cover["thumbnail_file"]):
            data = (self.store / name).read_bytes()
            assert name == f"{hashlib.sha256(data).hexdigest()}.webp"
        assert "held" not in self.credits()
        assert self.market.violations() == []
        return cover

    def credits(self) -> dict[str, int]:
        """What was asked for covers, by what became of it: held, captured or released."""
        rows = self.rows(
            "select state, sum(credits)::integer as credits from ledger.reservations"
            " where book_id = %s group by state",
            self.author,
        )
        return {row["state"]: row["credits"] for row in rows}

    # Who works

    def settings(self, *addresses: str) -> CoverSettings:
        urls = " ".join(addresses or [self.easel.url])
        environment = {
            "STABLE_DIFFUSION_WEBUI_URL": urls,
            "COVER_STORE_URL": str(self.store),
        }
        found = CoverSettings.from_environment(environment)
        assert found is not None
        return found

    @contextmanager
    def working(self, *addresses: str, workers: int = 1) -> Iterator[None]:
        """Workers in threads of this process, until the block ends."""
        stop = threading.Event()
        timetables = [
            timetable
            for _ in range(workers)
            for timetable in cover_timetables(self.settings(*addresses), stop)
        ]
        threads = [
            threading.Thread(
                target=worker.run_until, args=(stop, self.url, self.said.append, timetable)
            )
            for timetable in timetables
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(worker.STOP_SECONDS)
            assert not any(thread.is_alive() for thread in threads)

    def process(self, *addresses: str, patch: str | None = None) -> subprocess.Popen[bytes]:
        """A worker in a process of its own; with `patch`, Python that is run before it starts."""
        command = [*COMMAND, "worker"]
        if patch is not None:
            start = "from api.cli import main; main(['worker'])"
            command = [sys.executable, "-c", f"{patch}\n{start}"]
        with self.log.open("a") as output:
            process = subprocess.Popen(
                command,
                env=clean_environment() | self.environment(*addresses),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

        def end() -> None:
            if process.poll() is None:
                process.kill()
            process.wait(WAIT_SECONDS)

        self.closing.callback(end)
        return process

    def environment(self, *addresses: str) -> dict[str, str]:
        """For a worker or a command as a process."""
        return {"DATABASE_URL": self.url, **cover_environment(self.settings(*addresses))}

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"


SMALL = """{"width": 256, "height": 384, "steps": 4}"""


@contextmanager
def open_studio(url: str, folder: Path) -> Iterator[Studio]:
    """A studio on a migrated database; at the end the ledger must still be right."""
    with (
        open_market(url, publish_story(url, chapters=1)) as market,
        running_webui(seconds=0) as webui,
        ExitStack() as closing,
    ):
        # Small pictures: what is tested is not how they look.
        market.owner.execute("update app.cover_styles set options = options || %s::jsonb", (SMALL,))
        studio = Studio(market, Easel(webui.url), folder, closing)
        try:
            yield studio
        finally:
            studio.easel.calm()
            studio.easel.let_go()


@pytest.fixture
def studio(migrated_database: NewDatabase, tmp_path: Path) -> Iterator[Studio]:
    with open_studio(migrated_database(), tmp_path) as opened:
        yield opened


def test_a_cover_in_each_style(studio: Studio) -> None:
    studio.give(6)
    jobs = {style: studio.request(style, f"a lighthouse, {style}") for style in STYLES}
    assert (studio.balance, studio.credits()) == (PRICE, {"held": 5 * PRICE})
    with studio.working():
        for job in jobs.values():
            studio.wait_for(job, "completed")
    assert (studio.balance, studio.credits()) == (PRICE, {"captured": 5 * PRICE})
    for style, job in jobs.items():
        cover, row = studio.check_once(job), studio.job(job)
        (attempt,) = studio.attempts(job)
        assert (row["attempts"], row["progress"], attempt["outcome"]) == (1, 100, "finished")
        assert (cover["style"], cover["model"]) == (style, row["model"])
        assert cover["prompt"] == row["prompt"]
        assert f"a lighthouse, {style}" in cover["prompt"]
        assert cover["seed"] == attempt["seed"]
        assert (cover["width"], cover["height"]) == (256, 384)
        with Image.open(studio.store / cover["file"]) as image:
            assert (image.format, image.size) == ("WEBP", (256, 384))
        assert cover["bytes"] == (studio.store / cover["file"]).stat().st_size
        task = studio.easel.task(attempt["task_id"])
        assert task is not None
        assert (task["model"], task["prompt"]) == (row["model"], row["prompt"])
    assert len({cover["file"] for cover in studio.covers()}) == 5
    assert [cover["is_primary"] for cover in studio.covers()].count(True) == 1
    assert len(studio.easel.tasks()) == 5


def test_the_author_sees_how_far_it_is(studio: Studio) -> None:
    studio.give(1)
    with running_webui(seconds=4) as slow, studio.working(slow.url):
        job = studio.request()
        seen: set[int] = set()

        def is_done() -> bool:
            (row,) = studio.queue()
            if row["state"] == "generating":
                seen.add(row["progress"])
            return bool(row["state"] == "completed")

        assert wait_until(is_done, seconds=WAIT_SECONDS), studio.said
    assert any(0 < each < 100 for each in seen), seen
    studio.check_once(job)


def test_two_workers_on_one_queue(studio: Studio) -> None:
    jobs = studio.request_many(12)
    with studio.working(workers=2):
        for job in jobs:
            studio.wait_for(job, "completed")
    for job in jobs:
        studio.check_once(job)
        assert [each["outcome"] for each in studio.attempts(job)] == ["finished"]
    assert len(studio.easel.tasks()) == 12
    assert studio.credits() == {"captured": 12 * PRICE}


def test_a_new_job_wakes_the_worker(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "POLL_SECONDS", 3600.0)
    studio.give(2)
    with studio.working():
        studio.wait_for(studio.request("fantasy"), "completed")
        studio.wait_for(studio.request("vintage"), "completed")


def test_without_news_it_looks_by_itself(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(lanes.News, "tell", lambda news: None)
    studio.give(1)
    with studio.working():
        studio.wait_for(studio.request(), "completed")


def test_a_server_that_is_away_costs_no_attempt(studio: Studio) -> None:
    studio.give(1)
    port = free_port()
    job = studio.request()
    with studio.working(f"http://127.0.0.1:{port}"):
        assert not wait_until(lambda: studio.job(job)["attempts"] > 0, seconds=2)
        assert (studio.job(job)["state"], studio.attempts(job)) == ("pending", [])
        with running_webui(port=port, seconds=0):
            studio.wait_for(job, "completed")
    studio.check_once(job)
    assert len(studio.attempts(job)) == 1


def test_another_server_makes_what_one_cannot(studio: Studio) -> None:
    jobs = studio.request_many(3)
    with studio.working(f"http://127.0.0.1:{free_port()}", studio.easel.url):
        for job in jobs:
            studio.wait_for(job, "completed")
    here = studio.easel.url.removeprefix("http://")
    assert {each["server"] for job in jobs for each in studio.attempts(job)} == {here}


def test_a_server_with_a_password(studio: Studio) -> None:
    studio.give(1)
    job = studio.request()
    with running_webui(seconds=0, auth="painter:se@cret/1") as guarded:
        host = guarded.url.removeprefix("http://")
        with studio.working(f"http://painter:wrong@{host}"):
            assert not wait_until(lambda: bool(studio.attempts(job)), seconds=1.5)
            assert studio.job(job)["attempts"] == 0
        with studio.working(f"http://painter:se%40cret%2F1@{host}"):
            studio.wait_for(job, "completed")
    studio.check_once(job)


class Front:
    """Stands before a sandbox, as a proxy may: some paths it answers itself."""

    def __init__(self, behind: str) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                front.asked.append(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path in front.answers:
                    status, said = front.answers[self.path]
                    content = said if isinstance(said, bytes) else json.dumps(said).encode()
                else:
                    headers = {"Content-Type": "application/json"}
                    url = behind + self.path
                    answer = httpx.request(
                        self.command, url, content=body, headers=headers, timeout=60
                    )
                    status, content = answer.status_code, answer.content
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if 300 <= status < 400:
                    self.send_header("Location", behind + self.path)
                self.end_headers()
                with suppress(ConnectionError):  # it hung up when it had enough
                    self.wfile.write(content)

            do_GET = do_POST  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.host = self.url.removeprefix("http://")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def lists(self, *models: str) -> None:
        """Have these models, whatever the one behind says."""
        said = [{"model_name": each, "title": f"{each}.safetensors [0123abcd]"} for each in models]
        self.answers[LISTS] = (200, said)

    def __enter__(self) -> "Front":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_two_servers_with_different_models(studio: Studio) -> None:
    studio.give(5)
    with Front(studio.easel.url) as photographer, Front(studio.easel.url) as painter:
        photographer.lists("realisticVision_v40")
        painter.lists("deliberate_v2", "dreamshaper_7")
        with studio.working(photographer.url, painter.url):
            jobs = {style: studio.request(style) for style in STYLES}
            for job in jobs.values():
                studio.wait_for(job, "completed")
        made = {style: studio.attempts(job)[0]["server"] for style, job in jobs.items()}
    by_photographer = {style for style, server in made.items() if server == photographer.host}
    assert by_photographer == {"realistic", "vintage"}
    assert set(made.values()) == {photographer.host, painter.host}


def test_a_model_that_nobody_has_costs_no_attempt(studio: Studio) -> None:
    studio.give(2)
    with Front(studio.easel.url) as front:
        front.lists("dreamshaper_7", "realisticVision_v41")
        with studio.working(front.url):
            wanted, possible = studio.request("realistic"), studio.request("fantasy")
            studio.wait_for(possible, "completed")
            assert (studio.job(wanted)["state"], studio.attempts(wanted)) == ("pending", [])


@pytest.mark.parametrize("options", ["", "#models=dreamshaper_7"])
def test_a_server_without_a_list_of_models(studio: Studio, options: str) -> None:
    studio.give(2)
    with Front(studio.easel.url) as front:
        front.answers[LISTS] = (404, {"detail": "Not Found"})
        with studio.working(front.url + options):
            known, other = studio.request("fantasy"), studio.request("realistic")
            if options:
                studio.wait_for(known, "completed")
            else:
                asked = wait_until(lambda: LISTS in front.asked, seconds=WAIT_SECONDS)
                assert asked
                assert studio.attempts(known) == []
            assert studio.attempts(other) == []


def test_a_worker_that_ends_gives_its_job_back(studio: Studio) -> None:
    studio.give(1)
    studio.easel.fault("slow", seconds=60)
    job = studio.request()
    process = studio.process()
    studio.easel.wait_for_task("running")
    process.send_signal(signal.SIGTERM)
    assert process.wait(worker.STOP_SECONDS + 2) == 0, studio.log.read_text()
    row = studio.job(job)
    assert (row["state"], row["attempts"], row["lease_token"]) == ("pending", 0, None)
    assert [each["outcome"] for each in studio.attempts(job)] == ["released"]
    (task,) = studio.easel.tasks()
    assert task["is_interrupted"]
    with studio.working():
        studio.wait_for(job, "completed")
    studio.check_once(job)
    assert studio.job(job)["attempts"] == 1


def test_once_makes_what_is_due_and_ends(studio: Studio) -> None:
    jobs = studio.request_many(3)
    environment = studio.environment()
    done = run_command("worker", "--once", environment=environment)
    assert done.returncode == 0, done.stderr
    for job in jobs:
        studio.check_once(job)
    assert f"covers made by {studio.easel.url.removeprefix('http://')}: 3" in done.stdout


def test_without_servers_what_waits_too_long_is_given_up(studio: Studio) -> None:
    studio.give(1)
    job = studio.request()
    studio.market.owner.execute(
        "update app.cover_jobs set created_at = now() - interval '2 days' where id = %s", (job,)
    )
    done = run_command("worker", "--once", environment={"DATABASE_URL": studio.url})
    assert done.returncode == 0, done.stderr
    assert "no covers are made" in done.stdout
    assert "covers recovered: 1" in done.stdout
    assert (studio.job(job)["state"], studio.balance) == ("failed", PRICE)
    assert studio.credits() == {"released": PRICE}
    assert studio.market.violations() == []


# The commands


def test_the_commands_before_anything_was_asked_for(studio: Studio) -> None:
    environment = studio.environment()
    listed = run_command("covers", "list", environment=environment)
    assert (listed.returncode, listed.stdout) == (0, "nobody has asked for a cover yet\n")
    none = run_command("covers", "list", "--state", "failed", environment=environment)
    assert (none.returncode, none.stdout) == (0, "no cover is failed\n")
    nothing = "0197f3a2-5c1e-7b3a-9f60-3d1f0f6a2b11"
    unknown = run_command("covers", "show", nothing, environment=environment)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no cover was asked for as" in unknown.stderr
    tidied = run_command("covers", "tidy", environment=environment)
    assert (tidied.returncode, tidied.stdout.splitlines()[-1]) == (0, "left over: 0")


def test_covers_are_listed_with_their_attempts(studio: Studio) -> None:
    studio.give(2)
    studio.easel.fault("out_of_memory", times=1)
    job = studio.request("fantasy", "a tower")
    with studio.working():
        studio.wait_for_attempts(job, 1)
        environment = studio.environment()
        listed = run_command("covers", "list", "--state", "pending", environment=environment)
        assert listed.returncode == 0, listed.stderr
        assert str(job) in listed.stdout
        assert "out_of_memory: The server ran out of memory." in listed.stdout
        studio.make_due()
        studio.wait_for(job, "completed")
    shown = run_command("covers", "show", str(job), environment=environment)
    assert shown.returncode == 0, shown.stderr
    first, second = studio.attempts(job)
    for said in (first["task_id"], second["task_id"], "failed", "finished", "a tower"):
        assert said in shown.stdout
    assert str(studio.covers()[0]["seed"]) in shown.stdout


def test_servers_says_who_can_make_what(studio: Studio) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    with Front(studio.easel.url) as front:
        front.lists("dreamshaper_7")
        environment = studio.environment(front.url, away)
        lacking = run_command("covers", "servers", environment=environment)
        assert lacking.returncode == 1
        assert "it cannot be reached" in lacking.stdout
        assert "nobody can make vintage: no server has realisticVision_v40" in lacking.stdout
        assert "nobody can make fantasy" not in lacking.stdout
    environment = studio.environment(studio.easel.url, away)
    complete = run_command("covers", "servers", environment=environment)
    assert complete.returncode == 0, complete.stdout
    assert ", ".join(STYLES) in complete.stdout


def test_tidy_deletes_what_no_story_shows(studio: Studio) -> None:
    jobs = studio.request_many(2)
    with studio.working():
        for job in jobs:
            studio.wait_for(job, "completed")
    kept, removed = studio.covers()
    with studio.market.connect() as connection, acting_as(connection, studio.author):
        connection.execute("select api.remove_cover(%s)", (removed["id"],))
    lost = f"{hashlib.sha256(b'lost').hexdigest()}.webp"
    young = f"{hashlib.sha256(b'young').hexdigest()}.webp"
    for name, data in ((lost, b"lost"), (young, b"young")):
        (studio.store / name).write_bytes(data)
    for file in studio.store.iterdir():
        if file.name != young:
            os.utime(file, (0, 0))
    of_removed = {removed["file"], removed["thumbnail_file"]}
    before = studio.files()

    counted = run_command("covers", "tidy", environment=studio.environment())
    assert counted.returncode == 0, counted.stderr
    assert "left over: 3;" in counted.stdout
    assert studio.files() == before

    tidied = run_command("covers", "tidy", "--delete", environment=studio.environment())
    assert tidied.returncode == 0, tidied.stderr
    assert "deleted: 3" in tidied.stdout
    assert studio.files() == before - of_removed - {lost}
    assert {kept["file"], kept["thumbnail_file"], young} == studio.files()
