"""Each call with a key against what the database keeps, and each broken call against its excuse."""

from typing import Any

from tests.torture.findings import Findings, once, text
from tests.torture.journal import (
    ADJUST,
    COVER,
    EXPORT,
    GRANT,
    KINDS,
    PAYOUT,
    PURCHASE,
    REFUND,
    SALE_REFUND,
    SUBSCRIBE,
    TOP_UP,
    Kind,
    Reply,
)

AUDITED = "select details ->> 'transaction_id' from app.audit_log where action = '{}'"
# Where the effects of a kind are: as many as there are keys, and with the same names.
EFFECTS: dict[Kind, str] = {
    PURCHASE: "select id from app.story_purchases",
    TOP_UP: "select id from app.payments where method <> 'subscription'",
    SUBSCRIBE: "select id from app.subscription_checkouts",
    COVER: "select id from app.cover_jobs",
    EXPORT: "select id from app.exports",
    PAYOUT: "select id from app.payouts where batch_id is null and retries_id is null",
    REFUND: "select id from app.refunds",
    SALE_REFUND: AUDITED.format("refund_story_purchase"),
    GRANT: AUDITED.format("grant_credits"),
}
# A server that dies may still say that it does.
DYING = ("57P01", "57P02", "57P03", "08000", "08003", "08006")


def check_calls(findings: Findings) -> None:
    """All of it."""
    check_keys(findings)
    for kind, query in EFFECTS.items():
        check_effects(findings, kind, query)
    corrections = findings.value(
        "select count(*) from app.audit_log where action = 'adjust_earnings'"
    )
    if corrections != len(findings.known(ADJUST)):
        findings.blame(f"{corrections} corrections, of {len(findings.known(ADJUST))} keys")
    for name, reply in findings.journal.strays:
        check_stray(findings, name, reply)


def check_keys(findings: Findings) -> None:
    """What was acknowledged is there; what was refused is not; nothing is there unasked."""
    kept = {
        (row["book_id"], row["key"]): row for row in findings.rows("select * from ledger.requests")
    }
    for deed in findings.journal.of(*KINDS):
        row = kept.pop(deed.place, None)
        findings.count(f"keys: {_standing(deed.is_done, deed.refusal, row)}")
        if row is None:
            if deed.is_done:
                findings.blame(f"{deed}: acknowledged, and not there")
            continue
        if deed.refusal is not None and not deed.is_done:
            findings.blame(f"{deed}: refused as {deed.refusal}, and there")
        if row["function_name"] != deed.kind.function:
            findings.blame(f"{deed}: kept as {row['function_name']}")
            continue
        if deed.is_done and deed.named(row["response"]) != deed.named(deed.answers[0]):
            findings.blame(f"{deed}: answered {deed.answers[0]}, kept {row['response']}")
        findings.there.append((deed, row["response"]))
    for place in kept:
        findings.blame(f"the key {place} is there, and nobody used it")


def _standing(is_done: bool, refusal: str | None, row: Any) -> str:
    if is_done:
        return "acknowledged"
    if refusal is not None:
        return "refused"
    return "answer lost, and there" if row is not None else "answer lost, and not there"


def check_effects(findings: Findings, kind: Kind, query: str) -> None:
    """As many effects as keys, each once."""
    named = (deed.named(answer) for deed, answer in findings.known(kind))
    expected = once(name for name in named if name is not None)
    found = once(text(each[0]) for each in findings.owner.execute(query.encode()))
    findings.compare(f"effects: {kind.name}", expected, found)


def check_stray(findings: Findings, name: str, reply: Reply) -> None:
    """A call that broke off, or a 5xx: only while something was down; a 500 never."""
    findings.count("broken calls, each with its excuse")
    is_excused = findings.journal.troubles.excuse(reply.began, reply.ended)
    if reply.status == 500:
        is_excused = is_excused and any(code in str(reply.body) for code in DYING)
    if not is_excused:
        took = reply.ended - reply.began
        findings.blame(f"{name}: {reply.status} {reply.body!r} after {took:.1f} s, without excuse")
