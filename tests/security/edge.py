"""The edge's routes, as PostgREST describes its own; a test compares them with the app's map."""

from tests.security.requests import Operation, Parameter

PACKAGE = Parameter("package_id", "uuid", True)
URLS = (Parameter("success_url", "url"), Parameter("cancel_url", "url"))
LOOK = Parameter("look", "integer")
TOKEN = Parameter("token", "text")
SESSION = (Parameter("session_id", "text", True), LOOK)

OPERATIONS = (
    Operation("GET", "/healthz"),
    Operation("GET", "/readyz"),
    Operation("GET", "/metrics"),
    Operation("POST", "/credits/purchase", (PACKAGE,), True),
    Operation("POST", "/credits/checkout", (PACKAGE, *URLS), True),
    Operation(
        "POST",
        "/payments/{payment_id}/refund",
        (
            Parameter("payment_id", "uuid", True),
            Parameter("amount_cents", "integer"),
            Parameter("reason", "text", True),
        ),
        True,
    ),
    Operation("GET", "/checkout/return", SESSION),
    Operation("GET", "/checkout/cancel"),
    Operation("GET", "/checkout/receipt", SESSION),
    Operation("POST", "/subscriptions/checkout", (Parameter("plan", "text", True), *URLS), True),
    Operation("POST", "/subscriptions/portal", (Parameter("return_url", "url"),), True),
    Operation("GET", "/subscriptions/return", SESSION),
    Operation("GET", "/subscriptions/canceled"),
    Operation("GET", "/subscriptions/done"),
    Operation(
        "POST",
        "/creators/connect",
        (Parameter("return_url", "url"), Parameter("refresh_url", "url")),
        True,
    ),
    Operation(
        "GET",
        "/creators/connect/return",
        (Parameter("token", "text"), Parameter("look", "integer")),
    ),
    Operation("GET", "/creators/connect/refresh", (Parameter("token", "text"),)),
    Operation("POST", "/webhooks/stripe", (Parameter("id", "text"),), True),
    Operation("POST", "/webhooks/stripe/connect", (Parameter("id", "text"),), True),
    Operation("GET", "/covers/{name}", (Parameter("name", "text", True),)),
    Operation(
        "POST",
        "/stories/{story_id}/covers",
        (Parameter("story_id", "uuid", True), Parameter("primary", "boolean")),
        True,
    ),
    Operation("GET", "/downloads/{token}", (TOKEN,)),
)
