"""Expected failures end a command with one line and exit code 1, never with a traceback."""

import sys
from typing import Any

import click
import psycopg

from api.config import SettingsError
from api.stack.errors import StackError
from api.tokens import UnknownHandleError


class ExpectedErrorsGroup(click.Group):
    """A group whose commands may let expected errors pass."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what can be expected into click's own error."""
        from api.deploy import DeployError
        from api.worker import WorkerError

        try:
            return super().invoke(ctx)
        except (
            SettingsError,
            StackError,
            UnknownHandleError,
            DeployError,
            WorkerError,
        ) as error:
            raise click.ClickException(str(error)) from None
        except psycopg.Error as error:
            raise click.ClickException(database_message(error)) from None
        except Exception as error:
            message = stripe_message(error)
            if message is None:
                raise
            raise click.ClickException(message) from None


def database_message(error: psycopg.Error) -> str:
    """What the database said, on one line."""
    parts = [error.diag.message_primary or str(error), error.diag.message_detail or ""]
    return " ".join(" ".join(parts).split())


def stripe_message(error: Exception) -> str | None:
    """What is said when Stripe cannot be asked; None for any other error.

    The library is heavy: it is there only if a command has used it.
    """
    stripe = sys.modules.get("stripe")
    if stripe is None or not isinstance(error, stripe.StripeError):
        return None
    from api.logs import redact
    from api.stripe.client import message_of

    return redact(f"Stripe cannot be asked: {message_of(error)}")
