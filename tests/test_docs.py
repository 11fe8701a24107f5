"""The pages say what the code says: hints, functions, commands, files."""

import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import click
import pytest

from api.cli import main

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
SQL = PROJECT / "sql"
PAGES = [
    *(PROJECT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted(DOCS.rglob("*.md")),
]
MODULES = sorted(path.parent.name for path in SQL.glob("*/api.sql"))

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FAILURE = re.compile(r"app\.fail\(\s*(\d{3}),\s*'(\w+)'")
RETRY_LATER = re.compile(r"'code', 'PT(\d{3})'.*?'hint', '(\w+)'", re.DOTALL)
# A sentence has blanks, so the first quoted word with an underscore is the hint.
EDGE_FAILURE = re.compile(r"ApiError\(\s*(\d{3}),.*?\"([a-z]+(?:_[a-z]+)+)\"", re.DOTALL)
HINT_ROW = re.compile(r"^\| `(\w+)` \| (\d{3}) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
PUBLISHED = re.compile(r"create or replace (?:function|view) (api\.\w+)")


def raised_in_sql() -> set[tuple[str, str]]:
    """Every hint that SQL refuses with, and its status."""
    text = "\n".join(path.read_text() for path in sorted(SQL.rglob("*.sql")))
    found = FAILURE.findall(text) + RETRY_LATER.findall(text)
    return {(hint, status) for status, hint in found}


def raised_by_the_edge() -> set[tuple[str, str]]:
    """Every hint that the edge's own errors carry, and its status."""
    api = PROJECT / "api"
    files = [path for path in sorted(api.rglob("*.py")) if api / "sandbox" not in path.parents]
    text = "\n".join(path.read_text() for path in files)
    return {(hint, status) for status, hint in EDGE_FAILURE.findall(text)}


def section(page: Path, title: str) -> str:
    """What stands under a heading of the second level."""
    _, _, rest = page.read_text().partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


def without_examples(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def headings(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    titles = re.findall(r"^#+ (.+)$", without_examples(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def published_by(module: str) -> set[str]:
    return set(PUBLISHED.findall((SQL / module / "api.sql").read_text()))


def commands_by_name() -> dict[str, click.Command]:
    """Every command as it is typed; of a group its own commands."""
    found: dict[str, click.Command] = {}
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            found |= {f"{name} {each}": below for each, below in command.commands.items()}
        else:
            found[name] = command
    return found


def options_of(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


def test_the_searches_find_every_refusal() -> None:
    calls = sum(path.read_text().count("perform app.fail(") for path in SQL.rglob("*.sql"))
    read = sum(len(FAILURE.findall(path.read_text())) for path in SQL.rglob("*.sql"))
    assert calls == read > 0
    assert ("rate_limited", "429") in raised_in_sql()
    assert ("no_user", "401") in raised_by_the_edge()
    assert ("stripe_unavailable", "502") in raised_by_the_edge()


def test_every_hint_has_its_row_with_its_status() -> None:
    rows = HINT_ROW.findall(section(DOCS / "errors.md", "All hints"))
    assert set(rows) == raised_in_sql()
    assert [hint for hint, _ in rows] == sorted({hint for hint, _ in rows})


def test_every_hint_of_the_edge_has_its_row() -> None:
    page = DOCS / "errors.md"
    described = HINT_ROW.findall(section(page, "From the edge"))
    assert raised_by_the_edge() <= {*described, *HINT_ROW.findall(section(page, "All hints"))}


def test_pages_name_no_hint_that_does_not_exist() -> None:
    """A list of errors on a module's page holds real hints, and those of its own SQL."""
    known = {hint for hint, _ in raised_in_sql() | raised_by_the_edge()}
    for module in MODULES:
        listed = set(re.findall(r"`(\w+)`", section(DOCS / f"{module}.md", "Errors")))
        own = {
            hint
            for path in (SQL / module).glob("*.sql")
            for _, hint in FAILURE.findall(path.read_text())
        }
        assert listed <= known, module
        assert own <= listed, module


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_page_names_all_that_it_publishes(module: str) -> None:
    page = (DOCS / f"{module}.md").read_text()
    published = published_by(module)
    assert published
    assert {name for name in published if not re.search(rf"`{name}[`(]", page)} == set()


def test_pages_name_nothing_that_is_not_published() -> None:
    published = set().union(*(published_by(module) for module in MODULES))
    for page in PAGES:
        named = set(re.findall(r"`(api\.\w+)[`(]", page.read_text()))
        assert named - published <= {"api.sql", "api.verb_noun"}, page.name


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_page_names_its_tables(module: str) -> None:
    migrations = [
        path.read_text()
        for path in (PROJECT / "migrations").glob(f"*.{module}.sql")
        if not path.name.endswith(".rollback.sql")
    ]
    assert migrations
    made = re.findall(r"^create (?:unlogged )?table (\S+) \(", "\n".join(migrations), re.MULTILINE)
    listed = re.findall(r"^\| `(\w+\.\w+)` \|", section(DOCS / f"{module}.md", "Tables"), re.M)
    assert sorted(listed) == sorted(made)


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    assert [page.name for page in DOCS.glob("*.md") if f"({page.name})" not in index] == [
        "README.md"
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_examples(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = unquote(target).partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert linked.is_relative_to(PROJECT), target
        if anchor:
            assert anchor in headings(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_commands_exist(page: Path) -> None:
    text = page.read_text()
    targets = re.findall(r"(?:^|`|\d )make ([a-z]+)\b", text, re.MULTILINE)
    assert set(targets) <= make_targets()
    named = re.findall(
        r"(?:^|`|bin/)infinite-pages ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?", text, re.MULTILINE
    )
    for name, below in named:
        command = main.commands.get(name)
        assert command is not None, name
        assert not isinstance(command, click.Group) or not below or below in command.commands, below


def test_the_page_of_commands_has_all_of_them() -> None:
    page = (DOCS / "commands.md").read_text()
    for target in make_targets():
        assert f"`make {target}`" in page
    for name, command in commands_by_name().items():
        (row,) = re.findall(rf"^\| `infinite-pages {name}\b([^`]*)`", page, re.MULTILINE)
        assert set(re.findall(r"--[a-z-]+", row)) == options_of(command), name


def test_the_page_of_commands_has_all_settings() -> None:
    config = PROJECT / "api" / "config"
    text = "\n".join(path.read_text() for path in sorted(config.glob("[a-z]*.py")))
    read = set(re.findall(r"\"([A-Z]+_[A-Z_]+)\"", text))
    described = set(re.findall(r"`([A-Z][A-Z_]+)`", section(DOCS / "commands.md", "Settings")))
    assert described == read


def test_the_readme_names_the_packages_that_ci_installs() -> None:
    command = re.search(r"apt-get install (.+)", (PROJECT / "README.md").read_text())
    listed = re.search(r"packages=\(([^)]+)\)", (PROJECT / ".ci" / "run").read_text())
    assert command is not None
    assert listed is not None
    assert set(listed[1].split()) - {"make", "python3-venv"} == set(command[1].split())


def policy_numbers() -> dict[str, int]:
    """The defaults of the policy numbers and of a story's prices."""
    text = "".join(path.read_text() for path in sorted((PROJECT / "migrations").glob("*.sql")))
    return {
        name: int(value)
        for name, value in re.findall(r"^    (\w+) \w+ not null default (\d+)", text, re.M)
    }


@pytest.mark.parametrize(
    ("page", "name", "said"),
    [
        ("base", "credit_value_microdollars", "50,000"),
        ("base", "story_creator_basis_points", "7000"),
        ("base", "earnings_hold_days", "7 days"),
        ("base", "refund_grace_days", "7 days"),
        ("base", "expiring_soon_days", "14 days"),
        ("stories", "price_per_chapter", "5 credits"),
        ("stories", "bundle_discount", "15 %"),
        ("stories", "free_chapters", "2"),
        ("stories", "premium_unlock_price", "50 credits"),
    ],
)
def test_rules_state_the_defaults(page: str, name: str, said: str) -> None:
    row = re.search(
        rf"^\|[^|]+\|([^|]+)\| `\w+\.{name}` \|", (DOCS / f"{page}.md").read_text(), re.M
    )
    assert row is not None
    assert said in row[1]
    figure = re.match(r"[\d,]+", said)
    assert figure is not None
    assert int(figure[0].replace(",", "")) == policy_numbers()[name]


@pytest.mark.parametrize("picture", ["purchase.svg", "payment.svg"])
def test_pictures_are_well_formed_and_say_what_they_show(picture: str) -> None:
    root = ElementTree.parse(DOCS / picture).getroot()
    texts = {element.tag.rpartition("}")[2]: element.text for element in root}
    assert texts["title"]
    assert texts["desc"]
    assert "prefers-color-scheme: dark" in (texts["style"] or "")
