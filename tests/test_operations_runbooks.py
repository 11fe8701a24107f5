"""Alerts and their pages: each alert is about figures that are there, and what a page says runs."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from api.metrics.figures import FAMILIES, PREFIX
from api.stack.binaries import bin_folder
from tests.conftest import NewDatabase
from tests.downloads import running_edge
from tests.processes import clean_environment
from tests.sandboxes import open_shop
from tests.test_docs import headings, without_examples

PROJECT = Path(__file__).parents[1]
FOLDER = PROJECT / "docs" / "operations"
RULES = FOLDER / "alerts.yml"
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
NAMES = [alert["alert"] for alert in ALERTS]
SECTIONS = ["When", "What it means", "First look", "What to do", "Over when"]
BLOCK = re.compile(r"^( *)```(sh|sql)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def page_of(alert: str) -> Path:
    """VerifyNotEmpty has verify-not-empty.md."""
    return FOLDER / (re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower() + ".md")


def blocks(page: Path, language: str) -> list[str]:
    return [text for _, found, text in BLOCK.findall(page.read_text()) if found == language]


def test_alerts_are_about_figures_that_exist() -> None:
    known = {PREFIX + family.name: family for family in FAMILIES}
    for alert in ALERTS:
        used = re.findall(r"(infinite_pages_\w+)(?:\{([^}]*)\})?", alert["expr"])
        assert used, alert["alert"]
        for name, labels in used:
            if name == "infinite_pages_up":
                continue
            assert name in known, alert["alert"]
            wanted = dict(re.findall(r'(\w+)="(\w+)"', labels))
            family = known[name]
            samples = [dict(zip(family.labels, values, strict=True)) for values in family.paths]
            assert any(wanted.items() <= sample.items() for sample in samples), alert["alert"]
            assert bool(wanted) == bool(family.labels), f"{alert['alert']}: which of {name}?"


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for alert in ALERTS:
        page = page_of(alert["alert"])
        assert page.read_text().startswith(f"# {alert['alert']}\n")
        assert alert["annotations"]["runbook"] == str(page.relative_to(PROJECT))
        assert alert["annotations"]["summary"].endswith(".")
        assert alert["labels"] in ({"severity": "page"}, {"severity": "ticket"})
        titles = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
        assert titles == SECTIONS, page.name
        assert blocks(page, "sh"), page.name
    table = (PROJECT / "docs" / "operations.md").read_text()
    listed = re.findall(r"^\| \[(\w+)\]\(operations/([\w-]+\.md)\) \| (\w+) \|", table, re.M)
    assert sorted(listed) == sorted(
        (alert["alert"], page_of(alert["alert"]).name, alert["labels"]["severity"])
        for alert in ALERTS
    )


@pytest.mark.parametrize("alert", NAMES)
def test_links_of_a_page_lead_somewhere(alert: str) -> None:
    page = page_of(alert)
    for target in re.findall(r"\]\(([^)\s]+)\)", without_examples(page)):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve()
        assert linked.exists(), target
        assert not anchor or anchor in headings(linked), target


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is of Debian's prometheus")
def test_prometheus_understands_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True, capture_output=True)


def test_the_commands_of_the_pages_run(migrated_database: NewDatabase) -> None:
    """On a platform on which all is well: they find nothing to do, and do no harm."""
    url = migrated_database()
    with open_shop() as stripe, running_edge(url) as edge_url:
        environment = clean_environment() | {
            "DATABASE_URL": url,
            "STRIPE_SECRET_KEY": stripe.sandbox.secret_key,
            "STRIPE_API_BASE": stripe.sandbox.url,
            "EDGE": edge_url,
        }
        failed = [
            f"{alert}: {text}{said}"
            for alert in NAMES
            for text in blocks(page_of(alert), "sh")
            if (said := run(text, url, environment)) is not None
        ]
    assert failed == []
    with psycopg.connect(url) as connection:
        for alert in NAMES:
            for text in blocks(page_of(alert), "sql"):
                connection.execute(text.encode())
                connection.rollback()
        assert connection.execute("select * from ledger.verify()").fetchall() == []


def run(text: str, url: str, environment: dict[str, str]) -> str | None:
    """What went wrong with the commands of a block; None if nothing did."""
    # The same psql, without the time that it takes to start the command that starts it.
    psql = f"{bin_folder() / 'psql'} --dbname='{url}' -v ON_ERROR_STOP=1"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text.replace(".venv/bin/infinite-pages psql", psql)],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}"
