"""The settings of covers: what is understood, what is refused, and that no password shows."""

from pathlib import Path

import pytest

from api.config import CoverSettings, EdgeSettings, Settings, SettingsError, WebuiServer
from api.config.covers import cover_environment, read_servers, read_store_url

STORE = "/var/lib/covers"
EDGE = {
    "DATABASE_URL": "postgresql://edge@database/x",
    "JWT_SECRET": "x" * 32,
    "EDGE_URL": "http://127.0.0.1:8000",
    "STRIPE_SECRET_KEY": "sk_test_x",
    "STRIPE_WEBHOOK_SECRET": "whsec_x",
}
LIVE = {"STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}


def servers(given: str) -> tuple[WebuiServer, ...]:
    return read_servers({"STABLE_DIFFUSION_WEBUI_URL": given})


def settings_of(given: str, store: str = STORE) -> CoverSettings:
    environment = {"STABLE_DIFFUSION_WEBUI_URL": given, "COVER_STORE_URL": store}
    settings = CoverSettings.from_environment(environment)
    assert settings is not None
    return settings


def test_servers_with_all_that_they_can_have() -> None:
    first, second = servers(
        "http://painter:p%40ss%2F%23%3A@GPU1:7860/#capacity=2  "
        "https://gpu2/forge/#models=deliberate_v2,dreamshaper_7&capacity=1"
    )
    assert first == WebuiServer("http://gpu1:7860", "painter", "p@ss/#:", capacity=2)
    assert first.name == "gpu1:7860"
    models = ("deliberate_v2", "dreamshaper_7")
    assert second == WebuiServer("https://gpu2/forge", models=models)
    assert second.name == "gpu2:443/forge"


@pytest.mark.parametrize(
    ("given", "url", "name"),
    [
        ("http://127.0.0.1:7860", "http://127.0.0.1:7860", "127.0.0.1:7860"),
        ("http://gpu", "http://gpu", "gpu:80"),
        ("https://gpu:443/", "https://gpu", "gpu:443"),
        ("http://[::1]:7860", "http://[::1]:7860", "[::1]:7860"),
    ],
)
def test_names_of_servers(given: str, url: str, name: str) -> None:
    (server,) = servers(given)
    assert (server.url, server.name, server.capacity, server.models) == (url, name, 1, None)


@pytest.mark.parametrize("given", ["", "   "])
def test_no_server(given: str) -> None:
    assert servers(given) == ()
    assert read_servers({}) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("gpu:7860", "server 1 of STABLE_DIFFUSION_WEBUI_URL must be an address"),
        ("http://one http://", "server 2 of STABLE_DIFFUSION_WEBUI_URL must be an address"),
        ("ftp://gpu:7860", "must be an address"),
        ("http://:7860", "must be an address"),
        ("http://gpu:0", "must be an address"),
        ("http://gpu:port", "is not an address"),
        ("http://gpu:70000", "is not an address"),
        ("http://[::1", "is not an address"),
        ("http://gpu:7860?x=1", "options follow a #"),
        ("http://gpu#speed=9", "option 'speed', which is not known"),
        ("http://gpu#capacity=1&speed=9", "option 'speed', which is not known"),
        ("http://gpu#", None),
        ("http://gpu#capacity", "capacity must be from 1 to 16, not ''"),
        ("http://gpu#capacity=0", "capacity must be from 1 to 16, not '0'"),
        ("http://gpu#capacity=17", "capacity must be from 1 to 16, not '17'"),
        ("http://gpu#capacity=16", None),
        ("http://gpu#capacity=-1", "capacity must be from 1 to 16"),
        ("http://gpu#capacity=٣", "capacity must be from 1 to 16"),
        ("http://gpu#capacity=1&capacity=2", "option 'capacity' twice"),
        ("http://gpu#models=", "models are names parted by commas"),
        ("http://gpu#models=one,,two", "models are names parted by commas"),
        ("http://gpu:7860 http://GPU:7860/", "names gpu:7860 twice"),
        ("http://gpu:443 https://gpu", "names gpu:443 twice"),
    ],
)
def test_what_is_wrong_with_a_server_is_said(given: str, said: str | None) -> None:
    if said is None:
        assert len(servers(given)) == 1
        return
    with pytest.raises(SettingsError, match=said):
        servers(given)


@pytest.mark.parametrize(
    "given",
    [
        "http://painter:hidden@gpu:port",
        "ftp://painter:hidden@gpu",
        "http://painter:hid#den@gpu",
        "http://painter:1#hidden@gpu",
        "http://painter:1/hidden@gpu",
        "http://painter:1?hidden@gpu",
        "http://painter:hidden@gpu#size=1",
        "http://painter:hidden@gpu http://painter:hidden@gpu",
        "http://hidden@gpu",
        "http://:hidden@gpu",
        "http://pain%3Ater:hidden@gpu",
        "http://painter:hidden%C3%A4@gpu",
        "http://painter:hidden%FF@gpu",
        "http://painter:hidden%0A@gpu",
    ],
)
def test_what_is_wrong_with_a_login_is_said_without_it(given: str) -> None:
    with pytest.raises(SettingsError) as error:
        servers(given)
    assert "hidden" not in str(error.value)
    assert "STABLE_DIFFUSION_WEBUI_URL" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_password_shows() -> None:
    settings = settings_of("http://painter:hidden@gpu")
    assert settings.servers[0].password == "hidden"
    assert "hidden" not in repr(settings)
    assert "hidden" not in settings.servers[0].url
    machine = Settings.from_environment({"STABLE_DIFFUSION_WEBUI_URL": "http://painter:hidden@gpu"})
    assert machine.webui_servers[0].password == "hidden"
    assert "hidden" not in repr(machine)


@pytest.mark.parametrize(
    "given",
    [
        "/var/lib/covers",
        "/with a blank/covers",
        "file:///var/lib/covers",
        "s3://bucket",
        "s3://bucket/covers/of/books",
    ],
)
def test_stores(given: str) -> None:
    assert read_store_url({"COVER_STORE_URL": given}) == given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("covers", "must be an absolute path"),
        ("./covers", "must be an absolute path"),
        ("~/covers", "must be an absolute path"),
        ("file://covers", "must be an absolute path"),
        ("s3://", "must be an absolute path"),
        ("s3:///covers", "must be an absolute path"),
        ("s3://bucket/covers?hidden", "must be an absolute path"),
        ("memory://covers", "must be an absolute path"),
        ("https://hidden@host/covers", "must not hold a key"),
        ("s3://key:hidden@bucket/covers", "set AWS_ACCESS_KEY_ID"),
        ("simplecache::s3://bucket", "must be an absolute path"),
        ("/covers\n", "must be an absolute path"),
    ],
)
def test_what_is_wrong_with_a_store_is_said(given: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as error:
        read_store_url({"COVER_STORE_URL": given})
    assert "hidden" not in str(error.value)


def test_the_worker_takes_both_or_neither() -> None:
    assert CoverSettings.from_environment({}) is None
    empty = {"STABLE_DIFFUSION_WEBUI_URL": "", "COVER_STORE_URL": ""}
    assert CoverSettings.from_environment(empty) is None
    with pytest.raises(SettingsError, match="COVER_STORE_URL is not: where"):
        CoverSettings.from_environment({"STABLE_DIFFUSION_WEBUI_URL": "http://gpu"})
    with pytest.raises(SettingsError, match="STABLE_DIFFUSION_WEBUI_URL is not: which"):
        CoverSettings.from_environment({"COVER_STORE_URL": STORE})


@pytest.mark.parametrize(
    "given",
    [
        "http://127.0.0.1:7860",
        "https://painter:p%40s%23s%20%2F@gpu/sd#capacity=3 http://[::1]:7860#models=one%2Ctwo,three",
    ],
)
def test_what_is_handed_on_reads_the_same(given: str) -> None:
    settings = settings_of(given)
    assert CoverSettings.from_environment(cover_environment(settings)) == settings
    assert CoverSettings.from_environment(cover_environment(None)) is None


def test_the_edge_knows_the_store_and_can_do_without() -> None:
    assert EdgeSettings.from_environment(EDGE).cover_store_url is None
    given = {**EDGE, "COVER_STORE_URL": STORE}
    assert EdgeSettings.from_environment(given).cover_store_url == STORE
    with pytest.raises(SettingsError, match="COVER_STORE_URL"):
        EdgeSettings.from_environment({**EDGE, "COVER_STORE_URL": "covers"})


class TestMachine:
    def test_the_sandbox_draws_unless_a_server_is_set(self, tmp_path: Path) -> None:
        settings = Settings.from_environment({"STATE_DIR": str(tmp_path)})
        assert settings.uses_webui_sandbox
        assert settings.webui_port == 7860
        sandbox = WebuiServer("http://127.0.0.1:4321")
        assert settings.covers(4321) == CoverSettings((sandbox,), f"{tmp_path}/covers")

        given = {"STABLE_DIFFUSION_WEBUI_URL": "http://gpu:7860", "COVER_STORE_URL": "s3://bucket"}
        settings = Settings.from_environment(given)
        assert not settings.uses_webui_sandbox
        expected = CoverSettings((WebuiServer("http://gpu:7860"),), "s3://bucket")
        assert settings.covers(4321) == expected

    def test_no_sandbox_draws_beside_a_live_key(self) -> None:
        settings = Settings.from_environment(LIVE)
        assert not settings.uses_webui_sandbox
        assert settings.covers(7860) is None
        settings = Settings.from_environment({**LIVE, "STABLE_DIFFUSION_WEBUI_URL": "http://gpu"})
        covers = settings.covers(7860)
        assert covers is not None
        assert covers.servers == (WebuiServer("http://gpu"),)

    @pytest.mark.parametrize(
        ("environment", "said"),
        [
            ({"WEBUI_SANDBOX_PORT": "x"}, "WEBUI_SANDBOX_PORT must be a port"),
            ({"WEBUI_SANDBOX_PORT": "8000"}, "EDGE_PORT and WEBUI_SANDBOX_PORT are both 8000"),
            ({"POSTGREST_PORT": "7860"}, "POSTGREST_PORT and WEBUI_SANDBOX_PORT are both 7860"),
            ({"COVER_STORE_URL": "covers"}, "COVER_STORE_URL must be"),
            ({"STABLE_DIFFUSION_WEBUI_URL": "gpu"}, "server 1 of STABLE_DIFFUSION_WEBUI_URL"),
        ],
    )
    def test_what_is_wrong_is_said(self, environment: dict[str, str], said: str) -> None:
        with pytest.raises(SettingsError, match=said):
            Settings.from_environment(environment)

    def test_a_port_that_no_sandbox_uses_is_free_for_others(self) -> None:
        given = {"STABLE_DIFFUSION_WEBUI_URL": "http://gpu", "EDGE_PORT": "7860"}
        assert Settings.from_environment(given).edge_port == 7860
