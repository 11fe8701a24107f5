"""What the money must come to, by the model."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from tests.property.model import Book, Payment, Sale, Takeback

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
    """Whether each credit of a payment is somewhere: in a wallet, in a sale, or taken back."""
    in_wallet = sum(lot.left for lot in book.wallets[payment.payer] if lot.payment is payment)
    in_sales = sum(
        draw.credits - draw.taken
        for sale in book.sales
        for draw in sale.draws
        if draw.lot.payment is payment
    )
    taken_back = sum(
        recall.credits
        for takeback in payment.takebacks
        for recall in takeback.recalls
        if recall.state in ("frozen", "final")
    )
    return in_wallet + in_sales + taken_back == payment.credits


def what_happened(book: Book) -> Counter[str]:
    """How often there was what, to see that the stories are not all about nothing."""
    tally = Counter(f"payments {payment.status}" for payment in book.payments.values())
    for payment in book.payments.values():
        for takeback in payment.takebacks:
            tally[f"{takeback.kind}s {takeback.status}"] += 1
            tally["recalls of what another left"] += max(len(takeback.recalls) - 1, 0)
            for recall in takeback.recalls:
                tally[f"recalls {recall.state}"] += 1
                tally["recalls from sales"] += bool(recall.from_sales)
    tally["sales"] += len(book.sales)
    tally["sales closed again"] += sum(sale.is_closed for sale in book.sales)
    return tally
