"""The door to the figures: a token of its own, or nobody but this machine."""

import hmac
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from api.config import EdgeSettings
from api.db import database
from api.errors import ApiError
from api.metrics.figures import collect
from api.metrics.summary import SummaryReader

# What proxies add. Some add nothing, so this alone keeps nobody out.
PROXY_HEADERS = ("Forwarded", "Via", "X-Real-Ip")
PROXY_PREFIXES = ("x-forwarded-", "cf-")


class DatabaseFigures(Collector):
    """The figures of the database, read when somebody looks."""

    def __init__(self) -> None:
        self._reader = SummaryReader()

    def collect(self) -> Iterable[Metric]:
        """Asked by the registry while a request is served."""
        return collect(self._reader.read(database()))

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not need a database."""
        return []


def make_blueprint(registry: CollectorRegistry, settings: EdgeSettings) -> Blueprint:
    """The page of figures."""
    blueprint = Blueprint("metrics", __name__)
    registry.register(DatabaseFigures())

    @blueprint.get("/metrics")
    def metrics() -> Response:
        _require_reader(settings)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)

    return blueprint


def _require_reader(settings: EdgeSettings) -> None:
    if settings.metrics_token is None:
        if not _is_of_this_machine(settings):
            raise ApiError(
                403, "Figures are for this machine only, or for a token.", "metrics_closed"
            )
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    is_right = hmac.compare_digest(token.strip().encode(), settings.metrics_token.encode())
    if scheme.lower() != "bearer" or not is_right:
        raise ApiError(401, "Send the token for figures.", "metrics_token_required")


def _is_of_this_machine(settings: EdgeSettings) -> bool:
    """Whether it is certain that nobody from outside asks.

    To an edge behind a proxy on its own machine everybody comes from there. So an edge that has an
    address in public, or knows of proxies, takes no caller for its own; nor a browser here that was
    led to this place by another name.
    """
    return (
        settings.trusted_proxies == 0
        and _is_loopback(urlsplit(settings.edge_url).hostname)
        and _is_loopback(urlsplit(f"//{request.host}").hostname)
        and _is_loopback(request.remote_addr)
        and not _came_by_proxy()
    )


def _came_by_proxy() -> bool:
    names = [name.lower() for name, _ in request.headers]
    return any(name in request.headers for name in PROXY_HEADERS) or any(
        name.startswith(PROXY_PREFIXES) for name in names
    )


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host or "")
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback
