"""A world in which many people read, and what they look at in it."""

from dataclasses import dataclass
from pathlib import Path

import psycopg

from api import deploy
from bench.database import Database
from bench.library.plan import CHAPTERS, CHAPTERS_EACH, DAYS_EACH, STORIES_EACH, Plan, Size
from bench.reading import Reading, Touched, look
from bench.server import BenchServer, run_script

HERE = Path(__file__).parent

STATE = "select * from api.reading_state where story_id = bench.story(0)"
GO_ON = (
    "select * from api.reading_state where status = 'reading' and last_read_at is not null"
    " order by last_read_at desc limit 5"
)
SAVE = "select * from api.save_progress(bench.story(0), 2, 50, 30)"
SOMEBODY = "bench.reader(3)"
COLLECTOR = "bench.reader(0)"

READINGS = (
    Reading("saving progress", SAVE, SOMEBODY),
    Reading("the state of one story", STATE, SOMEBODY),
    Reading("what to go on with, of 5 stories", GO_ON, SOMEBODY),
    Reading("what to go on with, of a collector's", GO_ON, COLLECTOR),
    Reading("a year", "select * from api.reading_year()", SOMEBODY),
    Reading(  # 12 chapters of each story are looked at
        "a collector's whole library",
        "select * from api.reading_state",
        COLLECTOR,
        has_aim=False,
    ),
)


@dataclass(frozen=True)
class World:
    """What a world holds before anybody reads on."""

    size: Size
    progress_rows: int
    library_rows: int
    megabytes: float
    reading: dict[str, Touched]


def build_world(server: BenchServer, name: str, size: Size, plan: Plan) -> World:
    """Make a database with a library for everybody, vacuumed as autovacuum leaves it."""
    server.create_database(name)
    deploy.migrate(server.postgres.url(name))
    stories = {
        "creators": size.stories,
        "star_chapters": CHAPTERS,
        "other_chapters": CHAPTERS,
        "readers": 0,  # with wallets, which nobody needs here
        "credits": 0,
    }
    run_script(server.postgres, name, HERE.parent / "world.sql", **stories)
    library = {
        "readers": size.readers,
        "stories": size.stories,
        "stories_each": STORIES_EACH,
        "chapters_each": CHAPTERS_EACH,
        "days_each": DAYS_EACH,
        "collected": plan.collected,
    }
    run_script(server.postgres, name, HERE / "library.sql", **library)
    database = Database(server, name)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
    return World(
        size=size,
        progress_rows=int(database.value("select count(*) from app.reading_progress")),
        library_rows=int(database.value("select count(*) from app.user_library")),
        megabytes=int(database.value("select pg_database_size(current_database())")) / 2**20,
        reading=look(database, READINGS),
    )
