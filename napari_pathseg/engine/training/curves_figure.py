"""The curves of a run as a figure: accuracy and loss of training and held-out tiles, as SVG and PNG.

One description of lines and texts is drawn twice: as SVG, and with Pillow at twice the size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from napari_pathseg.storage.atomic import replace_file

_WIDTH, _HEIGHT = 440, 300  # of a panel, in SVG units
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 24, 30, 42  # margins of a panel's axes
_PNG_SCALE = 2
_INK, _GRID = "#333333", "#dddddd"
_TRAINING, _HELD_OUT = "#d9822b", "#2f6db5"
_FONT_SIZE = 12
_TICKS = 5  # about so many along an axis

_Point = tuple[float, float]
_PANELS = (
    ("Accuracy", {"training": "training_accuracy", "held out": "accuracy"}),
    ("Loss", {"training": "loss", "held out": "validation_loss"}),
)
_COLOURS = {"training": _TRAINING, "held out": _HELD_OUT}
_ANCHORS = {"start": "lm", "middle": "mm", "end": "rm"}  # of SVG, and of Pillow


@dataclass(frozen=True)
class _Line:
    points: tuple[_Point, ...]
    colour: str
    width: float = 1.0


@dataclass(frozen=True)
class _Text:
    text: str
    at: _Point  # where its middle line begins, ends or has its middle, as `anchor` says
    anchor: str = "middle"
    colour: str = _INK


def save_curves_figure(folder: Path, curves: Sequence[Mapping[str, Any]]) -> None:
    """Write ``curves.svg`` and ``curves.png``; nothing if there is no value to draw.

    Parameters
    ----------
    folder
        Where the files are written.
    curves
        The rows of ``curves.csv``: ``step``, ``training_accuracy``, ``accuracy``, ``loss`` and
        ``validation_loss``; values that are missing are left out.
    """
    shapes = [
        shape
        for number, (title, columns) in enumerate(_PANELS)
        for shape in _panel(title, {name: _series(curves, key) for name, key in columns.items()}, number * _WIDTH)
    ]
    if not shapes:
        return
    with replace_file(folder / "curves.svg") as partial:
        partial.write_text(_svg(shapes), encoding="utf8")
    with replace_file(folder / "curves.png") as partial:
        _png(shapes).save(partial, "PNG")


def _series(curves: Sequence[Mapping[str, Any]], key: str) -> list[_Point]:
    """Return (step, value) of the rows that have a finite value."""
    found = [(float(row["step"]), row.get(key)) for row in curves if "step" in row]
    return [(step, float(value)) for step, value in found if value is not None and math.isfinite(value)]


def _panel(title: str, series: Mapping[str, list[_Point]], left: float) -> list[_Line | _Text]:
    """Return the shapes of one diagram, or none if there is no point."""
    points = [point for line in series.values() for point in line]
    if not points:
        return []
    steps = ticks(0, max(step for step, _ in points))
    values = ticks(min(value for _, value in points), max(value for _, value in points))
    right, top, bottom = left + _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    begin = left + _LEFT

    def place(step: float, value: float) -> _Point:
        across = (step - steps[0]) / (steps[-1] - steps[0])
        up = (value - values[0]) / (values[-1] - values[0])
        return begin + across * (right - begin), bottom - up * (bottom - top)

    shapes: list[_Line | _Text] = [_Text(title, ((begin + right) / 2, _TOP / 2))]
    for value in values:
        height = place(steps[0], value)[1]
        shapes += [_Line(((begin, height), (right, height)), _GRID), _Text(f"{value:g}", (begin - 6, height), "end")]
    shapes += [_Text(f"{step:g}", (place(step, values[0])[0], bottom + 12)) for step in steps]
    shapes += [_Line(((begin, top), (begin, bottom), (right, bottom)), _INK)]
    shapes += [_Text("step", ((begin + right) / 2, bottom + 30))]
    for number, (name, line) in enumerate(series.items()):
        shapes += [_Line(tuple(place(*point) for point in line), _COLOURS[name], 2)] if line else []
        shapes += [_Text(name, (begin + number * 70, bottom + 30), "start", _COLOURS[name])] if line else []
    return shapes


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers, evenly spaced, the first at most `low` and the last at least `high`."""
    span = high - low or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / _TICKS))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * _TICKS >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _svg(shapes: Sequence[_Line | _Text]) -> str:
    drawn = []
    for shape in shapes:
        if isinstance(shape, _Line):
            points = " ".join(f"{x:.2f},{y:.2f}" for x, y in shape.points)
            drawn.append(f'<polyline points="{points}" stroke="{shape.colour}" stroke-width="{shape.width}"/>')
        else:
            (x, y), text = shape.at, escape(shape.text)
            place = f'x="{x:.2f}" y="{y:.2f}" text-anchor="{shape.anchor}" dominant-baseline="middle"'
            drawn.append(f'<text {place} fill="{shape.colour}">{text}</text>')
    width = len(_PANELS) * _WIDTH
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}"'
    style = f'font-family="sans-serif" font-size="{_FONT_SIZE}" fill="none"'
    return "\n".join([f"{head} {style}>", '<rect width="100%" height="100%" fill="white"/>', *drawn, "</svg>", ""])


def _png(shapes: Sequence[_Line | _Text]) -> Image.Image:
    image = Image.new("RGB", (len(_PANELS) * _WIDTH * _PNG_SCALE, _HEIGHT * _PNG_SCALE), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_FONT_SIZE * _PNG_SCALE)
    for shape in shapes:
        if isinstance(shape, _Line):
            points = [(x * _PNG_SCALE, y * _PNG_SCALE) for x, y in shape.points]
            draw.line(points, shape.colour, round(shape.width * _PNG_SCALE), joint="curve")
        else:
            at = (shape.at[0] * _PNG_SCALE, shape.at[1] * _PNG_SCALE)
            draw.text(at, shape.text, shape.colour, font, _ANCHORS[shape.anchor])
    return image
