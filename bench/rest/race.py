"""Purchases and calls that do nothing, by turns, over the same PostgREST."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.database import Database
from bench.errors import BenchError
from bench.pgbench import Load
from bench.purchase.arena import SPENT, Outcome
from bench.purchase.plan import PRICE, Variant
from bench.purchase.rounds import SETTLING_CLIENTS, Results, Run
from bench.rest.calls import STATUS, Call, Callers
from bench.rest.client import fire
from bench.rest.gate import Gate
from bench.rest.plan import Plan
from bench.spread import Spread


@dataclass(frozen=True)
class HttpOutcome(Outcome):
    """What a run over HTTP achieved, and what all who took part used."""

    postgrest_seconds: float  # CPU time, as the next
    client_seconds: float
    client_share: float  # of one core


@dataclass(frozen=True)
class Cost:
    """CPU time of one call, in milliseconds: who used it."""

    postgres: Spread
    postgrest: Spread
    client: Spread


class HttpResults(Results):
    """All runs, and what follows from them."""

    def __init__(self, runs: list[Run]) -> None:
        super().__init__(runs)
        self.outcomes = [run.outcome for run in runs if isinstance(run.outcome, HttpOutcome)]

    def busiest_client(self) -> float:
        """The greatest share of a core that the client took in any run."""
        return max(each.client_share for each in self.outcomes)

    def cost(self, call: Call, clients: int) -> Cost:
        """CPU milliseconds of one call."""
        outcomes = self._http(call, clients)
        return Cost(
            Spread.of([_each(run, run.used.processor_seconds) for run in outcomes]),
            Spread.of([_each(run, run.postgrest_seconds) for run in outcomes]),
            Spread.of([_each(run, run.client_seconds) for run in outcomes]),
        )

    def processor_ratio(self, clients: int) -> Spread:
        """How much less a call that does nothing costs, the client's part left out."""
        pairs = zip(
            self._http(Call.PURCHASE, clients), self._http(Call.NOTHING, clients), strict=True
        )
        return Spread.of([_served(nothing) / _served(purchase) for purchase, nothing in pairs])

    def _http(self, call: Call, clients: int) -> list[HttpOutcome]:
        outcomes = [run.outcome for run in self._of(call, clients)]
        return [each for each in outcomes if isinstance(each, HttpOutcome)]


def _each(outcome: HttpOutcome, seconds: float) -> float:
    return seconds * 1000 / outcome.timing.transactions


def _served(outcome: HttpOutcome) -> float:
    return _each(outcome, outcome.used.processor_seconds + outcome.postgrest_seconds)


class Racecourse:
    """A database behind PostgREST, and its readers."""

    def __init__(self, database: Database, gate: Gate, callers: Callers) -> None:
        self.database = database
        self._gate = gate
        self._callers = callers

    def run(self, call: Call, load: Load) -> HttpOutcome:
        """Let the readers call. The purchases that were answered must be in the wallets."""
        server = self.database.server
        spent_before = self._spent()
        used, postgrest = server.used(self.database.name), self._gate.processor_seconds()
        burst = fire(self._gate.port, self._callers.requests[call], STATUS[call], load)
        postgrest = self._gate.processor_seconds() - postgrest
        used = server.used(self.database.name).since(used)
        spent = self._spent() - spent_before
        paid = burst.timing.transactions * PRICE if call is Call.PURCHASE else 0
        if spent != paid:
            raise BenchError(
                f"{burst.timing.transactions} calls ({call}) were answered and {spent} credits "
                f"were spent on them instead of {paid}"
            )
        share = burst.client_seconds / burst.seconds
        return HttpOutcome(burst.timing, used, postgrest, burst.client_seconds, share)

    def _spent(self) -> int:
        return int(self.database.value(SPENT[Variant.OURS]))


def race(course: Racecourse, plan: Plan, report: Callable[[Run], None]) -> HttpResults:
    """Both in every round, and each time the other one first."""
    runs: list[Run] = []
    for number in range(1, plan.rounds + 1):
        calls = list(Call)[:: 1 if number % 2 else -1]
        for clients in plan.clients:
            course.database.server.checkpoint()
            for call in calls:
                course.run(call, Load(SETTLING_CLIENTS, seconds=plan.settle))
            for call in calls:
                load = Load(clients, seconds=plan.seconds, warm_up=plan.warm_up)
                runs.append(Run(call, clients, number, course.run(call, load)))
                report(runs[-1])
    return HttpResults(runs)
