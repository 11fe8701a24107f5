"""One run: a stack, its people, who breaks it; then silence, and the reckoning."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event

from api.stack.log import LogLine, no_log
from tests.torture import report
from tests.torture.arena import Arena, open_arena
from tests.torture.board import Board
from tests.torture.check_balances import check_balances
from tests.torture.check_books import check_books
from tests.torture.check_calls import check_calls
from tests.torture.check_stripe import check_stripe
from tests.torture.clients import seats
from tests.torture.findings import Findings, open_findings
from tests.torture.journal import Journal
from tests.torture.person import Scene
from tests.torture.plan import Plan
from tests.torture.saboteur import Saboteur
from tests.torture.settling import settle
from tests.torture.troubles import Troubles

PROGRESS_SECONDS = 10.0
LAST_CALLS_SECONDS = 300.0
FUNDS_CENTS = 100_000_000
CHECKS = (check_calls, check_stripe, check_balances, check_books)


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    violations: list[str]
    journal: Journal
    findings: Findings


def torture(plan: Plan, say: report.Say, log: LogLine = no_log) -> Result:
    """All of it; nothing is left behind."""
    say(report.opening(plan))
    with open_arena(log) as arena:
        journal = Journal(Troubles())
        board = Board()
        play(plan, arena, journal, board, say)
        return reckon(plan, arena, journal, board, say)


def play(plan: Plan, arena: Arena, journal: Journal, board: Board, say: report.Say) -> None:
    """Let everybody loose for the time of the plan."""
    over = Event()
    scene = Scene(journal, arena.jwt_secret, arena.stripe_secret_key, over, _packages(arena))
    clients = seats(plan, scene, board, arena.places)
    clients[0].line.call(
        "fund", f"{arena.places.stripe}/_sandbox/balance/top_up", {"amount": FUNDS_CENTS}
    )
    saboteur = Saboteur(arena, journal, plan.seed, over, plan.kill_pauses)
    end = time.monotonic() + plan.seconds

    def tell() -> None:
        while not over.wait(min(PROGRESS_SECONDS, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                over.set()
            say(report.progress(journal, end - time.monotonic()))

    with ThreadPoolExecutor(len(clients) + 2) as threads:
        acts = [tell, saboteur.spoil, *(each.run for each in clients)]
        running = [threads.submit(_whole, act, over) for act in acts]
        try:
            # By this thread, which stays: what a thread has started ends with it.
            saboteur.kill()
        finally:
            over.set()
        wait(running, timeout=LAST_CALLS_SECONDS)
        for each in running:
            each.result(timeout=0)
    for client in clients:
        client.line.close()


def _packages(arena: Arena) -> dict[str, str]:
    with arena.connect() as owner:
        rows = owner.execute("select name, id::text from app.credit_packages").fetchall()
    return {str(name): str(package) for name, package in rows}


def _whole(act: Callable[[], None], over: Event) -> None:
    """Where somebody cannot go on, all are called back."""
    try:
        act()
    except BaseException:
        over.set()
        raise


def reckon(plan: Plan, arena: Arena, journal: Journal, board: Board, say: report.Say) -> Result:
    """Wait until everything has arrived, then look whether it is right."""
    say("over; waiting until all that is on its way has arrived")
    with open_findings(arena, journal, board) as findings:
        for missing in arena.lacks():
            findings.blame(f"{missing} is not running any more")
        settled = settle(arena, findings.owner)
        for name, number in settled.left.items():
            findings.blame(f"still on its way: {number} {name}")
        for check in CHECKS:
            check(findings)
        violations = journal.violations + findings.wrong
        say("")
        say(report.tables(findings))
        say("")
        say(report.verdict(violations, plan.seed))
        return Result(violations, journal, findings)
