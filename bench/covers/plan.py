"""How much is measured: one plan for figures worth keeping, one to see that everything works."""

from dataclasses import dataclass, replace
from enum import StrEnum

BATCH = 10  # jobs at a time that keep a queue as long as it was
STAR_JOBS = 10  # of one author, the last in each queue
CREDITS = 5_000  # of each author: nobody runs out


class Task(StrEnum):
    """What eight clients do at once."""

    CLAIM = "claims"
    FINISH = "claims with finish"
    REQUEST = "requests"
    PLAIN = "plain claims"


@dataclass(frozen=True)
class Queue:
    """A queue: jobs that are due, and behind which others they stand."""

    name: str
    waiting: int
    unserved: int = 0  # of a model that no worker has
    postponed: int = 0  # that have failed and wait until they are tried again

    @property
    def jobs(self) -> int:
        return self.waiting + self.unserved + self.postponed


@dataclass(frozen=True)
class Plan:
    """Sizes, counts and times of a run. Turns are those of one client in one run."""

    authors: int = 20_000
    waiting: tuple[int, int, int] = (100, 10_000, 100_000)
    unserved: int = 50_000
    postponed: int = 2_000
    clients: int = 8
    rounds: int = 5
    claims: int = 600
    finishes: int = 300
    requests: int = 200
    settling: int = 50
    made_before: int = 60
    looks: int = 40
    shared_buffers: str = "1GB"
    max_wal_size: str = "4GB"
    free_gigabytes: int = 10

    @property
    def little(self) -> Queue:
        return Queue(f"{self.waiting[0]:,}", self.waiting[0])

    @property
    def middle(self) -> Queue:
        return Queue(f"{self.waiting[1]:,}", self.waiting[1])

    @property
    def large(self) -> Queue:
        return Queue(f"{self.waiting[2]:,}", self.waiting[2])

    @property
    def behind_unserved(self) -> Queue:
        name = f"{self.waiting[1]:,} behind {self.unserved:,} unserved"
        return Queue(name, self.waiting[1], unserved=self.unserved)

    @property
    def behind_postponed(self) -> Queue:
        name = f"{self.waiting[1]:,} behind {self.postponed:,} postponed"
        return Queue(name, self.waiting[1], postponed=self.postponed)

    @property
    def queues(self) -> tuple[Queue, ...]:
        return (self.little, self.middle, self.large, self.behind_unserved, self.behind_postponed)

    @property
    def contestants(self) -> tuple[tuple[Task, Queue], ...]:
        """Who does what where, in every round."""
        sizes = (self.little, self.middle, self.large)
        ends = (self.little, self.large)
        return (
            *((Task.CLAIM, queue) for queue in self.queues),
            *((Task.FINISH, queue) for queue in sizes),
            *((Task.REQUEST, queue) for queue in ends),
            *((Task.PLAIN, queue) for queue in ends),
        )

    def turns(self, task: Task) -> int:
        """What one client does of it in one run."""
        return {
            Task.CLAIM: self.claims,
            Task.FINISH: self.finishes,
            Task.REQUEST: self.requests,
            Task.PLAIN: self.claims,
        }[task]

    @property
    def reserve(self) -> int:
        """So many jobs come into a queue in all, the first ones and those that follow."""
        a_round = self.claims + self.finishes + 2 * self.settling
        looked_at = 2 * self.looks + self.clients * self.claims
        first = max(queue.jobs for queue in self.queues) + self.little.waiting
        return self.made_before + first + looked_at + self.rounds * self.clients * a_round

    def shrunk(self) -> "Plan":
        """Everything once and small: seconds that prove the machinery, and no figure."""
        return replace(
            self,
            authors=100,
            waiting=(100, 200, 400),
            unserved=100,
            postponed=50,
            clients=4,
            rounds=1,
            claims=20,
            finishes=20,
            requests=20,
            settling=0,
            made_before=20,
            looks=10,
            shared_buffers="128MB",
            max_wal_size="1GB",
            free_gigabytes=2,
        )

    def with_rounds(self, rounds: int | None) -> "Plan":
        """The same with another number of rounds, where one is given."""
        return replace(self, rounds=rounds or self.rounds)
