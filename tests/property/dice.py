"""The dice of one step, and what can be read from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from tests.property.driver import MISHAPS

T = TypeVar("T")


@dataclass(frozen=True)
class Roll:
    """Each action reads these in its own way."""

    action: int
    which: int
    kind: int
    amount: int
    how: int
    is_told: bool
    order: Sequence[int]

    def one_of(self, things: Sequence[T]) -> T:
        """One of the things there are; small numbers pick the newest ones."""
        return things[-1 - self.which % len(things)]

    def kind_of(self, kinds: Sequence[T]) -> T:
        return kinds[self.kind % len(kinds)]

    def amount_of(self, amounts: Sequence[T]) -> T:
        return amounts[self.amount % len(amounts)]

    @property
    def spin(self) -> int:
        """A number of which no value is likelier: of single ones hypothesis has its favourites."""
        return self.action + 3 * self.kind + 7 * self.amount + 11 * self.how

    @property
    def mishap(self) -> str | None:
        """Every second time something goes wrong."""
        return MISHAPS[self.how // 2 % len(MISHAPS)] if self.how % 2 else None


numbers = st.integers(0, 9999)
rolls = st.builds(
    Roll,
    action=numbers,
    which=st.integers(0, 7),
    kind=numbers,
    amount=numbers,
    how=numbers,
    is_told=st.booleans(),
    order=st.permutations(range(8)),
)
