"""What the routes of Stripe share: the client, where a checkout may return to, calls that fail."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import stripe
from flask import Flask, current_app

from api.config import EdgeSettings, StripeSettings
from api.errors import ApiError
from api.stripe.client import is_permanent, make_client
from api.stripe.outbox import RefusedError, UnavailableError

# Of the edge's threads only so many wait for Stripe: the others go on answering its webhooks.
SLOTS = 5
SLOT_SECONDS = 1.0


@dataclass(frozen=True)
class Shop:
    """The edge's side of Stripe."""

    client: stripe.StripeClient
    settings: StripeSettings
    edge_url: str
    return_origins: frozenset[str]
    _slots: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(SLOTS)
    )

    @contextmanager
    def calling(self) -> Iterator[stripe.StripeClient]:
        """The client, with its failures told as answers of ours.

        No transaction may be open in the block.
        """
        if not self._slots.acquire(timeout=SLOT_SECONDS):
            raise _unavailable()
        try:
            yield self.client
        except UnavailableError as error:
            current_app.logger.warning("Stripe: %s", error)
            raise _unavailable() from None
        except RefusedError as error:
            raise _refused(str(error)) from None
        except stripe.StripeError as error:
            current_app.logger.warning("Stripe: %s", error)
            raise (_refused() if is_permanent(error) else _unavailable()) from None
        finally:
            self._slots.release()


def register_shop(app: Flask, settings: EdgeSettings) -> None:
    """Attach the app's shop."""
    app.extensions["shop"] = Shop(
        client=make_client(settings.stripe),
        settings=settings.stripe,
        edge_url=settings.edge_url,
        return_origins=frozenset((settings.edge_url, *settings.return_origins)),
    )


def shop() -> Shop:
    """The shop of the app that serves this request."""
    found: Shop = current_app.extensions["shop"]
    return found


def _unavailable() -> ApiError:
    return ApiError(
        502,
        "Stripe cannot be reached. Send the same call again, with the same Idempotency-Key.",
        "stripe_unavailable",
    )


def _refused(reason: str | None = None) -> ApiError:
    current_app.logger.error("Stripe refused a request: %s", reason)
    return ApiError(502, "Stripe refused this. It was logged.", "stripe_refused")
