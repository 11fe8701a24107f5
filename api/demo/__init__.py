"""The demonstration: people, two books with real prose, and the story of one sale."""

from api.demo.loading import DemoStory, load
from api.demo.sale import RunningStack, show

__all__ = ["DemoStory", "RunningStack", "load", "show"]
