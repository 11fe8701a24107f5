"""What a person reads, and the same as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.purchase.aims import Aim, contestant_name
from bench.purchase.costs import Cost
from bench.purchase.growth import LARGE, LITTLE, Growth
from bench.purchase.machine import Machine
from bench.purchase.plan import Plan, Scenario, Variant
from bench.purchase.reading import READINGS
from bench.purchase.rounds import Results, Spread

TITLES = {
    Variant.SEED: "(a) seed",
    Variant.ROWS: "(b) rows",
    Variant.OURS: "ours",
}
WIDTH = 110


@dataclass(frozen=True)
class Report:
    """Everything that was found."""

    is_quick: bool
    machine: Machine
    settings: dict[str, str]
    plan: Plan
    results: Results
    costs: dict[Variant, Cost]
    growth: Growth | None
    seed_credits_lost: int
    violations: list[str]
    aims: list[Aim]

    def show(self, console: Console) -> None:
        """Print it all."""
        self._show_circumstances(console)
        console.print(self._throughput())
        console.print(self._ratios())
        console.print(self._costs())
        if self.growth is not None:
            self._show_growth(console, self.growth)
        console.print(self._aims())
        self._show_truth(console)

    def as_dict(self) -> dict[str, Any]:
        """The same, for programs."""
        growth = self.growth
        return {
            "quick": self.is_quick,
            "machine": asdict(self.machine) | {"warnings": self.machine.warnings},
            "settings": self.settings,
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
            "violations": self.violations,
            "aims": [asdict(aim) for aim in self.aims],
        }

    def write(self, folder: Path) -> None:
        """Keep both forms in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "purchase.json").write_text(json.dumps(self.as_dict(), indent=1) + "\n")
        with (folder / "purchase.txt").open("w") as file:
            self.show(Console(file=file, width=WIDTH, no_color=True))

    def _show_circumstances(self, console: Console) -> None:
        machine = self.machine
        if self.is_quick:
            console.print("[bold red]A quick run: it shows that all works. No figure counts.[/]")
        console.print(
            f"{machine.measured_at}, commit {machine.commit}\n"
            f"{machine.cores} cores of {escape(machine.processor)}, {machine.memory_gigabytes} GB, "
            f"{machine.system}, data on {machine.file_system}"
        )
        console.print(", ".join(f"{name} = {value}" for name, value in self.settings.items()))
        for warning in machine.warnings:
            console.print(f"[yellow]Beware: {escape(warning)}.[/]")

    def _throughput(self) -> Table:
        table = _table(
            f"Purchases a second: median of {self.plan.rounds} rounds (least-greatest)",
            ["", "clients", "a second", "median ms", "99 % ms", "full pages each"],
        )
        for scenario in Scenario:
            for clients in self.plan.clients:
                for variant in Variant:
                    name = contestant_name(variant, scenario)
                    table.add_row(
                        f"{TITLES[variant]}, {scenario}",
                        str(clients),
                        _spread(self.results.per_second(name, clients), "{:,.0f}"),
                        f"{self.results.median_milliseconds(name, clients).median:.2f}",
                        f"{self.results.slow_milliseconds(name, clients).median:.2f}",
                        f"{self.results.images_each(name, clients):.3f}",
                    )
                table.add_section()
        return table

    def _ratios(self) -> Table:
        table = _table(
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
            table.add_row(title, *self._row_of_ratios(one, other))
        many = contestant_name(Variant.OURS, Scenario.MANY)
        table.add_row("ours, one creator / many creators", *self._row_of_ratios(ours, many))
        return table

    def _row_of_ratios(self, one: str, other: str) -> list[str]:
        return [
            _spread(self.results.ratio(one, other, clients), "{:.2f}")
            for clients in self.plan.clients
        ]

    def _costs(self) -> Table:
        table = _table(
            "One purchase, one client: median (least-greatest); without full pages in the WAL, "
            "without waiting for the disk",
            ["", "WAL bytes", "buffers", "CPU microseconds"],
        )
        for variant, cost in self.costs.items():
            table.add_row(
                TITLES[variant],
                _spread(cost.wal_bytes, "{:,.0f}"),
                _spread(cost.buffers, "{:,.1f}"),
                _spread(cost.processor_microseconds, "{:,.0f}"),
            )
        ours, rows = self.costs[Variant.OURS], self.costs[Variant.ROWS]
        table.add_row(
            "ours / (b) rows",
            f"{ours.wal_bytes.median / rows.wal_bytes.median:.2f}",
            f"{ours.buffers.median / rows.buffers.median:.2f}",
            _quotient(ours.processor_microseconds.median, rows.processor_microseconds.median),
        )
        return table

    def _show_growth(self, console: Console, growth: Growth) -> None:
        clients = self.plan.most_clients
        table = _table(
            "With a past: ours, one creator",
            ["", "movements", f"a second, {clients} clients", "fold s", "seal s"],
        )
        for name, past in ((LITTLE, growth.little), (LARGE, growth.large)):
            table.add_row(
                name,
                f"{past.movements:,}",
                _spread(growth.results.per_second(name, clients), "{:,.0f}"),
                f"{past.fold_seconds:.2f}",
                f"{past.seal_seconds:.2f}",
            )
        console.print(table)
        table = _table(
            "Reading: buffers touched (milliseconds)", ["", LITTLE, LARGE, "large / little"]
        )
        for reading in READINGS:
            little, large = (past.reading[reading.name] for past in (growth.little, growth.large))
            table.add_row(
                reading.name + ("" if reading.has_aim else " (no aim)"),
                f"{little.buffers:,} ({little.milliseconds:.2f})",
                f"{large.buffers:,} ({large.milliseconds:.2f})",
                _quotient(large.buffers, little.buffers),
            )
        console.print(table)
        console.print(f"verify() of the large ledger took {growth.verify_seconds:.0f} s.")

    def _aims(self) -> Table:
        table = _table("The aims", ["", "aim", "figure", ""])
        for aim in self.aims:
            if aim.figure is None or aim.is_met is None:
                table.add_row(aim.name, aim.bound, "", "not measured: --large")
            else:
                verdict = "[green]met[/]" if aim.is_met else "[red]not met[/]"
                table.add_row(aim.name, aim.bound, _spread(aim.figure, "{:.2f}"), verdict)
        return table

    def _show_truth(self, console: Console) -> None:
        if self.seed_credits_lost:
            console.print(
                f"(a) let {self.seed_credits_lost} credits be spent twice: it reads a balance "
                "without a lock and writes it back."
            )
        if self.violations:
            console.print("[bold red]The ledger is not sound:[/]")
            for violation in self.violations:
                console.print(escape(violation))
        else:
            console.print("verify() found nothing: every purchase above is in the books.")


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _spread(spread: Spread, shape: str) -> str:
    middle = shape.format(spread.median)
    if spread.least == spread.greatest:
        return middle
    return f"{middle} ({shape.format(spread.least)}-{shape.format(spread.greatest)})"


def _quotient(one: float, other: float) -> str:
    """A ratio; counted too coarsely, as in a quick run, there is none."""
    return f"{one / other:.2f}" if other > 0 else "-"
