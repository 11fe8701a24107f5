"""Setting up payouts: the link to Stripe, the pages it comes back to, and what is kept of it."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from selenium.webdriver.common.by import By

from api.stack.postgres import EmbeddedPostgres
from api.stack.wait import wait_until
from tests.payments import Buyer
from tests.shop import refusal
from tests.teller import WAIT_SECONDS, Json
from tests.test_payments_page import CHROMEDRIVER, CHROMIUM, Page, browser, complaints
from tests.tills import STRIPE, OwnTill, own_till

ACCOUNTS, LINKS = "/v1/accounts", "/v1/account_links"
CONNECT = "/creators/connect"
DOCUMENT = "individual.verification.document"


@pytest.fixture(scope="module")
def house(
    postgres_server: EmbeddedPostgres, database_names: Iterator[str], migrated_template: str
) -> Iterator[OwnTill]:
    with own_till(postgres_server, next(database_names), migrated_template) as till:
        yield till


@pytest.fixture
def till(house: OwnTill) -> Iterator[OwnTill]:
    yield house
    house.settle()


@dataclass
class Creator:
    """Somebody who wants to be paid."""

    buyer: Buyer
    account: str = ""

    @property
    def till(self) -> OwnTill:
        assert isinstance(self.buyer.till, OwnTill)
        return self.buyer.till

    def connect(self, **body: Any) -> httpx.Response:
        return self.buyer.post(CONNECT, body)

    def link(self, **body: Any) -> str:
        """The address of Stripe's page, as a frontend or curl gets it."""
        answer = self.connect(**body)
        assert answer.status_code == 201, answer.text
        told = answer.json()
        assert self.account in ("", told["stripe_account_id"])
        self.account = told["stripe_account_id"]
        url: str = told["url"]
        return url

    def ways_back(self, **body: Any) -> tuple[str, str]:
        """Where Stripe's page leads to when it is left, and when it is opened too late."""
        link = self.link(**body)
        assert self.get(link).status_code == 200
        late = self.get(link)
        back = self.till.http.post(link, data={"button": "save"})
        assert (late.status_code, back.status_code) == (303, 303)
        return back.headers["Location"], late.headers["Location"]

    def get(self, url: str) -> httpx.Response:
        return self.buyer.http.get(url)

    def at_stripe(self) -> list[Json]:
        """The accounts that were made for this person."""
        accounts = self.till.sandbox.all_of(self.till.sandbox.api.accounts)
        return [each for each in accounts if each["metadata"]["user_id"] == str(self.buyer.id)]

    def control(self, what: str, **body: Any) -> None:
        self.till.sandbox.control(f"/accounts/{self.account}/{what}", body)

    def state(self) -> str:
        return str(self.till.value("select state from app.payout_account_state(%s)", self.account))

    def wait_for(self, state: str) -> None:
        assert wait_until(lambda: self.state() == state, seconds=WAIT_SECONDS), self.state()


def creator(till: OwnTill) -> Creator:
    return Creator(till.buyer())


def token_of(url: str) -> str:
    return url.partition("token=")[2]


# The link -------------------------------------------------------------------------------------


def test_each_call_is_a_new_link_to_the_same_account(till: OwnTill) -> None:
    somebody = creator(till)
    first, second = somebody.link(), somebody.link()
    assert first != second
    assert first.startswith(f"{till.sandbox.settings.api_base}/connect/")
    (account,) = somebody.at_stripe()
    assert account["id"] == somebody.account
    assert account["capabilities"] == {"transfers": "inactive"}
    assert account["controller"]["stripe_dashboard"] == {"type": "express"}
    assert account["controller"]["losses"] == {"payments": "application"}
    expires_at = somebody.connect().json()["expires_at"]
    assert expires_at.endswith("+00:00")
    assert somebody.state() == "started"


def test_without_a_body(till: OwnTill) -> None:
    somebody = creator(till)
    headers = {"Authorization": f"Bearer {somebody.buyer.token}"}
    assert somebody.buyer.http.post(CONNECT, headers=headers).status_code == 201
    sent = somebody.buyer.http.post(CONNECT, headers=headers, content=b"{}")
    assert refusal(sent, 415)["hint"] == "unsupported_media_type"


def test_who_may_call(till: OwnTill) -> None:
    assert refusal(till.caller(None).post(CONNECT, {}), 401)["hint"] == "no_user"
    assert refusal(till.caller("ey.x.y").post(CONNECT, {}), 401)["hint"] == "invalid_token"
    nobody = jwt.encode({"role": "service_role"}, till.jwt_secret, "HS256")
    assert refusal(till.caller(nobody).post(CONNECT, {}), 401)["hint"] == "login_required"


@pytest.mark.parametrize("name", ["return_url", "refresh_url"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "EDGE.evil.example/",
        "EDGE@evil.example/",
        "EDGE\\@evil.example",
        "",
        "/creators",
        "EDGE/" + "x" * 2000,
        "EDGE/\nx",
    ],
)
def test_where_nobody_is_sent_back_to(till: OwnTill, name: str, url: str) -> None:
    somebody = creator(till)
    refused = somebody.connect(**{name: url.replace("EDGE", till.edge_url)})
    assert refusal(refused, 400)["hint"] == "return_url_not_allowed"
    assert somebody.at_stripe() == []


@pytest.mark.parametrize("body", [{"return_url": 5}, {"return_url": ["x"]}, {"url": "x"}, [], "x"])
def test_arguments_that_are_none(till: OwnTill, body: Any) -> None:
    refused = creator(till).buyer.post(CONNECT, body)
    assert refusal(refused, 400)["hint"] == "invalid_argument"


def test_pages_of_a_frontend_are_returned_to(till: OwnTill) -> None:
    ours = {"return_url": f"{till.edge_url}/app?a=1", "refresh_url": f"{till.edge_url}/again"}
    back, late = creator(till).ways_back(**ours)
    assert (back, late) == (ours["return_url"], ours["refresh_url"])


def test_beginning_too_often(till: OwnTill) -> None:
    somebody = creator(till)
    answers = [somebody.connect() for _ in range(12)]
    assert [each.status_code for each in answers[:10]] == [201] * 10
    refused = answers[-1]
    assert refusal(refused, 429)["hint"] == "rate_limited"
    assert int(refused.headers["Retry-After"]) >= 1


# Trouble on the way ---------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["error_500", "error_500_after", "lost_request", "lost_reply"])
def test_an_account_is_made_once(till: OwnTill, fault: str) -> None:
    somebody = creator(till)
    till.sandbox.fault(ACCOUNTS, fault, times=None)
    assert refusal(somebody.connect(), 502)["hint"] == "stripe_unavailable"
    till.sandbox.calm()
    somebody.link()
    assert len(somebody.at_stripe()) == 1
    assert till.pending_requests() == 0


def test_the_worker_makes_what_the_edge_could_not(till: OwnTill) -> None:
    somebody = creator(till)
    till.sandbox.fault(ACCOUNTS, "lost_reply", times=None)
    assert somebody.connect().status_code == 502
    till.sandbox.calm()
    till.work()
    assert len(somebody.at_stripe()) == 1
    somebody.link()
    assert len(somebody.at_stripe()) == 1


def test_two_at_once(till: OwnTill) -> None:
    somebody = creator(till)
    till.sandbox.fault(ACCOUNTS, "slow", times=None, seconds=0.3)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: somebody.connect(), range(4)))
    till.sandbox.calm()
    assert {each.status_code for each in answers} <= {201, 502}
    somebody.link()
    assert len(somebody.at_stripe()) == 1


def test_a_link_that_stripe_does_not_make(till: OwnTill) -> None:
    somebody = creator(till)
    till.sandbox.fault(LINKS, "error_500", times=None)
    assert refusal(somebody.connect(), 502)["hint"] == "stripe_unavailable"
    till.sandbox.calm()
    somebody.link()
    assert len(somebody.at_stripe()) == 1


def test_an_account_that_was_taken_away(till: OwnTill) -> None:
    """Before Stripe's word of it has come, and after."""
    somebody = creator(till)
    somebody.link()
    till.sandbox.webhooks("hold")
    somebody.control("deauthorize")
    assert refusal(somebody.connect(), 409)["hint"] == "payout_account_gone"
    till.sandbox.calm()
    somebody.wait_for("deauthorized")
    gone, somebody.account = somebody.account, ""
    somebody.link()
    assert somebody.account != gone
    assert somebody.state() == "started"


# The pages ------------------------------------------------------------------------------------


def check_page(answer: httpx.Response, status: int, *words: str) -> None:
    """A page for people, closed to everything else, in which these words stand."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "<script" not in answer.text
    for each in words:
        assert each in answer.text, answer.text


def test_returning_at_every_stage(till: OwnTill) -> None:
    somebody = creator(till)
    back, _ = somebody.ways_back()
    assert back.startswith(f"{till.edge_url}{CONNECT}/return?token=")
    page = somebody.get(back)
    check_page(page, 200, "Something is still missing", "A bank account for your payouts.")
    assert "/refresh?token=" in page.text

    somebody.control("complete", lacks=[DOCUMENT])
    check_page(somebody.get(back), 200, "still missing", "A photo of an identity document.")

    somebody.control("complete", verifies=[DOCUMENT])
    checking = somebody.get(back)
    check_page(checking, 200, "Stripe is checking", "looks again every 5 seconds", "look=2")
    assert "/refresh?token=" not in checking.text
    for look in ("24", "-1", "0", "x" * 50, "9" * 50):
        answer = somebody.get(f"{back}&look={look}")
        check_page(answer, 200, "Stripe is checking")
        assert ('http-equiv="refresh"' in answer.text) == (look == "x" * 50)

    somebody.control("complete")
    ready = somebody.get(back)
    check_page(ready, 200, "Payouts are set up.", "You are ready to be paid.")
    assert "/refresh?token=" not in ready.text
    assert somebody.state() == "ready"

    somebody.control("disable")
    stopped = somebody.get(back)
    check_page(stopped, 200, "Payouts are stopped.", "Go on at Stripe", "is kept for you")

    somebody.control("disable", reason="rejected.fraud")
    rejected = somebody.get(back)
    check_page(rejected, 200, "No payouts to this account.")
    assert "/refresh?token=" not in rejected.text

    somebody.control("complete")
    somebody.control("require", fields=[DOCUMENT])
    check_page(somebody.get(back), 200, "set up", "in good time", "Go on at Stripe", "identity")

    somebody.control("deauthorize")
    somebody.wait_for("deauthorized")
    over = somebody.get(back)
    check_page(over, 200, "Not connected any more")
    assert "/refresh?token=" not in over.text


def test_returning_reads_the_account_though_no_word_of_it_came(till: OwnTill) -> None:
    somebody = creator(till)
    back, _ = somebody.ways_back()
    till.sandbox.webhooks("hold")
    somebody.control("complete")
    assert somebody.state() == "started"
    check_page(somebody.get(back), 200, "You are ready to be paid.")
    assert somebody.state() == "ready"


def test_returning_while_stripe_is_away(till: OwnTill) -> None:
    somebody = creator(till)
    back, late = somebody.ways_back()
    till.sandbox.fault(f"{ACCOUNTS}/*", "error_500", method="GET", times=None)
    till.sandbox.fault(LINKS, "error_500", times=None)
    check_page(somebody.get(back), 200, "still missing", "what we heard last", "Look again")
    check_page(somebody.get(late), 502, "tries again in", 'http-equiv="refresh"')
    till.sandbox.calm()
    assert "heard last" not in somebody.get(back).text
    assert somebody.get(late).status_code == 303


def test_a_link_that_is_too_old_leads_to_a_new_one(till: OwnTill) -> None:
    somebody = creator(till)
    _, late = somebody.ways_back()
    assert late.startswith(f"{till.edge_url}{CONNECT}/refresh?token=")
    again = somebody.get(late)
    assert again.status_code == 303
    assert again.headers["Location"].startswith(f"{till.sandbox.settings.api_base}/connect/")
    assert "Set up your payouts" in somebody.get(again.headers["Location"]).text
    assert len(somebody.at_stripe()) == 1


def test_an_account_that_is_gone_has_no_new_link(till: OwnTill) -> None:
    somebody = creator(till)
    back, late = somebody.ways_back()
    till.sandbox.webhooks("hold")
    somebody.control("deauthorize")
    for url in (back, late):
        check_page(somebody.get(url), 410, "not connected any more", "start from there")
    till.sandbox.calm()
    somebody.wait_for("deauthorized")
    check_page(somebody.get(late), 410, "not connected any more")


class OldSigner(TimestampSigner):
    """Signs as it would have been done a day and a bit ago."""

    def get_timestamp(self) -> int:
        return int(time.time()) - 24 * 3600 - 60


def signed(account: object, key: str = STRIPE.secret_key, **how: Any) -> str:
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    how = {"salt": "creators/connect", "signer_kwargs": options, **how}
    return str(URLSafeTimedSerializer(key, **how).dumps(account))


@pytest.mark.parametrize("page", ["return", "refresh"])
def test_tokens_that_are_none(till: OwnTill, page: str) -> None:
    somebody = creator(till)
    somebody.link()
    account = somebody.account
    assert somebody.get(f"{CONNECT}/{page}?token={signed(account)}").status_code in (200, 303)
    forged = [
        signed(account, "sk_test_another"),
        signed(account, salt="another"),
        signed(account, signer_kwargs={}),
        signed(account)[:-1],
        "x" + signed(account),
        signed("acct_nobody"),
        "",
        "%00",
        "...",
        "é",
        "x" * 4000,
        "' or 1=1 --",
    ]
    for token in forged:
        answer = somebody.get(f"{CONNECT}/{page}?token={token}")
        check_page(answer, 404, "There is nothing here.", "start from there")
    assert somebody.get(f"{CONNECT}/{page}").status_code == 404
    old = signed(account, signer=OldSigner)
    check_page(somebody.get(f"{CONNECT}/{page}?token={old}"), 410, "too old", "start from there")


@pytest.mark.parametrize("page", ["return", "refresh"])
def test_pages_are_not_opened_for_ever(till: OwnTill, page: str) -> None:
    somebody = creator(till)
    somebody.link()
    till.owner.execute("update app.rate_limits set capacity = 3 where class = 'payment_address'")
    try:
        url = f"{CONNECT}/{page}?token={signed(somebody.account)}"
        answers = [somebody.get(url) for _ in range(4)]
    finally:
        till.owner.execute(
            "update app.rate_limits set capacity = 30 where class = 'payment_address'"
        )
    check_page(answers[-1], 429, "tries again in", 'http-equiv="refresh"')
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert [each.status_code for each in answers[:2]] in ([200] * 2, [303] * 2)


# What is kept of it ---------------------------------------------------------------------------


def test_the_worker_reads_accounts_of_which_nothing_was_heard(till: OwnTill) -> None:
    gone, somebody = creator(till), creator(till)
    for each in (gone, somebody):
        each.link()
    till.sandbox.webhooks("hold")
    gone.control("deauthorize")
    somebody.control("complete")
    till.work()
    assert (gone.state(), somebody.state()) == ("started", "started")
    stale = "update app.payout_accounts set read_at = read_at - interval '7 hours'"
    till.owner.execute(
        f"{stale} where stripe_account_id = any (%s)".encode(), [[gone.account, somebody.account]]
    )
    till.work()
    # Only its own event ends a connection: a wrong key must not end them all.
    assert (gone.state(), somebody.state()) == ("started", "ready")


def test_older_news_do_not_undo_what_was_read(till: OwnTill) -> None:
    somebody = creator(till)
    back, _ = somebody.ways_back()
    till.sandbox.webhooks("hold")
    somebody.control("require", fields=[DOCUMENT], past_due=True)
    somebody.control("complete")
    check_page(somebody.get(back), 200, "You are ready to be paid.")
    till.sandbox.release()
    till.work()
    assert somebody.state() == "ready"


def test_the_log_holds_no_token(till: OwnTill) -> None:
    somebody = creator(till)
    back, late = somebody.ways_back()
    assert (somebody.get(back).status_code, somebody.get(late).status_code) == (200, 303)
    log = (till.folder / f"edge-{till.port}.log").read_text()
    assert "/creators/connect/refresh" in log
    assert somebody.account in log
    assert "token" not in log
    assert token_of(back)[:20] not in log
    assert "alink_" not in log


# In a browser ---------------------------------------------------------------------------------

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="Chromium is not installed"
)


def press(page: Page, button: str) -> None:
    page.find(f"button[value={button}]").click()


@needs_browser
def test_a_creator_sets_up_payouts(till: OwnTill) -> None:
    somebody = creator(till)
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    with browser() as page:
        page.driver.get(somebody.link())
        press(page, "save")
        page.wait_for("Something is still missing.")
        page.picture("20-connect-missing")
        page.driver.find_element(By.LINK_TEXT, "Go on at Stripe").click()
        page.wait_for("Set up your payouts")
        press(page, "without_document")
        page.wait_for("A photo of an identity document.")
        page.picture("21-connect-document")
        page.driver.back()  # to a form that was sent already: Stripe sends us for a new link
        page.driver.get(somebody.link())
        page.wait_for("Set up your payouts")
        press(page, "everything")
        page.wait_for("You are ready to be paid.")
        page.picture("22-connect-ready")
        assert "token=" in page.driver.current_url
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        width = "return document.documentElement.scrollWidth - window.innerWidth"
        assert page.driver.execute_script(width) <= 0
        page.picture("23-connect-phone")
        assert complaints(page) == []
    assert somebody.state() == "ready"


@needs_browser
def test_a_used_link_takes_the_creator_on(till: OwnTill) -> None:
    somebody = creator(till)
    link = somebody.link()
    assert somebody.get(link).status_code == 200  # a scanner of links was first
    with browser() as page:
        page.driver.get(link)
        page.wait_for("Set up your payouts")
        assert page.driver.current_url != link
        press(page, "everything")
        page.wait_for("You are ready to be paid.")
