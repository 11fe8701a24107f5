"""Settings of Stripe: which account, which secrets sign what it tells us, and where it listens."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from api.config.reading import SettingsError, read_url

SECRET_KEY = re.compile(r"(?:sk|rk)_(?:test|live)_[A-Za-z0-9_-]+")
PUBLISHABLE_KEY = re.compile(r"pk_(?:test|live)_[A-Za-z0-9_-]+")
WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9_+/=-]+")
ALL_VARIABLES = (
    "STRIPE_WEBHOOK_SECRET",
    "STRIPE_CONNECT_WEBHOOK_SECRET",
    "STRIPE_API_BASE",
    "STRIPE_PUBLISHABLE_KEY",
)


@dataclass(frozen=True)
class StripeSettings:
    """How to reach Stripe, and how to know that it is Stripe who speaks.

    `api_base` is set where a sandbox stands in for Stripe. No secret is in the repr.
    """

    secret_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    connect_webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    api_base: str | None = None
    publishable_key: str | None = None

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ
    ) -> "StripeSettings | None":
        """Read and check every variable; None where no key is set, and nothing else either."""
        key = environment.get("STRIPE_SECRET_KEY")
        if not key:
            for variable in ALL_VARIABLES:
                if environment.get(variable):
                    raise SettingsError(f"{variable} is set, and STRIPE_SECRET_KEY is not")
            return None
        settings = cls(
            secret_key=_secret_key(key),
            webhook_secrets=_webhook_secrets(environment, "STRIPE_WEBHOOK_SECRET"),
            connect_webhook_secrets=_webhook_secrets(environment, "STRIPE_CONNECT_WEBHOOK_SECRET"),
            api_base=_api_base(environment.get("STRIPE_API_BASE")),
            publishable_key=_publishable_key(environment.get("STRIPE_PUBLISHABLE_KEY")),
        )
        settings._refuse_contradictions()
        return settings

    @property
    def livemode(self) -> bool:
        """Whether real money moves."""
        return self.secret_key.startswith(("sk_live_", "rk_live_"))

    def require_webhook_secret(self) -> "StripeSettings":
        """These settings, if they are enough to know who calls the webhook."""
        if not self.webhook_secrets:
            raise SettingsError(
                "STRIPE_SECRET_KEY is set, and STRIPE_WEBHOOK_SECRET is not: "
                "without it nobody knows which payments are real"
            )
        return self

    def without_webhook_secrets(self) -> "StripeSettings":
        """For who calls Stripe and is never called by it."""
        return replace(self, webhook_secrets=(), connect_webhook_secrets=())

    def environment(self) -> dict[str, str]:
        """The variables that these settings are read from, also those that are not set."""
        return {
            "STRIPE_SECRET_KEY": self.secret_key,
            "STRIPE_WEBHOOK_SECRET": ",".join(self.webhook_secrets),
            "STRIPE_CONNECT_WEBHOOK_SECRET": ",".join(self.connect_webhook_secrets),
            "STRIPE_API_BASE": self.api_base or "",
            "STRIPE_PUBLISHABLE_KEY": self.publishable_key or "",
        }

    def _refuse_contradictions(self) -> None:
        if self.livemode and self.api_base is not None:
            raise SettingsError(
                "STRIPE_API_BASE points to a sandbox, and STRIPE_SECRET_KEY is a live key"
            )
        publishable = self.publishable_key
        if publishable is not None and publishable.startswith("pk_live_") != self.livemode:
            raise SettingsError(
                "STRIPE_PUBLISHABLE_KEY and STRIPE_SECRET_KEY: one is live, the other is not"
            )


def _secret_key(given: str) -> str:
    if not SECRET_KEY.fullmatch(given):
        raise SettingsError(
            "STRIPE_SECRET_KEY must look like sk_test_..., sk_live_..., rk_test_... or rk_live_..."
        )
    return given


def _publishable_key(given: str | None) -> str | None:
    if not given:
        return None
    if not PUBLISHABLE_KEY.fullmatch(given):
        raise SettingsError("STRIPE_PUBLISHABLE_KEY must look like pk_test_... or pk_live_...")
    return given


def _webhook_secrets(environment: Mapping[str, str], variable: str) -> tuple[str, ...]:
    """One secret, or several while they are being changed."""
    given = environment.get(variable)
    if not given:
        return ()
    found = tuple(secret.strip() for secret in given.split(","))
    if not all(WEBHOOK_SECRET.fullmatch(secret) for secret in found):
        raise SettingsError(f"{variable} must look like whsec_..., several parted by commas")
    return found


def _api_base(given: str | None) -> str | None:
    if not given:
        return None
    parts = read_url(given, "STRIPE_API_BASE")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SettingsError(f"STRIPE_API_BASE must be an address without a path, not {given!r}")
    return given.rstrip("/")
