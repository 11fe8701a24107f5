"""How long, how many, and with which chances a run goes."""

from dataclasses import dataclass, field
from random import SystemRandom

OPERATORS_SHARE, CREATORS_SHARE = 10, 5  # every so many clients one


def new_seed() -> str:
    """One that nobody had."""
    return str(SystemRandom().randrange(10**9))


@dataclass(frozen=True)
class Plan:
    """One run."""

    seconds: float = 1200.0
    clients: int = 32
    seed: str = field(default_factory=new_seed)
    think_seconds: float = 0.3  # between two things that a client does, on average
    kill_pauses: tuple[float, float] = (2.0, 9.0)

    @property
    def operators(self) -> int:
        return max(1, self.clients // OPERATORS_SHARE)

    @property
    def creators(self) -> int:
        return max(4, self.clients // CREATORS_SHARE)

    @property
    def readers(self) -> int:
        """Everybody else, but for the bank."""
        return max(2, self.clients - self.creators - self.operators - 1)
