"""What is found: is it the nearest, and what does looking take."""

from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from bench.cache.meanings import MODEL, NEAR, Entries, Vector
from bench.cache.plan import Plan
from bench.database import Database
from bench.reading import Touched, explain

# The same question without the index: every entry of the genre is compared.
TRUTH = """
    select v.cache_id,
        floor(10000 * (1 - (v.embedding operator(extensions.<=>) %s::extensions.vector)))::integer
    from app.cache_vectors as v
    where v.genre = %s and v.model = %s
    order by 2 desc, 1
    limit 1
"""
FOUND = "select cache_id, match, similarity_basis_points from app.find_in_cache(%s, %s::real[])"
CLAIMS = """
    select set_config('request.jwt.claims',
        '{"role": "authenticated", "sub": "5b8e1f5c-0000-4000-8000-000000000001"}', false)
"""
KINDS = ("the same words", "the same meaning", "nothing like it", "nothing, words only")
HIT_BASIS_POINTS = 9500


@dataclass(frozen=True)
class Recall:
    """Near-duplicates of one distance: what there was to find, and what was found."""

    cosine: float
    asked: int
    near_enough: int  # by comparing with every entry
    found: int  # of these, by the index
    nearest: int  # of these, the very nearest
    false_hits: int  # found although nothing was near enough


def measure_recall(database: Database, plan: Plan) -> list[Recall]:
    """Ask for near-duplicates of entries all over the cache."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        return [_recall(connection, plan, cosine) for cosine in NEAR]


def _recall(connection: psycopg.Connection[Any], plan: Plan, cosine: float) -> Recall:
    entries = Entries(plan.genres, plan.topic)
    meanings = connection.execute("select count(*) from app.cache_vectors").fetchone()
    assert meanings is not None
    numbers = Random(f"recall {cosine}").sample(range(meanings[0]), plan.near)
    near_enough = found = nearest = false_hits = 0
    for number in numbers:
        meaning = entries.near(number, cosine)
        request = Jsonb(entries.request(number, ", told otherwise"))
        answer = connection.execute(FOUND, (request, meaning)).fetchone()
        truth = connection.execute(TRUTH, (meaning, entries.genre(number), MODEL)).fetchone()
        assert answer is not None
        assert truth is not None
        is_hit = answer[1] == "semantic"
        if truth[1] >= HIT_BASIS_POINTS:
            near_enough += 1
            found += is_hit
            nearest += is_hit and answer[0] == truth[0]
        else:
            false_hits += is_hit
    return Recall(cosine, plan.near, near_enough, found, nearest, false_hits)


def measure_lookups(database: Database, plan: Plan) -> dict[str, Touched]:
    """The whole of api.cache_lookup, as an author calls it: medians of each kind."""
    entries = Entries(plan.genres, plan.topic)
    with psycopg.connect(database.url, autocommit=True) as connection:
        row = connection.execute("select count(*) from app.cache_vectors").fetchone()
        assert row is not None
        connection.execute(CLAIMS)
        connection.execute("set role authenticated")
        touched = {}
        for kind in KINDS:
            each = [
                explain(connection, _lookup(entries, kind, number), repeats=1)
                for number in Random(kind).sample(range(row[0]), plan.lookups)
            ]
            touched[kind] = Touched(
                round(median(one.buffers for one in each)),
                median(one.milliseconds for one in each),
            )
    return touched


def _lookup(entries: Entries, kind: str, number: int) -> str:
    words = "" if kind == "the same words" else f", {kind}"
    meaning: Vector | None = None
    if kind == "the same meaning":
        meaning = entries.near(number, NEAR[0])
    elif kind == "nothing like it":
        meaning = Entries(entries.genres, entries.topic).meaning(-1 - number)
    query = sql.SQL("select * from api.cache_lookup({}, {}::real[])").format(
        sql.Literal(Jsonb(entries.request(number, words))), sql.Literal(meaning)
    )
    return query.as_string(None)
