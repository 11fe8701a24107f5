"""A database with a queue in it, and pgbench let loose on it.

The queue keeps its length while it is worked on: what is taken out of it is put in at its end, ten
jobs at a time. No figure is believed unless the tables confirm it: as many jobs were claimed,
finished or asked for as pgbench says, the queue is as long as it was, and nobody was passed over.
"""

from dataclasses import dataclass
from pathlib import Path

from bench.covers.plan import BATCH, STAR_JOBS, Plan, Queue, Task
from bench.database import Database
from bench.errors import BenchError
from bench.pgbench import Load, run_pgbench
from bench.server import BenchServer, Used
from bench.timing import Timing

HERE = Path(__file__).parent
SCRIPTS = {
    Task.CLAIM: ("claim.sql",),
    Task.FINISH: ("claim.sql", "finish.sql"),
    Task.REQUEST: ("request.sql",),
    Task.PLAIN: ("plain.sql",),
}
# The worker logs in as the owner; authors come through PostgREST.
ROLES = {
    Task.CLAIM: "app_owner",
    Task.FINISH: "app_owner",
    Task.REQUEST: "authenticated",
    Task.PLAIN: "app_owner",
}
DONE = {
    Task.CLAIM: "select count(*) from app.cover_attempts",
    Task.FINISH: "select count(*) from app.story_covers",
    Task.REQUEST: "select count(*) from ledger.requests where function_name = 'request_cover'",
    Task.PLAIN: "select count(*) from bench.plain_jobs where state = 'generating'",
}
WAITING = "select count(*) from {} where state = 'pending'"


@dataclass(frozen=True)
class Outcome:
    """What a run of pgbench achieved, and what it used."""

    timing: Timing
    used: Used


class Arena(Database):
    """One queue, and how much of the reserve has gone into it."""

    def __init__(self, server: BenchServer, name: str, queue: Queue, plan: Plan) -> None:
        super().__init__(server, name)
        self.queue = queue
        self._plan = plan
        self._filled = plan.made_before
        self._filled_plain = 0
        self._requested = 0

    def build(self, template: str) -> None:
        """Copy the world, and fill the queue: first those that are in front."""
        queue = self.queue
        self.server.create_database(self.name, template)
        self.fill(queue.unserved, '{"model": "nobody_has_it"}')
        self.fill(queue.postponed, '{"run_at": "infinity", "attempts": 1}')
        self.fill(queue.waiting - STAR_JOBS)
        self.execute(f"select bench.fill({-STAR_JOBS}, {STAR_JOBS})")
        self.execute(f"select bench.fill_plain(0, {queue.waiting})")
        self._filled_plain = queue.waiting
        self.execute("vacuum (analyze) app.cover_jobs, bench.plain_jobs")

    def fill(self, jobs: int, changes: str = "{}") -> None:
        """Put jobs at the end of the queue."""
        filled = self.value(f"select bench.fill({self._filled}, {jobs}, '{changes}')")
        if filled != jobs:
            raise BenchError(f"the reserve has {filled} of {jobs} jobs: measure fewer rounds")
        self._filled += jobs

    def replace_claimed(self, jobs: int) -> None:
        """Take away what was claimed, and put as much at the end of the queue."""
        self.execute("select bench.park_claimed()")
        self.fill(jobs)

    def run(self, task: Task, turns: int) -> Outcome:
        """Let pgbench work, so many turns each client."""
        clients = self._plan.clients
        total = clients * turns
        table = "bench.plain_jobs" if task is Task.PLAIN else "app.cover_jobs"
        variables = {
            "start": self._place(task, total),
            "turn": 0,
            "clients": clients,
            "batch": BATCH,
            "authors": self._plan.authors,
        }
        present = self.server.sessions()
        done_before = int(self.value(DONE[task]))
        waiting_before = int(self.value(WAITING.format(table)))
        self.server.wait_for_departure(present)
        used_before = self.server.used(self.name)
        script = "".join((HERE / name).read_text() for name in SCRIPTS[task])
        timing = run_pgbench(self, script, ROLES[task], variables, Load(clients, turns=turns))
        self.server.wait_for_departure(present)
        used = self.server.used(self.name).since(used_before)
        done = int(self.value(DONE[task])) - done_before
        waiting = int(self.value(WAITING.format(table)))
        if (timing.transactions, done, waiting) != (total, total, waiting_before):
            raise BenchError(
                f"pgbench did {timing.transactions} of {total} ({task}), the tables of {self.name} "
                f"say {done}; {waiting} wait where {waiting_before} did"
            )
        self._tidy(task)
        return Outcome(timing, used)

    def bring_back(self) -> None:
        """All that was set aside is in the queue again, so that verify() sees the whole."""
        self.execute("select bench.bring_back()")
        self.execute("select ledger.fold()")

    def _place(self, task: Task, total: int) -> int:
        """Where in the reserve, or in the numbers of requests, a run begins."""
        if task is Task.REQUEST:
            place, self._requested = self._requested, self._requested + total
        elif task is Task.PLAIN:
            place, self._filled_plain = self._filled_plain, self._filled_plain + total
        else:
            place, self._filled = self._filled, self._filled + total
        return place

    def _tidy(self, task: Task) -> None:
        if task is Task.CLAIM:
            if self.value("select bench.was_anybody_passed_over()"):
                raise BenchError(f"somebody in {self.name} was passed over by a claim")
            self.execute("select bench.park_claimed()")
        elif task is Task.PLAIN:
            self.execute("delete from bench.plain_jobs where state = 'generating'")
