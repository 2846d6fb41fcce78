"""SVG's numbers and path data as points ``(x, y)``; curves become lines.

A curve is cut so finely that no line leaves it by more than the `tolerance` given.  How many
points that takes is announced to `spend` before they are made.
"""

import math
import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_pathseg.data.annotation import FURTHEST, Points

Spend = Callable[[float], None]
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_COMMAND = re.compile(r"([MmZzLlHhVvCcSsQqTtAa])([^MmZzLlHhVvCcSsQqTtAa]*)")
_ARC = re.compile(r"[\s,]*".join([f"({_NUMBER})"] * 3 + ["([01])"] * 2 + [f"({_NUMBER})"] * 2))
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7}
_LONG = 10_000  # letters: so long an attribute is counted before it is read
_PART_OF_NUMBER = np.isin(np.arange(256), np.frombuffer(b"0123456789.eE+-", np.uint8))


def numbers(text: str, spend: Spend | None = None) -> npt.NDArray[np.float64]:
    """Return the numbers of an attribute; ValueError where something else is among them."""
    if spend is not None and len(text) > _LONG:
        part = _PART_OF_NUMBER[np.frombuffer(f" {text}".encode(), np.uint8)]
        spend(np.count_nonzero(part[1:] & ~part[:-1]) / 2)
    try:
        values = np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError:  # numbers may touch each other, as in 1.0e-1-1e2
        values = np.array([float(word) for word in re.findall(_NUMBER, text)])
        if rest := re.sub(_NUMBER, " ", text).replace(",", " ").split():
            raise ValueError(f'has "{rest[0][:20]}" where a number belongs. Correct it.') from None
    if spend is not None and len(text) <= _LONG:
        spend(len(values) / 2)
    return _in_reach(values)


def _in_reach(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the numbers if all are finite and of a size that can be reckoned with."""
    wrong = ~(np.abs(values) < FURTHEST)
    if wrong.any():
        raise ValueError(
            f"has the number {values[wrong][0]:g}; numbers must be finite and below {FURTHEST:g}. Correct it."
        )
    return values


def ellipse(
    center: tuple[float, float],
    radii: tuple[float, float],
    angles: tuple[float, float],
    tolerance: float,
    spend: Spend,
) -> Points:
    """Return points from one angle to the other, in radians, on an ellipse along the axes."""
    step = 2 * math.acos(max(0.9, 1 - tolerance / max(radii)))
    pieces = math.ceil(abs(angles[1] - angles[0]) / max(step, 1e-9))
    spend(pieces + 1)
    angle = np.linspace(*angles, pieces + 1)
    points: Points = np.array(center) + np.array(radii) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points


def subpaths(data: str, tolerance: float, spend: Spend) -> list[Points]:
    """Return the subpaths of a path's ``d``; one that only moves the pen is left out.

    Raises
    ------
    ValueError
        Where the data cannot be read: what was found.
    """
    start = len(data) - len(data.lstrip())
    if data.strip() and data[start] not in "Mm":
        raise ValueError(f'begins with "{data[start : start + 10]}"; a path begins with M. Correct it.')
    pen = _Pen(tolerance, spend)
    for command, text in _COMMAND.findall(data):
        pen.draw(command, text)
    rings = [np.concatenate(pieces) for pieces in pen.rings]
    return [ring for ring in rings if len(ring) > 1] or rings[:1]


class _Pen:
    """What the commands of a path draw."""

    def __init__(self, tolerance: float, spend: Spend) -> None:
        self.rings: list[list[Points]] = []  # each in pieces
        self._tolerance = tolerance
        self._spend = spend
        self._at = self._start = self._control = np.zeros(2)
        self._before = "Z"

    def draw(self, command: str, text: str) -> None:
        """Follow one command letter and its numbers, which may repeat."""
        kind = command.upper()
        if kind == "Z":
            if text.strip(" ,\t\r\n\f"):
                raise ValueError(f'has "{text.strip()[:20]}" after Z. Correct it.')
            self._at, self._before = self._start, "Z"
            return
        groups = _groups(kind, text, self._spend)
        if kind == "M":
            self._start = groups[0] + (self._at if command == "m" else 0)
            self._begin(self._start)
            kind, groups = "L", groups[1:]
        elif self._before == "Z":
            self._begin(self._start)
        if kind == "L":
            self._lines(np.cumsum(groups, axis=0) + self._at if command.islower() else groups)
        else:
            for values in groups:
                self._step(kind, values, self._at if command.islower() else np.zeros(2))
        self._before = kind

    def _step(self, kind: str, values: npt.NDArray[np.float64], origin: npt.NDArray[np.float64]) -> None:
        if kind in "HV":
            end = self._at.copy()
            axis = "HV".index(kind)
            end[axis] = origin[axis] + values[0]
            self._lines(end[None])
        elif kind == "A":
            self._arc(values[:5], values[5:] + origin)
        else:
            self._curve(kind, values.reshape(-1, 2) + origin)
            self._before = kind

    def _begin(self, point: npt.NDArray[np.float64]) -> None:
        self.rings.append([])
        self._lines(point[None])

    def _lines(self, points: Points) -> None:
        if len(points):
            self.rings[-1].append(points)
            self._at = points[-1]

    def _curve(self, kind: str, points: Points) -> None:
        """Draw a Bezier curve; S and T take their first control point from the curve before."""
        if kind in "ST":
            follows = self._before in ("CS" if kind == "S" else "QT")
            first = 2 * self._at - self._control if follows else self._at
            points = np.vstack([first, points])
        self._control = points[-2]
        control = np.vstack([self._at, points])
        degree = len(control) - 1
        bend = np.hypot(*np.diff(control, 2, axis=0).T).max()
        pieces = np.ceil(np.sqrt(degree * (degree - 1) / 8 * bend / self._tolerance)).clip(1)  # Wang, 1984
        self._spend(pieces)
        t = np.linspace(0, 1, int(pieces) + 1)[1:, None]
        weights = [math.comb(degree, i) * (1 - t) ** (degree - i) * t**i for i in range(degree)]
        inner = np.hstack(weights)[:-1] @ control[:-1] + t[:-1] ** degree * control[-1]
        self._lines(np.vstack([inner, points[-1:]]))

    def _arc(self, shape: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> None:
        """Draw an elliptical arc: SVG 1.1, appendix F.6.5, from end points to a centre."""
        radii, large, sweep = np.abs(shape[:2]), bool(shape[3]), bool(shape[4])
        if radii.min() > 1e-9 and not np.array_equal(self._at, end):
            turn = math.radians(shape[2])
            rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
            half = rotation.T @ (self._at - end) / 2 / radii  # on the unit circle
            length = float(half @ half)
            radii = radii * max(1.0, math.sqrt(length))
            half /= max(1.0, math.sqrt(length))
            reach = math.sqrt(max(0.0, 1 / max(length, 1e-300) - 1)) * (-1 if large == sweep else 1)
            center = reach * np.array([half[1], -half[0]])
            begin, stop = (math.atan2(*(side - center)[::-1]) for side in (half, -half))
            if sweep != (stop > begin):
                stop += 2 * math.pi * (1 if sweep else -1)
            radius = (float(radii[0]), float(radii[1]))
            points = ellipse((0, 0), radius, (begin, stop), self._tolerance, self._spend)
            self._lines(((points + center * radii) @ rotation.T + (self._at + end) / 2)[1:-1])
        self._lines(end[None])


def _groups(kind: str, text: str, spend: Spend) -> npt.NDArray[np.float64]:
    """Return the numbers of a command, a row for each time that it is followed."""
    size = _ARGUMENTS[kind]
    if kind == "A":  # its flags may touch the next number, as in a1 1 0 015 5
        values = _in_reach(np.array(_ARC.findall(text), np.float64).reshape(-1))
        if _ARC.sub("", text).strip(" ,\t\r\n\f"):
            raise ValueError(f'has "{text.strip()[:20]}" after A, which takes 7 numbers each. Correct it.')
    else:
        values = numbers(text, spend)
    if not len(values) or len(values) % size:
        raise ValueError(f"has {len(values)} numbers after {kind}, which takes {size} each. Correct it.")
    return values.reshape(-1, size)
