"""Buying in a browser: the hosted page, the page it returns to, the receipt; and what is logged."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from api.stack.ports import free_port
from api.stack.wait import wait_until
from api.tokens import sign_token
from tests.processes import RunningUp

WAIT_SECONDS = 20.0
DECLINED, NO_FUNDS, DISPUTED = "4000000000000002", "4000000000009995", "4000000000000259"
# Where the pages are photographed to, for whoever wants to look at them.
PICTURES = os.environ.get("PAGE_PICTURES")

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER) and "CI" not in os.environ,
    reason="Chromium is not installed: apt-get install chromium chromium-driver",
)


class Page:
    """A browser, and the short words for what people do in it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    @property
    def text(self) -> str:
        return self.find("body").text

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def wait_for(self, words: str) -> None:
        def there(_: object) -> bool:
            return words in self.driver.execute_script("return document.body.innerText")

        WebDriverWait(self.driver, WAIT_SECONDS, poll_frequency=0.1).until(there, self.driver.title)

    def pay(self, number: str | None = None) -> None:
        if number is not None:
            field = self.find("#number")
            field.clear()
            field.send_keys(number)
        self.find("form button[type=submit]").click()

    def picture(self, name: str) -> None:
        if PICTURES:
            self.driver.save_screenshot(str(Path(PICTURES) / f"{name}.png"))


@contextmanager
def browser(*arguments: str) -> Iterator[Page]:
    """A browser that reaches nothing but this machine."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--no-proxy-server",
        "--window-size=900,1000",
        *arguments,
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=str(CHROMEDRIVER))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Page(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def up() -> Iterator[RunningUp]:
    """The stack as `make up` starts it; at the end nothing secret stands in what it said."""
    with tempfile.TemporaryDirectory(prefix="infinite-pages-page-") as folder:
        running = RunningUp(Path(folder), "--no-demo", STRIPE_SANDBOX_PORT=str(free_port()))
        try:
            yield running
            check_log(running)
        finally:
            if running.process.poll() is None:
                running.end()


def check_log(up: RunningUp) -> None:
    said = up.output
    assert "/credits/checkout" in said
    assert "/webhooks/stripe" in said
    state = Path(up.environment["STATE_DIR"])
    secrets = [file.read_text().strip() for file in state.rglob("*.secret")]
    assert len(secrets) >= 4
    for secret in (*secrets, "4242424242424242", DECLINED, NO_FUNDS, "_secret_", "eyJ"):
        assert secret not in said.replace(" ", "")
    assert "4242 4242" not in said
    assert "session_id" not in said
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def window(up: RunningUp) -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(window: Page) -> Page:
    complaints(window)  # those of an earlier test
    return window


def headers(up: RunningUp, buyer: UUID) -> dict[str, str]:
    secret = (Path(up.environment["STATE_DIR"]) / "jwt.secret").read_text().strip()
    token = sign_token(secret, subject=buyer, role="authenticated", hours=1)
    return {"Authorization": f"Bearer {token}"}


def open_checkout(up: RunningUp, buyer: UUID) -> str:
    """The address of the hosted page, as a frontend or curl gets it."""
    packages = httpx.get(f"{up.rest_url}/credit_packages?name=eq.Starter%20Pack").json()
    answer = httpx.post(
        f"{up.edge_url}/credits/checkout",
        json={"package_id": packages[0]["id"]},
        headers=headers(up, buyer),
    )
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    return url


def balance(up: RunningUp, buyer: UUID) -> int:
    answer = httpx.get(f"{up.rest_url}/rpc/credit_balance", headers=headers(up, buyer))
    credits: int = answer.json()["balance"]
    return credits


def complaints(page: Page) -> list[str]:
    """What the browser itself found wrong: blocked styles, missing files."""
    return [entry["message"] for entry in page.driver.get_log("browser")]  # type: ignore[no-untyped-call]


def test_a_newcomer_pays_and_sees_the_credits_arrive(up: RunningUp, page: Page) -> None:
    buyer = uuid4()
    page.driver.get(open_checkout(up, buyer))
    page.picture("1-hosted")
    assert "$4.99" in page.text
    assert "Starter Pack" in page.text
    assert "No money moves" in page.text
    page.pay()
    page.wait_for("Your credits are here")
    page.picture("2-returned")
    assert page.driver.current_url.startswith(f"{up.edge_url}/checkout/return?session_id=cs_")
    assert "Your balance now\n110" in page.text
    assert balance(up, buyer) == 110

    returned = page.driver.current_url
    page.find("a[href*=receipt]").click()
    page.wait_for("Receipt")
    page.picture("3-receipt")
    assert page.driver.title.startswith("Receipt R-")
    for words in ("Starter Pack: 100 credits and 10 on top", "$4.99", "no money was moved"):
        assert words in page.text
    assert "visa ending in 4242" in page.text
    page.driver.get(returned)
    page.wait_for("Your credits are here")
    assert complaints(page) == []


def test_a_declined_card_says_why_and_another_one_pays(up: RunningUp, page: Page) -> None:
    buyer = uuid4()
    page.driver.get(open_checkout(up, buyer))
    page.pay(DECLINED)
    page.wait_for("Your card was declined.")
    page.picture("4-declined")
    alert = page.find("[role=alert]")
    assert "You can try again" in alert.text
    assert page.driver.title.startswith("Error")
    page.pay(NO_FUNDS)
    page.wait_for("Your card has insufficient funds.")
    assert balance(up, buyer) == 0
    page.pay("4242 4242 4242 4242")
    page.wait_for("Your credits are here")
    assert balance(up, buyer) == 110


def test_news_of_the_declined_card_arrives_first(up: RunningUp, page: Page) -> None:
    """Nobody who has paid is told that they were not charged."""
    buyer = uuid4()
    page.driver.get(open_checkout(up, buyer))
    page.pay(DECLINED)
    page.wait_for("Your card was declined.")
    failed = {"Authorization": headers(up, buyer)["Authorization"]}

    def status() -> str:
        rows = httpx.get(f"{up.rest_url}/payments", headers=failed).json()
        return str(rows[0]["status"])

    assert wait_until(lambda: status() == "failed", seconds=WAIT_SECONDS)
    with held_webhooks(up):
        page.pay("4242 4242 4242 4242")
        page.wait_for("If you have paid since")
        assert "not charged" not in page.text
        page.picture("11-declined-before")
        url = f"{page.driver.current_url}&look=10"
        assert "You were not charged." in httpx.get(url).text  # it does not go on for ever
    page.wait_for("Your credits are here")
    assert balance(up, buyer) == 110


@contextmanager
def held_webhooks(up: RunningUp) -> Iterator[None]:
    sandbox = f"http://127.0.0.1:{up.environment['STRIPE_SANDBOX_PORT']}/_sandbox"
    httpx.post(f"{sandbox}/webhooks/mode", json={"mode": "hold"}).raise_for_status()
    try:
        yield
    finally:
        httpx.post(f"{sandbox}/webhooks/mode", json={"mode": "deliver"}).raise_for_status()


def test_leaving_without_paying(up: RunningUp, page: Page) -> None:
    buyer = uuid4()
    page.driver.get(open_checkout(up, buyer))
    page.driver.find_element(By.LINK_TEXT, "Cancel").click()
    page.wait_for("Nothing was bought.")
    page.picture("5-canceled")
    assert balance(up, buyer) == 0
    assert complaints(page) == []


def test_waiting_for_the_payment(up: RunningUp, page: Page) -> None:
    """The page looks again by itself until the webhook has come."""
    buyer = uuid4()
    url = open_checkout(up, buyer)
    with held_webhooks(up):
        page.driver.get(url)
        page.pay()
        page.wait_for("Waiting for the payment")
        page.picture("6-waiting")
        assert "look=" not in page.driver.current_url
        assert wait_until(lambda: "look=2" in page.driver.current_url, seconds=WAIT_SECONDS)
    page.wait_for("Your credits are here")
    assert balance(up, buyer) == 110


def test_an_unknown_session(up: RunningUp, page: Page) -> None:
    for path in ("return", "receipt"):
        for session in ("cs_test_nobody", "", "'%20or%201=1", "%00", "cs_" + "x" * 2000):
            url = f"{up.edge_url}/checkout/{path}?session_id={session}"
            answer = httpx.get(url)
            assert answer.status_code == 404, url
            assert "There is nothing here." in answer.text
            assert answer.headers["Content-Type"].startswith("text/html")
    page.driver.get(f"{up.edge_url}/checkout/return?session_id=cs_test_nobody")
    page.wait_for("There is nothing here.")
    page.picture("7-unknown")


def test_without_a_mouse_and_on_a_phone(up: RunningUp) -> None:
    buyer = uuid4()
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    with browser("--force-dark-mode") as page:
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        page.driver.get(open_checkout(up, buyer))
        page.picture("8-phone")
        width = "return document.documentElement.scrollWidth - window.innerWidth"
        assert page.driver.execute_script(width) <= 0  # nothing to scroll sideways for
        number = page.find("#number")
        labels = page.driver.find_elements(By.CSS_SELECTOR, "label[for=number]")
        assert [label.text for label in labels] == ["Card number"]
        number.send_keys(Keys.ENTER)
        page.wait_for("Your credits are here")
        page.picture("9-phone-returned")
        assert page.driver.execute_script(width) <= 0
        link = page.find("a[href*=receipt]")
        link.send_keys(Keys.ENTER)
        page.wait_for("Receipt")
        page.picture("10-phone-receipt")
        assert page.driver.execute_script(width) <= 0
    assert balance(up, buyer) == 110
