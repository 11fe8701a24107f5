"""/v1/disputes: a bank takes a charge's money back, and evidence decides who keeps it.

As in Stripe's test mode the evidence text decides: winning_evidence, losing_evidence, and
escalate_inquiry_evidence, which makes a dispute of an inquiry.
"""

from api.sandbox import balance, forms, lists
from api.sandbox.context import Context
from api.sandbox.errors import refused
from api.sandbox.operations import Operation
from api.sandbox.store import Body

KIND = "dispute"
URL = "/v1/disputes"
DAYS_TO_ANSWER = 9
OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
REASONS = (
    "duplicate",
    "fraudulent",
    "general",
    "product_not_received",
    "product_unacceptable",
    "subscription_canceled",
    "unrecognized",
    "credit_not_processed",
)
TEXTS = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)


def open_dispute(
    context: Context,
    charge: Body,
    reason: str = "fraudulent",
    *,
    amount: int | None = None,
    is_inquiry: bool = False,
) -> Body:
    """The bank begins: a dispute takes the money at once, an inquiry only asks."""
    left = charge["amount"] - charge["amount_refunded"]
    disputed = left if amount is None else amount
    if charge["status"] != "succeeded" or left == 0:
        raise refused("Only a charge that succeeded and was not refunded can be disputed.")
    if not 1 <= disputed <= charge["amount"]:
        raise refused("amount must be between 1 and the charge's.", param="amount")
    if any(each["status"] in OPEN for each in of_charge(context, charge["id"])):
        raise refused("This charge has an open dispute already.")
    details = charge["payment_method_details"]
    network_reason = "10.4" if reason == "fraudulent" else "13.1"
    dispute = context.make(
        KIND,
        "du",
        amount=disputed,
        balance_transactions=[],
        charge=charge["id"],
        currency=charge["currency"],
        enhanced_eligibility_types=[],
        evidence={**dict.fromkeys(TEXTS), "enhanced_evidence": {}},
        evidence_details={
            "due_by": context.now() + DAYS_TO_ANSWER * 24 * 3600,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        is_charge_refundable=is_inquiry,
        metadata={},
        network_reason_code=network_reason,
        payment_intent=charge["payment_intent"],
        payment_method_details={
            "card": {
                "brand": details.get("card", {}).get("brand", "visa"),
                "case_type": "inquiry" if is_inquiry else "chargeback",
                "network_reason_code": network_reason,
            },
            "type": "card",
        },
        reason=reason,
        status="warning_needs_response" if is_inquiry else "needs_response",
    )
    context.change(charge, disputed=True)
    if not is_inquiry:
        _withdraw(context, dispute)
    context.emit("charge.dispute.created", dispute)
    if not is_inquiry:
        context.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def decide(context: Context, dispute: Body, outcome: str) -> Body:
    """The bank's decision; won brings the money back, but not the fee.

    Now and then a bank changes its mind after it was lost.
    """
    is_reversed = (dispute["status"], outcome) == ("lost", "won")
    if dispute["status"] not in OPEN and not is_reversed:
        raise refused(f"This dispute is decided already: {dispute['status']}.")
    is_inquiry = dispute["status"].startswith("warning")
    before = context.change(dispute, status="warning_closed" if is_inquiry else outcome)
    if outcome == "won" and not is_inquiry:
        _add_line(context, dispute, dispute["amount"], 0, "dispute_reversal")
    context.emit("charge.dispute.closed", dispute, before)
    if outcome == "won" and not is_inquiry:
        context.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def close_inquiries(context: Context, charge: Body) -> None:
    """A full refund leaves a bank nothing to inquire about."""
    for dispute in of_charge(context, charge["id"]):
        if dispute["status"].startswith("warning_") and dispute["status"] in OPEN:
            before = context.change(dispute, status="warning_closed")
            context.emit("charge.dispute.closed", dispute, before)


def is_taken_back(context: Context, charge: Body) -> bool:
    """Whether the bank holds the charge's money, so that it cannot be refunded as well."""
    return any(
        not dispute["is_charge_refundable"] and dispute["status"] != "won"
        for dispute in of_charge(context, charge["id"])
    )


def _escalate(context: Context, dispute: Body) -> None:
    details = dispute["payment_method_details"]
    before = context.change(
        dispute,
        is_charge_refundable=False,
        payment_method_details={
            **details,
            "card": {**details["card"], "case_type": "chargeback"},
        },
        status="needs_response",
    )
    _withdraw(context, dispute)
    context.emit("charge.dispute.updated", dispute, before)
    context.emit("charge.dispute.funds_withdrawn", dispute)


def _withdraw(context: Context, dispute: Body) -> None:
    _add_line(context, dispute, -dispute["amount"], balance.DISPUTE_FEE, "dispute")


def _add_line(context: Context, dispute: Body, amount: int, fee: int, category: str) -> None:
    line = balance.record(
        context,
        dispute,
        balance.Line("adjustment", category, amount, fee, f"Dispute of {dispute['charge']}"),
    )
    context.change(dispute, balance_transactions=[*dispute["balance_transactions"], line])


def of_charge(context: Context, charge_id: str) -> list[Body]:
    """A charge's disputes, the newest first."""
    return context.store.newest(KIND, lists.LARGEST_LIMIT, charge=charge_id)


def update(context: Context) -> Body:
    """POST /v1/disputes/<id>: evidence, kept or handed in."""
    dispute = context.named(KIND, "dispute", "dispute")
    given = context.parameters
    changes: Body = {}
    if "metadata" in given:
        changes["metadata"] = forms.merged(dispute["metadata"], given["metadata"])
    evidence = given.get("evidence")
    submits = given.get("submit", evidence is not None)
    if evidence is not None or submits:
        if dispute["status"] not in ("needs_response", "warning_needs_response"):
            raise refused(f"No evidence is taken: the dispute is {dispute['status']}.")
        changes["evidence"] = {**dispute["evidence"], **(evidence or {})}
        changes["evidence_details"] = {
            **dispute["evidence_details"],
            "has_evidence": any(changes["evidence"][name] for name in TEXTS),
            "submission_count": dispute["evidence_details"]["submission_count"] + int(submits),
        }
    if submits:
        warning = dispute["status"].startswith("warning")
        changes["status"] = "warning_under_review" if warning else "under_review"
    before = context.change(dispute, **changes)
    if before != dispute:
        context.emit("charge.dispute.updated", dispute, before)
    if submits:
        context.later(lambda: _judge(context, dispute["id"]))
    return dispute


def _judge(context: Context, dispute_id: str) -> None:
    """What test mode makes of the evidence: certain texts decide, others stay under review."""
    dispute = context.require(KIND, dispute_id)
    text = dispute["evidence"]["uncategorized_text"]
    if text == "winning_evidence":
        decide(context, dispute, "won")
    elif text == "losing_evidence":
        decide(context, dispute, "lost")
    elif text == "escalate_inquiry_evidence" and dispute["status"] == "warning_under_review":
        _escalate(context, dispute)


def close(context: Context) -> Body:
    """POST /v1/disputes/<id>/close: give in."""
    dispute = context.named(KIND, "dispute", "dispute")
    if dispute["status"] not in ("needs_response", "under_review"):
        raise refused(f"This dispute cannot be closed: it is {dispute['status']}.")
    return decide(context, dispute, "lost")


def retrieve(context: Context) -> Body:
    """GET /v1/disputes/<id>."""
    return context.named(KIND, "dispute", "dispute")


def list_disputes(context: Context) -> Body:
    """GET /v1/disputes."""
    return lists.page(context, KIND, URL, lists.existing(context, "charge", "payment_intent"))


OPERATIONS = (
    Operation(
        "GET",
        URL,
        list_disputes,
        {**lists.PAGE, **lists.BY_CREATED, "charge": forms.text, "payment_intent": forms.text},
    ),
    Operation("GET", f"{URL}/<dispute>", retrieve),
    Operation(
        "POST",
        f"{URL}/<dispute>",
        update,
        {
            "evidence": forms.hash_of(dict.fromkeys(TEXTS, forms.text)),
            "metadata": forms.metadata,
            "submit": forms.boolean,
        },
    ),
    Operation("POST", f"{URL}/<dispute>/close", close),
)
