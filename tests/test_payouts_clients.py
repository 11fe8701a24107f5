"""Payouts with the clients that people use: supabase-js, and postgrest for Python."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from postgrest import APIError, CountMethod, SyncPostgrestClient

from api.stack.postgres import EmbeddedPostgres
from tests.payouts import CENT, DOLLAR, Creator, Office, open_office
from tests.shop import Caller, claims

SCRIPT = Path(__file__).parent / "javascript" / "payouts.mjs"


@pytest.fixture
def office(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    with open_office(postgres_server, next(database_names), migrated_template) as office:
        yield office


def test_supabase_js(office: Office) -> None:
    creator, newcomer = office.creator(5000), office.somebody()
    newcomer.owe(50 * DOLLAR)
    secret = office.till.jwt_secret
    about = {
        "url": office.till.rest_url,
        "edge": office.till.edge_url,
        "creator": {"id": str(creator.id), "token": creator.rest.token},
        "newcomer": {"token": newcomer.rest.token},
        "service": {"token": office.service().token},
        "anonymousKey": jwt.encode(claims(sub=None, role="anon"), secret, "HS256"),
        "thisMonth": str(office.month()),
        "lastMonth": str(office.month(back=1)),
    }
    ran = subprocess.run(
        ["node", "--test", str(SCRIPT)],
        env=os.environ | {"SHOP": json.dumps(about)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# pass 6" in ran.stdout
    assert creator.figures() == (0, 50 * DOLLAR, 0)
    assert newcomer.figures() == (50 * DOLLAR, 0, 0)
    canceled, monthly = creator.payouts()
    office.send()
    office.check_paid_once(monthly["id"])
    assert office.transfers(canceled["id"]) == []


def client_of(office: Office, caller: Caller) -> SyncPostgrestClient:
    """A client signed in; the schema is named, for the client's own default is `public`."""
    client = SyncPostgrestClient(office.till.rest_url, schema="api")
    assert caller.token is not None
    client.auth(caller.token)
    return client


def refused(client: SyncPostgrestClient, function: str, **arguments: Any) -> APIError:
    with pytest.raises(APIError) as refusal:
        client.rpc(function, arguments).execute()
    return refusal.value


def test_postgrest_py(office: Office) -> None:
    creator, stranger = office.creator(5000), office.somebody()
    with (
        client_of(office, creator.rest) as mine,
        client_of(office, stranger.rest) as theirs,
        client_of(office, office.service()) as service,
    ):
        account: Any = mine.rpc("payout_account", {}, get=True).execute().data
        assert (account["state"], account["minimum_payout_cents"]) == ("ready", 1000)
        first = ask(mine, amount_usd="12.50", idempotency_key="once")
        assert ask(mine, amount_usd="12.50", idempotency_key="once") == first
        assert (first["amount_cents"], first["available_microdollars"]) == (1250, 3750 * CENT)

        poor = refused(mine, "request_payout", amount_usd=50)
        assert (poor.code, poor.hint) == ("PT422", "not_enough_available")
        assert poor.message == "You do not have that much available."
        assert "$37.50" in (poor.details or "")
        none = refused(theirs, "request_payout")
        assert (none.code, none.hint) == ("PT403", "payout_account_required")
        foreign = refused(theirs, "cancel_payout", payout_id=first["payout_id"])
        assert (foreign.code, foreign.hint) == ("PT404", "payout_not_found")
        assert refused(mine, "run_monthly_payouts", month="2026-01-01").code == "42501"

        rest = ask(mine)
        office.send()
        for payout in (first, rest):
            office.check_paid_once(payout["payout_id"])
        rows: Any = mine.from_("payouts").select("amount_cents,status").order("id").execute().data
        assert rows == [
            {"amount_cents": 1250, "status": "paid"},
            {"amount_cents": 3750, "status": "paid"},
        ]
        assert theirs.from_("payouts").select("*").execute().data == []
        seen: Any = service.from_("payouts").select("id", count=CountMethod.exact).execute()
        assert seen.count == 2
        check_statement(office, mine, creator)


def ask(client: SyncPostgrestClient, **arguments: Any) -> dict[str, Any]:
    answer: Any = client.rpc("request_payout", arguments).execute().data
    return dict(answer)


def check_statement(office: Office, client: SyncPostgrestClient, creator: Creator) -> None:
    month = {"month": str(office.month())}
    statement: Any = client.rpc("payout_statement", month, get=True).execute().data
    assert statement["closing_microdollars"] == creator.balance == 0
    assert statement["payouts_microdollars"] == -50 * DOLLAR
    listed: Any = client.from_("payout_statements").select("*").execute().data
    assert listed == [statement]
    table: Any = client.from_("payout_statements").select("*").csv().execute().data
    assert table.startswith("month,section,")
