"""Which figure of the database's summary has which name in monitoring."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from api.metrics.summary import Summary

PREFIX = "infinite_pages_"
WINDOWS = ("hour", "day")
BASIS_POINTS = 10_000
PER_CENT = 100


@dataclass(frozen=True)
class Family:
    """Figures of one name. `paths` says where each set of labels is found in the summary.

    With a path for `each` label value is found by its key there instead.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    paths: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    each: str | None = None
    divided_by: int = 1

    def collect(self, summary: Summary) -> GaugeMetricFamily:
        """The figures that the summary has; what it does not know is left out."""
        family = GaugeMetricFamily(PREFIX + self.name, self.help, labels=self.labels)
        for labels, value in self._samples(summary):
            if value is not None:
                family.add_metric(labels, float(value) / self.divided_by)
        return family

    def _samples(self, summary: Summary) -> Iterable[tuple[tuple[str, ...], Any]]:
        if self.each is not None:
            found = _at(summary, self.each) or {}
            return [((key,), value) for key, value in sorted(found.items())]
        return [(labels, _at(summary, path)) for labels, path in self.paths.items()]


def _at(summary: Summary, path: str) -> Any:
    """What lies at `a.b.c`; None where the way ends early."""
    found: Any = summary
    for key in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def _one(name: str, help: str, path: str) -> Family:
    return Family(name, help, paths={(): path})


def _by(name: str, help: str, label: str, paths: Mapping[str, str]) -> Family:
    return Family(name, help, (label,), {(value,): path for value, path in paths.items()})


OUTCOMES = ("begun", "succeeded", "failed", "canceled", "waiting", "renewals")
QUEUES = ("covers", "exports", "generations")
OUT = ("pending", "retrying")
PAYOUTS = ("pending", "processing", "held", "failed")
SOLVENCY = ("paid", "owed", "margin")

FAMILIES = (
    Family(
        "payments",
        "Payments begun within the window, by what became of them; renewals apart.",
        ("window", "status"),
        {(w, s): f"payments.last_{w}.{s}" for w in WINDOWS for s in OUTCOMES},
    ),
    Family(
        "payment_success_ratio",
        "Of the payments of the window that ended, how many succeeded. Absent while none did.",
        ("window",),
        {(w,): f"payments.last_{w}.success_basis_points" for w in WINDOWS},
        divided_by=BASIS_POINTS,
    ),
    _by(
        "webhook_events",
        "Events of Stripe in the inbox that had no effect yet.",
        "state",
        {"parked": "webhooks.parked", "failed": "webhooks.failed", "waiting": "webhooks.waiting"},
    ),
    _by(
        "webhook_events_this_week",
        "Those of them that came within seven days.",
        "state",
        {"parked": "webhooks.parked_this_week", "failed": "webhooks.failed_this_week"},
    ),
    _one(
        "webhook_lag_seconds",
        "How long the oldest parked event of the week waits for what it is about.",
        "webhooks.lag_seconds",
    ),
    _one(
        "webhook_slowest_seconds",
        "The longest way from Stripe to here within a quarter of an hour.",
        "webhooks.slowest_seconds",
    ),
    _one(
        "webhook_received",
        "Events that came within a quarter of an hour.",
        "webhooks.received",
    ),
    _one(
        "stripe_list_read_seconds",
        "Since the worker last read Stripe's own list of events.",
        "webhooks.list_read_seconds",
    ),
    _by(
        "outbox_requests",
        "What Stripe still has to be asked; retrying were tried more than once.",
        "state",
        {state: f"outbox.{state}" for state in OUT},
    ),
    _one("outbox_oldest_seconds", "Since the oldest was asked for.", "outbox.oldest_seconds"),
    _one(
        "outbox_retrying_seconds",
        "Since the oldest that was tried more than once was asked for.",
        "outbox.oldest_retrying_seconds",
    ),
    _one(
        "outbox_overdue_seconds",
        "Since the first that is due should have been sent.",
        "outbox.overdue_seconds",
    ),
    _by(
        "payouts",
        "Payouts that are open; failed ones of sixty days that no later payout makes good.",
        "status",
        {status: f"payouts.{status}" for status in PAYOUTS},
    ),
    _one("payout_oldest_seconds", "Of those that wait to be sent.", "payouts.oldest_seconds"),
    _one(
        "month_overdue_seconds",
        "Since the month that is not closed should have been closed.",
        "payouts.month_overdue_seconds",
    ),
    _by(
        "queue_depth",
        "What waits to be made or sent; mail is counted up to 10,000.",
        "queue",
        {
            **{queue: f"queues.{queue}.waiting" for queue in (*QUEUES, "mail")},
            "outbox": "outbox.pending",
        },
    ),
    _by(
        "queue_oldest_seconds",
        "How long the oldest of a queue waits.",
        "queue",
        {queue: f"queues.{queue}.oldest_waiting_seconds" for queue in QUEUES},
    ),
    _one("covers_running", "Covers that are being drawn.", "queues.covers.running"),
    _by(
        "covers_ended",
        "Covers that ended within a day.",
        "state",
        {"completed": "queues.covers.completed_today", "failed": "queues.covers.failed_today"},
    ),
    Family(
        "cache_hit_ratio",
        "Of the texts asked for within a day, how many had been generated before.",
        paths={(): "cache.hit_rate_percent"},
        divided_by=PER_CENT,
    ),
    _one("cache_requests", "Texts asked for within a day.", "cache.requests"),
    Family("subscriptions", "Subscriptions, by state.", ("status",), each="subscriptions.states"),
    _one(
        "allowances_owed_credits",
        "Credits of which the price lies in customers' balances at Stripe.",
        "subscriptions.credits_owed",
    ),
    _one(
        "allowances_missing",
        "Active subscriptions whose period brought no credits within a day.",
        "subscriptions.allowances_missing",
    ),
    Family(
        "credits_moved",
        "Credits that moved within a day, by kind.",
        ("kind",),
        each="last_day.credits",
    ),
    _one(
        "earned_microdollars",
        "What creators earned within a day.",
        "last_day.earned_microdollars",
    ),
    _by(
        "solvency_microdollars",
        "What the credits outstanding brought and will cost; the margin is the difference.",
        "figure",
        {figure: f"solvency.{figure}_microdollars" for figure in SOLVENCY},
    ),
    _one("credits_outstanding", "Credits not spent yet.", "solvency.outstanding_credits"),
    _one(
        "ledger_violations",
        "What the last run of verify found. Absent before the first.",
        "verification.violations",
    ),
    _one("ledger_verify_age_seconds", "Since that run ended.", "verification.age_seconds"),
    _one("ledger_verify_seconds", "How long it took.", "verification.took_seconds"),
    _one("ledger_fold_age_seconds", "Since the last fold.", "ledger.fold_seconds"),
    _one("ledger_seal_age_seconds", "Since the newest seal was made.", "ledger.seal_seconds"),
    _one(
        "ledger_transactions_to_fold",
        "Transactions since the position of the last fold.",
        "ledger.transactions_to_fold",
    ),
    _one(
        "ledger_transactions_held_back",
        "Transactions since the oldest that is still running.",
        "ledger.transactions_held_back",
    ),
    _one(
        "ledger_default_partition_rows",
        "Movements of a month without a partition, counted up to 1000.",
        "ledger.default_partition_rows",
    ),
    _one(
        "ledger_partitions_ahead",
        "Of the next three months, how many have their partition.",
        "ledger.partitions_ahead",
    ),
    _one("archive_on", "Whether PostgreSQL archives its journal.", "archive.is_on"),
    _one("archive_failing", "Whether the last try to do so failed.", "archive.is_failing"),
    _one("archive_age_seconds", "Since the last piece was archived.", "archive.last_seconds"),
    _one("noted_age_seconds", "Since the worker noted dear figures.", "noted_seconds"),
)


def collect(summary: Summary | None) -> Iterable[GaugeMetricFamily]:
    """All figures; only that the database is down while it is."""
    yield GaugeMetricFamily(
        PREFIX + "up",
        "Whether the database gave its figures. Without it all others are absent.",
        value=0 if summary is None else 1,
    )
    if summary is not None:
        for family in FAMILIES:
            yield family.collect(summary)
