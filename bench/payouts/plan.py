"""How much is measured: one plan for figures worth keeping, one to see that everything works."""

from dataclasses import dataclass, replace

from bench.errors import BenchError
from bench.purchase.plan import FREE_CHAPTERS
from bench.purchase.plan import Plan as PurchasePlan

TIMES = 10  # so many more creators and earnings are in the large world
NEWCOMERS = 10  # one creator in so many has sold next to nothing


@dataclass(frozen=True)
class Size:
    """A world: its creators, and what they have sold."""

    creators: int
    earnings: int
    evenings: int

    @property
    def readers(self) -> int:
        """Each buys one chapter an evening."""
        return self.earnings // self.evenings

    @property
    def newcomers(self) -> int:
        return self.creators // NEWCOMERS

    @property
    def world(self) -> PurchasePlan:
        """The same for those who buy: behind the past one more chapter of everybody is on sale."""
        return replace(
            PurchasePlan(),
            readers=self.readers,
            creators=self.creators - 1,  # and the star
            star_chapters=FREE_CHAPTERS + self.evenings + 1,
            other_chapters=FREE_CHAPTERS + 2,
        )


@dataclass(frozen=True)
class Plan:
    """Sizes, counts and times of a run."""

    creators: int = 100_000
    earnings: int = 5_000_000
    evenings: int = 50
    days: int = 90  # of past, in which the evenings lie
    minimum_cents: int = 500
    step: int = 500  # creators at a time, as the worker does it
    steps: tuple[int, ...] = (200, 500, 1000, 2000)
    repeats: int = 3  # of what is measured in the small world
    clients: int = 8
    rounds: int = 5
    seconds: int = 10
    warm_up: int = 2
    shared_buffers: str = "1GB"
    max_wal_size: str = "4GB"
    free_gigabytes: int = 40

    @property
    def large(self) -> Size:
        return Size(self.creators, self.earnings, self.evenings)

    @property
    def small(self) -> Size:
        return Size(self.creators // TIMES, self.earnings // TIMES, self.evenings)

    def shrunk(self) -> "Plan":
        """Everything once and small: a minute that proves the machinery, and no figure."""
        return replace(
            self,
            creators=600,
            earnings=24_000,
            evenings=30,
            step=20,
            steps=(10, 20),
            repeats=1,
            clients=4,
            rounds=1,
            seconds=1,
            warm_up=0,
            shared_buffers="128MB",
            max_wal_size="1GB",
            free_gigabytes=3,
        )

    def with_sizes(self, creators: int | None, earnings: int | None) -> "Plan":
        """The same for another number of creators or earnings, where one is given."""
        plan = replace(self, creators=creators or self.creators, earnings=earnings or self.earnings)
        small = plan.small
        # Nobody may meet a creator twice in the past, and a world has somebody of every kind.
        if small.creators - small.newcomers <= plan.evenings + 1 or small.readers < 1:
            raise BenchError(
                f"{plan.creators} creators with {plan.earnings} earnings are too few: the small "
                f"world has a {TIMES}th of them, and {plan.evenings} evenings of past"
            )
        return plan

    def with_rounds(self, rounds: int | None) -> "Plan":
        """The same with another number of rounds, where one is given."""
        return replace(self, rounds=rounds or self.rounds)
