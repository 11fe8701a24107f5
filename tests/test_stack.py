"""The supervisor and the embedded server, treated the way machines and people treat them."""

import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import click
import httpx
import psutil
import psycopg
import pytest

from api.config import Settings, SettingsError, machine
from api.sandbox.webui import running_webui
from api.stack import postgrest
from api.stack.banner import banner
from api.stack.errors import StackError
from api.stack.lock import state_lock
from api.stack.log import no_log, readable
from api.stack.ports import free_port
from api.stack.postgres import EmbeddedPostgres
from api.stack.supervisor import Stack, publish_covers_at, running_stack
from api.stack.wait import wait_until
from tests.conftest import NewDatabase
from tests.processes import RunningUp, run_command

SANDBOX_PORTS = ("STRIPE_SANDBOX_PORT", "WEBUI_SANDBOX_PORT")


class StartUp(Protocol):
    def __call__(self, *options: str, **environment: str) -> RunningUp: ...


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder a server may live in.

    Not pytest's own, whose parent every other run of pytest closes to the server's system user.
    """
    with tempfile.TemporaryDirectory(prefix="infinite-pages-test-") as made:
        yield Path(made)


@pytest.fixture
def up(folder: Path) -> Iterator[StartUp]:
    """Starts `infinite-pages up` on a state folder of the test's own; ends what still runs."""
    started: list[RunningUp] = []

    def start(*options: str, **environment: str) -> RunningUp:
        ports = {name: str(free_port()) for name in SANDBOX_PORTS}
        running = RunningUp(folder, *options, **{**ports, **environment})
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.end()
    embedded(folder).stop()


def embedded(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "state" / "postgres")


def environment_of(folder: Path) -> dict[str, str]:
    """For a stack in nobody's way, which is not meant to come up."""
    ports = ("POSTGREST_PORT", "EDGE_PORT", *SANDBOX_PORTS)
    return {"STATE_DIR": str(folder / "state")} | {name: str(free_port()) for name in ports}


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_stops_cleanly(up: StartUp, folder: Path, number: signal.Signals) -> None:
    running = up("--no-demo")
    assert httpx.get(running.rest_url).status_code == 200
    assert httpx.get(f"{running.edge_url}/readyz").json() == {"status": "ready"}
    children = psutil.Process(running.process.pid).children(recursive=True)

    assert running.end(number) == 0

    assert not any(child.is_running() for child in children)
    assert embedded(folder).pid is None
    log = running.output
    parts = ("worker", "webui", "edge", "sandbox", "postgrest", "postgres")
    order = [log.index(f"stopping {name}") for name in parts]
    assert order == sorted(order)
    assert "sandbox, no money moves" in log
    assert "Traceback" not in log


def printed_curls(running: RunningUp) -> list[str]:
    """The commands of the banner, each as one line."""
    printed = running.output.partition("is up.")[2].replace("\\\n", " ")
    return [line.strip() for line in printed.splitlines() if line.startswith("  curl ")]


def answer(curl: str) -> Any:
    return json.loads(subprocess.check_output(["bash", "-c", curl]))


def test_the_printed_commands_sell_a_chapter_and_credits(up: StartUp) -> None:
    """Pasted into a shell as they are: buy, read, open a page to pay on, look at the statement."""
    running = up()
    curls = printed_curls(running)

    bought, chapter, checkout = map(answer, curls[:3])

    sandbox = f"http://127.0.0.1:{running.environment['STRIPE_SANDBOX_PORT']}/"
    assert checkout["url"].startswith(sandbox), checkout
    page = httpx.get(checkout["url"])
    assert "Starter Pack" in page.text
    session = checkout["url"].rpartition("/")[2]
    httpx.post(f"{sandbox}_sandbox/checkout/sessions/{session}/pay", json={}).raise_for_status()
    wait_until(lambda: len(answer(curls[3])) == 2, seconds=30)
    lines_of_newcomer = [(each["amount"], each["balance_after"]) for each in answer(curls[3])]
    assert lines_of_newcomer == [(100, 100), (10, 110)]

    assert "code" not in bought, bought
    assert "code" not in chapter, chapter
    assert len(json.dumps(chapter)) > 1000  # prose, not an excerpt


def cover_by_the_printed_commands(running: RunningUp) -> httpx.Response:
    """Pasted into a shell as they are: the order, the queue, the picture."""
    asking, watching, looking = printed_curls(running)[5:]
    asked = answer(asking)
    assert (asked["state"], asked["cost_credits"], asked["balance"]) == ("pending", 5, 45)
    assert wait_until(lambda: answer(watching)[0]["state"] == "completed", seconds=60), (
        answer(watching),
        running.output,
    )
    (cover,) = answer(looking)
    assert (cover["cover_style"], cover["is_primary"]) == ("fantasy", True)
    assert cover["cover_url"].startswith(f"{running.edge_url}/covers/")
    return httpx.get(cover["cover_url"])


def test_the_printed_commands_make_a_cover(up: StartUp, folder: Path) -> None:
    running = up()
    webui = f"http://127.0.0.1:{running.environment['WEBUI_SANDBOX_PORT']}"
    assert f"sandbox that draws: {webui}\n" in running.output

    picture = cover_by_the_printed_commands(running)

    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/webp")
    kept = folder / "state" / "covers"
    assert picture.content in [file.read_bytes() for file in kept.rglob("*.webp")]
    with psycopg.connect(embedded(folder).url("infinite_pages")) as connection:
        assert connection.execute("select * from ledger.verify()").fetchall() == []


def test_ones_own_webui_and_store_are_used(up: StartUp, folder: Path) -> None:
    with running_webui(auth="painter:p@ss word") as webui:
        address = webui.url.replace("://", "://painter:p%40ss%20word@")
        store = folder / "pictures"
        running = up(STABLE_DIFFUSION_WEBUI_URL=address, COVER_STORE_URL=f"file://{store}")
        host = webui.url.partition("://")[2].rstrip("/")
        assert f"drawn by {host}\n" in running.output
        picture = cover_by_the_printed_commands(running)
    assert picture.status_code == 200
    assert picture.content in [file.read_bytes() for file in store.rglob("*.webp")]
    assert not (folder / "state" / "covers").exists()
    assert webuis_of(running) == []
    assert "p@ss" not in running.output
    assert "p%40ss" not in running.output


def webuis_of(running: RunningUp) -> list[psutil.Process]:
    """The sandbox that draws, if it is a part of the stack."""
    children = psutil.Process(running.process.pid).children()
    return [child for child in children if "api.sandbox.webui" in child.cmdline()]


def test_the_death_of_the_webui_sandbox_stops_the_rest(up: StartUp, folder: Path) -> None:
    running = up("--no-demo")
    (webui,) = webuis_of(running)
    webui.kill()
    assert running.process.wait(60) == 1
    assert "webui was killed by SIGKILL" in running.output
    assert embedded(folder).pid is None


def test_the_usual_port_of_the_webui_may_be_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many programs listen there, a real WebUI first of all.

    What only our own environment holds is not meant for this stack.
    """
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_of_somebody")
    monkeypatch.setenv("WEBUI_SANDBOX_AUTH", "painter:hidden")
    given = environment_of(folder)
    del given["WEBUI_SANDBOX_PORT"]
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr(machine, "WEBUI_PORT", taken)
        with running_stack(
            Settings.from_environment(given),
            with_demo=False,
            log=lambda _part, line: said.append(line),
        ) as stack:
            assert stack.covers is not None
            (server,) = stack.covers.servers
            assert server.name != f"127.0.0.1:{taken}"
            models = httpx.get(f"{server.url}/sdapi/v1/sd-models").json()
    assert "deliberate_v2" in [model["model_name"] for model in models]
    assert any(f"port {taken} is taken" in line for line in said)
    assert any("STABLE_DIFFUSION_WEBUI_URL" in line for line in said)


def test_beside_a_live_key_the_banner_says_that_covers_are_off(folder: Path) -> None:
    live = {"STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}
    settings = Settings.from_environment({**environment_of(folder), **live})
    said = click.unstyle(banner(Stack(settings, with_demo=False, log=no_log)))
    assert "covers    off: set STABLE_DIFFUSION_WEBUI_URL\n" in said


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/covers/", "http://127.0.0.1:8123/covers/"),
        ("http://127.0.0.1:8000/covers/", "http://127.0.0.1:8123/covers/"),
        ("https://pages.example.com/covers/", "https://pages.example.com/covers/"),
        ("http://127.0.0.1.example.com/covers/", "http://127.0.0.1.example.com/covers/"),
    ],
)
def test_where_covers_are_published(
    migrated_database: NewDatabase, before: str, after: str
) -> None:
    url = migrated_database()
    with psycopg.connect(url) as connection:
        connection.execute("update app.economy set cover_base_url = %s", (before,))
    publish_covers_at(url, "http://127.0.0.1:8123")
    with psycopg.connect(url) as connection:
        assert connection.execute("select cover_base_url from app.economy").fetchone() == (after,)


def test_a_real_account_without_its_webhook_secret_is_refused(folder: Path) -> None:
    environment = {**environment_of(folder), "STRIPE_SECRET_KEY": "sk_test_x"}
    refused = run_command("up", environment=environment)
    assert refused.returncode == 1
    assert len(lines(refused.stderr)) == 1
    assert "STRIPE_WEBHOOK_SECRET is not" in refused.stderr
    assert not (folder / "state" / "postgres").exists()


def test_a_second_up_on_the_same_state_is_refused(up: StartUp) -> None:
    running = up("--no-demo")
    second = run_command("up", environment=running.environment)
    assert second.returncode == 1
    assert len(lines(second.stderr)) == 1
    assert f"already running (pid {running.process.pid})" in second.stderr
    assert httpx.get(f"{running.edge_url}/readyz").status_code == 200


@pytest.mark.parametrize("variable", ["POSTGREST_PORT", "EDGE_PORT", *SANDBOX_PORTS])
def test_a_busy_port_is_named(folder: Path, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = run_command("up", environment={**environment_of(folder), variable: str(port)})
    assert refused.returncode == 1
    assert len(lines(refused.stderr)) == 1
    assert str(port) in refused.stderr
    assert variable in refused.stderr
    assert not (folder / "state" / "postgres").exists()


@pytest.mark.parametrize("name", ["postgres", "postgrest", "edge", "worker"])
def test_the_death_of_a_part_stops_the_rest(up: StartUp, folder: Path, name: str) -> None:
    running = up("--no-demo")
    children = psutil.Process(running.process.pid).children(recursive=True)
    running.child(name).kill()

    assert running.process.wait(60) == 1

    assert f"{name} was killed by SIGKILL" in running.output
    assert "Traceback" not in running.output
    assert wait_until(lambda: not any(child.is_running() for child in children), seconds=10)
    assert embedded(folder).pid is None


def test_a_killed_supervisor_loses_nothing(up: StartUp, folder: Path) -> None:
    first = up("--no-demo")
    others = [first.child(name) for name in ("postgrest", "edge", "worker")]
    server = embedded(folder)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("create table public.kept as select 42 as answer")

    first.end(signal.SIGKILL)

    left_behind = server.pid
    assert left_behind is not None
    assert wait_until(lambda: not any(each.is_running() for each in others), seconds=10)
    again = up("--no-demo")
    assert server.pid != left_behind
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("select answer from public.kept").fetchone() == (42,)
    assert again.end() == 0


def test_ones_own_server_is_used_as_it_is(
    up: StartUp, folder: Path, new_database: NewDatabase
) -> None:
    running = up(DATABASE_URL=new_database())
    assert httpx.get(f"{running.edge_url}/readyz").status_code == 200
    assert not (folder / "state" / "postgres").exists()
    assert "purchase_story" not in running.output  # no demo data unless asked for
    assert running.end() == 0


def test_data_of_another_version_is_refused(folder: Path) -> None:
    data = folder / "state" / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    refused = run_command("up", environment=environment_of(folder))
    assert refused.returncode == 1
    assert len(lines(refused.stderr)) == 1
    assert "made by PostgreSQL 16" in refused.stderr


def test_a_folder_of_something_else_is_refused(folder: Path) -> None:
    (folder / "holiday.jpg").touch()
    with pytest.raises(StackError, match="holds no PostgreSQL data"):
        EmbeddedPostgres(folder).start()


def test_missing_npm_packages_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgrest, "NODE_MODULES", tmp_path)
    with pytest.raises(StackError, match="npm"):
        postgrest.find_postgrest()


def test_a_postgrest_on_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "postgrest"
    binary.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert postgrest.find_postgrest() == str(binary)


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    with (
        state_lock(tmp_path),
        pytest.raises(StackError, match=f"pid {os.getpid()}"),
        state_lock(tmp_path),
    ):
        pass
    with state_lock(tmp_path):
        pass


class TestEmbeddedPostgres:
    @pytest.fixture
    def server(self, folder: Path) -> Iterator[EmbeddedPostgres]:
        server = EmbeddedPostgres(folder / "data")
        server.start()
        yield server
        server.stop()

    def test_it_listens_on_a_private_socket_only(self, server: EmbeddedPostgres) -> None:
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.execute("show listen_addresses").fetchone() == ("",)
            assert connection.execute("show fsync").fetchone() == ("on",)
            assert connection.execute("show timezone").fetchone() == ("UTC",)
        assert server.data_folder.stat().st_mode & 0o077 == 0

    def test_a_killed_server_recovers(self, server: EmbeddedPostgres) -> None:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("create table kept as select 1 as one")
            server.kill()
        assert server.pid is None
        server.start()
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.execute("select one from kept").fetchone() == (1,)

    def test_a_pid_file_of_nobody_does_not_stop_it(self, server: EmbeddedPostgres) -> None:
        server.kill()
        pid_file = server.data_folder / "postmaster.pid"
        ours = str(os.getpid())  # alive, and no PostgreSQL
        pid_file.write_text("\n".join([ours, *pid_file.read_text().splitlines()[1:]]))
        server.start()
        assert server.pid not in (None, os.getpid())

    def test_a_live_server_is_not_started_over(self, server: EmbeddedPostgres) -> None:
        with pytest.raises(StackError, match=f"pid {server.pid}"):
            EmbeddedPostgres(server.data_folder).start()

    def test_a_long_path_gets_a_short_socket(self, folder: Path) -> None:
        server = EmbeddedPostgres(folder / "deep" / ("x" * 90) / "data")
        server.start()
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert server.socket_folder.stat().st_mode & 0o077 == 0
        server.stop()
        assert not server.socket_folder.exists()

    def test_a_refusal_of_postgres_itself_is_passed_on(self, server: EmbeddedPostgres) -> None:
        server.stop()
        with (server.data_folder / "postgresql.conf").open("a") as configuration:
            configuration.write("nonsense = 1\n")
        with pytest.raises(StackError, match="did not start"):
            server.start()


class TestSettings:
    def test_defaults(self) -> None:
        settings = Settings.from_environment({})
        assert (settings.postgrest_port, settings.edge_port) == (3000, 8000)
        assert (settings.sandbox_port, settings.edge_url) == (8001, "http://127.0.0.1:8000")
        assert settings.uses_sandbox
        assert settings.state_folder == Path.cwd() / ".local"
        assert settings.database_url is None

    @pytest.mark.parametrize(
        ("environment", "said"),
        [
            ({"POSTGREST_PORT": "http"}, "POSTGREST_PORT must be a port"),
            ({"EDGE_PORT": "0"}, "EDGE_PORT must be a port"),
            ({"EDGE_PORT": "3000"}, "choose two ports"),
            ({"EDGE_PORT": "8001"}, "EDGE_PORT and STRIPE_SANDBOX_PORT are both 8001"),
            ({"STRIPE_WEBHOOK_SECRET": "whsec_x"}, "STRIPE_SECRET_KEY is not"),
            ({"DATABASE_URL": "mysql://there"}, "DATABASE_URL must begin"),
            ({"JWT_SECRET": "short"}, "JWT_SECRET must be at least 32"),
        ],
    )
    def test_what_is_wrong_is_said(self, environment: dict[str, str], said: str) -> None:
        with pytest.raises(SettingsError, match=said):
            Settings.from_environment(environment)

    def test_the_secret_is_made_once_and_private(self, tmp_path: Path) -> None:
        settings = Settings.from_environment({"STATE_DIR": str(tmp_path / "state")})
        secret = settings.jwt_secret
        assert len(secret) >= 32
        assert settings.jwt_secret == secret
        assert (tmp_path / "state" / "jwt.secret").stat().st_mode & 0o777 == 0o600

    def test_the_sandbox_keeps_its_secrets(self, tmp_path: Path) -> None:
        settings = Settings.from_environment({"STATE_DIR": str(tmp_path)})
        made = settings.stripe
        assert made == settings.stripe
        assert not made.livemode
        assert made.api_base == "http://127.0.0.1:8001"
        assert [file.stat().st_mode & 0o777 for file in (tmp_path / "stripe").iterdir()] == [
            0o600,
            0o600,
            0o600,
        ]

    def test_no_secret_shows(self, tmp_path: Path) -> None:
        environment = {
            "DATABASE_URL": "postgresql://owner:hidden@db/pages",
            "EDGE_PASSWORD": "hidden",
            "AUTHENTICATOR_PASSWORD": "hidden",
            "JWT_SECRET": "hidden" * 6,
            "STRIPE_SECRET_KEY": "sk_live_hidden",
            "STRIPE_WEBHOOK_SECRET": "whsec_hidden",
            "STRIPE_CONNECT_WEBHOOK_SECRET": "whsec_hidden",
        }
        assert "hidden" not in repr(Settings.from_environment(environment))

    def test_a_login_keeps_the_server_and_changes_the_person(self) -> None:
        url = "postgresql://owner:o@db:6432/pages?sslmode=require"
        settings = Settings.from_environment({"DATABASE_URL": url, "EDGE_PASSWORD": "p@ss/word"})
        login = settings.login_url(url, "edge")
        assert login == "postgresql://edge:p%40ss%2Fword@db:6432/pages?sslmode=require"
        with pytest.raises(SettingsError, match="AUTHENTICATOR_PASSWORD"):
            settings.login_url(url, "authenticator")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("postgres says this", "postgres says this"),
        ("{not json", "{not json"),
        ('{"other": 1}', '{"other": 1}'),
        (
            '{"level": "INFO", "message": "request", "method": "GET", "route": "/x", '
            '"status": 200, "milliseconds": 1.5, "request_id": "abc", "state": "applied"}',
            "GET /x 200 in 1.5 ms state=applied",
        ),
        ('{"level": "WARNING", "message": "away", "kind": "refund"}', "warning: away kind=refund"),
    ],
)
def test_lines_of_json_are_shown_as_words(line: str, shown: str) -> None:
    assert readable(line) == shown
