"""The demonstration: people, three books with real prose, and a story of what money does here."""

from api.demo.cast import RunningStack
from api.demo.loading import DemoStory, load

__all__ = ["DemoStory", "RunningStack", "load", "show"]


def show(stack: RunningStack) -> bool:
    """Tell the story; whether every figure was what it must be."""
    from api.demo import story  # it brings Stripe's library, which only the story needs

    return story.show(stack)
