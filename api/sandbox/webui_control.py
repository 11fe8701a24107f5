"""The controls of the sandbox's WebUI under /_sandbox/, and its page.

The controls speak JSON and are for this machine only, like those of the other sandbox.
"""

import ipaddress
import random

from flask import Blueprint, Response, render_template_string, request

from api.sandbox.control import body, number, one_of, texts, words
from api.sandbox.errors import StripeError, invalid
from api.sandbox.pages import add_headers
from api.sandbox.webui_errors import json_response
from api.sandbox.webui_faults import (
    ANYWHERE,
    BY_CHANCE,
    DEFAULT_PATHS,
    DRAWING,
    KINDS,
    WHILE_DRAWING,
    WebuiFaults,
)
from api.sandbox.webui_tasks import Gpu

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Pictures - Sandbox</title>
<style>
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5a6478; --page: #f4f6fa;
  --warn: #fff3cf; --on-warn: #4d3a00; --accent: #3b3fb6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf3; --soft: #a3acbf; --page: #12151d;
  --warn: #4a3b0c; --on-warn: #ffeab0; --accent: #a9adff; } }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", sans-serif; }
.banner { margin: 0; background: var(--warn); color: var(--on-warn); padding: .6rem 1rem;
  text-align: center; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 .5rem; }
.soft, figcaption { color: var(--soft); }
ul { list-style: none; margin: 1.5rem 0 0; padding: 0; display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); }
figure { margin: 0; }
img { width: 100%; height: auto; border-radius: .3rem; box-shadow: 0 2px 10px #0004; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
</style>
</head>
<body>
<p class="banner" role="note"><strong>Sandbox.</strong> This imitates a Stable Diffusion WebUI for
trying things out. The pictures are drawn from simple shapes; there is no model behind them.</p>
<main>
<h1>The last pictures</h1>
<p class="soft" role="status">
{%- if running %}Drawing one, {{ (running.share * 100) | round | int }} % done.
{%- else %}Nothing is being drawn.{% endif %} <a href="/">Refresh</a></p>
{% if shown %}
<ul>
{% for each in shown %}
<li><figure><img src="/pictures/{{ each.number }}.jpg" loading="lazy"
  alt="{{ each.prompt | truncate(160) }}">
<figcaption>{{ each.model }}, seed {{ each.seed }}<br>{{ each.prompt | truncate(160) }}
</figcaption></figure></li>
{% endfor %}
</ul>
{% else %}
<p>None yet. A picture appears here as soon as a cover has been drawn.</p>
{% endif %}
</main>
</body>
</html>
"""


def webui_control(gpu: Gpu, faults: WebuiFaults) -> Blueprint:
    """The controls of one server."""
    blueprint = Blueprint("webui_control", __name__, url_prefix="/_sandbox")

    @blueprint.before_request
    def only_from_here() -> Response | None:
        address = ipaddress.ip_address(request.remote_addr or "0.0.0.0")
        if address.is_loopback:
            return None
        return json_response(403, {"error": {"message": "Ask from the sandbox's own machine."}})

    blueprint.register_error_handler(
        StripeError, lambda error: json_response(error.status, error.body)
    )
    _add_faults(blueprint, faults)

    @blueprint.get("/tasks")
    def list_tasks() -> Response:
        return json_response(200, {"tasks": gpu.listed()})

    @blueprint.delete("/tasks")
    def forget_tasks() -> Response:
        gpu.forget()
        return json_response(200, {"tasks": gpu.listed()})

    return blueprint


def _add_faults(blueprint: Blueprint, faults: WebuiFaults) -> None:
    @blueprint.get("/faults")
    def list_faults() -> Response:
        return json_response(200, faults.listed())

    @blueprint.post("/faults")
    def add_fault() -> Response:
        if "share" in body():
            return _leave_to_chance(faults)
        given = body("fault", "times", "seconds", "path", "method")
        kind = one_of(given, "fault", KINDS, None)
        path = words(given, "path") or DEFAULT_PATHS.get(kind, DRAWING)
        if path != DRAWING and kind in WHILE_DRAWING:
            raise invalid(f"{kind} can only strike {DRAWING}.", "path")
        times = given.get("times", 1)
        is_count = isinstance(times, int) and not isinstance(times, bool) and times >= 1
        if times is not None and not is_count:
            raise invalid("times is a number from 1, or null for always.", "times")
        method = words(given, "method") or "*"
        added = faults.add(method, path, kind, times, number(given, "seconds", 1.0))
        return json_response(201, added)

    @blueprint.delete("/faults")
    def clear_faults() -> Response:
        faults.clear()
        return json_response(200, faults.listed())

    @blueprint.post("/faults/release")
    def release_held() -> Response:
        return json_response(200, {"released": faults.release()})


def _leave_to_chance(faults: WebuiFaults) -> Response:
    """{"share": 0.2, "kinds": [...], "seed": 7}: so many of all pictures fail."""
    given = body("share", "kinds", "seed", "seconds")
    share = number(given, "share", 0)
    if share > 1:
        raise invalid("share is a number from 0 to 1.", "share")
    kinds = texts(given, "kinds") or list(BY_CHANCE)
    allowed = (*WHILE_DRAWING, *ANYWHERE)
    if not set(kinds) <= set(allowed):
        raise invalid(f"kinds are among: {', '.join(allowed)}.", "kinds")
    seed = int(number(given, "seed", random.randrange(10**9)))
    return json_response(
        201, faults.leave_to_chance(share, kinds, seed, number(given, "seconds", 1))
    )


def webui_page(gpu: Gpu) -> Blueprint:
    """The page for people: what was drawn last."""
    blueprint = Blueprint("webui_page", __name__)

    @blueprint.get("/")
    def page() -> Response:
        content = render_template_string(PAGE, shown=gpu.shown(), running=gpu.running)
        response = add_headers(Response(content))
        policy = response.headers["Content-Security-Policy"]
        response.headers["Content-Security-Policy"] = f"{policy}; img-src 'self'"
        return response

    @blueprint.get("/pictures/<int:picture>.jpg")
    def thumbnail(picture: int) -> Response:
        found = next((each for each in gpu.shown() if each.number == picture), None)
        if found is None:
            return add_headers(Response("There is no such picture any more.", 404))
        return add_headers(Response(found.jpeg, mimetype="image/jpeg"))

    return blueprint
