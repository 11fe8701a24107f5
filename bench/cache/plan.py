"""How much is measured: one plan for figures worth keeping, one to see that everything works."""

from dataclasses import dataclass, replace

from bench.errors import BenchError


@dataclass(frozen=True)
class Plan:
    """Sizes and counts of a run."""

    little: int = 10_000  # entries of the little cache, all with meanings
    large: int = 1_000_000  # entries with meanings in the large one
    words: int = 1_000_000  # all its entries: any others are found by their words only
    genres: int = 8
    topic: int = 10  # entries about the same thing that do not mean the same
    near: int = 300  # near-duplicates that are asked for, of each distance
    lookups: int = 100  # of each kind that are timed
    build_memory: str = "3GB"  # the whole index of a million, so that it is built in memory
    shared_buffers: str = "4GB"
    max_wal_size: str = "8GB"
    free_gigabytes: int = 25

    def shrunk(self) -> "Plan":
        """Everything small: it proves the machinery, and no figure."""
        return replace(
            self,
            little=200,
            large=2_000,
            words=4_000,
            near=20,
            lookups=10,
            build_memory="64MB",
            shared_buffers="128MB",
            max_wal_size="1GB",
            free_gigabytes=1,
        )

    def with_sizes(self, large: int | None, words: int | None) -> "Plan":
        """The same for another number of entries, where one is given."""
        meanings = large or self.large
        plan = replace(self, large=meanings, words=max(words or self.words, meanings))
        if plan.large <= plan.little:
            raise BenchError(
                f"{plan.large} entries are too few: the little cache has {plan.little} already"
            )
        return plan
