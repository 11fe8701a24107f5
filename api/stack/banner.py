"""What `up` says when everything runs."""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from api.demo import DemoStory
from api.stack.supervisor import Package, Stack


def banner(stack: Stack) -> str:
    """What runs where, commands to paste, and how to stop."""
    where = [
        ("REST API", stack.rest_url),
        ("edge", stack.edge_url),
        ("Stripe", _stripe(stack)),
        ("covers", _covers(stack)),
        ("database", "your server (DATABASE_URL)" if stack.postgres is None else "embedded"),
        ("state", str(stack.folder)),
    ]
    blocks = ["\n".join(f"  {click.style(f'{name:<9}', bold=True)} {at}" for name, at in where)]
    if stack.story is not None:
        title = f"chapter {stack.story.chapter_number} of {stack.story.title!r}"
        blocks += [f"Buy {title} as the demo reader:", _buy(stack, stack.story)]
        blocks += ["Then read it:", _read(stack, stack.story)]
        if stack.package is not None:
            blocks += [f"Buy the {stack.package.name} for somebody new:"]
            blocks += [_top_up(stack, stack.package)]
            blocks += [_how_to_pay(stack), _see_credits(stack)]
        blocks += ["Set up payouts for the demo creator, at the `url` it answers:", _connect(stack)]
        if stack.covers is not None:
            blocks += _cover(stack, stack.story)
    else:
        blocks += ["See what there is to call:", f"  curl -sS {stack.rest_url}/"]
    blocks += ["Ctrl-C stops everything; the data stays."]
    return "\n" + "\n\n".join([click.style("Infinite Pages is up.", bold=True), *blocks]) + "\n"


def _stripe(stack: Stack) -> str:
    if stack.uses_sandbox:
        return f"sandbox, no money moves: {stack.stripe_url}"
    if stack.stripe.livemode:
        return f"LIVE, real money moves: {stack.stripe_url}"
    return f"test mode, no money moves: {stack.stripe_url}"


def _covers(stack: Stack) -> str:
    if stack.covers is None:
        return "off: set STABLE_DIFFUSION_WEBUI_URL"
    servers = stack.covers.servers
    if stack.uses_webui_sandbox:
        return f"sandbox that draws: {servers[0].url}"
    return "drawn by " + ", ".join(server.name for server in servers)


def _buy(stack: Stack, story: DemoStory) -> str:
    body = {
        "story_id": str(story.story_id),
        "purchase_type": "chapter",
        "chapters": [story.chapter_number],
    }
    return _post(f"{stack.rest_url}/rpc/purchase_story", "reader", body)


def _read(stack: Stack, story: DemoStory) -> str:
    query = f"story_id={story.story_id}&chapter_number={story.chapter_number}"
    return _get(f"{stack.rest_url}/rpc/read_chapter?{query}", "reader")


def _top_up(stack: Stack, package: Package) -> str:
    return _post(f"{stack.edge_url}/credits/checkout", "newcomer", {"package_id": str(package.id)})


def _how_to_pay(stack: Stack) -> str:
    if stack.uses_sandbox:
        return (
            "Open the `url` it answers in a browser and press Pay: the test card is filled in.\n"
            "You come back to a page that shows the credits. The new wallet's statement:"
        )
    return "Open the `url` it answers in a browser and pay there. The new wallet's statement:"


def _see_credits(stack: Stack) -> str:
    query = "select=amount,description,balance_after&order=id"
    return _get(f"{stack.rest_url}/credit_transactions?{query}", "newcomer")


def _connect(stack: Stack) -> str:
    return (
        f"  curl -sS -X POST {stack.edge_url}/creators/connect \\\n"
        f"    -H {_authorization('creator')}"
    )


def _cover(stack: Stack, story: DemoStory) -> list[str]:
    """A cover for the demo's book, and where to look."""
    wanted = {"story_id": str(story.story_id), "style": "fantasy"}
    queue = "select=style,state,progress,position,error_message"
    pictures = f"story_id=eq.{story.story_id}&select=cover_style,cover_url,is_primary"
    return [
        "Ask for a cover as its author: realistic, artistic, fantasy, minimalist or vintage.",
        _post(f"{stack.rest_url}/rpc/request_cover", "creator", wanted),
        "See how far it is, and then the picture, at its `cover_url`:",
        _get(f"{stack.rest_url}/rpc/cover_queue?{queue}", "creator")
        + "\n"
        + _get(f"{stack.rest_url}/story_covers?{pictures}", "creator"),
    ]


def _post(url: str, handle: str, body: Mapping[str, object]) -> str:
    return (
        f"  curl -sS {url} \\\n"
        f"    -H {_authorization(handle)} \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{json.dumps(body)}'"
    )


def _get(url: str, handle: str) -> str:
    return f"  curl -sS '{url}' \\\n    -H {_authorization(handle)}"


def _authorization(handle: str) -> str:
    script = Path(sys.executable).parent / "infinite-pages"
    if script.is_relative_to(Path.cwd()):
        script = script.relative_to(Path.cwd())
    given = os.environ.get("STATE_DIR")
    state = f"STATE_DIR={shlex.quote(given)} " if given else ""
    return f'"Authorization: Bearer $({state}{shlex.quote(str(script))} token {handle})"'
