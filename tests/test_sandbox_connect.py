"""Connected accounts: made, set up on the page, stopped, lost; by the official client."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import stripe

from api.stack.wait import wait_until
from tests.sandboxes import SECRET, Receiver, Shop, open_shop, receiving, refusal

SECONDS = 10.0
CONTROLLER = {
    "stripe_dashboard": {"type": "express"},
    "fees": {"payer": "application"},
    "losses": {"payments": "application"},
    "requirement_collection": "stripe",
}
ACCOUNT: dict[str, Any] = {
    "controller": CONTROLLER,
    "capabilities": {"transfers": {"requested": True}},
    "country": "US",
    "email": "ada@example.com",
    "business_type": "individual",
    "metadata": {"user_id": "u1", "request_id": "r1"},
}
LINK = {
    "type": "account_onboarding",
    "refresh_url": "http://shop.test/refresh",
    "return_url": "http://shop.test/return",
}
DOCUMENT = "individual.verification.document"
FILLED_IN = {
    "first_name": "Ada",
    "last_name": "Writer",
    "country": "US",
    "account_number": "000123456789",
    "routing_number": "110000000",
    "button": "everything",
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


@pytest.fixture
def endpoint() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def told(endpoint: Receiver) -> Iterator[Shop]:
    """A shop whose Connect events arrive at the endpoint, one after the other, when released."""
    options: dict[str, Any] = {
        "connect_webhook_url": endpoint.url,
        "connect_webhook_secrets": [SECRET],
    }
    with open_shop(**options) as shop:
        shop.control("/webhooks/mode", {"mode": "hold"})
        yield shop


def made(shop: Shop, **changes: Any) -> Any:
    return shop.api.accounts.create({**ACCOUNT, **changes})


def page_of(shop: Shop, account: Any) -> str:
    """The path of a new page for an account, not yet visited."""
    url: str = shop.api.account_links.create({**LINK, "account": account.id}).url
    assert url.startswith(f"{shop.sandbox.url}/connect/")
    return url.removeprefix(shop.sandbox.url)


def submit(shop: Shop, account: Any, **fields: str) -> requests.Response:
    path = page_of(shop, account)
    assert shop.raw("GET", path).status_code == 200
    return shop.raw("POST", path, data={**FILLED_IN, **fields})


def account_events(shop: Shop, account: str) -> list[str]:
    """What happened to an account, the oldest first."""
    options: Any = {"stripe_account": account}
    events = shop.api.events.list({"limit": 100}, options).data
    return [event.type for event in events][::-1]


def test_a_new_account_can_do_nothing_and_says_what_it_lacks(shared: Shop) -> None:
    account = made(shared)
    assert re.fullmatch(r"acct_\w{16}", account.id)
    assert (account.object, account.type, account.email) == ("account", "none", "ada@example.com")
    assert account.controller.to_dict() == {
        **CONTROLLER,
        "is_controller": True,
        "type": "application",
    }
    assert account.capabilities.to_dict() == {"transfers": "inactive"}
    assert (account.charges_enabled, account.payouts_enabled) == (False, False)
    assert (account.details_submitted, account.country) == (False, "US")
    assert account.default_currency == "usd"
    assert account.metadata.to_dict() == {"user_id": "u1", "request_id": "r1"}
    assert account.external_accounts.data == []
    due = account.requirements.currently_due
    assert {"external_account", "individual.first_name", "tos_acceptance.date"} <= set(due)
    assert account.requirements.past_due == due
    assert account.requirements.disabled_reason == "requirements.past_due"
    assert "livemode" not in account
    assert not any(name.startswith("_") for name in account.to_dict())
    assert shared.api.accounts.retrieve(account.id).to_dict() == account.to_dict()


def test_what_is_told_beforehand_is_not_asked_again(shared: Shop) -> None:
    nobody = made(shared, business_type="", country="DE")
    assert "business_type" in nobody.requirements.currently_due
    assert "representative.first_name" in nobody.requirements.currently_due
    assert nobody.default_currency == "eur"
    known = made(
        shared,
        business_profile={"product_description": "Stories", "url": "http://ada.test"},
        individual={"first_name": "Ada", "dob": {"day": 1, "month": 2, "year": 1980}},
    )
    due = known.requirements.currently_due
    assert "individual.last_name" in due
    assert not {"business_profile.url", "individual.first_name", "individual.dob.day"} & set(due)
    shared.api.accounts.update(nobody.id, {"business_type": "individual"})
    later = shared.api.accounts.retrieve(nobody.id)
    assert "individual.first_name" in later.requirements.currently_due
    assert "business_type" not in later.requirements.currently_due


def test_a_change_of_an_account(shop: Shop) -> None:
    account = made(shop)
    changed = shop.api.accounts.update(
        account.id,
        {
            "email": "new@example.com",
            "metadata": {"more": "x"},
            "business_profile": {"product_description": "Stories"},
        },
    )
    assert changed.email == "new@example.com"
    assert changed.metadata.to_dict() == {"user_id": "u1", "request_id": "r1", "more": "x"}
    assert changed.business_profile.product_description == "Stories"
    assert "business_profile.url" not in changed.requirements.currently_due
    assert account_events(shop, account.id) == ["capability.updated", "account.updated"]
    shop.api.accounts.update(account.id, {"email": "new@example.com"})
    assert len(account_events(shop, account.id)) == 2
    assert shop.event_types() == []  # the platform's own list has none of an account's


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"type": "express"}, "type"),
        ({"controller": {**CONTROLLER, "fees": {"payer": "account"}}}, "controller"),
        ({"controller": {"stripe_dashboard": {"type": "express"}}}, "controller"),
        ({"controller": {**CONTROLLER, "requirement_collection": "application"}}, "controller"),
        ({"controller": {"surprise": "x"}}, "controller[surprise]"),
        ({"country": "XX"}, "country"),
        ({"capabilities": {"flying": {"requested": True}}}, "capabilities[flying]"),
        ({"business_type": "circus"}, "business_type"),
    ],
)
def test_accounts_that_stripe_does_not_open(
    shared: Shop, changes: dict[str, Any], param: str
) -> None:
    error = refusal(shared.api.accounts.create, {**ACCOUNT, **changes})
    assert (error.http_status, error.param) == (400, param)


def test_the_older_types_of_accounts(shared: Shop) -> None:
    kinds = {}
    for kind in ("custom", "express", "standard"):
        account = shared.api.accounts.create({"type": kind})
        kinds[account.type] = account.controller.stripe_dashboard.type
    assert kinds == {"custom": "none", "express": "express", "standard": "full"}


def test_accounts_are_listed_without_those_that_are_gone(shop: Shop) -> None:
    first, second, third, fourth = (made(shop) for _ in range(4))
    listed = shop.api.accounts.list
    assert [each.id for each in listed().data] == [fourth.id, third.id, second.id, first.id]
    since = {"created": {"gte": first.created}, "limit": 2}
    assert [each.id for each in listed(since).auto_paging_iter()][-1] == first.id
    assert listed({"created": {"gt": fourth.created + 60}}).data == []
    assert shop.api.accounts.delete(second.id).to_dict() == {
        "id": second.id,
        "object": "account",
        "deleted": True,
    }
    shop.control(f"/accounts/{third.id}/deauthorize")
    assert [each.id for each in listed().data] == [fourth.id, first.id]


@pytest.mark.parametrize("way", ["unknown", "deleted", "deauthorized"])
def test_an_account_that_is_not_ours_is_refused_in_one_way(shared: Shop, way: str) -> None:
    account = made(shared).id
    if way == "unknown":
        account = "acct_nobody"
    elif way == "deleted":
        shared.api.accounts.delete(account)
    else:
        shared.control(f"/accounts/{account}/deauthorize")
    api = shared.api
    on_behalf: Any = {"stripe_account": account}
    for error in (
        refusal(api.accounts.retrieve, account),
        refusal(api.accounts.update, account, {"email": "x@example.com"}),
        refusal(api.accounts.delete, account),
        refusal(api.accounts.login_links.create, account),
        refusal(api.account_links.create, {**LINK, "account": account}),
        refusal(api.balance.retrieve, {}, on_behalf),
    ):
        assert isinstance(error, stripe.PermissionError)
        assert error.error is not None
        assert (error.http_status, error.error.code) == (403, "account_invalid")
    assert shared.raw("POST", f"/_sandbox/accounts/{account}/complete").status_code == 403


def test_only_some_calls_are_made_on_behalf_of_an_account(shared: Shop) -> None:
    account = made(shared).id
    on_behalf: Any = {"stripe_account": account}
    assert refusal(shared.api.customers.create, {}, on_behalf).http_status == 400
    assert shared.api.balance.retrieve({}, on_behalf).available[0].amount == 0
    assert shared.api.balance_transactions.list({}, on_behalf).data == []
    assert shared.api.payouts.list({}, on_behalf).data == []


def test_somebody_submits_everything(told: Shop, endpoint: Receiver) -> None:
    account = made(told)
    path = page_of(told, account)
    page = told.raw("GET", path)
    assert page.status_code == 200
    for expected in (
        "Set up your payouts",
        "No money moves",
        'value="000123456789"',
        "Submit everything",
        "Submit without an identity document",
        "Save for later",
        "individual.first_name",
    ):
        assert expected in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"sk_test|whsec_|<script", page.text)
    done = told.raw("POST", path, data=FILLED_IN)
    assert (done.status_code, done.headers["Location"]) == (303, LINK["return_url"])

    ready = told.api.accounts.retrieve(account.id)
    assert ready.capabilities.to_dict() == {"transfers": "active"}
    assert (ready.payouts_enabled, ready.details_submitted) == (True, True)
    assert ready.requirements.currently_due == ready.requirements.past_due == []
    assert ready.requirements.disabled_reason is None
    assert ready.tos_acceptance.date is not None
    bank = ready.external_accounts.data[0]
    assert (bank.object, bank.last4, bank.account_holder_name) == (
        "bank_account",
        "6789",
        "Ada Writer",
    )
    listed = told.api.accounts.external_accounts.list(account.id).data
    assert [each.id for each in listed] == [bank.id]

    told.control("/webhooks/release")
    assert endpoint.types == account_events(told, account.id)
    assert endpoint.types == [
        "account.external_account.created",
        "capability.updated",
        "account.updated",
        "capability.updated",
        "account.updated",
    ]
    assert {event.account for event in endpoint.events} == {account.id}
    capability, update = endpoint.events[-2:]
    assert capability.data.object["id"] == "transfers"
    assert capability.data.object["account"] == account.id
    assert capability.data.object["status"] == "active"
    assert update.data.object["id"] == account.id
    assert update.data.object["payouts_enabled"] is True
    assert update.data.previous_attributes is not None
    assert update.data.previous_attributes["details_submitted"] is False


def test_somebody_has_no_identity_document_at_hand(shop: Shop) -> None:
    account = made(shop)
    assert submit(shop, account, button="without_document").status_code == 303
    lacking = shop.api.accounts.retrieve(account.id)
    assert lacking.requirements.currently_due == [DOCUMENT]
    assert (lacking.details_submitted, lacking.payouts_enabled) == (True, False)
    assert lacking.capabilities.transfers == "inactive"
    assert lacking.requirements.disabled_reason == "requirements.past_due"
    assert submit(shop, account).headers["Location"] == LINK["return_url"]
    assert shop.api.accounts.retrieve(account.id).capabilities.transfers == "active"


def test_somebody_saves_and_goes_on_later(shop: Shop) -> None:
    account = made(shop)
    fields = {"button": "save", "account_number": "", "routing_number": "x"}
    saved = submit(shop, account, **fields)
    assert (saved.status_code, saved.headers["Location"]) == (303, LINK["return_url"])
    begun = shop.api.accounts.retrieve(account.id)
    assert begun.details_submitted is False
    assert "individual.first_name" not in begun.requirements.currently_due
    assert "external_account" in begun.requirements.currently_due
    assert begun.capabilities.transfers == "inactive"


def test_somebody_lives_elsewhere(shop: Shop) -> None:
    account = made(shop, country="US")
    fields = {"country": "DE", "account_number": "DE89 3704 0044 0532 0130 00"}
    assert submit(shop, account, **fields, routing_number="").status_code == 303
    moved = shop.api.accounts.retrieve(account.id)
    assert (moved.country, moved.default_currency) == ("DE", "eur")
    bank = moved.external_accounts.data[0]
    assert (bank.country, bank.currency, bank.last4, bank.routing_number) == (
        "DE",
        "eur",
        "3000",
        None,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", " "),
        ("last_name", "x" * 101),
        ("country", "XX"),
        ("account_number", "12"),
        ("routing_number", "123"),
    ],
)
def test_a_field_that_is_not_filled_in_right(shop: Shop, field: str, value: str) -> None:
    account = made(shop)
    path = page_of(shop, account)
    assert shop.raw("GET", path).status_code == 200
    refused = shop.raw("POST", path, data={**FILLED_IN, field: value})
    assert refused.status_code == 422
    assert f'id="{field}-wrong"' in refused.text
    assert 'aria-invalid="true"' in refused.text
    assert account_events(shop, account.id) == []
    again = shop.raw("POST", path, data=FILLED_IN)
    assert again.headers["Location"] == LINK["return_url"]


def test_every_field_has_a_label_and_ids_are_unique(shop: Shop) -> None:
    path = page_of(shop, made(shop))
    right = shop.raw("GET", path)
    wrong = shop.raw("POST", path, data={"button": "everything"})
    for page in (right, wrong):
        ids = re.findall(r'\bid="([^"]+)"', page.text)
        assert len(ids) == len(set(ids))
        labelled = set(re.findall(r'<label for="([^"]+)"', page.text))
        assert labelled == set(re.findall(r'<(?:input|select) id="([^"]+)"', page.text))
        described = re.findall(r'aria-(?:describedby|labelledby)="([^"]+)"', page.text)
        assert set(described) <= set(ids)
    assert wrong.status_code == 422
    assert 'role="alert"' in wrong.text


def test_a_link_opens_once(shop: Shop) -> None:
    account = made(shop)
    path = page_of(shop, account)
    for _ in range(2):  # whoever only asks whether the page is there does not use it up
        assert shop.raw("HEAD", path).status_code == 200
    unopened = shop.raw("POST", path, data=FILLED_IN)
    assert unopened.headers["Location"] == LINK["refresh_url"]
    assert shop.raw("GET", path).status_code == 200
    second = shop.raw("GET", path)
    assert (second.status_code, second.headers["Location"]) == (303, LINK["refresh_url"])
    assert shop.raw("POST", path, data=FILLED_IN).headers["Location"] == LINK["return_url"]
    assert shop.raw("POST", path, data=FILLED_IN).headers["Location"] == LINK["refresh_url"]
    assert shop.raw("GET", "/connect/alink_no").status_code == 404


def test_a_link_expires(shop: Shop) -> None:
    account = made(shop)
    link = shop.api.account_links.create({**LINK, "account": account.id})
    assert link.object == "account_link"
    assert link.expires_at - link.created == 300
    assert "id" not in link
    opened, unopened = (page_of(shop, account) for _ in range(2))
    shop.raw("GET", opened)
    shop.control("/clock", {"advance_seconds": 301})
    late = shop.raw("GET", unopened)
    assert (late.status_code, late.headers["Location"]) == (303, LINK["refresh_url"])
    assert shop.raw("POST", opened, data=FILLED_IN).headers["Location"] == LINK["return_url"]
    forgotten = page_of(shop, account)
    shop.raw("GET", forgotten)
    shop.control("/clock", {"advance_seconds": 3601})
    late = shop.raw("POST", forgotten, data=FILLED_IN)
    assert late.headers["Location"] == LINK["refresh_url"]
    shop.control(f"/accounts/{account.id}/deauthorize")
    assert shop.raw("GET", forgotten).status_code == 404


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"account": ""}, "account"),
        ({"refresh_url": "shop.test"}, "refresh_url"),
        ({"return_url": ""}, "return_url"),
        ({"type": "account_update"}, "type"),
    ],
)
def test_links_that_are_refused(shared: Shop, changes: dict[str, str], param: str) -> None:
    link = {**LINK, "account": made(shared).id, **changes}
    error = refusal(shared.api.account_links.create, link)
    assert (error.http_status, error.param) == (400, param)


def test_what_people_write_stays_text_and_out_of_the_log(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    path = page_of(shop, made(shop, email="<b>@example.com"))
    shop.raw("GET", path)
    page = shop.raw("POST", path, data={**FILLED_IN, "first_name": "<i>", "country": "no"})
    assert "&lt;i&gt;" in page.text
    assert "<i>" not in page.text
    dashboard = shop.raw("GET", "/")
    assert "&lt;b&gt;@example.com" in dashboard.text
    logged = [each.getMessage() for each in caplog.records if each.name.startswith("api.")]
    assert "POST /connect/alink_... 422" in logged
    assert path not in " ".join(logged)
    assert "000123456789" not in caplog.text


def test_the_control_sets_up_an_account_in_one_go(shop: Shop) -> None:
    account = made(shop)
    complete = f"/accounts/{account.id}/complete"
    waiting = shop.control(complete, {"verifies": [DOCUMENT]})
    assert waiting["capabilities"] == {"transfers": "pending"}
    assert waiting["requirements"]["pending_verification"] == [DOCUMENT]
    assert waiting["requirements"]["disabled_reason"] == "requirements.pending_verification"
    assert (waiting["details_submitted"], waiting["payouts_enabled"]) == (True, False)
    lacking = shop.control(complete, {"lacks": [DOCUMENT]})
    assert lacking["requirements"]["currently_due"] == [DOCUMENT]
    ready = shop.control(complete)
    assert ready["capabilities"] == {"transfers": "active"}
    assert ready["payouts_enabled"] is True
    assert len(ready["external_accounts"]["data"]) == 1
    before = len(account_events(shop, account.id))
    again = shop.control(complete)
    assert again["payouts_enabled"] is True
    assert len(account_events(shop, account.id)) - before <= 1


def test_more_is_asked_for_in_two_weeks_or_at_once(shop: Shop) -> None:
    account = made(shop)
    shop.control(f"/accounts/{account.id}/complete")
    require = f"/accounts/{account.id}/require"
    warned = shop.control(require, {"fields": [DOCUMENT]})
    assert warned["requirements"]["currently_due"] == [DOCUMENT]
    assert warned["requirements"]["past_due"] == []
    assert warned["requirements"]["current_deadline"] > account.created
    assert warned["capabilities"] == {"transfers": "active"}
    shop.control("/clock", {"advance_seconds": 14 * 24 * 3600})
    late = shop.api.accounts.retrieve(account.id)
    assert late.requirements.past_due == [DOCUMENT]
    assert (late.capabilities.transfers, late.payouts_enabled) == ("inactive", False)
    assert account_events(shop, account.id)[-2:] == ["capability.updated", "account.updated"]

    shop.control(f"/accounts/{account.id}/complete")
    fields = {"fields": ["individual.id_number"], "past_due": True}
    blocked = shop.control(require, fields)
    assert blocked["requirements"]["past_due"] == ["individual.id_number"]
    assert blocked["capabilities"] == {"transfers": "inactive"}
    assert shop.raw("POST", f"/_sandbox{require}").status_code == 400


@pytest.mark.parametrize(
    ("given", "reason"), [({}, "under_review"), ({"reason": "rejected.other"}, "rejected.other")]
)
def test_stripe_stops_an_account(shop: Shop, given: dict[str, str], reason: str) -> None:
    account = made(shop)
    shop.control(f"/accounts/{account.id}/complete")
    stopped = shop.control(f"/accounts/{account.id}/disable", given)
    assert stopped["requirements"]["disabled_reason"] == reason
    assert stopped["capabilities"] == {"transfers": "inactive"}
    assert stopped["payouts_enabled"] is False
    shop.control(f"/accounts/{account.id}/complete")
    assert shop.api.accounts.retrieve(account.id).payouts_enabled is True


def test_the_platform_rejects_an_account(shop: Shop) -> None:
    account = made(shop)
    shop.control(f"/accounts/{account.id}/complete")
    assert refusal(shop.api.accounts.reject, account.id, {"reason": "boring"}).param == "reason"
    rejected = shop.api.accounts.reject(account.id, {"reason": "fraud_other"})
    assert rejected.requirements.disabled_reason == "rejected.fraud"
    assert rejected.capabilities.transfers == "inactive"


def test_an_account_is_disconnected(told: Shop, endpoint: Receiver) -> None:
    account = made(told)
    told.control(f"/accounts/{account.id}/deauthorize")
    told.control("/webhooks/release")
    (event,) = endpoint.events
    assert (event.type, event.account) == ("account.application.deauthorized", account.id)
    assert event.data.object["object"] == "application"


def test_capabilities_one_by_one(shop: Shop) -> None:
    account = made(shop, capabilities={})
    api = shop.api.accounts.capabilities
    assert account.capabilities.to_dict() == {}
    assert api.list(account.id).data == []
    assert api.retrieve(account.id, "transfers").status == "unrequested"
    shop.control(f"/accounts/{account.id}/complete")
    asked = api.update(account.id, "transfers", {"requested": True})
    assert (asked.id, asked.object, asked.account) == ("transfers", "capability", account.id)
    assert (asked.status, asked.requested) == ("active", True)
    assert [each.id for each in api.list(account.id).data] == ["transfers"]
    assert api.update(account.id, "transfers", {"requested": False}).status == "unrequested"
    assert shop.api.accounts.retrieve(account.id).capabilities.to_dict() == {}
    assert refusal(api.retrieve, account.id, "flying").http_status == 404


def test_a_login_link_leads_to_an_account_that_is_set_up(shop: Shop) -> None:
    account = made(shop)
    assert refusal(shop.api.accounts.login_links.create, account.id).http_status == 400
    shop.control(f"/accounts/{account.id}/complete")
    link = shop.api.accounts.login_links.create(account.id)
    assert (link.object, link.url) == ("login_link", f"{shop.sandbox.url}/#{account.id}")
    assert f'id="{account.id}"' in shop.raw("GET", "/").text
    full = shop.api.accounts.create({"type": "standard"})
    assert refusal(shop.api.accounts.login_links.create, full.id).http_status == 400


def test_the_same_key_makes_one_account(shop: Shop) -> None:
    key: Any = {"idempotency_key": "account"}
    shop.fault("/v1/accounts", "lost_reply")
    lost = refusal(shop.api.accounts.create, ACCOUNT, key)
    assert isinstance(lost, stripe.APIConnectionError)
    account = shop.api.accounts.create(ACCOUNT, key)
    assert [each.id for each in shop.api.accounts.list().data] == [account.id]
    other = {**ACCOUNT, "email": "eve@example.com"}
    assert isinstance(refusal(shop.api.accounts.create, other, key), stripe.IdempotencyError)


def test_events_of_accounts_and_of_the_platform_go_their_ways(endpoint: Receiver) -> None:
    with receiving("whsec_connect") as connect:
        options: dict[str, Any] = {
            "webhook_url": endpoint.url,
            "webhook_secrets": [SECRET],
            "connect_webhook_url": connect.url,
            "connect_webhook_secrets": ["whsec_connect"],
        }
        with open_shop(**options) as shop:
            account = made(shop)
            shop.control(f"/accounts/{account.id}/complete")
            shop.api.customers.create({})
            assert wait_until(lambda: len(connect.events) == 5, seconds=SECONDS)
            assert wait_until(lambda: endpoint.types == ["customer.created"], seconds=SECONDS)
            of_account = connect.events[0].id
            assert refusal(shop.api.events.retrieve, of_account).http_status == 404
            on_behalf: Any = {"stripe_account": account.id}
            assert shop.api.events.retrieve(of_account, {}, on_behalf).account == account.id
