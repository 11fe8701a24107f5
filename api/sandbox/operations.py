"""What a resource module offers: its operations, each a method, a URL and its parameters."""

from collections.abc import Callable
from dataclasses import dataclass, field

from api.sandbox import forms
from api.sandbox.context import Context
from api.sandbox.store import Body


@dataclass(frozen=True)
class Reply:
    """An answer that is not simply 200: what it refuses has happened all the same."""

    status: int
    body: Body


@dataclass(frozen=True)
class Operation:
    """One request of the API. Every operation also takes `expand`.

    `speaks_for_accounts`: whether the header Stripe-Account may name a connected account.
    """

    method: str
    path: str
    run: Callable[[Context], Body | Reply]
    parameters: forms.Schema = field(default_factory=dict)
    required: tuple[str, ...] = ()
    speaks_for_accounts: bool = False
