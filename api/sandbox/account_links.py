"""/v1/account_links: the way to the page on which somebody sets up a connected account.

A link works once and for a few minutes. Whoever comes later, or again, is sent to the platform's
refresh_url, which is to make a new one.
"""

from api.sandbox import forms
from api.sandbox.context import Context
from api.sandbox.errors import no_such
from api.sandbox.onboarding import connected
from api.sandbox.operations import Operation
from api.sandbox.store import Body, new_id

KIND = "account_link"
PREFIX = "alink"
URL = "/v1/account_links"
SECONDS_TO_OPEN = 5 * 60
SECONDS_TO_FILL_IN = 60 * 60
ID_LETTERS = 40


def create(context: Context) -> Body:
    """POST /v1/account_links."""
    given = context.parameters
    account = connected(context, given["account"])
    link: Body = {
        "id": new_id(PREFIX, ID_LETTERS),
        "object": KIND,
        "created": context.now(),
        "expires_at": context.now() + SECONDS_TO_OPEN,
        "_account": account["id"],
        "_opened_at": None,
        "_refresh_url": given["refresh_url"],
        "_return_url": given["return_url"],
        "_is_done": False,
    }
    link["url"] = f"{context.base_url}/connect/{link['id']}"
    context.store.insert(link)
    return {name: value for name, value in link.items() if name != "id"}


def find(context: Context, link_id: str) -> Body:
    """The link of a page's address."""
    link = context.store.get(KIND, link_id)
    if link is None:
        raise no_such(KIND, link_id, "id", 404)
    return link


def is_fresh(context: Context, link: Body) -> bool:
    """Whether a visit may still open the link."""
    return link["_opened_at"] is None and context.now() < link["expires_at"]


def open_link(context: Context, link: Body) -> None:
    """Use the link up."""
    context.change(link, _opened_at=context.now())


def may_be_filled_in(context: Context, link: Body) -> bool:
    """Whether the page that was opened still takes what is filled in."""
    opened_at = link["_opened_at"]
    return (
        opened_at is not None
        and not link["_is_done"]
        and context.now() < opened_at + SECONDS_TO_FILL_IN
    )


def close(context: Context, link: Body) -> None:
    """The person has left the page by one of its buttons."""
    context.change(link, _is_done=True)


FIELDS_TO_COLLECT = forms.choice("currently_due", "eventually_due")
OPERATIONS = (
    Operation(
        "POST",
        URL,
        create,
        {
            "account": forms.text,
            "collect": FIELDS_TO_COLLECT,
            "collection_options": forms.hash_of(
                {
                    "fields": FIELDS_TO_COLLECT,
                    "future_requirements": forms.choice("include", "omit"),
                }
            ),
            "refresh_url": forms.url,
            "return_url": forms.url,
            "type": forms.choice("account_onboarding"),
        },
        ("account", "refresh_url", "return_url", "type"),
    ),
)
