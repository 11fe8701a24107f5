"""Notices over HTTP: everybody their own, and nothing but reading them changes them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from postgrest import APIError, SyncPostgrestClient

from api.stack.supervisor import Stack
from tests.shop import Caller, Shop, open_shop, refusal

SHOWN = {"id", "kind", "subject", "body", "needs_action", "data", "created_at", "read_at"}
SHOWN |= {"emailed_at"}


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    with open_shop(stack) as shop:
        yield shop
        assert shop.market.owner.execute("select * from ledger.verify()").fetchall() == []


def tell(shop: Shop, user: UUID, key: str, kind: str = "refund_paid", amount: str = "$5.00") -> str:
    row = shop.market.owner.execute(
        "select app.notify(%s, %s, %s, jsonb_build_object('amount', %s::text))",
        (user, kind, f"{key} {user}", amount),
    ).fetchone()
    assert row is not None
    return str(row[0])


def with_email(shop: Shop, email: object, **more: object) -> Caller:
    """Somebody new whose token has an address."""
    user = shop.somebody().id
    return Caller(
        shop.anonymous().http, user, shop.with_claims(sub=str(user), email=email, **more).token
    )


def settings(caller: Caller) -> dict[str, Any]:
    answer = caller.get("/notice_settings")
    assert answer.status_code == 200, answer.text
    (row,) = answer.json()
    found: dict[str, Any] = row
    return found


def client_of(stack: Stack, caller: Caller) -> SyncPostgrestClient:
    client = SyncPostgrestClient(stack.rest_url, schema="api")
    if caller.token is not None:
        client.auth(caller.token)
    return client


def test_a_client_reads_its_notices(stack: Stack, shop: Shop) -> None:
    reader = shop.somebody()
    first = tell(shop, reader.id, "first")
    second = tell(shop, reader.id, "second", "dispute_opened")
    with client_of(stack, reader) as client:
        rows: Any = client.from_("notices").select("*").order("id", desc=True).execute().data
        assert [row["id"] for row in rows] == [second, first]
        assert rows[0].keys() == SHOWN
        assert rows[1]["subject"] == "Your refund of $5.00"
        assert rows[1]["data"] == {"amount": "$5.00"}
        assert (rows[0]["needs_action"], rows[0]["read_at"], rows[0]["emailed_at"]) == (
            True,
            None,
            None,
        )
        count: Any = client.rpc("count_unread_notices", {}, get=True).execute().data
        assert count == {"unread": 2, "needing_action": 1}
        assert client.rpc("mark_notices_read", {"up_to": first}).execute().data == 1
        unread: Any = client.from_("notices").select("id").is_("read_at", "null").execute().data
        assert unread == [{"id": second}]
        assert client.rpc("mark_notices_read", {}).execute().data == 1
        assert client.rpc("mark_notices_read", {}).execute().data == 0


def test_nobody_sees_what_others_are_told(stack: Stack, shop: Shop) -> None:
    ann, bob = shop.somebody(), shop.somebody()
    told = tell(shop, ann.id, "one")
    assert bob.get("/notices").json() == []
    assert bob.get(f"/notices?id=eq.{told}").json() == []
    assert bob.call("mark_notices_read", {"up_to": told}).json() == 0
    assert bob.call("mark_notices_read").json() == 0
    assert bob.get("/rpc/count_unread_notices").json() == {"unread": 0, "needing_action": 0}
    (notice,) = ann.get("/notices").json()
    assert notice["read_at"] is None
    assert [row["user_id"] for row in bob.get("/notice_settings").json()] == [str(bob.id)]

    assert shop.anonymous().get("/notices").status_code == 401
    assert shop.operator().get("/notices").status_code == 403
    assert shop.operator().get("/notice_settings").status_code == 403
    nameless = shop.with_claims(sub=None)
    assert nameless.get("/notices").json() == []
    for function in ("mark_notices_read", "count_unread_notices"):
        assert refusal(nameless.call(function), 401)["hint"] == "login_required"
    answer = nameless.call("update_notice_settings", {"by_email": True})
    assert refusal(answer, 401)["hint"] == "login_required"


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
@pytest.mark.parametrize("view", ["notices", "notice_settings"])
def test_what_was_told_is_not_written(shop: Shop, method: str, view: str) -> None:
    ann = with_email(shop, "ann@example.com")
    ann.call("me")
    tell(shop, ann.id, "one")
    before = ann.get("/notices").json()
    column = {"notices": "read_at", "notice_settings": "by_email"}[view]
    body = f'{{"{column}": null}}'.encode()
    answer = ann.request(method, f"/{view}?id=neq.{ann.id}", None if method == "DELETE" else body)
    if view == "notice_settings":
        answer = ann.request(
            method, f"/{view}?user_id=eq.{ann.id}", None if method == "DELETE" else body
        )
    assert 400 <= answer.status_code < 500, answer.text
    if method in ("PATCH", "DELETE"):
        assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    assert ann.get("/notices").json() == before
    assert settings(ann)["email"] == "ann@example.com"


def test_a_client_is_refused_in_words(stack: Stack, shop: Shop) -> None:
    with client_of(stack, shop.somebody()) as client, pytest.raises(APIError) as refused:
        client.from_("notices").delete().neq("kind", "x").execute()
    assert refused.value.code == "42501"
    assert "permission denied for view notices" in (refused.value.message or "")


def test_the_address_comes_with_the_token(shop: Shop) -> None:
    ann = with_email(shop, "ann@example.com")
    assert settings(ann) == {
        "user_id": str(ann.id),
        "email": None,
        "by_email": True,
        "updated_at": None,
    }
    assert ann.call("me").status_code == 200
    assert settings(ann)["email"] == "ann@example.com"
    # Without an address the old one stays; another takes its place.
    assert shop.caller(ann.id).call("me").status_code == 200
    assert settings(ann)["email"] == "ann@example.com"
    moved = shop.with_claims(sub=str(ann.id), email="ann@example.org")
    assert moved.call("me").status_code == 200
    assert settings(ann)["email"] == "ann@example.org"


@pytest.mark.parametrize(
    "email",
    ["nobody", "", 7, {"a@b.example": 1}, ["a@b.example"], True, "a@b.example\r\nBcc: c@d.example",
     "a@b.example, c@d.example", "x" * 250 + "@b.example", "\u0001a@b.example"],
)  # fmt: skip
def test_what_is_no_address_does_no_harm(shop: Shop, email: object) -> None:
    odd = with_email(shop, email)
    assert odd.call("me").status_code == 200
    assert settings(odd)["email"] is None


def test_an_address_that_is_not_verified_is_not_taken(shop: Shop) -> None:
    assert with_email(shop, "a@b.example", email_verified=True).call("me").status_code == 200
    eve = with_email(shop, "a@b.example", email_verified=False)
    assert eve.call("me").status_code == 200
    assert settings(eve)["email"] is None


def test_people_choose_whether_they_get_mail(shop: Shop) -> None:
    ann = with_email(shop, "ann@example.com")
    assert ann.call("update_notice_settings", {"by_email": False}).json() is False
    assert settings(ann)["by_email"] is False
    assert settings(ann)["email"] == "ann@example.com"
    assert ann.call("update_notice_settings", {"by_email": None}).json() is False
    quiet = tell(shop, ann.id, "quiet")
    assert ann.call("update_notice_settings", {"by_email": True}).json() is True
    loud = tell(shop, ann.id, "loud")
    states = dict(
        shop.market.owner.execute(
            "select id::text, email_state from app.notices where user_id = %s", (ann.id,)
        ).fetchall()
    )
    assert states == {quiet: "none", loud: "pending"}
    answer = ann.call("update_notice_settings", {"by_email": "perhaps"})
    assert answer.status_code == 400
    assert ann.call("update_notice_settings").status_code == 404
    assert settings(ann)["by_email"] is True


@pytest.mark.parametrize("up_to", ["x", 7, {}, "' or true --"])
def test_a_wrong_id_is_refused(shop: Shop, up_to: object) -> None:
    ann = shop.somebody()
    tell(shop, ann.id, "one")
    answer = ann.call("mark_notices_read", {"up_to": up_to})
    assert answer.status_code == 400
    assert ann.get("/rpc/count_unread_notices").json()["unread"] == 1
