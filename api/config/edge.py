"""Settings of the edge."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from api.config.covers import read_store_url
from api.config.reading import (
    SettingsError,
    check_jwt_secret,
    origin_of,
    read_count,
    read_database_url,
    read_url,
)
from api.config.stripe import StripeSettings

MOST_PROXIES = 5
SHORTEST_METRICS_TOKEN = 16
METRICS_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class EdgeSettings:
    """What the edge needs to know. `database_url` logs in as role `edge`.

    `edge_url` is where browsers find it; `return_origins` are the other places to which a checkout
    may send somebody back. Without `cover_store_url` it has no covers. Without `metrics_token` its
    figures are for its own machine; in `metrics_folder` several processes count together.
    """

    database_url: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    stripe: StripeSettings
    edge_url: str
    return_origins: tuple[str, ...] = ()
    trusted_proxies: int = 0
    cover_store_url: str | None = None
    metrics_token: str | None = field(default=None, repr=False)
    metrics_folder: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "EdgeSettings":
        """Read and check every variable."""
        database_url = read_database_url(environment)
        jwt_secret = check_jwt_secret(environment.get("JWT_SECRET"), "JWT_SECRET")
        if database_url is None:
            raise SettingsError("DATABASE_URL is not set: give the edge its login's URL")
        if jwt_secret is None:
            raise SettingsError("JWT_SECRET is not set: give the edge PostgREST's secret")
        stripe = StripeSettings.from_environment(environment)
        if stripe is None:
            raise SettingsError(
                "STRIPE_SECRET_KEY is not set, and without Stripe nothing can be sold: "
                "set it, or run `infinite-pages up`, which brings a sandbox"
            )
        return cls(
            database_url=database_url,
            jwt_secret=jwt_secret,
            stripe=stripe.require_webhook_secret(),
            edge_url=_edge_url(environment.get("EDGE_URL"), stripe),
            return_origins=read_return_origins(environment, stripe),
            trusted_proxies=read_count(environment, "TRUSTED_PROXIES", MOST_PROXIES),
            cover_store_url=read_store_url(environment),
            metrics_token=read_metrics_token(environment),
            metrics_folder=read_metrics_folder(environment),
        )

    def __post_init__(self) -> None:
        # However it was made, an edge does not answer webhooks that anybody could have sent.
        self.stripe.require_webhook_secret()


def _edge_url(given: str | None, stripe: StripeSettings) -> str:
    if not given:
        raise SettingsError("EDGE_URL is not set: give the address at which browsers find the edge")
    return check_origin(given, "EDGE_URL", stripe)


def read_return_origins(
    environment: Mapping[str, str], stripe: StripeSettings | None
) -> tuple[str, ...]:
    """CHECKOUT_RETURN_URLS, each in the one way in which origins are compared."""
    given = environment.get("CHECKOUT_RETURN_URLS") or ""
    found = (each.strip() for each in given.split(","))
    return tuple(check_origin(each, "CHECKOUT_RETURN_URLS", stripe) for each in found if each)


def check_origin(given: str, variable: str, stripe: StripeSettings | None) -> str:
    """An address without a path; https where real money moves."""
    parts = read_url(given, variable)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SettingsError(
            f"{variable} holds {given!r}: only the beginning is wanted, such as {origin_of(parts)}"
        )
    if stripe is not None and stripe.livemode and parts.scheme != "https":
        raise SettingsError(f"{variable} holds {given!r}: with a live key it must begin with https")
    return origin_of(parts)


def read_metrics_token(environment: Mapping[str, str]) -> str | None:
    """METRICS_TOKEN, which can be sent in a header and is not guessed; None where it is not set."""
    given = environment.get("METRICS_TOKEN")
    if not given:
        return None
    if len(given) < SHORTEST_METRICS_TOKEN or not METRICS_TOKEN.fullmatch(given):
        raise SettingsError(
            f"METRICS_TOKEN must be at least {SHORTEST_METRICS_TOKEN} letters, digits or signs, "
            "without blanks"
        )
    return given


def read_metrics_folder(environment: Mapping[str, str]) -> Path | None:
    """PROMETHEUS_MULTIPROC_DIR, made where it is not there; None where it is not set."""
    given = environment.get("PROMETHEUS_MULTIPROC_DIR")
    if not given:
        return None
    folder = Path(given)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"PROMETHEUS_MULTIPROC_DIR cannot be used: {error}") from None
    return folder
