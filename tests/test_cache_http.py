"""The cache as clients see it: over HTTP, and asked by several at one instant."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from api.stack.supervisor import Stack
from tests.conftest import NewDatabase
from tests.market import (
    LOCK_WALLET,
    Market,
    acting_as,
    answers,
    in_parallel,
    open_market,
    outcome_of,
    refusals,
    value,
)
from tests.shop import Caller, Shop, open_shop, refusal

PRICE = 10
DISCOUNTED = 8
AT_ONCE = 8
SEED_COLUMNS = {
    "cache_rewards": "id user_id story_id chapter_id cache_key credits_saved original_cost "
    "discounted_cost hit_count created_at",
    "generation_logs": "id user_id story_id chapter_id operation_type model tokens_input "
    "tokens_output cost_usd created_at",
}

Job = tuple[UUID, str, str, int]


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with open_shop(stack) as shop:
        yield shop


@pytest.fixture
def market(migrated_database: NewDatabase) -> Iterator[Market]:
    with open_market(migrated_database()) as market:
        yield market


def a_request(**changed: object) -> dict[str, object]:
    """What nobody has asked for before."""
    return {"genre": "fantasy", "model": "writer-1", "prompt": f"A castle, {uuid4()}"} | changed


def an_embedding(second: float = 0.0) -> list[float]:
    """Its first number is 1: the larger the second, the further away."""
    return [1.0, second] + [0.0] * 382


def author(shop: Shop, credits: int = 100) -> tuple[Caller, str]:
    """Somebody with credits and a story of their own."""
    caller = shop.somebody(credits)
    story = caller.call("create_story", {"title": "A story with a cache"})
    assert story.status_code == 200, story.text
    return caller, story.json()


def ask(caller: Caller, story: str, request: object, **more: object) -> dict[str, Any]:
    headers = {"Idempotency_Key": str(more.pop("key"))} if "key" in more else {}
    arguments = {"story_id": story, "request": request} | more
    answer = caller.call("request_generation", arguments, **headers)
    assert answer.status_code == 200, answer.text
    (row,) = answer.json() if isinstance(answer.json(), list) else [answer.json()]
    found: dict[str, Any] = row
    return found


def finish(shop: Shop, job: str, content: object, **more: object) -> Any:
    answer = shop.operator().call("finish_generation", {"job_id": job, "content": content} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


# Over HTTP


def test_a_text_is_paid_for_once_and_found_again(shop: Shop) -> None:
    first, story = author(shop)
    second, other_story = author(shop)
    request = a_request()
    job = ask(first, story, request, chapter_number=1, embedding=an_embedding())
    assert {name: job[name] for name in job if name != "job_id"} == {
        "state": "pending",
        "match": "none",
        "original_cost": PRICE,
        "cost_credits": PRICE,
        "balance": 90,
        "content": None,
    }
    waiting = f"/generation_jobs?state=eq.pending&id=eq.{job['job_id']}&select=request"
    assert shop.operator().get(waiting).json() == [{"request": request}]
    assert second.get(waiting).json() == []
    content = {"text": "Once upon a time.", "words": [1, None, True]}
    figures = {"tokens_in": 50, "tokens_out": 450, "cost_microdollars": 1234}
    assert finish(shop, job["job_id"], content, **figures) == "completed"
    (done,) = first.get(f"/generation_jobs?id=eq.{job['job_id']}").json()
    assert (done["state"], done["content"], done["cost_credits"]) == ("completed", content, PRICE)
    (log,) = first.get("/ai_usage_logs").json()
    assert (log["tokens_used"], log["cost_usd"], log["is_cache_hit"]) == (500, 0.001234, False)
    (totals,) = first.get(f"/stories?id=eq.{story}&select=total_tokens_used").json()
    assert totals == {"total_tokens_used": 500}

    hit = ask(second, other_story, dict(reversed(request.items())))
    assert (hit["match"], hit["cost_credits"], hit["balance"]) == ("exact", DISCOUNTED, 92)
    assert hit["content"] == content
    near = a_request(prompt=f"{request['prompt']}, told otherwise")
    meant = ask(second, other_story, near, embedding=an_embedding(0.1))
    assert (meant["match"], meant["content"], meant["balance"]) == ("semantic", content, 84)
    rewards = second.get("/cache_rewards?order=id&select=match,credits_saved,hit_count").json()
    assert rewards == [
        {"match": "exact", "credits_saved": 2, "hit_count": 1},
        {"match": "semantic", "credits_saved": 2, "hit_count": 1},
    ]
    assert first.get("/cache_rewards").json() == []
    figures_of = second.get("/rpc/my_cache_figures").json()
    (mine,) = figures_of if isinstance(figures_of, list) else [figures_of]
    assert (mine["requests"], mine["hits"], mine["credits_saved"]) == (2, 2, 4)


def test_a_json_array_is_an_embedding(shop: Shop) -> None:
    caller, story = author(shop)
    genre = f"genre {uuid4()}"
    job = ask(caller, story, a_request(genre=genre), embedding=an_embedding())
    finish(shop, job["job_id"], "A text.")

    def look(embedding: object, **changed: object) -> Any:
        arguments = {"request": a_request(genre=genre) | changed, "embedding": embedding}
        answer = caller.call("cache_lookup", arguments)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return body[0] if isinstance(body, list) else body

    found = look([0.5, 0.05] + [0] * 382)
    assert found == {
        "match": "semantic",
        "similarity_basis_points": 9950,
        "original_cost": PRICE,
        "discount_percent": 20,
        "cost_credits": DISCOUNTED,
    }
    assert look([0, 1] + [0] * 382)["match"] == "none"
    assert look(None)["similarity_basis_points"] is None
    assert look(an_embedding(), genre=f"{genre} of another kind")["match"] == "none"
    assert look(an_embedding(), model="writer-2")["match"] == "none"


@pytest.mark.parametrize(
    "embedding",
    [
        [],
        [1.0],
        [0] * 384,
        [1.0] * 383,
        [1.0] * 385,
        [1e-30] * 384,
        [1e30] * 384,
        [[1.0] * 384],
        [None] * 384,
        [1.0] * 383 + [None],
    ],
)
def test_what_is_no_embedding_is_refused(shop: Shop, embedding: object) -> None:
    arguments = {"request": a_request(), "embedding": embedding}
    answer = shop.somebody().call("cache_lookup", arguments)
    body = refusal(answer, 400)
    assert body["hint"] == "invalid_embedding"
    assert body["message"] == "An embedding has 384 numbers."


@pytest.mark.parametrize("bad", [["x"] * 384, "x", 1, {}, [10**400] * 384, [1e300] * 384, True])
@pytest.mark.parametrize("function", ["cache_lookup", "request_generation"])
def test_bad_input_is_no_server_error(shop: Shop, function: str, bad: object) -> None:
    arguments = {"request": a_request(), "embedding": bad, "story_id": shop.story}
    if function == "cache_lookup":
        del arguments["story_id"]
    answer = shop.somebody().call(function, arguments)
    assert 400 <= answer.status_code < 500, answer.text


def test_a_deep_request_is_refused_and_breaks_nothing(shop: Shop) -> None:
    whole = json.dumps({"request": a_request(more="here")})
    for depth in (21, 2_000):
        deep = whole.replace('"here"', "[" * depth + "]" * depth)
        answer = shop.somebody().send("cache_lookup", deep.encode())
        assert refusal(answer, 400)["hint"] == "invalid_request"


def test_only_the_service_role_brings_texts(shop: Shop) -> None:
    caller, story = author(shop)
    job = ask(caller, story, a_request())["job_id"]
    arguments = {"job_id": job, "content": "mine"}
    assert caller.call("finish_generation", arguments).status_code == 403
    assert shop.anonymous().call("finish_generation", arguments).status_code == 401
    failing = {"job_id": job, "message": "The model is away."}
    assert caller.call("fail_generation", failing).status_code == 403
    assert shop.operator().call("fail_generation", failing).json() == "failed"
    late = refusal(shop.operator().call("finish_generation", arguments), 409)
    assert (late["hint"], late["details"]) == ("job_over", "It is failed.")
    (failed,) = caller.get(f"/generation_jobs?id=eq.{job}").json()
    assert (failed["state"], failed["error_message"]) == ("failed", "The model is away.")
    assert shop.market.balance(caller.id) == 100
    unknown = shop.operator().call("finish_generation", arguments | {"job_id": str(uuid4())})
    assert refusal(unknown, 404)["hint"] == "job_not_found"


def test_a_key_in_the_header_is_a_key(shop: Shop) -> None:
    caller, story = author(shop)
    request, key = a_request(), uuid4()
    job = ask(caller, story, request, key=key)
    assert ask(caller, story, request, key=key) == job
    arguments = {"story_id": story, "request": a_request()}
    other = caller.call("request_generation", arguments, Idempotency_Key=str(key))
    assert refusal(other, 409)["hint"] == "idempotency_mismatch"
    canceled = caller.call("cancel_generation", {"job_id": job["job_id"]})
    assert canceled.status_code == 200, canceled.text
    assert shop.market.balance(caller.id) == 100
    again = refusal(caller.call("cancel_generation", {"job_id": job["job_id"]}), 409)
    assert again["hint"] == "job_over"


def test_who_has_too_little_pays_nothing(shop: Shop) -> None:
    caller, story = author(shop, PRICE - 1)
    answer = caller.call("request_generation", {"story_id": story, "request": a_request()})
    body = refusal(answer, 402)
    assert body["hint"] == "insufficient_credits"
    assert body["details"] == "This costs 10 credits; you have 9."
    assert caller.get("/generation_jobs").json() == []
    assert shop.market.balance(caller.id) == PRICE - 1


def test_views_have_the_columns_of_the_plan(shop: Shop) -> None:
    caller, story = author(shop)
    request = a_request()
    finish(shop, ask(caller, story, request)["job_id"], "A text.")
    ask(caller, story, request)
    for view, columns in SEED_COLUMNS.items():
        row = caller.get(f"/{view}?limit=1").json()[0]
        assert list(row)[: len(columns.split())] == columns.split()


# At one instant


def asker(
    market: Market, person: UUID, story: UUID, request: object, key: str | None = None
) -> Callable[[], Job]:
    """A call for a thread, over a connection of its own."""

    def call() -> Job:
        with market.connect() as connection, acting_as(connection, person):
            row: Job | None = connection.execute(
                "select job_id, state, match, cost_credits"
                " from api.request_generation(%s, %s, idempotency_key => %s)",
                (story, Jsonb(request), key),
            ).fetchone()
        assert row is not None
        return row

    return call


def finisher(market: Market, job: UUID, content: str) -> Callable[[], str]:
    def call() -> str:
        with market.connect() as connection, acting_as(connection, uuid4(), "service_role"):
            finished: str = value(
                connection,
                "select api.finish_generation(%s, %s::jsonb)",
                job,
                json.dumps(content),
            )
            return finished

    return call


def canceler(market: Market, person: UUID, job: UUID) -> Callable[[], str]:
    def call() -> str:
        with market.connect() as connection, acting_as(connection, person):
            canceled: str = value(connection, "select state from api.cancel_generation(%s)", job)
            return canceled

    return call


def story_of(market: Market, person: UUID) -> UUID:
    with market.connect() as connection, acting_as(connection, person):
        story: UUID = value(connection, "select api.create_story('A story')")
    return story


def rewards(market: Market) -> int:
    return int(value(market.owner, "select count(*) from app.cache_rewards"))


def test_two_who_ask_for_the_same_at_once_both_have_it_made(market: Market) -> None:
    people = [market.reader(100) for _ in range(2)]
    request = a_request()
    calls = [asker(market, person, story_of(market, person), request) for person in people]
    jobs = answers(in_parallel(calls))
    assert [job[1:] for job in jobs] == [("pending", "none", PRICE)] * 2
    done = in_parallel([finisher(market, job[0], f"Text {n}") for n, job in enumerate(jobs)])
    assert done == ["completed"] * 2
    assert value(market.owner, "select count(*) from app.infinite_pages_cache") == 1
    contents = "select count(distinct content) from app.generation_jobs"
    assert value(market.owner, contents) == 2  # each has the text that was made for it
    assert [market.balance(person) for person in people] == [100 - PRICE] * 2
    assert rewards(market) == 0


def test_many_hits_at_once_are_rewarded_once_each(market: Market) -> None:
    first = market.reader(100)
    request = a_request()
    job = asker(market, first, story_of(market, first), request)()
    assert finisher(market, job[0], "A text.")() == "completed"
    people = [market.reader(100) for _ in range(AT_ONCE)]
    calls = [asker(market, person, story_of(market, person), request) for person in people]
    hits = answers(in_parallel(calls))
    assert [hit[1:] for hit in hits] == [("completed", "exact", DISCOUNTED)] * AT_ONCE
    assert rewards(market) == AT_ONCE
    counted = "select exact_hits from app.infinite_pages_cache"
    assert value(market.owner, counted) == AT_ONCE


def test_the_same_key_at_once_is_one_job(market: Market) -> None:
    person = market.reader(100)
    story, request = story_of(market, person), a_request()
    calls = [asker(market, person, story, request, "a key") for _ in range(AT_ONCE)]
    jobs = answers(market.at_one_wallet(person, calls))
    assert len(jobs) == AT_ONCE
    assert len({job[0] for job in jobs}) == 1
    assert market.balance(person) == 100 - PRICE
    assert value(market.owner, "select count(*) from app.generation_jobs") == 1


def test_the_last_credits_are_spent_once(market: Market) -> None:
    person = market.reader(PRICE)
    story = story_of(market, person)
    calls = [asker(market, person, story, a_request()) for _ in range(AT_ONCE)]
    outcomes = market.at_one_wallet(person, calls)
    assert len(answers(outcomes)) == 1
    assert refusals(outcomes) == [("PT402", "insufficient_credits")] * (AT_ONCE - 1)
    assert market.balance(person) == 0


def test_a_job_is_finished_once(market: Market) -> None:
    person = market.reader(100)
    job = asker(market, person, story_of(market, person), a_request())()[0]
    calls = [finisher(market, job, f"Text {number}") for number in range(AT_ONCE)]
    outcomes = market.at_one_wallet(person, calls)
    assert answers(outcomes) == ["completed"]
    assert refusals(outcomes) == [("PT409", "job_over")] * (AT_ONCE - 1)
    logs = "select count(*) from app.ai_usage_logs"
    assert value(market.owner, logs) == 1
    assert value(market.owner, "select count(*) from app.infinite_pages_cache") == 1


@pytest.mark.parametrize("first", ["finish", "cancel"])
def test_finished_or_canceled_but_not_both(market: Market, first: str) -> None:
    person = market.reader(100)
    job = asker(market, person, story_of(market, person), a_request())()[0]
    done = {"finish": finisher(market, job, "x"), "cancel": canceler(market, person, job)}
    order = sorted(done, key=lambda name: name != first)
    outcomes = one_after_the_other(market, person, [done[name] for name in order])
    assert outcomes[0] == {"finish": "completed", "cancel": "canceled"}[first]
    assert refusals(outcomes) == [("PT409", "job_over")]
    assert market.balance(person) == (100 - PRICE if first == "finish" else 100)


def one_after_the_other(
    market: Market, person: UUID, calls: list[Callable[[], str]]
) -> list[str | psycopg.Error]:
    """All wait for one wallet, and get it in this order."""
    with ThreadPoolExecutor(len(calls)) as threads:
        with market.gate(len(calls), LOCK_WALLET, person):
            running = []
            for length, call in enumerate(calls, start=1):
                running.append(threads.submit(outcome_of, call))
                market.wait_for_queue(length)
        return [each.result() for each in running]
