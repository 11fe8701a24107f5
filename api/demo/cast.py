"""Everybody of the demonstration, each with a token of their own."""

from typing import Protocol

from api.demo.client import RestClient
from api.demo.figures import ADMIN, COAUTHOR, CREATOR, READER, STRANGER, Person


class RunningStack(Protocol):
    """What the story needs of a running stack."""

    rest_url: str
    edge_url: str
    database_url: str

    @property
    def stripe_url(self) -> str: ...

    @property
    def stripe_secret_key(self) -> str: ...

    def token(self, handle: str) -> str: ...


class Cast:
    """The people, and the sandbox that stands in for Stripe, for banks and for cards."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self.reader = self._at(stack.rest_url, READER)
        self.creator = self._at(stack.rest_url, CREATOR)
        self.coauthor = self._at(stack.rest_url, COAUTHOR)
        self.stranger = self._at(stack.rest_url, STRANGER)
        self.admin = self._at(stack.rest_url, ADMIN)
        self.sandbox = RestClient(stack.stripe_url, stack.stripe_secret_key)

    def at_the_edge(self, person: Person) -> RestClient:
        """What the edge is to that person."""
        return self._at(self._stack.edge_url, person)

    def _at(self, url: str, person: Person) -> RestClient:
        return RestClient(url, self._stack.token(person.handle))


def balance_of(client: RestClient) -> int:
    """What somebody can spend, in credits."""
    balance: int = client.call("credit_balance")["balance"]
    return balance
