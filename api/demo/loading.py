"""Demo data, made the way people make it: each person calls the product's own functions.

Every person and every book is one transaction and is left alone once it is there, whatever has
become of it since. So a second run changes nothing, and an interrupted one is completed. Who came
before there were credits for them gets these once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from api.demo.books import FIRST_BOOK, SECOND_BOOK, THIRD_BOOK, Book
from api.demo.figures import CHAPTER_FOR_SALE, CREATOR, LATECOMER, PEOPLE, SPLIT, Person
from api.stack.errors import StackError

Connection = psycopg.Connection[Any]
Report = Callable[[str], None]

# What each author has published.
SHELVES = ((CREATOR, (FIRST_BOOK, SECOND_BOOK)), (LATECOMER, (THIRD_BOOK,)))

_LOCK = "select pg_advisory_lock(hashtextextended('infinite pages: demo', 0))"
_CONFLICT = "PT409"
_REASON = "for the demonstration"


@dataclass(frozen=True)
class DemoStory:
    """A chapter that the demo reader can buy."""

    story_id: UUID
    chapter_number: int
    title: str


def load(url: str, report: Report) -> DemoStory:
    """Make what is missing of the demo's people and books; say which chapter is for sale."""
    with psycopg.connect(url, autocommit=True, application_name="infinite-pages") as connection:
        connection.execute(_LOCK)  # two loads at once would both find the same book missing
        for person in PEOPLE:
            if not _is_here(connection, person):
                _welcome(connection, person)
                report(f"{person.handle} is here, with {person.credits} credits")
            elif person.credits and not _has_had_credits(connection, person):
                _give_credits(connection, person)
                report(f"{person.handle} gets {person.credits} credits")
        for author, books in SHELVES:
            for book in books[_number_of_stories(connection, author) :]:
                _publish(connection, author, book)
                report(f"{author.handle} published {book.title!r}, {len(book.chapters)} chapters")
        return DemoStory(_first_story(connection), CHAPTER_FOR_SALE, FIRST_BOOK.title)


def _is_here(connection: Connection, person: Person) -> bool:
    query = "select exists (select from app.profiles where id = %s)"
    return bool(_value(connection, query, person.id))


def _has_had_credits(connection: Connection, person: Person) -> bool:
    """Whether the demo's credits were given, be they spent or not: the record of it stays."""
    query = """
        select exists (
            select from app.audit_log
            where action = 'grant_credits' and subject = %s and details ->> 'reason' = %s)
        """
    return bool(_value(connection, query, str(person.id), _REASON))


def _number_of_stories(connection: Connection, author: Person) -> int:
    """How many stories an author has: the first ones are the books, renamed or not."""
    query = "select count(*) from app.stories where user_id = %s"
    return int(_value(connection, query, author.id))


def _first_story(connection: Connection) -> UUID:
    query = "select id from app.stories where user_id = %s order by created_at limit 1"
    return UUID(str(_value(connection, query, CREATOR.id)))


def _welcome(connection: Connection, person: Person) -> None:
    """Let a person sign in and introduce themselves; give them their credits and their office."""
    try:
        with connection.transaction():
            with _speaking_as(connection, person):
                connection.execute("select api.me()")
                connection.execute(
                    "select api.update_profile(handle => %s, display_name => %s, bio => %s)",
                    (person.handle, person.display_name, person.bio),
                )
            if person.credits:
                _give_credits(connection, person)
            if person.is_operator:
                connection.execute("insert into app.operators (user_id) values (%s)", (person.id,))
    except psycopg.Error as error:
        if error.sqlstate != _CONFLICT:
            raise
        raise StackError(
            f"the demo needs the handle {person.handle!r}, which belongs to somebody else: "
            "start without --demo, or with another database"
        ) from None


def _give_credits(connection: Connection, person: Person) -> None:
    connection.execute(
        "select app.grant_credits(%s, %s, %s, idempotency_key => %s)",
        (person.id, person.credits, _REASON, "demo-credits"),
    )


def _publish(connection: Connection, author: Person, book: Book) -> None:
    with connection.transaction(), _speaking_as(connection, author):
        story_id = _value(
            connection,
            "select api.create_story(%s, %s, %s, %s, %s)",
            book.title,
            book.description,
            book.genre,
            book.language,
            book.tags,
        )
        for chapter in book.chapters:
            connection.execute(
                "select api.save_chapter(%s, %s, %s, %s)",
                (story_id, chapter.number, chapter.title, chapter.content),
            )
        if book is SECOND_BOOK:
            connection.execute(
                "select api.set_story_authors(%s, %s, %s)",
                (story_id, [each.id for each in SPLIT], list(SPLIT.values())),
            )
        connection.execute("select api.publish_story(%s)", (story_id,))


@contextmanager
def _speaking_as(connection: Connection, person: Person) -> Iterator[None]:
    """Within a transaction: call as that person would through the API.

    The claims say who calls. The role stays the login's own, for a login that is no superuser may
    deploy and yet cannot become `authenticated`.
    """
    claims = Jsonb({"sub": str(person.id), "role": "authenticated"})
    connection.execute("select set_config('request.jwt.claims', %s::text, true)", (claims,))
    yield
    connection.execute("select set_config('request.jwt.claims', '', true)")


def _value(connection: Connection, query: str, *arguments: object) -> Any:
    row = connection.execute(query, arguments).fetchone()
    assert row is not None
    return row[0]
