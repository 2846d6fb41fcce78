"""Parse SVG numbers and path data into points ``(x, y)``; curves are flattened.

No segment deviates from its curve by more than `tolerance`.  The number of points is reported to
`consume` before they are computed; it raises when the budget is used up.  Consecutive commands of
one letter are processed together, so a million of them do not take a million steps.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_pathseg.contours.contour import MAX_COORDINATE, Points
from napari_pathseg.contours.formats.curves import Consume, flatten_arcs, flatten_bezier, flatten_beziers
from napari_pathseg.contours.formats.limits import MAX_POINTS

NUMBER = r"(?>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_LETTERS = "MmZzLlHhVvCcSsQqTtAa"
_COMMAND = re.compile(f"([{_LETTERS}])([^{_LETTERS}]*)")
_SEVEN = r"[\s,]*+".join([f"({NUMBER})"] * 3 + ["([01])"] * 2 + [f"({NUMBER})"] * 2)
_ARC = re.compile(f"{_SEVEN}|({NUMBER})")  # a number that does not begin an arc is skipped whole
_ARC_RUNS = re.compile(rf"([Aa])[^{_LETTERS}]*+(?!\1)")  # the last arc of each row
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7}
_LONG = 10_000  # characters: longer attributes are counted before they are parsed
_SHORT = 64  # characters: shorter commands are faster without numpy
_BLOCK = 1 << 20  # characters parsed at once
_RUN = 1 << 16  # commands processed at once
_ARC_RUN = 50  # points charged for a run of arcs, by the time that it takes
_SUBPATH = 7  # points charged for a subpath, in addition to its own
_END = " 1e999 "  # separates the numbers of consecutive commands
_PART_OF_NUMBER = np.isin(np.arange(256), np.frombuffer(b"0123456789.eE+-", np.uint8))


def numbers(text: str, consume: Consume | None = None) -> npt.NDArray[np.float64]:
    """Return the numbers of an attribute; raise ValueError if it holds anything else."""
    return _require_in_range(_parsed(text, consume))


def _parsed(text: str, consume: Consume | None) -> npt.NDArray[np.float64]:
    """Return the numbers of an attribute without checking their range."""
    if consume is not None and len(text) > _LONG:
        consume(count_numbers(text) / 2)
    if len(text) <= _BLOCK:
        values = np.array(_floats(text))
    else:
        values = np.concatenate([np.array(_floats(block)) for block in _blocks(text)])
    if consume is not None and len(text) <= _LONG:
        consume(len(values) / 2)
    return values


def count_numbers(text: str) -> int:
    """Return a lower bound of how many numbers a text has: adjoining ones count once."""
    return sum(_count(text[start : start + _BLOCK]) for start in range(0, len(text), _BLOCK))


def _count(text: str) -> int:
    part = _PART_OF_NUMBER[np.frombuffer(f" {text}".encode(), np.uint8)]
    return int(np.count_nonzero(part[1:] & ~part[:-1]))


def _blocks(text: str) -> Iterator[str]:
    """Yield the text in blocks that end between two numbers."""
    start = 0
    while len(text) - start > _BLOCK:
        gap = re.compile(r"[\s,]").search(text, start + _BLOCK)
        end = gap.start() if gap else len(text)
        yield text[start:end]
        start = end
    yield text[start:]


def _floats(text: str) -> list[float]:
    try:
        if "_" in text:
            raise ValueError  # Python accepts it within a number
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError:  # numbers may adjoin, as in 1.0e-1-1e2
        if rest := re.sub(NUMBER, " ", text).replace(",", " ").split():
            raise ValueError(f'has "{rest[0][:20]}" where a number is expected. Correct it.') from None
        return [float(word) for word in re.findall(NUMBER, text)]


def _require_in_range(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the numbers; raise ValueError unless all are finite and within range."""
    if len(values) and not np.abs(values).max() < MAX_COORDINATE:
        wrong = ~(np.abs(values) < MAX_COORDINATE)
        raise ValueError(
            f"has the number {values[wrong][0]:g}; numbers must be finite and below {MAX_COORDINATE:g}. Correct it."
        )
    return values


def subpaths(data: str, tolerance: float, consume: Consume) -> list[Points]:
    """Return the subpaths of a path's ``d``; those that only move the pen are skipped.

    Raises
    ------
    ValueError
        If the data cannot be parsed: says what was found.
    """
    start = len(data) - len(data.lstrip())
    if data.strip() and data[start] not in "Mm":
        raise ValueError(f'begins with "{data[start : start + 10]}"; a path begins with M. Correct it.')
    if len(data) > _LONG and (commands := sum(map(data.count, _LETTERS))) > MAX_POINTS:
        consume(commands)
    if len(data) > _LONG:
        consume(_SUBPATH * (data.count("M") + data.count("m")) + _ARC_RUN * sum(1 for _ in _ARC_RUNS.finditer(data)))
    builder = PathBuilder(tolerance, consume)
    for command, texts in _runs(data):
        builder.draw(command, texts)
    rings = builder.rings()
    return [ring for ring in rings if len(ring) > 1] or rings[:1]


def _runs(data: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command letter with the argument texts of all its consecutive repeats."""
    command, texts = "", list[str]()
    for match in _COMMAND.finditer(data):
        letter, text = match.groups()
        if letter != command or letter in "Mm" or len(texts) == _RUN:
            if texts:
                yield command, texts
            command, texts = letter, []
        texts.append(text)
    if texts:
        yield command, texts


class PathBuilder:
    """Builds rings from path commands."""

    def __init__(self, tolerance: float, consume: Consume) -> None:
        self._rings: list[list[Points]] = []  # each as a list of parts
        self._single: list[tuple[float, float]] = []  # points added one by one
        self._tolerance = tolerance
        self._consume = consume
        self._at = self._start = (0.0, 0.0)
        self._control: Points = np.zeros(2)
        self._before = "Z"

    def rings(self) -> list[Points]:
        """Return the rings built so far."""
        self._gather()
        return [np.concatenate(pieces) for pieces in self._rings]

    def draw(self, command: str, texts: Sequence[str]) -> None:
        """Execute all consecutive repeats of a command."""
        kind = command.upper()
        if kind == "Z":
            if rest := "".join(texts).strip(" ,\t\r\n\f"):
                raise ValueError(f'has "{rest[:20]}" after Z. Correct it.')
            self._at, self._before = self._start, "Z"
            return
        if self._before == "Z" and kind != "M":
            self._begin(self._start)
        if kind not in "AZ" and len(texts) == 1 and len(texts[0]) < _SHORT:
            self._short(command, texts[0])
        else:
            self._long(command, _arguments(kind, texts, self._consume))
        self._before = kind

    def _short(self, command: str, text: str) -> None:
        """Execute a command with few arguments."""
        kind, values = command.upper(), _floats(text)
        size = _ARGUMENTS[kind]
        if not values or len(values) % size:
            _check_count(kind, len(values))
        if not max(map(abs, values)) < MAX_COORDINATE:
            _require_in_range(np.array(values))
        self._consume(len(values) / size)
        relative = command.islower()
        if kind in "CSQT":
            self._curved(kind, values, relative)
            return
        x, y = self._at
        for index in range(0, len(values), size):
            left, top = (x, y) if relative else (0.0, 0.0)
            x = x if kind == "V" else left + values[index]
            y = y if kind == "H" else top + values[index + size - 1]
            if kind == "M" and not index:
                self._start = (x, y)
                self._begin(self._start)
            else:
                self._single.append((x, y))
        self._at = (x, y)

    def _curved(self, kind: str, values: Sequence[float], relative: bool) -> None:
        """Draw a few Bézier curves."""
        at, control = complex(*self._at), complex(*self._control)
        follows = self._before in ("CS" if kind in "CS" else "QT")
        for index in range(0, len(values), _ARGUMENTS[kind]):
            pairs = range(index, index + _ARGUMENTS[kind], 2)
            points = [complex(values[x], values[x + 1]) + (at if relative else 0) for x in pairs]
            if kind in "ST":
                points.insert(0, 2 * at - control if follows else at)
            self._single += flatten_bezier([at, *points], self._tolerance, self._consume)
            at, control, follows = points[-1], points[-2], True
        self._at, self._control = (at.real, at.imag), np.array([control.real, control.imag])

    def _long(self, command: str, values: npt.NDArray[np.float64]) -> None:
        kind, relative = command.upper(), command.islower()
        if kind == "M":
            first = values[0] + (self._at if relative else 0)
            self._start = (float(first[0]), float(first[1]))
            self._begin(self._start)
            values = values[1:]
        if not len(values):
            return
        if kind in "HV":
            spread = np.zeros((len(values), 2)) if relative else np.tile(self._at, (len(values), 1))
            spread[:, "HV".index(kind)] = values[:, 0]
            values = spread
        ends: Points = values[:, -2:].cumsum(axis=0) + self._at if relative else values[:, -2:]
        starts = np.vstack([self._at, ends[:-1]])
        if kind in "MLHV":
            self._lines(ends)
        elif kind == "A":
            self._lines(flatten_arcs(starts, values[:, :5], ends, self._tolerance, self._consume))
        else:
            points = values.reshape(len(values), -1, 2) + (starts[:, None] if relative else 0)
            self._lines(flatten_beziers(self._controlled(kind, starts, points), self._tolerance, self._consume))
        self._at = (float(ends[-1, 0]), float(ends[-1, 1]))

    def _controlled(self, kind: str, starts: Points, points: Points) -> Points:
        """Return curves with all their points; S and T mirror the previous control point."""
        if kind in "CQ":
            control = np.concatenate([starts[:, None], points], axis=1)
        else:
            follows = self._before in ("CS" if kind == "S" else "QT")
            first = 2 * starts[0] - self._control if follows else starts[0]
            if kind == "S":
                mirrored = 2 * starts - np.vstack([starts[:1], points[:-1, 0]])
                mirrored[0] = first
            else:  # each mirrors the previous one: a running sum with alternating signs
                sign = (-1.0) ** np.arange(len(starts))[:, None]
                terms = 2 * sign * starts
                terms[0] = first
                mirrored = sign * terms.cumsum(axis=0)
            control = np.concatenate([starts[:, None], mirrored[:, None], points], axis=1)
        self._control = control[-1, -2]
        return control

    def _begin(self, point: tuple[float, float]) -> None:
        self._gather()
        self._rings.append([])
        self._single.append(point)
        self._at = point

    def _lines(self, points: Points) -> None:
        self._gather()
        self._rings[-1].append(points)

    def _gather(self) -> None:
        if self._single:
            self._rings[-1].append(np.array(self._single))
            self._single = []


def _arguments(kind: str, texts: Sequence[str], consume: Consume) -> npt.NDArray[np.float64]:
    """Return the numbers of a command, one row per repeat."""
    if kind == "A":  # flags may adjoin the next number, as in a1 1 0 015 5
        joined = _ARC.sub(r"\1 \2 \3 \4 \5 \6 \7 \8 ", "|".join(texts)).replace("|", _END)
    else:
        joined = _END.join(texts)
    values = _parsed(joined, consume)
    if len(texts) == 1:
        _check_count(kind, len(values))
    else:
        marks = np.flatnonzero(np.isposinf(values))
        if len(marks) != len(texts) - 1:
            _require_in_range(values)
        counts = np.diff(marks, prepend=-1, append=len(values)) - 1
        wrong = (counts == 0) | (counts % _ARGUMENTS[kind] != 0)
        _check_count(kind, int(counts[wrong][0]) if wrong.any() else _ARGUMENTS[kind])
        values = np.delete(values, marks)
    rows = _require_in_range(values).reshape(-1, _ARGUMENTS[kind])
    if kind == "A" and not np.isin(rows[:, 3:5], (0, 1)).all():
        raise ValueError("has a flag of A that is neither 0 nor 1. Correct it.")
    return rows


def _check_count(kind: str, count: int) -> None:
    size = _ARGUMENTS[kind]
    if not count or count % size:
        raise ValueError(f"has {count} numbers after {kind}, which takes {size} each. Correct it.")
