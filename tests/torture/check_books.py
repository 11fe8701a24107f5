"""The ledger's own proofs, and what was made: covers, files, months, places in books."""

from pathlib import Path

from tests.torture.findings import Findings, text
from tests.torture.settling import run

PAID_SOURCES = ("purchase", "bonus", "allowance")


def check_books(findings: Findings) -> None:
    """All of it."""
    check_covers(findings)
    check_files(findings)
    check_places(findings)
    check_months(findings)
    check_inbox(findings)
    check_proofs(findings)
    check_solvency(findings)


def check_covers(findings: Findings) -> None:
    """What was drawn has its cover, once, and the images are in the store."""
    ends = findings.rows(
        "select j.id, j.state, count(c.id) as covers from app.cover_jobs as j"
        " left join app.story_covers as c on c.job_id = j.id group by j.id"
    )
    findings.compare(
        "covers",
        {text(row["id"]): int(row["state"] == "completed") for row in ends},
        {text(row["id"]): row["covers"] for row in ends},
    )
    store = Path(findings.arena.settings.cover_store_url)
    for row in findings.rows("select file, thumbnail_file from app.story_covers"):
        for name in (row["file"], row["thumbnail_file"]):
            findings.count("images in the store")
            if not (store / name).exists():
                findings.blame(f"the image {name} is not in the store")


def check_files(findings: Findings) -> None:
    """Each file that was made counts once against its month."""
    made = findings.rows(
        "select user_id, count(*) as files from app.exports where state = 'ready' group by user_id"
    )
    used = findings.rows(
        "select user_id, sum(used)::bigint as files from app.feature_usage"
        " where feature = 'downloads' group by user_id having sum(used) > 0"
    )
    findings.compare(
        "downloads counted",
        {text(row["user_id"]): row["files"] for row in made},
        {text(row["user_id"]): row["files"] for row in used},
    )


def check_places(findings: Findings) -> None:
    """Nobody's place in a book is before where they were told it was."""
    kept = {
        (row["user_id"], text(row["story_id"]), row["chapter_number"]): row["percent"]
        for row in findings.rows(
            "select p.user_id, p.story_id, p.chapter_number, p.progress_percentage as percent"
            " from app.reading_progress as p"
        )
    }
    for place, percent in findings.board.progress.items():
        if place[0] in findings.board.erased:
            continue
        findings.count("places in books")
        if kept.get(place, -1) < percent:
            findings.blame(f"{place} was acknowledged at {percent} and is at {kept.get(place)}")


def check_months(findings: Findings) -> None:
    """Each closed month has the payouts that its figures tell of."""
    rows = findings.rows(
        "select b.month, b.state, b.payouts, b.total_cents, count(p.id) as made,"
        " coalesce(sum(p.amount_cents), 0)::bigint as cents"
        " from app.monthly_payout_batches as b left join app.payouts as p on p.batch_id = b.id"
        " group by b.id"
    )
    findings.compare(
        "months closed",
        {text(row["month"]): ("closed", row["payouts"], row["total_cents"]) for row in rows},
        {text(row["month"]): (row["state"], row["made"], row["cents"]) for row in rows},
    )


def check_inbox(findings: Findings) -> None:
    """Every event is in the inbox, and took effect or was of no interest."""
    events = {
        each["id"]
        for each in findings.sandbox.all_of(findings.sandbox.api.events)
        if each.get("account") is None
    }
    here = {
        row["id"]: row for row in findings.rows("select id, state, error from app.stripe_events")
    }
    findings.count("events of Stripe", len(events))
    for missing in events - here.keys():
        findings.blame(f"the event {missing} never came")
    for row in here.values():
        if row["state"] in ("parked", "failed"):
            findings.blame(f"the event {row['id']} is {row['state']}: {row['error']}")


def check_proofs(findings: Findings) -> None:
    """verify, reconcile, and a seal on every movement."""
    findings.owner.execute("select ledger.fold()")
    findings.owner.execute("select ledger.seal()")
    movements = findings.value("select count(*) from ledger.transfers")
    sealed = findings.value("select coalesce(sum(transfers), 0) from ledger.seals")
    findings.compare("movements sealed", {"all": movements}, {"all": int(sealed)})
    findings.checked["movements sealed"] = movements
    for row in findings.rows("select * from ledger.verify()"):
        findings.blame(f"verify: {row['check_name']} {row['subject']} {row['detail']}")
    findings.count("verify")
    code, said = run("reconcile", arena=findings.arena)
    findings.count("reconcile")
    if code != 0:
        findings.blame(f"reconcile: {said}")


def check_solvency(findings: Findings) -> None:
    """The credits that are out are those in wallets, and what was sold covers what it will cost."""
    rows = {row["source"]: row for row in findings.rows("select * from ledger.solvency()")}
    wallets = findings.value(
        "select coalesce(sum(balance), 0) from ledger.accounts where kind = 'wallet'"
    )
    findings.compare(
        "solvency", {"credits": int(wallets)}, {"credits": rows[None]["outstanding_credits"]}
    )
    for source in PAID_SOURCES:
        if source in rows and rows[source]["margin_microdollars"] < 0:
            findings.blame(f"solvency: {source} has {rows[source]}")
