"""Curves of several runs in one figure, as SVG.

A few polylines: no library that we have draws any without a window system or JavaScript.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from radenhance.foreign_text import in_html

COLORS = ("#3b6ea5", "#b3631a", "#3d8b40", "#8e4a9e", "#a83232", "#5c6b73", "#a58a1d", "#1d8a8a")
DASHES = ("none", "7 3", "2 3")
"""Patterns of lines, each for a round of all colors, so that two dozen lines differ."""

WIDTH, HEIGHT, LEFT, TOP, LEGEND = 900, 320, 60, 40, 18

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Scale:
    first: float
    last: float
    low: float
    high: float

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.first) / ((self.last - self.first) or 1)
        up = (y - self.low) / ((self.high - self.low) or 1)
        return LEFT + across * (WIDTH - LEFT - 20), TOP + (1 - up) * HEIGHT


def curves_svg(title: str, curves: Mapping[str, Curve], line: float | None, line_name: str) -> str:
    """Return a figure of curves, each with its name below.

    Args:
        title: What it shows.
        curves: Name -> points (x, y), in the order of x.
        line: Height of a horizontal line, or None.
        line_name: What the line is.
    """
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    heights = [y for _, y in points] + ([line] if line is not None else [])
    across = [x for x, _ in points]
    scale = _Scale(min(across), max(across), min(0.0, *heights), max(heights))
    bottom = TOP + HEIGHT
    parts = [
        f'<text x="8" y="18" font-weight="bold">{in_html(title)}</text>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - 20}" fill="none" stroke="#555"/>',
        *_ticks(scale),
    ]
    names = [(name, *_style(number)) for number, name in enumerate(curves)]
    for (name, *style), curve in zip(names, curves.values(), strict=True):
        parts.append(_polyline([scale(*point) for point in curve], style, in_html(name)))
    if line is not None:
        _, y = scale(scale.first, line)
        parts.append(
            f'<path d="M{LEFT} {y:.1f}H{WIDTH - 20}" stroke="#000" stroke-dasharray="6 4"/>'
        )
        names.append((f"{line_name} (dashed)", "#000", "6 4"))
    for number, (name, color, dash) in enumerate(names):
        y = bottom + 40 + LEGEND * number
        parts.append(
            f'<path d="M{LEFT} {y - 4}h30" stroke="{color}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/><text x="{LEFT + 38}" y="{y}" fill="{color}" '
            f'font-weight="bold">{in_html(name)}</text>'
        )
    height = bottom + 40 + LEGEND * len(names)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _style(number: int) -> tuple[str, str]:
    """Return color and pattern of a line."""
    rounds, color = divmod(number, len(COLORS))
    return COLORS[color], DASHES[rounds % len(DASHES)]


def _polyline(points: Sequence[tuple[float, float]], style: Sequence[str], name: str) -> str:
    color, dash = style
    listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>' for x, y in points)
    line = (
        f'<polyline points="{listed}" fill="none" stroke="{color}" stroke-width="2" '
        f'stroke-dasharray="{dash}"/>'
    )
    return f"<g><title>{name}</title>{line}{dots}</g>"


def _ticks(scale: _Scale) -> list[str]:
    """Return the ends and the middle of both axes; epochs are whole."""
    epochs = {scale.first, float(round((scale.first + scale.last) / 2)), scale.last}
    drawn = []
    below = TOP + HEIGHT + 16
    for epoch in sorted(epochs):
        x, _ = scale(epoch, scale.low)
        drawn.append(f'<text x="{x:.1f}" y="{below}" text-anchor="middle">{epoch:g}</text>')
    for height in (scale.low, (scale.low + scale.high) / 2, scale.high):
        _, y = scale(scale.first, height)
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{height:.3g}</text>')
    return drawn
