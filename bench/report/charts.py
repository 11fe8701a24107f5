"""What is drawn of each benchmark, out of its JSON."""

from collections.abc import Callable, Iterable, Sequence

from bench.report.kept import Json, Kept
from bench.report.svg import Chart, Group, Panel
from bench.spread import Spread

PERCENTILES = {"p50": "median", "p95": "p95", "p99": "p99"}


def draw(kept: Kept) -> Chart:
    """The chart of one benchmark."""
    return CHARTS[kept.bench](kept.found)


def _purchase(found: Json) -> Chart:
    names = {"seed": "(a) seed", "rows": "(b) rows", "ours": "ours"}
    contestants = {f"{name}, one creator": title for name, title in names.items()}
    panels = _race(found, contestants, "one creator")
    growth = found["growth"]
    if growth is not None:
        ledgers = {"little ledger": "little ledger", "large ledger": "large ledger"}
        panels += _race(growth, ledgers, "with a past")
    return Chart("What one purchase costs", panels)


def _rest(found: Json) -> Chart:
    calls = {"purchase": "purchase", "nothing": "a call that does nothing"}
    clients = max(found["plan"]["clients"])
    parts: dict[str, Callable[[Json], float]] = {
        "PostgreSQL": lambda outcome: outcome["used"]["processor_seconds"],
        "PostgREST": lambda outcome: outcome["postgrest_seconds"],
        "the client": lambda outcome: outcome["client_seconds"],
    }

    def each(call: str, part: Callable[[Json], float]) -> Spread:
        outcomes = [run["outcome"] for run in _runs(found, call, clients)]
        return Spread.of(
            [part(outcome) * 1000 / outcome["timing"]["transactions"] for outcome in outcomes]
        )

    costs = [Group(name, [each(call, part) for call in calls]) for name, part in parts.items()]
    heading = f"CPU milliseconds of one call, {clients} clients"
    return Chart(
        "What a purchase costs over HTTP",
        [
            *_race(found, calls, "through PostgREST"),
            Panel(heading, list(calls.values()), costs, "{:.2f}"),
        ],
    )


def _race(found: Json, contestants: dict[str, str], where: str) -> list[Panel]:
    """How many a second for every number of clients, and how long one took for the most of them."""
    series = list(contestants.values())
    counts = sorted({run["clients"] for run in found["runs"]})

    def timings(contestant: str, clients: int, figure: str) -> Spread | None:
        found_ones = [run["outcome"]["timing"] for run in _runs(found, contestant, clients)]
        values = [timing[figure] for timing in found_ones if figure in timing]
        return Spread.of(values) if values else None

    rates = [
        Group(_clients(count), [timings(name, count, "per_second") for name in contestants])
        for count in counts
    ]
    most = counts[-1]
    latencies = [
        Group(name, [timings(each, most, f"{figure}_milliseconds") for each in contestants])
        for name, figure in PERCENTILES.items()
    ]
    return [
        Panel(f"Calls a second, {where}", series, rates),
        Panel(f"Milliseconds of a call, {where}, {_clients(most)}", series, latencies, "{:.1f}"),
    ]


def _runs(found: Json, contestant: str, clients: int) -> list[Json]:
    runs: Sequence[Json] = found["runs"]
    return [each for each in runs if (each["contestant"], each["clients"]) == (contestant, clients)]


def _clients(count: int) -> str:
    return f"{count} client" if count == 1 else f"{count} clients"


def _payouts(found: Json) -> Chart:
    results = found["results"]
    ways = {"steps": f"in steps of {found['plan']['step']}", "whole": "in one transaction"}
    worlds: dict[str, Callable[[Json], list[Json]]] = {
        "small": lambda closings: closings["small"],
        "large": lambda closings: [closings["large"]],
    }
    closings = [
        Group(
            f"{results[world]['size']['creators']:,} creators",
            [_spread(batches(results[way]), "seconds") for way in ways],
        )
        for world, batches in worlds.items()
    ]
    rounds = results["readers"]["rounds"]
    moments = {"alone": "without a batch", "beside": "beside a batch"}
    rates = [_spread([each[moment] for each in rounds], "per_second") for moment in moments]
    return Chart(
        "What it costs to pay everybody",
        [
            Panel("Seconds to close the month", list(ways.values()), closings, "{:.1f}"),
            Panel("Purchases a second", list(moments.values()), [Group("8 clients", rates)]),
        ],
    )


def _covers(found: Json) -> Chart:
    sizes = [f"{size:,}" for size in found["plan"]["waiting"]]
    series = [f"{size} waiting" for size in sizes]

    def rate(task: str, size: str) -> Spread | None:
        runs = [run for run in found["runs"] if (run["task"], run["queue"]) == (task, size)]
        return _spread([run["outcome"]["timing"] for run in runs], "per_second") if runs else None

    tasks = dict.fromkeys(run["task"] for run in found["runs"])
    rates = [Group(task, [rate(task, size) for size in sizes]) for task in tasks]
    calls = ("a claim", "a claim and its finish", "a request")
    buffers = [
        Group(call, [_spread([found["looks"][size][call]], "buffers") for size in sizes])
        for call in calls
    ]
    return Chart(
        "A long queue of covers",
        [
            Panel(f"A second, {found['plan']['clients']} clients", series, rates),
            Panel("Pages that one call touches", series, buffers),
        ],
    )


def _library(found: Json) -> Chart:
    results = found["results"]
    worlds = ("small", "large")
    series = [f"{results[world]['progress_rows']:,} rows of progress" for world in worlds]
    rounds = results["rounds"]

    def took(world: str, kind: str) -> Spread:
        return _spread([each[world][kind] for each in rounds], "median")

    calls = [Group(kind, [took(world, kind) for world in worlds]) for kind in rounds[0]["small"]]
    buffers = [
        Group(name, [_spread([results[world]["reading"][name]], "buffers") for world in worlds])
        for name in results["small"]["reading"]
        if name != "a collector's whole library"
    ]
    return Chart(
        "Reading in a large library",
        [
            Panel("Milliseconds of a call", series, calls, "{:.2f}"),
            Panel("Pages that a call touches", series, buffers),
        ],
    )


def _cache(found: Json) -> Chart:
    results = found["results"]
    worlds = ("little", "large")
    series = [
        f"{results[world]['entries']:,} entries, {results[world]['meanings']:,} with a meaning"
        for world in worlds
    ]
    looked = results["lookups"]
    lookups = [
        Group(kind, [_spread([looked[world][kind]], "milliseconds") for world in worlds])
        for kind in looked["little"]
    ]
    recalls = [
        Group(f"at a cosine of {one['cosine']}", [_recall(each) for each in (one, other)])
        for one, other in zip(*(results["recall"][world] for world in worlds), strict=True)
    ]
    return Chart(
        "Finding what was generated before",
        [
            Panel("Milliseconds of a lookup", series, lookups, "{:.2f}"),
            Panel("Part of the near-duplicates that was found", series, recalls, "{:.3f}"),
        ],
    )


def _recall(recall: Json) -> Spread | None:
    near = recall["near_enough"]
    return Spread.of([recall["found"] / near]) if near else None


def _spread(values: Iterable[Json], figure: str) -> Spread:
    return Spread.of([float(each[figure]) for each in values])


CHARTS: dict[str, Callable[[Json], Chart]] = {
    "purchase": _purchase,
    "rest": _rest,
    "payouts": _payouts,
    "covers": _covers,
    "library": _library,
    "cache": _cache,
}
