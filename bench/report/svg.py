"""Bars, drawn as SVG: legible on a light page and on a dark one."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench.spread import Spread

WIDTH = 820
LABELS = 265  # the bars begin here
LONGEST = 420  # pixels of the greatest figure; the rest is for its number
BAR, GAP, GROUP = 15, 3, 10
STYLE = """
    .page { fill: #ffffff }
    text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
    text { fill: #1f2328 }
    .title { font-size: 17px; font-weight: 600 }
    .heading { font-size: 14px; font-weight: 600 }
    .quiet { fill: #57606a }
    .end { text-anchor: end }
    .axis { stroke: #8c959f }
    .swing { stroke: #1f2328; stroke-width: 1.5 }
    .s0 { fill: #54a0e8 }
    .s1 { fill: #e0823d }
    .s2 { fill: #9a8fd8 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117 }
      text { fill: #e6edf3 }
      .quiet { fill: #9aa4ae }
      .axis { stroke: #6e7681 }
      .swing { stroke: #e6edf3 }
      .s0 { fill: #3277b8 }
      .s1 { fill: #b5612a }
      .s2 { fill: #6f64b0 }
    }
"""


@dataclass(frozen=True)
class Group:
    """Bars that belong together: a figure of each series, where there is one."""

    label: str
    figures: Sequence[Spread | None]


@dataclass(frozen=True)
class Panel:
    """Figures of one kind, to one scale."""

    heading: str
    series: Sequence[str]
    groups: Sequence[Group]
    shape: str = "{:,.0f}"


@dataclass(frozen=True)
class Chart:
    """A picture of one benchmark."""

    title: str
    panels: Sequence[Panel]

    def svg(self) -> str:
        """The whole file."""
        parts: list[str] = []
        bottom = 40
        for panel in self.panels:
            drawn, bottom = _panel(panel, bottom + 24)
            parts += drawn
        size = f'viewBox="0 0 {WIDTH} {bottom}" width="{WIDTH}" height="{bottom}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
                f"  <title>{escape(self.title)}</title>",
                f"  <style>{STYLE}  </style>",
                _rect("page", 0, 0, WIDTH, bottom),
                _text(20, 32, self.title, "title"),
                *parts,
                "</svg>\n",
            ]
        )


def _panel(panel: Panel, top: int) -> tuple[list[str], int]:
    """Its heading, its legend and its bars; and where it ends."""
    parts = [_text(20, top, panel.heading, "heading")]
    left = 20
    for number, name in enumerate(panel.series):
        parts.append(_rect(f"s{number}", left, top + 12, 12, 12))
        parts.append(_text(left + 18, top + 23, name, "quiet"))
        left += 44 + 8 * len(name)
    first = top + 38
    place = first
    scale = LONGEST / max(each.greatest for each in _figures(panel))
    for group in panel.groups:
        if not any(group.figures):
            continue
        middle = place + len(panel.series) * (BAR + GAP) // 2 + 3
        parts.append(_text(LABELS - 10, middle, group.label, "end"))
        for number, figure in enumerate(group.figures):
            if figure is not None:
                parts += _bar(number, figure, place, scale, panel.shape)
            place += BAR + GAP
        place += GROUP
    bottom = place - GROUP + GAP
    parts.append(_line("axis", LABELS, first - GAP, LABELS, bottom))
    return parts, bottom + 14


def _figures(panel: Panel) -> list[Spread]:
    return [each for group in panel.groups for each in group.figures if each is not None]


def _bar(number: int, figure: Spread, place: int, scale: float, shape: str) -> list[str]:
    """A bar to the median, a line from the least to the greatest, and the median as a number."""
    parts = [_rect(f"s{number}", LABELS, place, max(1.0, figure.median * scale), BAR)]
    least, greatest = LABELS + figure.least * scale, LABELS + figure.greatest * scale
    if greatest - least > 1:
        parts.append(_line("swing", least, place + BAR / 2, greatest, place + BAR / 2))
    ends = max(greatest, LABELS + figure.median * scale) + 8
    parts.append(_text(ends, place + BAR - 3, shape.format(figure.median)))
    return parts


def _rect(look: str, left: float, top: float, width: float, height: float) -> str:
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'  <rect class="{look}" {place}/>'


def _line(look: str, left: float, top: float, right: float, bottom: float) -> str:
    place = f'x1="{left:.1f}" y1="{top:.1f}" x2="{right:.1f}" y2="{bottom:.1f}"'
    return f'  <line class="{look}" {place}/>'


def _text(left: float, top: float, words: str, look: str = "") -> str:
    style = f' class="{look}"' if look else ""
    return f'  <text x="{left:.1f}" y="{top:.1f}"{style}>{escape(words)}</text>'
