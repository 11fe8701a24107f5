"""What a person reads, and the same as JSON; and whether it is what it ought to be."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from bench.aims import Aim, at_least, at_most
from bench.report.single import Report, spread_text, table
from bench.rest.calls import Call
from bench.rest.plan import Plan
from bench.rest.race import HttpResults
from bench.spread import Spread

LEAST = 0.5
SHARE = 0.5  # of a core: a client that needs more may be what is measured


def judge(results: HttpResults, plan: Plan) -> list[Aim]:
    """Put every aim beside its figure."""
    clients = plan.most_clients
    ratio = results.ratio(Call.PURCHASE, Call.NOTHING, clients)
    busiest = Spread.of([results.busiest_client()])
    return [
        at_least(LEAST, f"purchases a second / calls that do nothing, {clients} clients", ratio),
        at_most(SHARE, "the client's share of a core, the greatest of all runs", busiest),
    ]


@dataclass(frozen=True)
class RestReport(Report):
    """What a purchase costs over HTTP."""

    name: ClassVar[str] = "rest"
    truth: ClassVar[str] = (
        "Every purchase that was answered is in the wallets, no other is, and verify() found "
        "nothing."
    )

    plan: Plan
    results: HttpResults
    postgrest: str

    def show_figures(self, console: Console) -> None:
        console.print(self._throughput())
        console.print(self._ratios())
        console.print(self._costs())

    def figures(self) -> dict[str, Any]:
        return {
            "plan": asdict(self.plan),
            "postgrest": self.postgrest,
            "runs": [asdict(run) for run in self.results.runs],
        }

    def _throughput(self) -> Table:
        results = self.results
        rows = table(
            f"Calls a second over {self.postgrest}: median of {self.plan.rounds} rounds "
            "(least-greatest)",
            ["", "clients", "a second", "p50 ms", "p95 ms", "p99 ms"],
        )
        for clients in self.plan.clients:
            for call in Call:
                rows.add_row(
                    call,
                    str(clients),
                    spread_text(results.per_second(call, clients), "{:,.0f}"),
                    f"{results.median_milliseconds(call, clients).median:.2f}",
                    f"{results.p95_milliseconds(call, clients).median:.2f}",
                    f"{results.p99_milliseconds(call, clients).median:.2f}",
                )
            rows.add_section()
        return rows

    def _ratios(self) -> Table:
        every = self.plan.clients
        rows = table(
            "Purchase / nothing, taken within each round: median (least-greatest)",
            ["", *(f"clients: {clients}" for clients in every)],
        )
        for title, ratios in (
            (
                "a second",
                [self.results.ratio(Call.PURCHASE, Call.NOTHING, clients) for clients in every],
            ),
            (
                "with the same CPU time, without the client's",
                [self.results.processor_ratio(clients) for clients in every],
            ),
        ):
            rows.add_row(title, *(spread_text(ratio, "{:.2f}") for ratio in ratios))
        return rows

    def _costs(self) -> Table:
        rows = table(
            "CPU milliseconds of one call: median (least-greatest)",
            ["", "clients", "PostgreSQL", "PostgREST", "the client"],
        )
        for clients in self.plan.clients:
            for call in Call:
                cost = self.results.cost(call, clients)
                parts = (cost.postgres, cost.postgrest, cost.client)
                rows.add_row(call, str(clients), *(spread_text(each, "{:.3f}") for each in parts))
            rows.add_section()
        return rows
