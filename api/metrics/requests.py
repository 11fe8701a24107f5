"""How many requests the edge served, and how long they took.

Several processes of one gunicorn count together in a folder that they share; one process counts in
its memory. Labels are the edge's own words: a route and never an address, a method and a status
that exist. What a caller made up is `other` or `unknown`, so nobody can fill the memory or leave a
person's data here.
"""

import time
from pathlib import Path

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


# When each count began would be as many lines again, and with a folder it is not known.
disable_created_metrics()  # type: ignore[no-untyped-call]


def count_requests(app: Flask, folder: Path | None) -> CollectorRegistry:
    """Count from now on; the registry has the counts of all processes that share the folder.

    When a request began is known from the log of requests, `register_request_log`.
    """
    registry = CollectorRegistry()
    # With a folder the values are in its files, whoever asks; without one in this registry's own.
    home = registry if folder is None else None
    requests = Counter(
        "infinite_pages_edge_requests",
        "Requests that the edge answered.",
        ("method", "route", "status"),
        registry=home,
    )
    seconds = Histogram(
        "infinite_pages_edge_request_seconds",
        "How long the edge took to answer.",
        ("route",),
        registry=home,
        buckets=SECONDS,
    )
    if folder is not None:
        MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]

    @app.after_request
    def end(response: Response) -> Response:
        method = request.method if request.method in METHODS else "other"
        route = "unknown" if request.url_rule is None else request.url_rule.rule
        requests.labels(method, route, str(response.status_code)).inc()
        seconds.labels(route).observe(time.monotonic() - g.began)
        return response

    return registry
