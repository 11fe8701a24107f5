"""What a person reads, and the same as JSON."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from bench.purchase.aims import contestant_name
from bench.purchase.costs import Cost
from bench.purchase.growth import LARGE, LITTLE, Growth
from bench.purchase.plan import Plan, Scenario, Variant
from bench.purchase.reading import READINGS
from bench.purchase.rounds import Results
from bench.report.single import Report, quotient, readings_table, spread_text, table

TITLES = {
    Variant.SEED: "(a) seed",
    Variant.ROWS: "(b) rows",
    Variant.OURS: "ours",
}


@dataclass(frozen=True)
class PurchaseReport(Report):
    """What a purchase costs."""

    name: ClassVar[str] = "purchase"
    unmeasured: ClassVar[str] = "not measured: --large"
    truth: ClassVar[str] = "verify() found nothing: every purchase above is in the books."

    plan: Plan
    results: Results
    costs: dict[Variant, Cost]
    growth: Growth | None
    seed_credits_lost: int

    def show_figures(self, console: Console) -> None:
        console.print(self._throughput())
        console.print(self._ratios())
        console.print(self._costs())
        if self.growth is not None:
            self._show_growth(console, self.growth)
        if self.seed_credits_lost:
            console.print(
                f"(a) let {self.seed_credits_lost} credits be spent twice: it reads a balance "
                "without a lock and writes it back."
            )

    def figures(self) -> dict[str, Any]:
        growth = self.growth
        return {
            "plan": asdict(self.plan),
            "runs": [asdict(run) for run in self.results.runs],
            "costs": {variant.value: asdict(cost) for variant, cost in self.costs.items()},
            "growth": None
            if growth is None
            else {
                "little": asdict(growth.little),
                "large": asdict(growth.large),
                "runs": [asdict(run) for run in growth.results.runs],
                "verify_seconds": growth.verify_seconds,
            },
            "seed_credits_lost": self.seed_credits_lost,
        }

    def _throughput(self) -> Table:
        rows = table(
            f"Purchases a second: median of {self.plan.rounds} rounds (least-greatest)",
            ["", "clients", "a second", "p50 ms", "p95 ms", "p99 ms", "full pages each"],
        )
        for scenario in Scenario:
            for clients in self.plan.clients:
                for variant in Variant:
                    name = contestant_name(variant, scenario)
                    rows.add_row(
                        f"{TITLES[variant]}, {scenario}",
                        str(clients),
                        spread_text(self.results.per_second(name, clients), "{:,.0f}"),
                        f"{self.results.median_milliseconds(name, clients).median:.2f}",
                        f"{self.results.p95_milliseconds(name, clients).median:.2f}",
                        f"{self.results.p99_milliseconds(name, clients).median:.2f}",
                        f"{self.results.images_each(name, clients):.3f}",
                    )
                rows.add_section()
        return rows

    def _ratios(self) -> Table:
        rows = table(
            "Ratios of purchases a second, taken within each round: median (least-greatest)",
            ["", *(f"clients: {clients}" for clients in self.plan.clients)],
        )
        ours = contestant_name(Variant.OURS, Scenario.ONE)
        pairs = [
            (f"ours / {TITLES[variant]}, {scenario}", scenario, variant)
            for scenario in Scenario
            for variant in (Variant.SEED, Variant.ROWS)
        ]
        for title, scenario, variant in pairs:
            one = contestant_name(Variant.OURS, scenario)
            other = contestant_name(variant, scenario)
            rows.add_row(title, *self._row_of_ratios(one, other))
        many = contestant_name(Variant.OURS, Scenario.MANY)
        rows.add_row("ours, one creator / many creators", *self._row_of_ratios(ours, many))
        return rows

    def _row_of_ratios(self, one: str, other: str) -> list[str]:
        return [
            spread_text(self.results.ratio(one, other, clients), "{:.2f}")
            for clients in self.plan.clients
        ]

    def _costs(self) -> Table:
        rows = table(
            "One purchase, one client: median (least-greatest); without full pages in the WAL, "
            "without waiting for the disk",
            ["", "WAL bytes", "buffers", "CPU microseconds"],
        )
        for variant, cost in self.costs.items():
            rows.add_row(
                TITLES[variant],
                spread_text(cost.wal_bytes, "{:,.0f}"),
                spread_text(cost.buffers, "{:,.1f}"),
                spread_text(cost.processor_microseconds, "{:,.0f}"),
            )
        ours, least = self.costs[Variant.OURS], self.costs[Variant.ROWS]
        rows.add_row(
            "ours / (b) rows",
            f"{ours.wal_bytes.median / least.wal_bytes.median:.2f}",
            f"{ours.buffers.median / least.buffers.median:.2f}",
            quotient(ours.processor_microseconds.median, least.processor_microseconds.median),
        )
        return rows

    def _show_growth(self, console: Console, growth: Growth) -> None:
        clients = self.plan.most_clients
        rows = table(
            "With a past: ours, one creator",
            ["", "movements", f"a second, {clients} clients", "fold s", "seal s"],
        )
        for name, past in ((LITTLE, growth.little), (LARGE, growth.large)):
            rows.add_row(
                name,
                f"{past.movements:,}",
                spread_text(growth.results.per_second(name, clients), "{:,.0f}"),
                f"{past.fold_seconds:.2f}",
                f"{past.seal_seconds:.2f}",
            )
        console.print(rows)
        console.print(
            readings_table(READINGS, {LITTLE: growth.little.reading, LARGE: growth.large.reading})
        )
        console.print(f"verify() of the large ledger took {growth.verify_seconds:.0f} s.")
