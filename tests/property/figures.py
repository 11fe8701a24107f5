"""What the money must come to, by the model."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from tests.property.credits import Payment, Sale, Takeback
from tests.property.model import Book

DISPUTE_FEE_CENTS = 1500


def earned(sales: Iterable[Sale], creator: UUID) -> tuple[int, int]:
    """The least and the most that a creator can have of these sales, in micro-dollars.

    Of each sale the same part is gone as of its credits, rounded down. Where something that was
    frozen was released, up to a micro-dollar more a release may be gone. Else the two are equal.
    """
    least = most = 0
    for sale in sales:
        amount = sale.story.earnings(sale.credits).get(creator, 0)
        left = amount - amount * sale.taken // sale.credits
        most += left
        least += max(left - sale.releases, 0)
    return least, most


def cents_at_stripe(book: Book) -> int:
    """What Stripe holds: what was paid less its fees, less what went back, and less payouts."""
    paid = [payment for payment in book.payments.values() if payment.status == "succeeded"]
    return book.other_cents() + sum(
        payment.cents - charge_fee(payment.cents) + sum(map(_moved, payment.takebacks))
        for payment in paid
    )


def charge_fee(cents: int) -> int:
    """2.9 % to the nearest cent, and 30 cents."""
    return (29 * cents + 500) // 1000 + 30


def _moved(takeback: Takeback) -> int:
    """Cents that went out for a refund or a dispute; the fee of a dispute is never given back."""
    if not takeback.has_moved_money:
        return 0
    fee = DISPUTE_FEE_CENTS if takeback.kind == "dispute" else 0
    return -fee - (takeback.cents if takeback.is_active else 0)


def credits_accounted_for(book: Book, payment: Payment) -> bool:
    """Whether each credit of a payment is somewhere: in a wallet, spent, or taken back."""
    in_wallet = sum(lot.left for lot in book.wallets[payment.payer] if lot.payment is payment)
    spent = sum(
        draw.credits - draw.taken
        for spending in book.spendings
        for draw in spending.draws
        if draw.lot.payment is payment
    )
    taken_back = sum(
        recall.credits
        for takeback in payment.takebacks
        for recall in takeback.recalls
        if recall.state in ("frozen", "final")
    )
    return in_wallet + spent + taken_back == payment.credits


def what_happened(book: Book) -> Counter[str]:
    """How often there was what, to see that the stories are not all about nothing."""
    tally = Counter(f"payments {payment.status}" for payment in book.payments.values())
    for payment in book.payments.values():
        for takeback in payment.takebacks:
            tally[f"{takeback.kind}s {takeback.status}"] += 1
            tally["recalls of what another left"] += max(len(takeback.recalls) - 1, 0)
            for recall in takeback.recalls:
                tally[f"recalls {recall.state}"] += 1
                for kind, spendings in (("sales", book.sales), ("covers", book.covers)):
                    reached = any(each in spendings for each in recall.spendings)
                    tally[f"recalls from {kind}"] += reached
    tally.update(f"covers {cover.state}" for cover in book.covers)
    tally["covers tried again"] += sum(cover.attempts > 1 for cover in book.covers)
    tally["covers given back late"] += sum(cover.came_back_late > 0 for cover in book.covers)
    tally["sales"] += len(book.sales)
    tally["sales closed again"] += sum(sale.is_closed for sale in book.sales)
    return tally
