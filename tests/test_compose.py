"""The container files, checked as far as that goes without Docker."""

import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from api import create_app
from api.cli import main
from api.config import CoverSettings, EdgeSettings
from api.deploy import PROJECT
from api.stack import postgrest

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
LASTING = ["database", "postgrest", "edge", "worker", "sandbox", "webui"]
OURS = ["migrate", "edge", "worker", "sandbox", "webui"]
SECRETS = {"POSTGRES_PASSWORD", "AUTHENTICATOR_PASSWORD", "EDGE_PASSWORD", "JWT_SECRET"}
SECRETS |= {"STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_CONNECT_WEBHOOK_SECRET"}
NOT_NEEDED = {"STRIPE_PUBLISHABLE_KEY", "STRIPE_API_BASE"}
NOT_NEEDED |= {"EDGE_URL", "CHECKOUT_RETURN_URLS", "TRUSTED_PROXIES", "METRICS_TOKEN"}
NOT_NEEDED |= {"SMTP_URL", "NOTICES_FROM", "STABLE_DIFFUSION_WEBUI_URL"}
STORE_KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
STORE_KEYS |= {"AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"}
NOT_NEEDED |= STORE_KEYS
STORE = "${COVER_STORE_URL:-/var/lib/covers}"
STORES = {"edge": STORE, "worker": f"${{STABLE_DIFFUSION_WEBUI_URL:+{STORE}}}"}

EDGE = {
    "DATABASE_URL": "postgresql://edge@database/x",
    "JWT_SECRET": "x" * 32,
    "EDGE_URL": "http://127.0.0.1:8000",
    "STRIPE_SECRET_KEY": "sk_test_x",
    "STRIPE_WEBHOOK_SECRET": "whsec_x",
}

DOCKERFILE = (PROJECT / "Dockerfile").read_text().replace("\\\n", " ")
INSTRUCTIONS = [
    tuple(line.split(maxsplit=1))
    for line in DOCKERFILE.splitlines()
    if line and not line.startswith("#")
]


def test_the_services() -> None:
    assert set(SERVICES) == {*LASTING, "migrate"}
    assert [name for name in SERVICES if "profiles" in SERVICES[name]] == ["sandbox", "webui"]
    assert COMPOSE["volumes"].keys() == {"database", "covers", "sandbox"}
    assert SERVICES["sandbox"]["volumes"] == ["sandbox:/var/lib/sandbox"]
    assert SERVICES["database"]["volumes"] == ["database:/var/lib/postgresql"]


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert re.search(r"\d+\.\d+", tag), f"{name} needs an exact version, not {tag!r}"


def test_base_images_are_pinned() -> None:
    bases = [value.split()[0] for word, value in INSTRUCTIONS if word == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.13\.\d+-slim-\w+", base) for base in bases)


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_the_environment_and_have_no_default(name: str) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        if variable in NOT_NEEDED:
            assert value.startswith(f"${{{variable}:-")
            continue
        if variable == "COVER_STORE_URL":
            assert value == STORES[name]
            continue
        is_secret = variable.endswith(("PASSWORD", "SECRET", "SECRET_KEY"))
        used = re.findall(r"\$\{(\w+)([^}]*)\}", value)
        assert bool(used) == is_secret, f"{variable}={value}"
        for source, rest in used:
            assert source in SECRETS
            assert rest == f":?set {source} in .env"
        assert "@" not in value or ":" not in value.partition("://")[2].partition("@")[0]


def test_the_example_names_every_secret_and_holds_none() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    assert sorted(settings) == sorted(f"{name}=" for name in SECRETS)


@pytest.mark.parametrize("name", LASTING)
def test_lasting_services_are_watched_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["healthcheck"].keys() >= {"interval", "timeout", "retries"}
    assert service["restart"] == "unless-stopped"


def test_the_deploy_comes_between_the_database_and_the_rest() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in ("postgrest", "edge", "worker"):
        assert SERVICES[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"}
        }


def test_stripe_is_the_same_for_whoever_asks_it() -> None:
    """The webhook's secret is for those who are told, and for the sandbox, which tells."""
    for name in ("edge", "worker", "sandbox", "webui"):
        given = SERVICES[name]["environment"]
        assert given["STRIPE_SECRET_KEY"] == SERVICES["edge"]["environment"]["STRIPE_SECRET_KEY"]
        for secret in ("STRIPE_WEBHOOK_SECRET", "STRIPE_CONNECT_WEBHOOK_SECRET"):
            assert (secret in given) == (name in ("edge", "sandbox"))
    told = SERVICES["sandbox"]["command"]
    assert "--webhook=http://edge:8000/webhooks/stripe" in told
    assert "--connect-webhook=http://edge:8000/webhooks/stripe/connect" in told


def test_the_edge_and_the_worker_keep_covers_in_the_same_place() -> None:
    """A worker without a server gets no store either: it would not start with one."""
    for name in ("edge", "worker"):
        assert "covers:/var/lib/covers" in SERVICES[name]["volumes"]
        given = SERVICES[name]["environment"]
        assert given["COVER_STORE_URL"] == STORES[name]
        assert given.keys() >= STORE_KEYS
    made = next(value for word, value in INSTRUCTIONS if "install --directory" in value)
    assert made.split("install --directory")[1].split() == [
        "--owner=pages",
        "--group=pages",
        "/var/lib/covers",
        "/var/lib/sandbox",
    ]


def test_what_the_example_says_about_covers_is_understood() -> None:
    text = (PROJECT / ".env.example").read_text()
    names = "STABLE_DIFFUSION_WEBUI_URL|COVER_STORE_URL"
    examples = dict(re.findall(rf"^# ({names})=(.+)$", text, re.MULTILINE))
    settings = CoverSettings.from_environment(examples)
    assert settings is not None
    assert [server.name for server in settings.servers] == ["gpu1:7860", "gpu2:443"]
    assert settings.store_url == "s3://bucket/covers"


def test_ports_are_published_on_loopback_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "postgrest": ["127.0.0.1:${POSTGREST_PORT:-3000}:3000"],
        "edge": ["127.0.0.1:${EDGE_PORT:-8000}:8000"],
        "sandbox": ["127.0.0.1:${STRIPE_SANDBOX_PORT:-8001}:8001"],
        "webui": ["127.0.0.1:${WEBUI_SANDBOX_PORT:-7860}:7860"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_runs_as_root(name: str) -> None:
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    if name in OURS:
        assert "build" in service
        assert "user" not in service
    else:
        assert service["user"] in ("postgres", "1000")


def test_the_image_runs_as_its_own_user() -> None:
    words = [word for word, _ in INSTRUCTIONS]
    last_stage = INSTRUCTIONS[len(words) - 1 - words[::-1].index("FROM") :]
    users = [value for word, value in last_stage if word == "USER"]
    assert users == ["pages"]
    assert any(word == "RUN" and "useradd --uid 10001" in value for word, value in last_stage)


def test_the_image_installs_nothing_unchecked() -> None:
    installs = [value for word, value in INSTRUCTIONS if word == "RUN" and "pip install" in value]
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "-r requirements.txt" in installs[0]
    assert "--no-deps" in installs[1]
    assert "--no-index" in installs[1]
    text = (PROJECT / "requirements.txt").read_text().replace("\\\n", " ")
    pinned = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(pinned) > 10
    for line in pinned:
        assert re.match(r"[\w.\[\],-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_the_image_gets_what_it_needs_and_no_more() -> None:
    rules = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in rules
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = set()
    for word, value in INSTRUCTIONS:
        if word == "COPY" and not value.startswith("--from"):
            copied.update(value.split()[:-1])
    assert copied == allowed
    for name in copied:
        assert (PROJECT / name).exists(), f"the Dockerfile copies {name}, which is not there"
    assert not any(fnmatch(".env", name) for name in allowed)


def test_commands_exist() -> None:
    for name in ("migrate", "worker"):
        program, command = SERVICES[name]["command"]
        assert program == "infinite-pages"
        assert command in main.commands


def test_the_edge_has_the_route_that_its_health_check_asks() -> None:
    app = create_app(EdgeSettings.from_environment(EDGE))
    path = re.search(r"http://127\.0\.0\.1:8000(/\w+)", SERVICES["edge"]["healthcheck"]["test"][-1])
    assert path is not None
    assert path[1] in {rule.rule for rule in app.url_map.iter_rules()}


def test_the_image_starts_an_edge_that_gunicorn_accepts() -> None:
    program, *arguments = json.loads(next(value for word, value in INSTRUCTIONS if word == "CMD"))
    assert program == "gunicorn"
    checked = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, **EDGE},
    )
    assert checked.returncode == 0, checked.stderr


def test_postgrest_is_configured_as_in_the_local_stack() -> None:
    local = postgrest.environment(database_url="", jwt_secret="", port=3000, admin_port=3001)
    given = SERVICES["postgrest"]["environment"]
    for variable in local.keys() - {"PGRST_DB_URI", "PGRST_JWT_SECRET", "PGRST_SERVER_HOST"}:
        assert given[variable] == local[variable], variable
