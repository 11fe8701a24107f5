"""/v1/events: what happened in the last thirty days."""

from api.sandbox import forms, lists
from api.sandbox.context import Context
from api.sandbox.errors import invalid, no_such
from api.sandbox.operations import Operation
from api.sandbox.store import Body

KIND = "event"
URL = "/v1/events"
DAYS_KEPT = 30
MOST_TYPES = 20
UNDELIVERED = "select 1 from deliveries where event = objects.id and state <> 'delivered'"


def retrieve(context: Context) -> Body:
    """GET /v1/events/<id>."""
    event = context.named(KIND, "event")
    if event.get("account") != context.account:
        raise no_such(KIND, event["id"], "id", 404)
    return _with_pending(context, event)


def list_events(context: Context) -> Body:
    """GET /v1/events: the platform's own, or those of the account it speaks for."""
    given = context.parameters
    condition = " and created >= ? and json_extract(body, '$.account') is ?"
    values: list[str | int | None] = [context.now() - DAYS_KEPT * 24 * 3600, context.account]
    types = [each for each in (*given.get("types", []), given.get("type")) if each is not None]
    if len(types) > MOST_TYPES:
        raise invalid(f"types holds at most {MOST_TYPES} names.", "types")
    if given.get("types") and given.get("type") is not None:
        raise invalid("Send type or types, not both.", "type")
    if types:
        either = " or ".join(["json_extract(body, '$.type') glob ?"] * len(types))
        condition += f" and ({either})"
        values.extend(types)
    if "delivery_success" in given:
        condition += f" and {'not ' if given['delivery_success'] else ''}exists ({UNDELIVERED})"
    found = lists.page(context, KIND, URL, None, (condition, tuple(values)))
    found["data"] = [_with_pending(context, event) for event in found["data"]]
    return found


def _with_pending(context: Context, event: Body) -> Body:
    return context.announcer.payload(event)


OPERATIONS = (
    Operation(
        "GET",
        URL,
        list_events,
        {
            **lists.PAGE,
            **lists.BY_CREATED,
            "delivery_success": forms.boolean,
            "type": forms.text,
            "types": forms.list_of(forms.text),
        },
        speaks_for_accounts=True,
    ),
    Operation("GET", f"{URL}/<event>", retrieve, speaks_for_accounts=True),
)
