"""/v1/events: what happened in the last thirty days."""

from api.sandbox import forms, lists
from api.sandbox.context import Context
from api.sandbox.errors import invalid
from api.sandbox.operations import Operation
from api.sandbox.store import Body

KIND = "event"
URL = "/v1/events"
DAYS_KEPT = 30
MOST_TYPES = 20
UNDELIVERED = "select 1 from deliveries where event = objects.id and state <> 'delivered'"


def retrieve(context: Context) -> Body:
    """GET /v1/events/<id>."""
    return _with_pending(context, context.named(KIND, "event"))


def list_events(context: Context) -> Body:
    """GET /v1/events."""
    given = context.parameters
    condition = " and created >= ?"
    values: list[str | int] = [context.now() - DAYS_KEPT * 24 * 3600]
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
    ),
    Operation("GET", f"{URL}/<event>", retrieve),
)
