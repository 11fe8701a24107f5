"""What people did in the first version, by the functions that it had.

Every kind of row that money made in that version is here, some of it folded and sealed and some
not: sales by chapter, bundle and unlock, alone and of two authors, at several rates; refunds in
parts; credits that lapsed, with and without having been swept; keys that were used.
"""

from collections.abc import Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

import psycopg

from api.stack.wait import wait_until
from tests.market import Connection, acting_as, value

LATER = "2126-01-01"  # so that what is spendable stays so, however old the dump grows
LAPSED_SECONDS = 30.0


def person(name: str) -> UUID:
    """Somebody of the history; the same in every dump."""
    return uuid5(NAMESPACE_URL, f"infinite-pages.test/{name}")


AUTHORS = [person(f"author {number}") for number in range(3)]
READERS = [person(f"reader {number}") for number in range(8)]
OPERATOR = person("operator")

# What a token of Supabase carries; one version wrote it into the audit log, a later one takes
# it out again.
PRIVATE_CLAIMS = '{"email": "operator@example.com", "phone": "+4912345"}'


def make_history(url: str) -> None:
    """Let the people of the first version live through everything it could do."""
    with psycopg.connect(url, autocommit=True) as owner:
        alone, together = _publish(owner)
        _give(owner)
        _sell(owner, alone, together)
        owner.execute("select ledger.fold()")
        owner.execute("select ledger.seal()")
        _sell_at_other_rates(owner, alone)
        owner.execute("select ledger.fold()")
        _take_back(owner)
        owner.execute("select ledger.seal()")
        _let_lapse(owner)
        # The last of it is neither folded nor sealed, and one lot has lapsed without anybody
        # having noticed: that is for the version that comes.
        _buy(owner, READERS[0], alone, "chapter", [8])
        owner.execute("select app.promote_creators()")


def _publish(owner: Connection) -> tuple[UUID, UUID]:
    first, second, _ = AUTHORS
    for author in AUTHORS:
        with acting_as(owner, author):
            owner.execute("select api.me()")
    stories = []
    for author, title in ((first, "Lamps"), (second, "Ledgers")):
        with acting_as(owner, author):
            story: UUID = value(owner, "select api.create_story(%s)", title)
            for number in range(1, 11):
                owner.execute(
                    "select api.save_chapter(%s, %s, %s, 'It was late, and it rained.')",
                    (story, number, f"Chapter {number}"),
                )
            owner.execute("select api.publish_story(%s)", (story,))
        stories.append(story)
    with acting_as(owner, second):
        owner.execute(
            "select api.set_story_authors(%s, %s, %s)", (stories[1], AUTHORS[1:], [6667, 3333])
        )
    return stories[0], stories[1]


def _give(owner: Connection) -> None:
    """Lots of every source: gifts by an operator, and credits that were paid for."""
    for number, reader in enumerate(READERS):
        with acting_as(owner, OPERATOR, "service_role"):
            owner.execute(
                "select set_config('request.jwt.claims', "
                "(current_setting('request.jwt.claims')::jsonb || %s::jsonb)::text, true)",
                (PRIVATE_CLAIMS,),
            )
            owner.execute(
                "select api.grant_credits(%s, 20, 'welcome', idempotency_key => %s)",
                (reader, f"welcome-{number}"),
            )
            owner.execute("select api.grant_credits(%s, 7, 'a prize', %s)", (reader, LATER))
        for credits, paid in ((100, 4_990_000), (10, 0)):
            owner.execute(
                "select ledger.lock_wallet(%s), ledger.grant_credits(%s, %s, %s, %s)",
                (reader, reader, credits, "purchase" if paid else "bonus", paid),
            )


def _sell(owner: Connection, alone: UUID, together: UUID) -> None:
    for number, reader in enumerate(READERS[:6]):
        _buy(owner, reader, alone, "chapter", [3], key=f"first-{number}")
        _buy(owner, reader, together, "chapter", [3, 4][: 1 + number % 2])
    _buy(owner, READERS[0], alone, "chapter", [3], key="first-0")  # asked again, answered again
    _buy(owner, READERS[1], alone, "bundle", None)
    _buy(owner, READERS[2], together, "bundle", [5, 6, 7])
    _buy(owner, READERS[3], together, "premium_unlock", None)


def _sell_at_other_rates(owner: Connection, alone: UUID) -> None:
    """The rates of a sale are its own, whatever becomes of the numbers afterwards."""
    for rates in (
        "story_creator_basis_points = 8000",
        "credit_value_microdollars = 33333",
        "earnings_mode = 'cash_value'",
    ):
        owner.execute(f"update app.economy set {rates}".encode())
        for reader in READERS[4:7]:
            number = 4 + value(
                owner, "select count(*) from app.story_purchases where user_id = %s", reader
            )
            _buy(owner, reader, alone, "chapter", [number])
    owner.execute(
        "update app.economy set story_creator_basis_points = 7000, "
        "credit_value_microdollars = 50000, earnings_mode = 'fixed'"
    )


def _take_back(owner: Connection) -> None:
    """In parts, one of them never finished; and the whole at once."""
    parts: list[tuple[UUID, Sequence[int | None]]] = [
        (READERS[1], [7, 5, None]),
        (READERS[2], [1, 3]),
        (READERS[4], [None]),
    ]
    for reader, steps in parts:
        purchase = value(
            owner,
            "select id from app.story_purchases where user_id = %s "
            "order by credits_spent desc, id limit 1",
            reader,
        )
        for credits in steps:
            with acting_as(owner, OPERATOR, "service_role"):
                owner.execute(
                    "select api.refund_story_purchase(%s, %s, 'did not like it', %s)",
                    (reader, purchase, credits),
                )


def _let_lapse(owner: Connection) -> None:
    def grant(reader: UUID) -> None:
        owner.execute(
            "select app.grant_credits(%s, 9, 'for today', clock_timestamp() + '1 second')",
            (reader,),
        )

    def lapsed() -> bool:
        return bool(
            value(
                owner,
                "select bool_and(expires_at < now() or expires_at >= %s) "
                "from ledger.lots where expires_at is not null",
                LATER,
            )
        )

    grant(READERS[6])
    assert wait_until(lapsed, seconds=LAPSED_SECONDS)
    assert value(owner, "select ledger.expire_lots()") > 0
    grant(READERS[7])
    assert wait_until(lapsed, seconds=LAPSED_SECONDS)


def _buy(
    owner: Connection,
    reader: UUID,
    story: UUID,
    kind: str,
    chapters: list[int] | None,
    *,
    key: str | None = None,
) -> None:
    with acting_as(owner, reader):
        owner.execute(
            "select api.purchase_story(%s, %s, %s, idempotency_key => %s)",
            (story, kind, chapters, key),
        )
