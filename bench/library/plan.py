"""How much is measured: one plan for figures worth keeping, one to see that everything works."""

from dataclasses import dataclass, replace

from bench.errors import BenchError

TIMES = 100  # so many more readers are in the large world
STORIES_EACH = 5  # of everybody's library, the star's among them
CHAPTERS_EACH = 2  # that they have read of each
DAYS_EACH = 10
CHAPTERS = 12  # of every story


@dataclass(frozen=True)
class Size:
    """A world: its readers, and the stories besides the star's."""

    readers: int
    stories: int

    @property
    def progress_rows(self) -> int:
        """Without those of the collector."""
        return self.readers * STORIES_EACH * CHAPTERS_EACH


@dataclass(frozen=True)
class Plan:
    """Sizes and counts of a run."""

    readers: int = 100_000
    stories: int = 10_000
    collected: int = 1_000  # stories in the library of reader 0
    rounds: int = 9
    calls: int = 200  # of each kind, in each world and round
    shared_buffers: str = "1GB"
    max_wal_size: str = "4GB"
    free_gigabytes: int = 5

    @property
    def large(self) -> Size:
        return Size(self.readers, self.stories)

    @property
    def small(self) -> Size:
        return Size(self.readers // TIMES, self.collected)

    def shrunk(self) -> "Plan":
        """Everything once and small: it proves the machinery, and no figure."""
        return replace(
            self,
            readers=1_000,
            stories=40,
            collected=20,
            rounds=2,
            calls=5,
            shared_buffers="128MB",
            max_wal_size="1GB",
            free_gigabytes=2,
        )

    def with_readers(self, readers: int | None) -> "Plan":
        """The same for another number of readers, where one is given."""
        plan = replace(self, readers=readers or self.readers)
        if plan.small.readers < 1:
            raise BenchError(
                f"{plan.readers} readers are too few: the small world has a {TIMES}th of them"
            )
        return plan

    def with_rounds(self, rounds: int | None) -> "Plan":
        """The same with another number of rounds, where one is given."""
        return replace(self, rounds=rounds or self.rounds)
