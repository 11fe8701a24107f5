"""A database with people in it and PostgREST before it: what the attacks act on."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg import sql

from api.stack.postgres import EmbeddedPostgres
from api.tokens import sign_token
from tests.covers import SECRET, running_postgrest
from tests.shop import Caller

FOLDER = Path(__file__).parent
PEOPLE = ("ann", "bob", "cora", "mallory")
OPERATOR = UUID("00000000-0000-4000-8000-00000000000f")


def person(handle: str) -> UUID:
    """Somebody of the world; ids are made of handles."""
    return UUID(bytes=md5(f"person {handle}".encode()).digest())


@dataclass(frozen=True)
class World:
    """Ann's, Bob's, Cora's and Mallory's world."""

    url: str
    owner: psycopg.Connection[Any]
    rest: httpx.Client

    def caller(self, handle: str, role: str = "authenticated") -> Caller:
        token = sign_token(SECRET, subject=person(handle), role=role, hours=1)
        return Caller(self.rest, person(handle), token)

    def operator(self) -> Caller:
        token = sign_token(SECRET, subject=OPERATOR, role="service_role", hours=1)
        return Caller(self.rest, OPERATOR, token)

    def violations(self) -> list[Any]:
        return self.owner.execute("select * from ledger.verify()").fetchall()


@contextmanager
def open_world(server: EmbeddedPostgres, name: str, template: str) -> Iterator[World]:
    """The world in a new database; at the end its ledger must be right."""
    names = (sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template {}").format(*names))
        url = server.url(name)
        _run(server, url, FOLDER / "world.sql")
        with (
            psycopg.connect(url, autocommit=True) as owner,
            running_postgrest(url, SECRET) as rest_url,
            httpx.Client(base_url=rest_url, timeout=30) as rest,
        ):
            # Of calls in a hurry other tests tell.
            owner.execute("update app.rate_limits set capacity = 1000000")
            world = World(url, owner, rest)
            yield world
            assert world.violations() == []
        connection.execute(sql.SQL("drop database {} with (force)").format(names[0]))


def _run(server: EmbeddedPostgres, url: str, script: Path) -> None:
    """Run a script of psql's; the helpers of pgtap/ call one another without a schema."""
    options = "-c search_path=tests,public -c client_min_messages=warning"
    ran = subprocess.run(
        [server.bin_folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, "-d", url],
        env={**os.environ, "PGOPTIONS": options},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
