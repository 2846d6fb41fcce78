"""Plots of a report as SVG inside the page: their texts can be selected, and screen readers get their meaning."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from napari_pathseg.engine.training.curves_figure import ticks

WIDTH, HEIGHT = 420, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 14, 46
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # of Okabe and Ito
_INK, _GRID = "#333333", "#dddddd"

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Points that are joined by a line, or shown as dots; a rule is a grey line without a name."""

    name: str
    points: Sequence[Point]
    dots: bool = False
    rule: bool = False


@dataclass(frozen=True)
class Axes:
    """The names of both axes, and the limits that they have at least."""

    across: str
    up: str
    at_least: tuple[float, float, float, float] | None = None  # left, right, bottom, top


def chart(title: str, axes: Axes, series: Sequence[Series]) -> Markup:
    """Return a diagram; `title` says what it shows to those who cannot see it. Empty without points."""
    points = [point for each in series if not each.rule for point in each.points]
    if not points:
        return Markup("")
    limits = axes.at_least or (math.inf, -math.inf, math.inf, -math.inf)
    everything = [point for each in series for point in each.points]
    across = ticks(min(limits[0], *(x for x, _ in everything)), max(limits[1], *(x for x, _ in everything)))
    up = ticks(min(limits[2], *(y for _, y in everything)), max(limits[3], *(y for _, y in everything)))

    def place(point: Point) -> Point:
        x = _LEFT + (point[0] - across[0]) / (across[-1] - across[0]) * (WIDTH - _LEFT - _RIGHT)
        y = HEIGHT - _BOTTOM - (point[1] - up[0]) / (up[-1] - up[0]) * (HEIGHT - _TOP - _BOTTOM)
        return x, y

    drawn = [_grid(place, across, up), _labels(axes)]
    for number, each in enumerate(one for one in series if one.points):
        drawn.append(_series(each, [place(point) for point in each.points], number))
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="12" font-family="sans-serif"'
    return Markup(f"<svg {box}><title>{escape(title)}</title>{''.join(drawn)}</svg>")


def _series(series: Series, points: Sequence[Point], number: int) -> str:
    colour = _INK if series.rule else _COLOURS[number % len(_COLOURS)]
    if series.dots:
        drawn = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points)
    else:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if series.rule else ""
        drawn = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    if series.rule or not series.name:
        return drawn
    x, y = WIDTH - _RIGHT - 4, _TOP + 14 + 15 * number
    return f'{drawn}<text x="{x}" y="{y}" text-anchor="end" fill="{colour}">{escape(series.name)}</text>'


def _grid(place: Callable[[Point], Point], across: Sequence[float], up: Sequence[float]) -> str:
    drawn = []
    for value in up:
        (x, y), (end, _) = place((across[0], value)), place((across[-1], value))
        drawn.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{end:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>')
        drawn.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end" fill="{_INK}">{value:g}</text>')
    for value in across:
        x, y = place((value, up[0]))
        drawn.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle" fill="{_INK}">{value:g}</text>')
    return "".join(drawn)


def _labels(axes: Axes) -> str:
    x, y = (WIDTH + _LEFT - _RIGHT) / 2, (HEIGHT + _TOP - _BOTTOM) / 2
    turned = f'x="14" y="{y}" transform="rotate(-90 14 {y})"'
    return (
        f'<text x="{x}" y="{HEIGHT - 8}" text-anchor="middle" fill="{_INK}">{escape(axes.across)}</text>'
        f'<text {turned} text-anchor="middle" fill="{_INK}">{escape(axes.up)}</text>'
    )
