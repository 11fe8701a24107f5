"""Waiting until everything has arrived that is on its way, when nothing is broken any more."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from api.stack.wait import wait_until
from tests.processes import run_command
from tests.teller import Sandbox, undelivered
from tests.torture.arena import Arena

SETTLING_SECONDS = 300.0
LOOK_SECONDS = 0.5
WAITING = {
    "requests to Stripe": "select count(*) from app.stripe_requests where state = 'pending'",
    "events that wait": "select count(*) from app.stripe_events where state = 'parked'",
    "covers": "select count(*) from app.cover_jobs where state in ('pending', 'generating')",
    "downloads": "select count(*) from app.exports where state = 'pending'",
    "payouts": "select count(*) from app.payouts where status in ('pending', 'processing')",
    "subscriptions with news": "select count(*) from app.subscriptions_to_read(false, 'news', 100)",
}
# While there is no worker, and nobody calls the edge, no request is being sent and no cover drawn:
# whoever had them is dead.
ABANDONED = """
    update app.stripe_requests set next_attempt_at = now() where state = 'pending';
    update app.cover_jobs set leased_until = now() where state = 'generating';
    update app.exports set run_at = now() where state = 'pending';
"""
# What waits longer than a lease waits for its time after so many failures, and need not.
HURRY = """
    update app.stripe_requests set next_attempt_at = now()
    where state = 'pending' and next_attempt_at > now() + interval '61 seconds';
    update app.cover_jobs set run_at = now() where state = 'pending' and run_at > now();
"""


@dataclass(frozen=True)
class Settled:
    """What was still on its way when patience ended, by name; empty when all is well."""

    left: dict[str, int]


def settle(arena: Arena, owner: psycopg.Connection[Any]) -> Settled:
    """Hurry what waits, until nothing does."""
    # A worker that was away for long looks again only after a while; a new one looks at once.
    arena.kill("worker")
    owner.execute(ABANDONED.encode())
    arena.revive("worker")
    with httpx.Client(timeout=60, trust_env=False) as http:
        sandbox = Sandbox(arena.stripe, http)
        left: dict[str, int] = {}

        def is_over() -> bool:
            owner.execute(HURRY.encode())
            left.clear()
            left.update(_left(owner))
            if waiting := len(undelivered(sandbox)):
                left["webhooks"] = waiting
            return not left

        _until(lambda: not undelivered(sandbox))
        # What was dropped on its way stands in Stripe's own list.
        run("stripe", "backfill", arena=arena)
        return Settled({} if _until(is_over) else dict(left))


def _until(is_over: Callable[[], bool]) -> bool:
    return wait_until(is_over, seconds=SETTLING_SECONDS, interval=LOOK_SECONDS)


def _left(owner: psycopg.Connection[Any]) -> dict[str, int]:
    counted = {name: _count(owner, query) for name, query in WAITING.items()}
    return {name: number for name, number in counted.items() if number}


def _count(owner: psycopg.Connection[Any], query: str) -> int:
    row = owner.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def run(*arguments: str, arena: Arena) -> tuple[int, str]:
    """A command of `infinite-pages` against this stack: its exit code, and what it said."""
    environment = {**arena.stripe.environment(), "DATABASE_URL": arena.database_url}
    ended = run_command(*arguments, environment=environment)
    return ended.returncode, ended.stdout + ended.stderr
