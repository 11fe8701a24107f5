"""Everybody of the demonstration, each with a token of their own."""

from typing import Protocol

from api.config import CoverSettings
from api.demo.client import AnswerError, RestClient
from api.demo.figures import (
    ADMIN,
    COAUTHOR,
    CREATOR,
    LATECOMER,
    NEWCOMER,
    READER,
    STRANGER,
    Person,
)
from api.stack.wait import wait_until

NEWS_SECONDS = 30.0


class RunningStack(Protocol):
    """What the story needs of a running stack."""

    rest_url: str
    edge_url: str
    database_url: str
    covers: CoverSettings | None

    @property
    def stripe_url(self) -> str: ...

    @property
    def stripe_secret_key(self) -> str: ...

    def token(self, handle: str) -> str: ...


class Cast:
    """The people, a sandbox that is Stripe, banks and cards to them, and one that draws."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self.reader = self._at(stack.rest_url, READER)
        self.creator = self._at(stack.rest_url, CREATOR)
        self.coauthor = self._at(stack.rest_url, COAUTHOR)
        self.stranger = self._at(stack.rest_url, STRANGER)
        self.newcomer = self._at(stack.rest_url, NEWCOMER)
        self.latecomer = self._at(stack.rest_url, LATECOMER)
        self.admin = self._at(stack.rest_url, ADMIN)
        self.sandbox = RestClient(stack.stripe_url, stack.stripe_secret_key)
        assert stack.covers is not None
        self.webui = RestClient(stack.covers.servers[0].url, "")

    def at_the_edge(self, person: Person) -> RestClient:
        """What the edge is to that person."""
        return self._at(self._stack.edge_url, person)

    def at_stripe(self, account_id: str) -> RestClient:
        """What Stripe is to the owner of a connected account."""
        headers = {"Stripe-Account": account_id}
        return RestClient(self._stack.stripe_url, self._stack.stripe_secret_key, headers)

    def hear_from_stripe(self) -> None:
        """Wait until all that Stripe had to tell has been told."""

        def all_is_told() -> bool:
            deliveries = self.sandbox.get("_sandbox/webhooks")["deliveries"]
            return all(each["state"] == "delivered" for each in deliveries)

        if not wait_until(all_is_told, seconds=NEWS_SECONDS):
            raise AnswerError("Stripe's news did not all arrive")

    def pay(self, person: Person, client: RestClient, package: str) -> str:
        """Buy credits at the edge, pay as a browser would, wait for the news; the payment's id."""
        package_id = client.row("credit_packages", name=f"eq.{package}")["id"]
        begun = self.at_the_edge(person).post("credits/purchase", package_id=package_id)
        intent = begun["client_secret"].partition("_secret_")[0]
        self.sandbox.post(
            f"_sandbox/payment_intents/{intent}/confirm", payment_method="pm_card_visa"
        )
        payment: str = begun["payment_id"]
        wait_for(client, "payments", payment, "status", "succeeded")
        return payment

    def _at(self, url: str, person: Person) -> RestClient:
        return RestClient(url, self._stack.token(person.handle))


def balance_of(client: RestClient) -> int:
    """What somebody can spend, in credits."""
    balance: int = client.call("credit_balance")["balance"]
    return balance


def wait_for(client: RestClient, view: str, row_id: str, column: str, value: str) -> None:
    """Wait until somebody sees this value: news of Stripe's come by themselves."""

    def has_come() -> bool:
        return bool(client.row(view, id=f"eq.{row_id}")[column] == value)

    if not wait_until(has_come, seconds=NEWS_SECONDS):
        raise AnswerError(f"{view} {row_id} did not become {value}")
