"""Real clients: postgrest (Python) here, supabase-js and postgrest-js in tests/javascript."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgrest import APIError, SyncPostgrestClient

from api.stack.supervisor import Stack
from tests.market import EARNED, PRICE
from tests.shop import Caller, Shop, open_shop

SCRIPTS = sorted((Path(__file__).parent / "javascript").glob("*.test.mjs"))


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with open_shop(stack) as shop:
        yield shop


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_javascript_client(stack: Stack, shop: Shop, script: Path) -> None:
    reader, stranger = shop.somebody(credits=20), shop.somebody(credits=3)
    about = {
        "url": stack.rest_url,
        "story": shop.story,
        "reader": {"id": str(reader.id), "token": reader.token},
        "stranger": {"id": str(stranger.id), "token": stranger.token},
        "operator": {"token": shop.operator().token},
        "anonymousKey": shop.with_claims(sub=None, role="anon").token,
    }
    ran = subprocess.run(
        ["node", "--test", str(script)],
        env=os.environ | {"SHOP": json.dumps(about)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# pass 0" not in ran.stdout
    # Each script buys chapter 3 and a bundle of 4 and 5 as the reader, and nothing else.
    assert shop.market.balance(reader.id) == 20 - PRICE - 9
    assert shop.market.balance(stranger.id) == 3


@pytest.fixture
def clients(stack: Stack, shop: Shop) -> Iterator[tuple[SyncPostgrestClient, SyncPostgrestClient]]:
    """A reader and a stranger."""
    with (
        client_of(stack, shop.somebody(credits=20)) as reader,
        client_of(stack, shop.somebody(credits=3)) as stranger,
    ):
        yield reader, stranger


def client_of(stack: Stack, caller: Caller) -> SyncPostgrestClient:
    """A client signed in; the schema is named, for the client's own default is `public`."""
    client = SyncPostgrestClient(stack.rest_url, schema="api")
    if caller.token is not None:
        client.auth(caller.token)
    return client


def refused(client: SyncPostgrestClient, function: str, arguments: dict[str, Any]) -> APIError:
    with pytest.raises(APIError) as refusal:
        client.rpc(function, arguments).execute()
    return refusal.value


def test_python_client_buys_and_reads(
    stack: Stack, shop: Shop, clients: tuple[SyncPostgrestClient, SyncPostgrestClient]
) -> None:
    reader, stranger = clients
    packages = reader.from_("credit_packages").select("name,price_usd").gt("sort_order", 0)
    assert packages.order("sort_order").limit(1).execute().data == [
        {"name": "Starter Pack", "price_usd": 4.99}
    ]
    me: Any = reader.rpc("me", {}).execute().data
    assert me["credits_balance"] == 20

    quote: Any = reader.rpc("quote_story", shop.chapter(3), get=True).execute().data
    assert (quote["cost"], quote["can_afford"]) == (PRICE, True)
    keyed = shop.chapter(3, max_credits=quote["cost"], idempotency_key="once")
    bought: Any = reader.rpc("purchase_story", keyed).execute().data
    assert (bought["credits_spent"], bought["balance"]) == (PRICE, 15)
    assert reader.rpc("purchase_story", keyed).execute().data == bought

    chapter: dict[str, Any] = {"story_id": shop.story, "chapter_number": 3}
    read: Any = reader.rpc("read_chapter", chapter).execute().data
    assert read["content"] == "Some words."

    statement = reader.from_("credit_transactions").select("amount,balance_after").order("id")
    assert statement.execute().data == [
        {"amount": 20, "balance_after": 20},
        {"amount": -PRICE, "balance_after": 15},
    ]
    theirs = stranger.from_("credit_transactions").select("*").eq("user_id", me["id"]).execute()
    assert theirs.data == []
    with client_of(stack, shop.creator()) as creator:
        earned: Any = creator.rpc("earnings_summary", {}).execute().data
        assert earned["balance_microdollars"] == EARNED


def test_python_client_sees_code_message_and_hint(
    stack: Stack, shop: Shop, clients: tuple[SyncPostgrestClient, SyncPostgrestClient]
) -> None:
    reader, stranger = clients
    reader.rpc("purchase_story", shop.chapter(3, idempotency_key="once")).execute()
    poor = refused(stranger, "purchase_story", shop.chapter(3))
    assert (poor.code, poor.message, poor.details, poor.hint) == (
        "PT402",
        "Not enough credits.",
        "This costs 5 credits; you have 3.",
        "insufficient_credits",
    )
    dear = refused(reader, "purchase_story", shop.chapter(4, max_credits=1))
    assert (dear.code, dear.hint) == ("PT409", "price_changed")
    other = refused(reader, "purchase_story", shop.chapter(4, idempotency_key="once"))
    assert (other.code, other.hint) == ("PT409", "idempotency_mismatch")
    small = refused(reader, "purchase_story", shop.chapter(4, purchase_type="bundle"))
    assert (small.code, small.hint) == ("PT422", "bundle_too_small")
    missing = refused(reader, "read_chapter", {"story_id": shop.story, "chapter_number": 99})
    assert (missing.code, missing.hint) == ("PT404", "chapter_not_found")
    forbidden = refused(
        reader, "grant_credits", {"user_id": shop.story, "credits": 1, "reason": "x"}
    )
    assert forbidden.code == "42501"
    with client_of(stack, shop.anonymous()) as anonymous:
        assert refused(anonymous, "purchase_story", shop.chapter(3)).code == "42501"
        free: dict[str, Any] = {"story_id": shop.story, "chapter_number": 1}
        read: Any = anonymous.rpc("read_chapter", free).execute().data
        assert read["access"] == "free"
