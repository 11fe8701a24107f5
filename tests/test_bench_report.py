"""The page of all benchmarks says what their figures say, and follows from them alone."""

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from bench.command import RESULTS
from bench.report.__main__ import main
from bench.report.charts import CHARTS, draw
from bench.report.kept import ORDER, Kept, read_results
from bench.report.page import write_report
from bench.report.svg import LONGEST, Chart, Group, Panel
from bench.spread import Spread

Json = dict[str, Any]
KEPT = read_results(RESULTS)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of the figures that were kept, without what was made of them."""
    for path in RESULTS.glob("*.json"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_every_benchmark_is_drawn() -> None:
    assert set(ORDER) == set(CHARTS)


def test_the_report_is_that_of_the_figures(results: Path) -> None:
    """If not: python -m bench.report"""
    write_report(results)
    made = {path.name: path.read_text() for path in results.iterdir()}
    kept = {name: (RESULTS / name).read_text() for name in made if (RESULTS / name).exists()}
    assert kept.keys() == made.keys()
    assert [name for name, text in made.items() if text != kept[name]] == []
    assert {path.name for path in RESULTS.glob("*.svg")} <= made.keys()


def test_the_page_has_every_aim_and_every_circumstance(results: Path) -> None:
    done = CliRunner().invoke(main, ["--folder", str(results)])
    assert done.exit_code == 0, done.output
    page = (results / "README.md").read_text()
    for kept in KEPT:
        assert f"\n## {kept.name}\n" in page
        assert kept.machine["commit"] in page
        assert kept.machine["measured_at"] in page
        assert all(f"Beware: {warning}." in page for warning in kept.machine["warnings"])
        assert all(f"| {aim['name']} | {aim['bound']} |" in page for aim in kept.aims)
    missed, _, sections = page.partition("What was not reached:")[2].partition("\n## ")
    assert missed.count("\n| ") - 1 == sections.count("| **not met** |")
    assert f"{sections.count('| **not met** |')} are not" in done.output


def test_what_went_wrong_is_told(results: Path) -> None:
    path = results / "library.json"
    found = json.loads(path.read_text())
    found |= {"quick": True, "violations": ["wallet: reader 1: 3 credits are missing"]}
    path.write_text(json.dumps(found))
    write_report(results)
    page = (results / "README.md").read_text()
    assert page.count("**A quick run: it shows that all works. No figure counts.**") == 1
    assert "**The ledger was not sound:** wallet: reader 1: 3 credits are missing" in page


def test_what_is_no_benchmark_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "weather.json").write_text('{"sun": true}')
    assert read_results(tmp_path) == []


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_a_chart_stays_on_its_page(kept: Kept) -> None:
    chart = draw(kept)
    root = ElementTree.fromstring(chart.svg())
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for each in _drawn(root, "rect"):
        assert float(each["x"]) + float(each["width"]) <= width
        assert float(each["y"]) + float(each["height"]) <= height
    written = set(_words(root))
    for panel in chart.panels:
        assert {panel.heading, *panel.series} <= written
        assert {group.label for group in panel.groups if any(group.figures)} <= written
    assert "prefers-color-scheme: dark" in chart.svg()


def test_a_bar_is_as_long_as_its_figure() -> None:
    swinging = Spread(median=50, least=20, greatest=100)
    groups = [Group("a < b", [Spread.of([25]), swinging]), Group("nobody", [None, None])]
    root = ElementTree.fromstring(Chart("Title", [Panel("Heading", ["x", "y"], groups)]).svg())
    bars = [each for each in _drawn(root, "rect") if each["height"] == "15.0"]
    assert [float(each["width"]) / LONGEST for each in bars] == pytest.approx([0.25, 0.5])
    swing = next(each for each in _drawn(root, "line") if each["class"] == "swing")
    assert float(swing["x2"]) - float(swing["x1"]) == pytest.approx(0.8 * LONGEST)
    written = _words(root)
    assert {"a < b", "25", "50"} <= set(written)
    assert "nobody" not in written


def _drawn(root: ElementTree.Element, kind: str) -> list[dict[str, str]]:
    return [each.attrib for each in root.iter(f"{{http://www.w3.org/2000/svg}}{kind}")]


def _words(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]
