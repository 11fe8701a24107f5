"""The pages for people, and the sandbox as a process of its own."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from api.stack.ports import answers_ok, free_port
from api.stack.wait import wait_until
from tests.sandboxes import SESSION, Shop, open_shop

CARD = {"number": "4242 4242 4242 4242", "expiry": "12/34", "code": "123", "method": "card"}
START_SECONDS = 30.0


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


def opened(shop: Shop, **changes: Any) -> Any:
    return shop.api.checkout.sessions.create({**SESSION, **changes})


def submit(shop: Shop, session: Any, **fields: str) -> requests.Response:
    return shop.raw("POST", f"/pay/{session.id}", data={**CARD, **fields})


def test_the_page_shows_what_is_bought_and_sells_it(shop: Shop) -> None:
    session = opened(shop)
    page = shop.raw("GET", f"/pay/{session.id}")
    assert page.status_code == 200
    for expected in (
        "Starter Pack",
        "50 credits",
        "Pay $4.99",
        "No money moves",
        'value="4242 4242 4242 4242"',
        'href="http://shop.test/cancel"',
        '<html lang="en">',
    ):
        assert expected in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"sk_test|whsec_|_secret_|<script", page.text)

    paid = submit(shop, session)
    assert paid.status_code == 303
    assert paid.headers["Location"] == f"http://shop.test/done?session_id={session.id}"
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert "paid already" in shop.raw("GET", f"/pay/{session.id}").text
    assert submit(shop, session).status_code == 200  # says so, and takes nothing
    assert shop.balance() == 455


def test_every_field_has_a_label_and_ids_are_unique(shop: Shop) -> None:
    for page in (
        shop.raw("GET", f"/pay/{opened(shop).id}"),
        submit(shop, opened(shop), number="1", expiry="13/99", code="x"),
    ):
        ids = re.findall(r'\bid="([^"]+)"', page.text)
        assert len(ids) == len(set(ids))
        named = set(re.findall(r'<label for="([^"]+)"', page.text))
        assert named == set(re.findall(r'<input id="([^"]+)"', page.text))
        described = re.findall(r'aria-(?:describedby|labelledby)="([^"]+)"', page.text)
        assert set(described) <= set(ids)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("4000000000000002", "Your card was declined."),
        ("4000 0000 0000 9995", "insufficient funds"),
        ("4111 1111 1111 1111", "only the test cards"),
    ],
)
def test_a_declined_card_can_be_replaced(shop: Shop, number: str, reason: str) -> None:
    session = opened(shop)
    declined = submit(shop, session, number=number)
    assert declined.status_code == 402
    assert reason in declined.text
    assert 'role="alert"' in declined.text
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"
    assert submit(shop, session).status_code == 303
    assert shop.event_types().count("payment_intent.created") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("number", "42"), ("number", ""), ("expiry", "13/30"), ("expiry", "x"), ("code", "12345")],
)
def test_a_field_that_is_not_filled_in_right(shop: Shop, field: str, value: str) -> None:
    session = opened(shop)
    refused = submit(shop, session, **{field: value})
    assert refused.status_code == 422
    assert f'id="{field}-wrong"' in refused.text
    assert 'aria-invalid="true"' in refused.text
    assert shop.event_types() == []


def test_authentication_on_the_page(shop: Shop) -> None:
    session = opened(shop)
    asked = submit(shop, session, number="4000002500003155")
    assert asked.headers["Location"] == f"/pay/{session.id}/authenticate"
    assert "Your bank asks" in shop.raw("GET", asked.headers["Location"]).text
    no = shop.raw("POST", asked.headers["Location"], data={"outcome": "failed"})
    assert no.status_code == 402
    again = submit(shop, session, number="4000002500003155")
    yes = shop.raw("POST", again.headers["Location"], data={"outcome": "succeeded"})
    assert yes.headers["Location"].startswith("http://shop.test/done")
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_a_bank_account_needs_no_card(shop: Shop) -> None:
    session = opened(shop)
    paid = shop.raw("POST", f"/pay/{session.id}", data={"method": "bank"})
    assert paid.status_code == 303
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
    assert "on its way" in shop.raw("GET", f"/pay/{session.id}").text


def test_an_expired_page_says_so(shop: Shop) -> None:
    session = opened(shop)
    shop.api.checkout.sessions.expire(session.id)
    assert "has expired" in shop.raw("GET", f"/pay/{session.id}").text
    assert "has expired" in submit(shop, session).text
    assert shop.raw("GET", "/pay/cs_test_no").status_code == 404


def test_what_a_shop_writes_stays_text(shop: Shop) -> None:
    line = {**SESSION["line_items"][0]["price_data"], "product_data": {"name": "<b>&Pack"}}
    session = opened(shop, line_items=[{"price_data": line}])
    assert "&lt;b&gt;&amp;Pack" in shop.raw("GET", f"/pay/{session.id}").text
    assert "<b>&Pack" not in shop.raw("GET", "/").text


def test_the_dashboard_empty_and_with_something_on_it(shop: Shop) -> None:
    empty = shop.raw("GET", "/")
    assert empty.status_code == 200
    assert empty.text.count("None yet.") + empty.text.count("None. ") >= 2
    intent = shop.paid()
    session = opened(shop)
    full = shop.raw("GET", "/").text
    for expected in (intent.id, f'href="/pay/{session.id}"', "$4.55", "no endpoint"):
        assert expected in full
    assert not re.search(r"sk_test|whsec_|_secret_", full)


def start(folder: Path, port: int, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "api.sandbox", "--port", str(port), "--folder", str(folder)],
        env={**os.environ, "STRIPE_SECRET_KEY": "sk_test_sandbox", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_as_a_process_it_survives_a_kill_and_logs_no_card() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        with start(Path(folder), port) as process:
            assert wait_until(lambda: answers_ok(f"{url}/readyz"), seconds=START_SECONDS)
            answer = requests.post(
                f"{url}/v1/checkout/sessions",
                auth=("sk_test_sandbox", ""),
                data={
                    "mode": "payment",
                    "success_url": "http://shop.test/",
                    "line_items[0][price_data][currency]": "usd",
                    "line_items[0][price_data][unit_amount]": "499",
                    "line_items[0][price_data][product_data][name]": "Pack",
                },
                timeout=10,
            )
            page = answer.json()["url"]
            assert page.startswith(url)
            requests.post(page, data=CARD, allow_redirects=False, timeout=10)
            process.kill()
            assert process.stdout is not None
            output = process.stdout.read()
        assert "POST /pay/cs_test_" in output
        assert not re.search(r"4242|sk_test", output)
        with start(Path(folder), port) as process:
            assert wait_until(lambda: answers_ok(f"{url}/readyz"), seconds=START_SECONDS)
            assert "$4.55" in requests.get(url, timeout=10).text
            process.terminate()
            assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ([], {"STRIPE_SECRET_KEY": "sk_live_abcdef"}, "live key"),
        (["--secret-key", "sk_test_x"], {"STRIPE_SECRET_KEY": "sk_live_abcdef"}, "live key"),
        (["--secret-key", "sk_live_abcdef"], {}, "live key"),
        ([], {"STRIPE_SECRET_KEY": "secret"}, "not a Stripe test key"),
        (["--webhook", "http://127.0.0.1:1/"], {}, "no signing secret"),
        (["--webhook", "ftp://x=whsec_1"], {}, "not a URL"),
    ],
)
def test_commands_that_are_refused(
    arguments: list[str], environment: dict[str, str], said: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "api.sandbox", "--port", "0", "--folder", folder, *arguments],
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("STRIPE_")},
                "STRIPE_SECRET_KEY": "sk_test_sandbox",
                **environment,
            },
            check=False,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "sk_live_abcdef" not in done.stderr
