"""How much is measured: one plan for figures worth keeping, one to see that everything works."""

from dataclasses import dataclass, replace
from enum import StrEnum

PRICE = 5  # credits of a chapter, the same in every variant
CREDITS = 1_000_000  # of each reader: nobody runs out
FREE_CHAPTERS = 2


class Variant(StrEnum):
    """What makes a purchase."""

    SEED = "seed"
    ROWS = "rows"
    OURS = "ours"


class Scenario(StrEnum):
    """Whose stories are bought."""

    ONE = "one creator"
    MANY = "many creators"


@dataclass(frozen=True)
class Plan:
    """Sizes, counts and times of a run."""

    seconds: int = 10
    rounds: int = 5
    warm_up: int = 2
    settle: int = 3
    clients: tuple[int, ...] = (1, 8, 32)
    readers: int = 10_000
    creators: int = 1_000
    star_chapters: int = 1_000
    other_chapters: int = 10
    counted_purchases: int = 5_000
    counted_repeats: int = 3
    little_readers: int = 100
    little_evenings: int = 60
    large_evenings: int = 250
    shared_buffers: str = "1GB"
    max_wal_size: str = "4GB"
    free_gigabytes: int = 20

    @property
    def most_clients(self) -> int:
        """Where the aims are measured."""
        return max(self.clients)

    def shrunk(self) -> "Plan":
        """Everything once and small: half a minute that proves the machinery, and no figure."""
        return replace(
            self,
            seconds=1,
            rounds=1,
            warm_up=0,
            settle=1,
            clients=(1, 4),
            readers=200,
            creators=60,
            star_chapters=400,
            counted_purchases=50,
            counted_repeats=1,
            little_readers=20,
            large_evenings=100,
            shared_buffers="128MB",
            max_wal_size="1GB",
            free_gigabytes=3,
        )

    def with_times(self, seconds: int | None, rounds: int | None) -> "Plan":
        """The same with another length of the runs, or number of rounds, where one is given."""
        return replace(self, seconds=seconds or self.seconds, rounds=rounds or self.rounds)
