"""Stripe: the only part that talks to it. What a payment means is decided in the database."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from api.config import EdgeSettings


def register(app: "Flask", settings: "EdgeSettings") -> None:
    """Give the edge its routes of Stripe.

    The imports are inside, so that the commands and the worker do without the web framework.
    """
    from api.stripe import (
        connect,
        connect_pages,
        pages,
        purchases,
        refunds,
        subscription_pages,
        subscriptions,
        webhooks,
    )
    from api.stripe.shop import register_shop

    register_shop(app, settings)
    for module in (
        purchases,
        refunds,
        pages,
        subscriptions,
        subscription_pages,
        connect,
        connect_pages,
        webhooks,
    ):
        app.register_blueprint(module.blueprint)
