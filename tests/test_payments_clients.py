"""Payments and receipts with supabase-js."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from api.stack.supervisor import Stack
from tests.payments import Till, till_of
from tests.shop import claims

SCRIPT = Path(__file__).parent / "javascript" / "payments.mjs"


@pytest.fixture
def till(stack: Stack) -> Iterator[Till]:
    with till_of(stack) as till:
        yield till


def test_supabase_js_pays_and_reads_it(till: Till) -> None:
    reader, stranger = till.buyer(), till.buyer()
    about = {
        "url": till.rest_url,
        "edge": till.edge_url,
        "sandbox": f"{till.sandbox.settings.api_base}/_sandbox",
        "reader": {"token": reader.token},
        "stranger": {"token": stranger.token},
        "operator": {"token": till.service().token},
        "anonymousKey": jwt.encode(claims(sub=None, role="anon"), till.jwt_secret, "HS256"),
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
    assert "# pass 4" in ran.stdout
    assert 0 < reader.balance < 110
    assert stranger.balance == 0
