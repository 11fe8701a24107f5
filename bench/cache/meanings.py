"""Entries of the cache: each a function of its number, so that it can be asked for again.

A topic is a random direction. An entry leans from its topic into a direction of its own, and a
near-duplicate from its entry: in 384 dimensions two random directions are all but perpendicular,
so how far it leans decides the cosine.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from random import Random

DIMENSIONS = 384
MODEL = "writer-1"
SAME_TOPIC = 0.9  # to the topic; two entries about it are at the square of that
NEAR = (0.99, 0.97, 0.955)  # of a near-duplicate to its entry; the threshold is 0.95

Vector = list[float]


@dataclass(frozen=True)
class Entries:
    """A cache of so many genres, with so many entries to a topic."""

    genres: int
    topic: int

    def genre(self, number: int) -> str:
        """Topics go round the genres."""
        return f"genre {number // self.topic % self.genres}"

    def request(self, number: int, wording: str = "") -> dict[str, object]:
        """What entry `number` answers, or the same in other words."""
        return {
            "genre": self.genre(number),
            "model": MODEL,
            "temperature": 0.7,
            "prompt": f"Tell story {number} of topic {number // self.topic}{wording}.",
        }

    def meaning(self, number: int) -> Vector:
        """The embedding of entry `number`."""
        topic = direction(f"topic {number // self.topic}")
        return leaning(topic, SAME_TOPIC, f"entry {number}")

    def near(self, number: int, cosine: float) -> Vector:
        """What means nearly the same as entry `number`."""
        return leaning(self.meaning(number), cosine, f"near {number} {cosine}")


@lru_cache(maxsize=16)
def direction(seed: str) -> Vector:
    """A random direction, a byte in each dimension: fine enough, and quickly drawn."""
    return _unit([each - 127.5 for each in Random(seed).randbytes(DIMENSIONS)])


def leaning(vector: Vector, cosine: float, seed: str) -> Vector:
    """Another direction, at about this cosine to the first."""
    aside = sqrt(1 - cosine**2)
    pairs = zip(vector, direction(seed), strict=True)
    return _unit([cosine * one + aside * other for one, other in pairs])


def _unit(vector: Vector) -> Vector:
    length = sqrt(sum(each * each for each in vector))
    return [each / length for each in vector]
