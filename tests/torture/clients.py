"""The clients: each has a seat, on which one person after the other may sit."""

from collections.abc import Callable
from random import Random
from typing import Protocol
from uuid import UUID

from tests.torture.board import Board
from tests.torture.creators import Creator
from tests.torture.line import Line, Places
from tests.torture.operators import Bank, Operator
from tests.torture.person import Person, Scene
from tests.torture.plan import Plan
from tests.torture.readers import Reader


class Guest(Protocol):
    """Whoever sits on a seat."""

    def step(self) -> bool:
        """Do one thing; False when the seat is free for the next."""
        ...


class Seat:
    """A client: a line, chances of its own, and whoever uses it."""

    def __init__(self, name: str, plan: Plan, scene: Scene, places: Places) -> None:
        self.name = name
        self.chance = Random(f"{plan.seed} {name}")
        self.line = Line(places, scene.journal)
        self.invite: Callable[[], Guest]
        self._scene = scene
        self._think_seconds = plan.think_seconds

    def person(self, role: str = "authenticated") -> Person:
        """Somebody new."""
        new = UUID(int=self.chance.getrandbits(128), version=4)
        return Person(self._scene, self.line, self.chance, new, role)

    def run(self) -> None:
        """One guest after the other until it is over."""
        guest = self.invite()
        while not self._scene.over.wait(self.chance.uniform(0, 2 * self._think_seconds)):
            if not guest.step():
                guest = self.invite()


def seats(plan: Plan, scene: Scene, board: Board, places: Places) -> list[Seat]:
    """A seat for each client; creators have settled in, for they were there before."""
    made = []

    def seat(name: str) -> Seat:
        made.append(Seat(name, plan, scene, places))
        return made[-1]

    for number in range(plan.creators):
        settled = seat(f"creator {number}")
        creator = Creator(settled.person(), board)
        creator.settle_in(is_for_all=number % 2 == 0)
        settled.invite = _always(creator)
    for number in range(plan.operators):
        settled = seat(f"operator {number}")
        settled.invite = _always(Operator(settled.person("service_role"), board))
    settled = seat("bank")
    settled.invite = _always(Bank(settled.person(), board))
    for number in range(plan.readers):
        free = seat(f"reader {number}")
        free.invite = _readers(free, board)
    return made


def _always(guest: Guest) -> Callable[[], Guest]:
    return lambda: guest


def _readers(free: Seat, board: Board) -> Callable[[], Guest]:
    return lambda: Reader(free.person(), board)
