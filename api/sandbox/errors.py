"""Refusals in the shape that Stripe uses, which the official clients turn into exceptions."""

from typing import Any

DOCUMENTATION = "https://docs.stripe.com/error-codes/"


class StripeError(Exception):
    """A request that is answered by an error object.

    `is_stored`: whether the reply is kept under the request's idempotency key. Stripe keeps what
    came out of running a request, not the refusal of one that was malformed.
    """

    def __init__(self, status: int, message: str, *, is_stored: bool = True, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.is_stored = is_stored
        told = {name: value for name, value in more.items() if value is not None}
        self.error = {"message": message, "type": "invalid_request_error", **told}
        if "code" in told:
            self.error["doc_url"] = DOCUMENTATION + told["code"].replace("_", "-")

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {"error": self.error}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """A parameter that cannot be used; the request did not begin to run."""
    return StripeError(400, message, param=param, code=code, is_stored=False)


def missing(param: str) -> StripeError:
    """A parameter that has to be there."""
    return invalid(f"Missing required param: {param}.", param, "parameter_missing")


def refused(message: str, *, code: str | None = None, param: str | None = None) -> StripeError:
    """A request that ran and could not be done in the state that things are in."""
    return StripeError(400, message, code=code, param=param)


def no_such(kind: str, object_id: str, param: str = "id", status: int = 400) -> StripeError:
    """An object that does not exist: 404 when the URL named it, 400 when a parameter did."""
    return StripeError(
        status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param
    )


def wrong_key(given: str) -> StripeError:
    """A secret key that is not ours; only its end is repeated."""
    if not given:
        message = "No API key was sent: put the secret key into the Authorization header."
    else:
        message = f"Invalid API Key provided: {'*' * 8}{given[-4:]}"
    return StripeError(401, message, is_stored=False)


def no_account(account: str) -> StripeError:
    """An account that is unknown, or that is not connected any more: Stripe does not tell which."""
    message = f"The account '{account}' is not connected to this one, or not any more."
    return StripeError(403, message, code="account_invalid", is_stored=False)


def not_for_accounts() -> StripeError:
    """A call on behalf of a connected account that only the platform can make here."""
    return invalid("The sandbox does not do this for a connected account (Stripe-Account).")


def unknown_url(method: str, path: str) -> StripeError:
    """A URL that the sandbox does not have."""
    message = f"Unrecognized request URL ({method}: {path})."
    return StripeError(404, message, is_stored=False)


def too_many_requests() -> StripeError:
    """The answer to clients that ask too often."""
    message = "Too many requests reached the API at once. Wait a little and send it again."
    return StripeError(429, message, code="rate_limit", is_stored=False)


def server_error() -> StripeError:
    """Stripe's own failure."""
    return StripeError(500, "Something failed on the side of the API.", type="api_error")


def key_reused(key: str) -> StripeError:
    """The same idempotency key with another request."""
    message = (
        f"The idempotency key '{key}' was first used with another request. "
        "Send the same parameters to the same endpoint, or use another key."
    )
    return StripeError(400, message, type="idempotency_error", is_stored=False)


def key_in_use(key: str) -> StripeError:
    """The same idempotency key while its first request is still running."""
    message = f"Another request with the idempotency key '{key}' is in progress."
    return StripeError(
        409, message, type="idempotency_error", code="idempotency_key_in_use", is_stored=False
    )
