"""One page of all benchmarks: where and when each was run, its aims, its figures and its chart."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.report.charts import draw
from bench.report.kept import Json, Kept, read_results
from bench.report.single import spread_text
from bench.spread import Spread

PAGE = "README.md"
INTRODUCTION = """# Figures

Made by `python -m bench.report` from the `.json` files of this folder; do not edit it.
[How to read it](../README.md#how-to-read-the-report), and what each benchmark does.
"""


def write_report(folder: Path) -> list[Kept]:
    """Write the page and the charts beside the figures, from these alone."""
    every = read_results(folder)
    for kept in every:
        (folder / f"{kept.name}.svg").write_text(draw(kept).svg())
    (folder / PAGE).write_text("\n".join(_page(every)))
    return every


def count_aims(every: Sequence[Kept]) -> str:
    """How many were met, in words."""
    verdicts = [aim["is_met"] for kept in every for aim in kept.aims]
    met, missed, unmeasured = (verdicts.count(verdict) for verdict in (True, False, None))
    text = f"Of {len(verdicts)} aims {met} are met and {missed} are not"
    return text + (f", {unmeasured} were not measured." if unmeasured else ".")


def _page(every: Sequence[Kept]) -> Iterator[str]:
    yield INTRODUCTION
    yield count_aims(every)
    yield ""
    yield "| benchmark | measured | commit | machine | aims met |"
    yield "|---|---|---|---|---|"
    for kept in every:
        machine = kept.machine
        met = sum(aim["is_met"] is True for aim in kept.aims)
        cells = [f"[{kept.name}](#{kept.name})", machine["measured_at"], f"`{machine['commit']}`"]
        yield _row([*cells, _computer(machine), f"{met} of {len(kept.aims)}"])
    missed = [(kept, aim) for kept in every for aim in kept.aims if aim["is_met"] is False]
    if missed:
        yield from ["", "What was not reached:", "", "| benchmark | | aim | figure |"]
        yield "|---|---|---|---|"
        for kept, aim in missed:
            yield _row([kept.name, aim["name"], aim["bound"], _figure(aim)])
    for kept in every:
        yield from _section(kept)


def _section(kept: Kept) -> Iterator[str]:
    machine = kept.machine
    yield from ["", f"## {kept.name}", ""]
    if kept.found["quick"]:
        yield from ["**A quick run: it shows that all works. No figure counts.**", ""]
    yield f"{machine['measured_at']}, commit `{machine['commit']}`, {_computer(machine)},"
    yield f"{machine['system']}, PostgreSQL {kept.found['settings']['server_version']}."
    for warning in machine["warnings"]:
        yield f"Beware: {warning}."
    found = kept.found["violations"]
    books = f"**The ledger was not sound:** {'; '.join(found)}" if found else "The books agreed."
    yield f"{books} All figures: [text]({kept.name}.txt), [JSON]({kept.name}.json)."
    yield from ["", f"![{draw(kept).title}]({kept.name}.svg)", ""]
    yield from ["| | aim | figure | |", "|---|---|---|---|"]
    for aim in kept.aims:
        verdict = {True: "met", False: "**not met**", None: "not measured"}[aim["is_met"]]
        yield _row([aim["name"], aim["bound"], _figure(aim), verdict])


def _computer(machine: Json) -> str:
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gigabytes']} GB, "
        f"{machine['file_system']}"
    )


def _figure(aim: Json) -> str:
    return spread_text(Spread(**aim["figure"]), "{:.2f}") if aim["figure"] else ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
