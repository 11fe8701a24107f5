"""What a run says: where it is, and in the end what happened and whether all of it was right."""

from collections.abc import Callable

from tests.torture.findings import Findings
from tests.torture.journal import Journal, Outcome
from tests.torture.plan import Plan

Say = Callable[[str], None]
SHOWN = 40


def opening(plan: Plan) -> str:
    return (
        f"torture: {plan.clients} clients for {plan.seconds / 60:g} minutes, seed {plan.seed}\n"
        "The seed repeats what everybody wants to do, not the instant at which it happens."
    )


def progress(journal: Journal, seconds_left: float) -> str:
    minutes, seconds = divmod(int(max(seconds_left, 0)), 60)
    lost = sum(number for (_, how), number in journal.tally.items() if how is Outcome.LOST)
    kills = sum(n for kind, n in journal.troubles.kinds.items() if kind.startswith("kill"))
    faults = sum(journal.troubles.kinds.values()) - kills
    line = f"{minutes:3}:{seconds:02} left   {journal.calls:7} calls   {lost:5} answers lost"
    line += f"   {kills:4} kills   {faults:4} faults"
    return line + (f"   {len(journal.violations)} VIOLATIONS" if journal.violations else "")


def tables(findings: Findings) -> str:
    """Calls, refusals, faults, checks."""
    journal = findings.journal
    names = sorted({name for name, _ in journal.tally})
    calls = [[name, *(str(journal.tally[name, outcome]) for outcome in Outcome)] for name in names]
    sums = [sum(journal.tally[name, outcome] for name in names) for outcome in Outcome]
    calls.append(["all", *map(str, sums)])
    refusals = [
        [f"{name}: {hint[:60]}", str(number)]
        for (name, hint), number in sorted(journal.refusals.items())
    ]
    faults = [[kind, str(number)] for kind, number in sorted(journal.troubles.kinds.items())]
    checks = [[name, str(number)] for name, number in findings.checked.items()]
    return "\n\n".join(
        [
            _table(["calls", *(outcome.value for outcome in Outcome)], calls),
            _table(["refused by a rule", "times"], refusals),
            _table(["faults", "times"], faults),
            _table(["checked", "things"], checks),
        ]
    )


def verdict(violations: list[str], seed: str) -> str:
    """The last lines."""
    if not violations:
        return "violations 0"
    shown = [f"  {each}" for each in violations[:SHOWN]]
    if len(violations) > SHOWN:
        shown.append(f"  and {len(violations) - SHOWN} more")
    return "\n".join([*shown, f"violations {len(violations)}, SEED={seed} to try again"])


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        )
        for line in lines
    )
