"""What is read of a past: a reader's and a creator's own pages."""

from bench.reading import Reading

READINGS = (
    Reading("a reader's balance", "select * from api.credit_balance()", "bench.reader(0)"),
    Reading(
        "a reader's first statement page",
        "select * from api.credit_transactions order by id desc limit 50",
        "bench.reader(0)",
    ),
    Reading(
        "the star's balance",
        "select ledger.balance(bench.creator(0), 'earnings')",
        "bench.creator(0)",
        role="app_owner",
    ),
    Reading(
        "the star's first page of earnings",
        "select * from api.creator_earnings order by id desc limit 50",
        "bench.creator(0)",
    ),
    Reading(
        "the star's earnings by story and month",
        "select * from api.earnings_summary()",
        "bench.creator(0)",
        has_aim=False,
    ),
)
