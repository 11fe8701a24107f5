"""What single calls touch: pages, which do not swing, and milliseconds."""

from collections.abc import Iterator

import psycopg

from bench.covers.arena import Arena
from bench.covers.plan import Plan, Task
from bench.reading import Reading, Touched, explain, look

CLAIM = "a claim"
LIFE = "a claim and its finish"
REQUEST = "a request"
STAR = "the queue of an author with 10 in it"
GROWN = "a claim by a worker who knew it short"
LATE = "a claim with an old snapshot open"

CLAIMING = "select job_id from app.claim_cover('benchmark:7860', bench.models())"
FINISHING = (
    "select app.finish_cover(c.job_id, c.lease_token, bench.image(c.job_id))"
    " from app.claim_cover('benchmark:7860', bench.models()) as c"
)
REQUESTING = "select * from api.request_cover(bench.story(1), 'fantasy', gen_random_uuid()::text)"

# What only looks: nothing has to be put right afterwards.
PEEKS = (
    Reading(STAR, "select * from api.cover_queue()", "bench.creator(0)"),
    Reading(
        "which models are wanted",
        "select app.wanted_cover_models()",
        "bench.creator(0)",
        role="app_owner",
    ),
    Reading(
        "looking for a job to recover",
        "select app.recover_cover()",
        "bench.creator(0)",
        role="app_owner",
    ),
    Reading(
        "the operators' figures",
        "select * from app.cover_figures()",
        "bench.creator(0)",
        role="app_owner",
        has_aim=False,  # it counts them all
    ),
)


# What is looked at in queues of every size.
SIZED = (CLAIM, LIFE, REQUEST, *(peek.name for peek in PEEKS))


def look_at(arena: Arena, plan: Plan) -> dict[str, Touched]:
    """Everything, in a queue that is as long afterwards as it was."""
    touched = look(arena, PEEKS)
    if arena.queue == plan.large:
        touched[LATE] = look_behind_a_reader(arena, plan)
    repeats = plan.looks
    for name, query in ((CLAIM, CLAIMING), (LIFE, FINISHING)):
        reading = Reading(name, query, "bench.creator(0)", role="app_owner", repeats=repeats)
        touched |= look(arena, [reading])
        arena.replace_claimed(repeats)
    request = Reading(REQUEST, REQUESTING, "bench.creator(1)", repeats=repeats)
    touched |= look(arena, [request])
    arena.execute(f"select bench.park({repeats})")
    return touched


def look_while_it_grows(arena: Arena, template: str, plan: Plan) -> Iterator[Touched]:
    """One session claims in a short queue and, when it is long, again.

    Workers stay connected for weeks. What a session has planned for a queue of a hundred jobs
    serves it until the table is analyzed, which nobody does here.
    """
    arena.server.create_database(arena.name, template)
    arena.fill(plan.little.waiting)
    arena.execute("vacuum (analyze) app.cover_jobs")
    with arena.server.in_silence(), psycopg.connect(arena.url, autocommit=True) as worker:
        worker.execute("set role app_owner")
        yield explain(worker, CLAIMING, plan.looks)
        arena.fill(plan.large.waiting)
        yield explain(worker, CLAIMING, plan.looks)


def look_behind_a_reader(arena: Arena, plan: Plan) -> Touched:
    """Claim while somebody reads for long: what was claimed meanwhile cannot be cleared away.

    A dump of the database, or verify() of a large ledger, does that.
    """
    with psycopg.connect(arena.url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("select from app.cover_jobs limit 1")
        arena.run(Task.CLAIM, plan.claims)
        claim = Reading(LATE, CLAIMING, "bench.creator(0)", role="app_owner", repeats=plan.looks)
        touched = look(arena, [claim])[LATE]
        arena.replace_claimed(plan.looks)
    arena.execute("vacuum (analyze) app.cover_jobs")
    return touched
