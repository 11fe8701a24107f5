"""A figure beside its bound."""

from dataclasses import dataclass

from bench.spread import Spread


@dataclass(frozen=True)
class Aim:
    """What a figure ought to be, and whether it is. Without a figure it was not measured."""

    name: str
    bound: str
    figure: Spread | None
    is_met: bool | None


def at_least(limit: float, name: str, figure: Spread | None) -> Aim:
    """The median is to reach this."""
    met = figure.median >= limit if figure else None
    return Aim(name, f"at least {limit:g}", figure, met)


def at_most(limit: float, name: str, figure: Spread | None) -> Aim:
    """The median is to stay below this."""
    met = figure.median <= limit if figure else None
    return Aim(name, f"at most {limit:g}", figure, met)
