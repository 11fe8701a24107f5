"""What `up` says when everything runs."""

import json
import os
import shlex
import sys
from pathlib import Path

import click

from api.stack.supervisor import Stack


def banner(stack: Stack) -> str:
    """What runs where, commands to paste, and how to stop."""
    where = [
        ("REST API", stack.rest_url),
        ("edge", stack.edge_url),
        ("Stripe", _stripe(stack)),
        ("database", "your server (DATABASE_URL)" if stack.postgres is None else "embedded"),
        ("state", str(stack.folder)),
    ]
    blocks = ["\n".join(f"  {click.style(f'{name:<9}', bold=True)} {at}" for name, at in where)]
    if stack.story is not None:
        title = f"chapter {stack.story.chapter_number} of {stack.story.title!r}"
        blocks += [f"Buy {title} as the demo reader:", _buy(stack)]
        blocks += ["Then read it:", _read(stack)]
        if stack.package is not None:
            blocks += [f"Buy the {stack.package.name} for somebody new:", _top_up(stack)]
            blocks += [_how_to_pay(stack), _see_credits(stack)]
        blocks += ["Set up payouts for the demo creator, at the `url` it answers:", _connect(stack)]
    else:
        blocks += ["See what there is to call:", f"  curl -sS {stack.rest_url}/"]
    blocks += ["Ctrl-C stops everything; the data stays."]
    return "\n" + "\n\n".join([click.style("Infinite Pages is up.", bold=True), *blocks]) + "\n"


def _buy(stack: Stack) -> str:
    assert stack.story is not None
    body = {
        "story_id": str(stack.story.story_id),
        "purchase_type": "chapter",
        "chapters": [stack.story.chapter_number],
    }
    return (
        f"  curl -sS {stack.rest_url}/rpc/purchase_story \\\n"
        f"    -H {_authorization()} \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{json.dumps(body)}'"
    )


def _read(stack: Stack) -> str:
    assert stack.story is not None
    query = f"story_id={stack.story.story_id}&chapter_number={stack.story.chapter_number}"
    return f"  curl -sS '{stack.rest_url}/rpc/read_chapter?{query}' \\\n    -H {_authorization()}"


def _stripe(stack: Stack) -> str:
    if stack.uses_sandbox:
        return f"sandbox, no money moves: {stack.stripe_url}"
    if stack.stripe.livemode:
        return f"LIVE, real money moves: {stack.stripe_url}"
    return f"test mode, no money moves: {stack.stripe_url}"


def _top_up(stack: Stack) -> str:
    assert stack.package is not None
    body = {"package_id": str(stack.package.id)}
    return (
        f"  curl -sS {stack.edge_url}/credits/checkout \\\n"
        f"    -H {_authorization('newcomer')} \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{json.dumps(body)}'"
    )


def _how_to_pay(stack: Stack) -> str:
    if stack.uses_sandbox:
        return (
            "Open the `url` it answers in a browser and press Pay: the test card is filled in.\n"
            "You come back to a page that shows the credits. The new wallet's statement:"
        )
    return "Open the `url` it answers in a browser and pay there. The new wallet's statement:"


def _connect(stack: Stack) -> str:
    return (
        f"  curl -sS -X POST {stack.edge_url}/creators/connect \\\n"
        f"    -H {_authorization('creator')}"
    )


def _see_credits(stack: Stack) -> str:
    query = "select=amount,description,balance_after&order=id"
    return (
        f"  curl -sS '{stack.rest_url}/credit_transactions?{query}' \\\n"
        f"    -H {_authorization('newcomer')}"
    )


def _authorization(handle: str = "reader") -> str:
    script = Path(sys.executable).parent / "infinite-pages"
    if script.is_relative_to(Path.cwd()):
        script = script.relative_to(Path.cwd())
    given = os.environ.get("STATE_DIR")
    state = f"STATE_DIR={shlex.quote(given)} " if given else ""
    return f'"Authorization: Bearer $({state}{shlex.quote(str(script))} token {handle})"'
