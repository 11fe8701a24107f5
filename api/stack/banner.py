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
        ("database", "your server (DATABASE_URL)" if stack.postgres is None else "embedded"),
        ("state", str(stack.folder)),
    ]
    blocks = ["\n".join(f"  {click.style(f'{name:<9}', bold=True)} {at}" for name, at in where)]
    if stack.story is not None:
        title = f"chapter {stack.story.chapter_number} of {stack.story.title!r}"
        blocks += [f"Buy {title} as the demo reader:", _buy(stack)]
        blocks += ["Then read it:", _read(stack)]
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


def _authorization() -> str:
    script = Path(sys.executable).parent / "infinite-pages"
    if script.is_relative_to(Path.cwd()):
        script = script.relative_to(Path.cwd())
    given = os.environ.get("STATE_DIR")
    state = f"STATE_DIR={shlex.quote(given)} " if given else ""
    return f'"Authorization: Bearer $({state}{shlex.quote(str(script))} token reader)"'
