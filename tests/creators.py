"""Creators with something to be paid, made in the database without a sale or a page of Stripe's."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg

Connection = psycopg.Connection[Any]
CENT = 10_000  # micro-dollars
LAST_ID = UUID(int=2**128 - 1)  # whoever has it comes last in a batch


@dataclass(frozen=True)
class Earner:
    """A creator, by handle and by id."""

    id: UUID
    handle: str


def new_earner(
    owner: Connection, cents: float, *, is_ready: bool = True, account: str | None = None
) -> Earner:
    """Somebody whose balance is so much, with an account at Stripe that can be paid, or without."""
    earner = Earner(uuid4(), f"earner_{uuid4().hex[:12]}")
    owner.execute("select app.ensure_profile(%s)", (earner.id,))
    owner.execute("update app.profiles set handle = %s where id = %s", (earner.handle, earner.id))
    if cents:
        owner.execute(
            "select app.adjust_earnings(%s, %s, 'for a test', null)",
            (earner.id, round(cents * CENT)),
        )
    if is_ready:
        owner.execute(
            "insert into app.payout_accounts (user_id, is_live, stripe_account_id, country,"
            " details_submitted, payouts_enabled, transfers_status, read_at)"
            " values (%s, false, %s, 'US', true, true, 'active', now())",
            (earner.id, account or f"acct_{earner.id.hex}"),
        )
    return earner


def close_from_the_first_day(owner: Connection) -> None:
    """Whatever day it is, the last month is due: somebody had earned something in it."""
    owner.execute("update app.economy set payout_day = 1")
    owner.execute("select app.ensure_profile(%s)", (LAST_ID,))
    for cents in (1, -1):
        owner.execute(
            "select app.adjust_earnings(%s, %s, 'for a test', null)", (LAST_ID, cents * CENT)
        )
    with owner.transaction():
        owner.execute("set local session_replication_role = 'replica'")
        owner.execute(
            "update ledger.transfers set created_at = date_trunc('month', now()) - interval '1 day'"
            " where book_id = %s",
            (LAST_ID,),
        )
