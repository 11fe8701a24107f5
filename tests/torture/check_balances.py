"""What everybody should have by what they were told, where chance has left no doubt."""

from collections import Counter
from uuid import UUID

from tests.torture.creators import COVER_PRICE
from tests.torture.findings import Findings, text
from tests.torture.journal import ADJUST, GRANT, PURCHASE, SALE_REFUND, Deed
from tests.torture.readers import FILE_PRICE, PRICE

EARNED = PRICE * 50_000 * 70 // 100  # of one chapter, in micro-dollars
WALLETS = "select owner_id, balance from ledger.accounts where kind = 'wallet'"
TAKEN = "select balance from ledger.balance(%s, %s) as balance"
HELD = ("earnings", "payouts", "paid")
PACK_CREDITS = 110
BOUGHT = "select user_id, method, count(*) as times from app.payments where status = 'succeeded'"


def check_balances(findings: Findings) -> None:
    """Readers' wallets and creators' earnings."""
    check_wallets(findings)
    check_earnings(findings)
    reserved = findings.value(
        "select coalesce(sum(ledger.balance(a.owner_id, 'reserved')), 0)"
        " from ledger.accounts as a where a.kind = 'reserved'"
    )
    findings.compare("credits set aside", {"all": 0}, {"all": int(reserved)})


def check_wallets(findings: Findings) -> None:
    """Paid and given, less what was spent; of people who were never refunded or disputed."""
    expected: Counter[UUID] = Counter()
    for row in findings.rows(f"{BOUGHT} group by user_id, method"):
        expected[row["user_id"]] += 0 if row["method"] == "subscription" else (
            row["times"] * PACK_CREDITS
        )  # fmt: skip
    for row in findings.rows(
        "select user_id, sum(granted) as granted from app.invoice_allowances group by user_id"
    ):
        expected[row["user_id"]] += int(row["granted"])
    for deed, _ in findings.known(GRANT):
        expected[deed.person] += deed.about["credits"]
    sold = _sold(findings)
    for reader, _ in sold.values():
        expected[reader] -= PRICE
    for deed, receipt in findings.known(SALE_REFUND):
        _, taken = _taken_back(deed, receipt)
        expected[deed.person] += taken
    for table, state, price in (
        ("cover_jobs", "completed", COVER_PRICE),
        ("exports", "ready", FILE_PRICE),
    ):
        for row in findings.rows(
            f"select user_id, count(*) as times from app.{table} where state = %s group by user_id",
            state,
        ):
            expected[row["user_id"]] -= row["times"] * price
    doubtful = findings.board.troubled | findings.board.erased
    found = {row["owner_id"]: row["balance"] for row in findings.rows(WALLETS)}
    findings.count("wallets in doubt, left out", len(doubtful & found.keys()))
    findings.compare(
        "wallets",
        {text(who): expected[who] for who in found.keys() - doubtful},
        {text(who): found[who] for who in found.keys() - doubtful},
    )


def _sold(findings: Findings) -> dict[str, tuple[UUID, UUID]]:
    """Each sale, with its reader and its creator."""
    return {
        answer["purchase_id"]: (deed.person, deed.about["story"].creator)
        for deed, answer in findings.known(PURCHASE)
        if answer["purchase_id"] is not None
    }


def _taken_back(deed: Deed, receipt: dict[str, int]) -> tuple[int, int]:
    """Micro-dollars that the creator lost, and credits that the reader got."""
    lost = receipt["earned_microdollars"]
    return lost, -lost * PRICE // EARNED


def check_earnings(findings: Findings) -> None:
    """What sales brought, and corrections, less what was taken back: had, on its way or paid."""
    sold = _sold(findings)
    expected = Counter({story.creator: 0 for story in findings.board.stories})
    for _, creator in sold.values():
        expected[creator] += EARNED
    for deed, receipt in findings.known(SALE_REFUND):
        _, creator = sold[deed.about["sale"].purchase_id]
        expected[creator] += _taken_back(deed, receipt)[0]
    for deed, _ in findings.known(ADJUST):
        expected[deed.person] += deed.about["amount"]
    sure = [story.creator for story in findings.board.stories if not story.is_for_all]
    found = {
        creator: sum(int(findings.value(TAKEN, creator, kind)) for kind in HELD) for creator in sure
    }
    findings.count("creators in doubt, left out", len(expected) - len(sure))
    findings.compare(
        "earnings",
        {text(creator): expected[creator] for creator in sure},
        {text(creator): amount for creator, amount in found.items()},
    )
