"""Which database a command talks to: the one rule that all of them share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from api import config
from api.config import Settings, SettingsError, StripeSettings
from api.stack.errors import StackError
from api.stack.ports import answers_ok


def owner_url(settings: Settings) -> str:
    """DATABASE_URL where it is set, else the running embedded server of the state folder."""
    if settings.database_url is not None:
        return settings.database_url
    from api.stack.supervisor import embedded_postgres

    server = embedded_postgres(settings)
    if server.pid is None:
        raise StackError(
            f"no database runs in {settings.state_folder}: "
            "start it with `infinite-pages up`, or set DATABASE_URL or STATE_DIR"
        )
    return server.url(config.DATABASE_NAME)


@contextmanager
def connect(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A connection as the owner, in a transaction that commits unless the block raises."""
    url = owner_url(settings)
    with psycopg.connect(url, application_name="infinite-pages") as connection:
        yield connection


@contextmanager
def connect_in_steps(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """The same without a transaction: for work in many, or while somebody outside is asked."""
    url = owner_url(settings)
    with psycopg.connect(url, autocommit=True, application_name="infinite-pages") as connection:
        yield connection


def stripe_settings(settings: Settings) -> StripeSettings:
    """STRIPE_SECRET_KEY where it is set, else the sandbox beside the embedded server.

    Never a sandbox beside somebody's own server: its statement has no place in real books.
    """
    if settings.uses_sandbox and settings.database_url is not None:
        raise SettingsError("DATABASE_URL is set, and STRIPE_SECRET_KEY is not: which Stripe?")
    if settings.uses_sandbox and not settings.sandbox_folder.exists():
        raise SettingsError(
            f"no Stripe: {settings.state_folder} has no sandbox, and STRIPE_SECRET_KEY is not set"
        )
    account = settings.stripe
    if settings.uses_sandbox and not answers_ok(f"{account.api_base}/"):
        raise StackError(
            f"Stripe's sandbox does not answer at {account.api_base}: start `infinite-pages up`, "
            "or set STRIPE_SANDBOX_PORT here as it is set there"
        )
    return account
