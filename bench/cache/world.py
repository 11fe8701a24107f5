"""A cache with so many entries, made the way the product keeps them."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from api import deploy
from bench.cache.meanings import MODEL, Entries, Vector
from bench.cache.plan import Plan
from bench.database import Database
from bench.errors import BenchError
from bench.server import BenchServer

BATCH = 1_000  # entries between two steps of the bar
STAGE = """
    create unlogged table public.stage (number bigint, genre text, request jsonb, embedding real[])
"""
# Those without a meaning are never asked for: they are there so that there are so many.
KEEP = """
    insert into app.infinite_pages_cache (
        cache_key, request, genre, model, embedding, content, tokens, cost_microdollars)
    select
        case
            when s.embedding is null then encode(sha256(convert_to(s.number::text, 'utf8')), 'hex')
            else app.cache_key(s.request)
        end,
        s.request, s.genre, %s, s.embedding,
        to_jsonb('The text of story ' || s.number), 1000, 5000
    from public.stage as s
    order by s.number
"""


@dataclass(frozen=True)
class World:
    """What was built, and what that took."""

    entries: int
    meanings: int
    gigabytes: float
    index_megabytes: float
    build_seconds: float  # of the HNSW index with all its entries


def build_world(
    server: BenchServer,
    name: str,
    size: tuple[int, int],
    plan: Plan,
    advance: Callable[[int], None],
) -> World:
    """A database with so many entries, so many of them with meanings."""
    entries, meanings = size
    server.create_database(name)
    database = Database(server, name)
    deploy.migrate(database.url)
    if not database.value("select app.has_cache_vectors()"):
        raise BenchError("this PostgreSQL has no pgvector, and nothing is found by its meaning")
    made = Entries(plan.genres, plan.topic)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(STAGE)
        copying = "copy public.stage (number, genre, request, embedding) from stdin"
        with connection.cursor() as cursor, cursor.copy(copying) as copy:
            for number in range(entries):
                meaning = _array(made.meaning(number)) if number < meanings else None
                request = json.dumps(made.request(number))
                copy.write_row((number, made.genre(number), request, meaning))
                if (number + 1) % BATCH == 0:
                    advance(BATCH)
        connection.execute(KEEP, (MODEL,))
        connection.execute("drop table public.stage")
        seconds = _build_index(connection, plan)
        connection.execute("vacuum (analyze)")
    size_of = "select pg_{}_size('{}') / 2^{}"
    return World(
        entries,
        meanings,
        float(database.value(size_of.format("database", name, 30))),
        float(database.value(size_of.format("relation", "app.cache_vectors_nearest", 20))),
        seconds,
    )


def _build_index(connection: psycopg.Connection[tuple[object, ...]], plan: Plan) -> float:
    """As a deploy does that finds pgvector for the first time."""
    connection.execute(f"set maintenance_work_mem = '{plan.build_memory}'")
    connection.execute("drop table app.cache_vectors")
    connection.execute("set role app_owner")
    began = time.monotonic()
    connection.execute("select app.prepare_cache_vectors()")
    seconds = time.monotonic() - began
    connection.execute("reset role")
    return seconds


def _array(vector: Vector) -> str:
    return "{" + ",".join(f"{each:.6g}" for each in vector) + "}"
