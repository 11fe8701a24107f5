"""Headers, paths and bodies that somebody tries at both doors, PostgREST and the edge."""

import json
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import httpx
import pytest

from api import create_app
from api.config import EdgeSettings
from api.stack.postgres import EmbeddedPostgres
from tests.market import Story, publish_story
from tests.payouts import Office, open_office
from tests.security.doors import NOBODYS, bearer, knock
from tests.security.leaks import check_answer
from tests.shop import refusal

# PostgREST 12 has no better word for a query or a header that is no UTF-8, and goes on.
NO_TEXT = "Something went wrong"
LARGEST_BODY = 16 * 1024


@pytest.fixture(scope="module")
def office(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[Office]:
    with open_office(postgres_server, next(database_names), migrated_template) as office:
        office.execute("update app.rate_limits set capacity = 1000000")
        yield office


@pytest.fixture(scope="module")
def story(office: Office) -> Story:
    return publish_story(office.till.database_url)


# Headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["app", "ledger", "public", "pg_catalog", "yoyo", "api,app", ""])
def test_no_header_opens_another_schema(office: Office, schema: str) -> None:
    for caller in (office.somebody().rest, office.service(), office.anonymous()):
        for answer in (
            caller.get("/profiles", Accept_Profile=schema),
            caller.get("/accounts", Accept_Profile=schema),
            caller.call("fold", {}, Content_Profile=schema),
        ):
            assert answer.status_code in (401, 403, 404, 406), answer.text
            check_answer(answer, sent=schema)


@pytest.mark.parametrize(
    "prefer",
    [
        "tx=rollback",
        "tx=commit",
        "params=single-object",
        "params=multiple-objects",
        "handling=strict, anything=else",
        "timezone=Nowhere/Nothing",
        "timezone='; drop schema app; --",
        "resolution=merge-duplicates",
        "missing=default",
        "max-affected=0, handling=strict",
        "count=exact",
        "return=representation",
        "return=" + "x" * 4000,
    ],
)
def test_a_preference_changes_no_money(office: Office, story: Story, prefer: str) -> None:
    reader = office.somebody()
    office.execute("select app.grant_credits(%s, 1000, 'for a test')", reader.id)
    answer = reader.rest.call(
        "purchase_story",
        {"story_id": str(story.id), "purchase_type": "chapter", "chapters": [3]},
        Prefer=prefer,
    )
    balance = office.value("select ledger.balance(%s, 'wallet')", reader.id)
    bought = office.value("select count(*) from app.story_purchases where user_id = %s", reader.id)
    spent = office.value(
        "select coalesce(sum(credits_spent), 0) from app.story_purchases where user_id = %s",
        reader.id,
    )
    assert (answer.status_code < 300) == (bought == 1), answer.text
    assert balance == 1000 - spent
    check_answer(answer, sent=prefer)
    assert office.till.violations() == []


def test_a_method_is_what_the_request_line_says(office: Office) -> None:
    reader = office.somebody().rest
    for header in ("X_HTTP_Method_Override", "X_HTTP_Method", "X_Method_Override"):
        for method in ("DELETE", "PATCH", "PUT"):
            assert reader.get("/profiles", **{header: method}).status_code == 200
        answer = reader.get("/rpc/pause_payouts?is_paused=true", **{header: "POST"})
        assert answer.status_code == 405, answer.text
        answer = office.till.http.get(
            f"{office.till.edge_url}/credits/purchase", headers={header.replace("_", "-"): "POST"}
        )
        assert answer.status_code == 405
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "X" * 40):
        for target in ("/profiles", "/transfers", "/"):
            answer = reader.request(method, target, b'{"handle": "somebody_else"}')
            assert 400 <= answer.status_code < 500, (method, target, answer.text)
        edge = knock(office.till.edge_url, method, "/healthz")
        assert edge.status in (400, 404, 405, 501), (method, edge.text)


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.pgrst.plan+json",
        "application/vnd.pgrst.plan+text; options=analyze|verbose|settings",
        "application/geo+json",
        "application/octet-stream",
        "text/xml",
        "text/plain",
        "application/vnd.pgrst.object+json",
        "../../etc/passwd",
        "x" * 5000,
    ],
)
def test_no_media_type_shows_how_it_is_done(office: Office, accept: str) -> None:
    for caller in (office.somebody().rest, office.service()):
        for target in ("/stories", "/rpc/credit_balance", "/profiles?limit=1"):
            answer = caller.get(target, Accept=accept)
            check_answer(answer, sent=accept)
            assert "Seq Scan" not in answer.text and "Plan" not in answer.text


@pytest.mark.parametrize(
    "given",
    ["0-", "5-1", "-1", "a-b", "0-99999999999999999999", "bytes=0-1", "items=0-0", "0-0,1-1"],
)
def test_a_range_is_a_range_of_what_one_may_see(office: Office, given: str) -> None:
    for caller in (office.somebody().rest, office.anonymous()):
        for target in ("/stories", "/credit_packages"):
            answer = caller.get(target, Range=given, Range_Unit="items", Prefer="count=exact")
            check_answer(answer, sent=given)
            assert answer.status_code in (200, 206, 400, 416), answer.text


def test_an_address_that_somebody_claims_to_have_is_not_believed(office: Office) -> None:
    """No proxy is trusted unless the operator says so: thirty payments a minute for an address."""
    office.execute("update app.rate_limits set capacity = 30 where class = 'payment_address'")
    token = office.till.buyer().token
    http = office.till.caller(None).http
    try:
        statuses = []
        for number in range(31):
            headers = {
                **bearer(str(token)),
                "Content-Type": "application/json",
                "X-Forwarded-For": f"9.9.{number}.9",
                "X-Real-IP": f"9.9.{number}.9",
                "Forwarded": f"for=9.9.{number}.9",
            }
            statuses.append(
                http.post("/credits/purchase", content=b"{}", headers=headers).status_code
            )
        assert statuses == [400] * 30 + [429]
    finally:
        office.execute("update app.rate_limits set capacity = 1000000")


def test_a_host_of_one_s_own_is_nowhere_in_the_answer(office: Office) -> None:
    buyer = office.till.buyer()
    evil = {
        "Host": "evil.example",
        "X_Forwarded_Host": "evil.example",
        "X_Forwarded_Proto": "https",
    }
    about = {"package_id": office.till.package("Starter Pack")}
    answer = buyer.post("/credits/checkout", about, **evil)
    assert answer.status_code == 201, answer.text
    session = office.till.sandbox.all_of(office.till.sandbox.api.checkout.sessions)[0]
    assert "evil" not in answer.text + json.dumps(session)
    for target in ("/return", "/cancel", "/receipt", "/nowhere"):
        page = office.till.http.get(
            f"{office.till.edge_url}{target}", headers={"Host": "evil.example"}
        )
        assert "evil.example" not in page.text + str(page.headers)


# Paths and bodies ---------------------------------------------------------------------------------

PATHS = (
    "..", "../", "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%252f..%252fetc%252fpasswd", "..%5c..%5cetc%5cpasswd",
    "....//....//etc/passwd", "..%c0%af..%c0%afetc/passwd", "%00", "x%00.png", "x%0d%0aX-Evil:%201",
    "%ff%fe", ";/etc/passwd", "?/../x", "file:///etc/passwd", "x" * 6000, "%", "%zz", "%u002e",
)  # fmt: skip


def routes_of(office: Office) -> list[tuple[str, str]]:
    """Each method and rule of the edge."""
    settings = EdgeSettings.from_environment(office.till.environment)
    app = create_app(settings)
    try:
        return [
            (method, rule.rule)
            for rule in app.url_map.iter_rules()
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]
    finally:
        app.extensions["database"].close()


def test_no_path_leads_anywhere_else(office: Office) -> None:
    token = str(office.till.buyer().token)
    for method, rule in routes_of(office):
        for path in PATHS if "<" in rule else PATHS[:6]:
            target = re.sub(r"<[^>]*>", path, rule) if "<" in rule else f"{rule}/{path}"
            headers = {**bearer(token), "Content-Type": "application/json"}
            answer = knock(office.till.edge_url, method, target, headers, b"{}")
            assert answer.status in (400, 404, 405, 414), (method, target, answer.text)
            assert "root:" not in answer.text and "X-Evil" not in answer.headers
            assert "Location" not in answer.headers, (target, answer.headers)
    reader = office.somebody().rest
    for path in PATHS:
        for target in (f"/rpc/receipt?payment_id={path}", f"/{path}", f"/rpc/{path}"):
            answer = knock(office.till.rest_url, "GET", target, bearer(str(reader.token)))
            is_known = answer.text == NO_TEXT and not is_text(target)
            assert is_known or 200 <= answer.status < 500, (target, answer.text)
            assert "root:" not in answer.text and "X-Evil" not in answer.headers


def is_text(target: str) -> bool:
    try:
        return bool(unquote_to_bytes(target).decode())
    except UnicodeDecodeError:
        return False


def test_no_body_is_read_to_an_end_that_is_too_far(office: Office) -> None:
    token = str(office.till.buyer().token)
    tried = 0
    for method, rule in routes_of(office):
        if method != "POST" or rule.startswith(("/webhooks", "/stories")):
            continue  # with limits, and tests, of their own
        target = re.sub(r"<[^>]*>", NOBODYS, rule)
        headers = {**bearer(token), "Content-Type": "application/json"}
        for size in (LARGEST_BODY + 1, 1_000_000):
            body = b'{"x": "' + b"x" * (size - 9) + b'"}'
            answer = knock(office.till.edge_url, method, target, headers, body)
            assert (answer.status, answer.said["hint"]) == (413, "request_entity_too_large"), target
            tried += 1
    assert tried >= 10


def test_a_text_of_many_megabytes_is_refused_by_its_length(office: Office) -> None:
    """PostgREST itself reads any body; the functions look at what they are given."""
    reader = office.somebody().rest
    huge = "x" * 12_000_000
    for function, arguments in (
        ("create_story", {"title": huge}),
        ("update_profile", {"bio": huge}),
        ("update_profile", {"handle": huge}),
        ("cache_lookup", {"request": {"genre": "g", "model": "m", "prompt": huge}}),
    ):
        answer = reader.call(function, arguments)
        assert refusal(answer, 400)["hint"], function
        assert len(answer.content) < 2000


def test_the_answers_of_an_attack_are_logged_without_it(office: Office) -> None:
    """The edge's log has one line for each request, and nothing of what was sent."""
    mark = f"mark{uuid4().hex}"
    till = office.till
    headers = {"Authorization": f"Bearer {mark}", "X-Request-Id": "attack-1234", "Cookie": mark}
    for target in (f"/receipt?session_id={mark}", f"/downloads/{mark}", f"/{mark}"):
        httpx.get(f"{till.edge_url}{target}", headers=headers)
    log = (till.folder / f"edge-{till.port}.log").read_text()
    assert "attack-1234" in log
    assert mark not in log
    assert "Traceback" not in log
