"""The demonstration: its data is loaded once, and its story notices a wrong figure."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from api import demo, deploy
from api.cli import main
from api.demo import figures, loading, story
from api.demo.books import FIRST_BOOK, SECOND_BOOK, THIRD_BOOK
from api.stack.errors import StackError
from api.stack.postgres import EmbeddedPostgres
from tests.conftest import NewDatabase
from tests.processes import run_command

BOOKS = (FIRST_BOOK, SECOND_BOOK, THIRD_BOOK)
FIGURES = 136


def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table of the product."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname in ('app', 'ledger')"
        ).fetchall()
        return {
            ".".join(table): [
                row
                for (row,) in connection.execute(
                    sql.SQL("select t::text from {} as t order by 1").format(sql.Identifier(*table))
                )
            ]
            for table in tables
        }


def run(url: str, query: str, *arguments: object) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(query.encode(), arguments)
        return cursor.fetchall() if cursor.description else []


def test_loading_again_changes_nothing(migrated_database: NewDatabase) -> None:
    url = migrated_database()
    said: list[str] = []
    first = demo.load(url, said.append)
    assert len(said) == len(figures.PEOPLE) + len(BOOKS)
    loaded = contents(url)
    assert loaded["app.chapter_texts"]

    said.clear()
    assert demo.load(url, said.append) == first

    assert said == []
    assert contents(url) == loaded


def test_what_is_loaded(migrated_database: NewDatabase) -> None:
    url = migrated_database()
    story = demo.load(url, print)
    assert (story.chapter_number, story.title) == (3, FIRST_BOOK.title)
    wallets = run(
        url,
        """
        select p.handle, coalesce(a.balance, 0), o.user_id is not null, p.is_creator
        from app.profiles as p
        left join ledger.accounts as a on a.owner_id = p.id and a.kind = 'wallet'
        left join app.operators as o on o.user_id = p.id
        order by p.handle
        """,
    )
    assert wallets == [
        ("admin", 0, True, False),
        ("coauthor", 0, False, True),
        ("creator", 50, False, True),
        ("latecomer", 0, False, True),
        ("newcomer", 0, False, False),
        ("reader", 110, False, False),
        ("stranger", 30, False, False),
    ]
    stories = run(
        url,
        """
        select s.id = %s, p.handle, s.title, s.status, s.chapter_count,
            array(select a.basis_points from app.story_authors as a
                where a.story_id = s.id order by a.rank)
        from app.stories as s
        inner join app.profiles as p on p.id = s.user_id
        order by s.created_at
        """,
        story.story_id,
    )
    assert stories == [
        (True, "creator", FIRST_BOOK.title, "published", 7, [10000]),
        (False, "creator", SECOND_BOOK.title, "published", 3, [6000, 4000]),
        (False, "latecomer", THIRD_BOOK.title, "published", 3, [10000]),
    ]
    assert run(url, "select * from ledger.verify()") == []


def test_what_people_did_with_it_is_left_alone(migrated_database: NewDatabase) -> None:
    url = migrated_database()
    story = demo.load(url, print)
    run(url, "update app.stories set title = 'Another Name', status = 'archived'")
    run(url, "update app.profiles set handle = 'somebody' where handle = 'reader'")
    changed = contents(url)

    assert demo.load(url, print).story_id == story.story_id

    assert contents(url) == changed


def test_an_older_demo_gets_what_is_new(
    migrated_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = migrated_database()
    with monkeypatch.context() as earlier:
        earlier.setattr(loading, "PEOPLE", figures.PEOPLE[:-1])
        earlier.setattr(loading, "SHELVES", loading.SHELVES[:1])
        story = demo.load(url, print)
    said: list[str] = []

    assert demo.load(url, said.append) == story

    assert said == [
        "latecomer is here, with 0 credits",
        f"latecomer published {THIRD_BOOK.title!r}, 3 chapters",
    ]


def test_who_came_before_there_were_credits_gets_them_once(
    migrated_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = migrated_database()
    poor = [dataclasses.replace(person, credits=0) for person in figures.PEOPLE]
    with monkeypatch.context() as earlier:
        earlier.setattr(loading, "PEOPLE", poor)
        demo.load(url, print)
    run(url, "update app.profiles set handle = 'somebody' where id = %s", figures.CREATOR.id)
    # An operator's gift is none of the demo's.
    run(url, "select app.grant_credits(%s, 7, 'for a good letter')", figures.CREATOR.id)
    said: list[str] = []

    demo.load(url, said.append)

    assert said == [
        "reader gets 110 credits",
        "creator gets 50 credits",
        "stranger gets 30 credits",
    ]
    available = "select ledger.available_credits(%s)"
    assert run(url, available, figures.CREATOR.id) == [(57,)]
    given = contents(url)
    said.clear()
    demo.load(url, said.append)
    assert said == []
    assert contents(url) == given
    assert run(url, "select * from ledger.verify()") == []


def test_two_loads_at_once_make_one_demo(migrated_database: NewDatabase) -> None:
    url = migrated_database()
    with ThreadPoolExecutor() as pool:
        stories = list(pool.map(lambda _: demo.load(url, print), range(4)))
    assert len(set(stories)) == 1
    assert run(url, "select count(*) from app.stories") == [(len(BOOKS),)]


def test_a_handle_that_is_taken_is_named(migrated_database: NewDatabase) -> None:
    url = migrated_database()
    run(url, "insert into app.profiles (id, handle) values (gen_random_uuid(), 'creator')")
    with pytest.raises(StackError, match=r"handle 'creator'.*somebody else.*without --demo"):
        demo.load(url, print)


@pytest.fixture
def plain_login() -> Iterator[str]:
    """A server whose only deployer is no superuser, as on a hosted one."""
    with tempfile.TemporaryDirectory(prefix="infinite-pages-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("create role deployer login createrole createdb")
            connection.execute("create database infinite_pages owner deployer")
        yield server.url(user="deployer")
        server.stop()


def test_loading_needs_no_superuser(plain_login: str) -> None:
    deploy.migrate(plain_login)
    assert demo.load(plain_login, print).title == FIRST_BOOK.title


def test_the_story_is_told_with_its_figures() -> None:
    told = run_command("demo")
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stderr == ""
    lines = told.stdout.splitlines()
    assert len(lines) <= 180
    assert max(map(len, lines)) <= 80
    for figure in (
        "105 credits",
        "402 chapter_not_owned",
        "175,000",
        "105,000",
        "$4.99",
        "set aside                            30 credits",
        "it is                                canceled",
        "the fantasy one is by                dreamshaper_7",
        "it is                                failed",
        "lines on her statement               10",
        "it measures                          512 x 768 pixels",
        "Edda Vane reads                      Your payout of $10.67 is on its way",
        "Tomas Abara is skipped for           below_minimum",
        "Leo Farkas is skipped for            not_verified",
        "transfers that Stripe has            $10.67",
        "in her account at Stripe             $10.67",
        "stays with her earnings              $0.005 (5,000 micro-dollars)",
        "left to the author, folded           -$6.120 (-6,120,000 micro-dollars)",
        "lines that only one side has         0",
        "violations that verify finds         0",
    ):
        assert figure in told.stdout
    assert "OFF" not in told.stdout
    assert sum(line.startswith("  ok ") for line in lines) == FIGURES
    assert lines[-1] == f"All {FIGURES} figures are right."


Tamper = Callable[[str], None]


@pytest.fixture
def tamper(monkeypatch: pytest.MonkeyPatch) -> Tamper:
    """Has the demo's data changed once they are loaded."""
    load = demo.load

    def change(tampering: str) -> None:
        def load_and_tamper(url: str, report: Callable[[str], None]) -> demo.DemoStory:
            loaded = load(url, report)
            run(url, tampering)
            return loaded

        monkeypatch.setattr(demo, "load", load_and_tamper)

    return change


def assert_story_is_off(shown: str) -> None:
    told = CliRunner().invoke(main, ["demo"])
    assert told.exit_code == 1
    assert shown in told.output
    assert "of the figures are off" in told.output
    assert "Traceback" not in told.output


@pytest.mark.parametrize(
    ("tampering", "shown"),
    [
        ("update app.economy set story_creator_basis_points = 6999", "OFF  for the chapter"),
        ("update app.story_pricing set price_per_chapter = 6", "expected 5 credits"),
        ("update app.stories set status = 'archived'", "stories answered with 0 rows"),
        ("update app.economy set minimum_payout_cents = 1068", "OFF  creators who are paid"),
    ],
)
def test_a_wrong_figure_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, tamper: Tamper, tampering: str, shown: str
) -> None:
    """Without the covers, for drawing takes its time."""
    monkeypatch.setattr(story, "tell_cover", lambda *_: None)
    movements = figures.MOVEMENTS - figures.MOVEMENTS_OF_COVERS
    monkeypatch.setattr(figures, "MOVEMENTS", movements)
    tamper(tampering)
    assert_story_is_off(shown)


@pytest.mark.parametrize(
    ("tampering", "shown"),
    [
        # Too dear for a sixth: the story ends while the server hangs.
        ("update app.economy set cover_price_credits = 9", "OFF  each costs"),
        ("update app.cover_styles set model = 'deliberate_v2'", "OFF  the fantasy one is by"),
    ],
)
def test_a_wrong_cover_fails_the_command(tamper: Tamper, tampering: str, shown: str) -> None:
    tamper(tampering)
    assert_story_is_off(shown)
