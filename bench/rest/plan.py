"""How much is measured: one plan for figures worth keeping, one to see that everything works."""

from dataclasses import dataclass, field, replace

from bench.purchase.plan import Plan as World


@dataclass(frozen=True)
class Plan:
    """Counts and times of a run."""

    seconds: int = 10
    rounds: int = 7
    warm_up: int = 2
    settle: int = 3
    clients: tuple[int, ...] = (1, 8, 32)
    world: World = field(default_factory=World)
    shared_buffers: str = "1GB"
    max_wal_size: str = "4GB"
    free_gigabytes: int = 10

    @property
    def most_clients(self) -> int:
        """Where the aims are measured."""
        return max(self.clients)

    def shrunk(self) -> "Plan":
        """Everything once and small: it proves the machinery, and no figure."""
        return replace(
            self,
            seconds=1,
            rounds=1,
            warm_up=0,
            settle=1,
            clients=(4,),
            world=self.world.shrunk(),
            shared_buffers="128MB",
            max_wal_size="1GB",
            free_gigabytes=1,
        )

    def with_times(self, seconds: int | None, rounds: int | None) -> "Plan":
        """The same with another length of the runs, or number of rounds, where one is given."""
        return replace(self, seconds=seconds or self.seconds, rounds=rounds or self.rounds)
