"""Parts of slides that are held out to score a model where no slide of another patient can be.

A part is a box of a labelled slide, in level-0 pixels.  Around it lies a margin as wide as the halo of a scored tile.
Labels of a part are scored and never learnt, those of a margin neither; a training tile may show the pixels of both,
without their labels.  Of three or more slides, whole ones are held out if they can be.  Either is weaker evidence than
the slide of another patient: stain, scanner and tumour are those that were learnt.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.config import SCORED_HALO
from napari_pathseg.errors import NothingToLearnError, PathsegError
from napari_pathseg.geometry import Region, layout, on_grid
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.working_grid import working_factor

Parts = Mapping[str, tuple[Region, ...]]  # level-0 boxes, by slide
WEAKER = "weaker evidence than another patient"
MARGIN = SCORED_HALO  # working pixels

_SHARE = 0.2  # of each class that should be held out
_LEAST_SHARE, _LEAST_KEPT = 0.06, 0.35  # of each class, held out and learnt, for a choice to be good
_MAX_PARTS, _MAX_CANDIDATES = 12, 2_000
_FRACTIONS = (1 / 3, 1 / 4, 1 / 6, 1 / 8, 1 / 12)  # of the labelled area's longer side: sides of parts that are tried
_MANY_SLIDES = 3  # from this number, whole slides are held out if that is good
_UNITS, _SMALLEST_UNIT, _LARGEST_UNIT = 64, 8, 32  # along a slide, and working pixels: parts lie on their grid
_READ = 2048  # mask pixels read at once
_MOST_NAMES = 5

_Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HeldOutParts:
    """The parts to hold out, and the classes in none of them."""

    boxes: Parts
    missing: tuple[int, ...] = ()


def boxes_on_mask(record: SlideRecord, parts: Parts) -> list[Region]:
    """Return the parts of a slide on its mask's grid."""
    boxes = (on_grid(box, record.downsample).clip(record.mask_shape) for box in parts.get(record.id, ()))
    return [box for box in boxes if not box.empty]


def is_whole(record: SlideRecord, parts: Parts) -> bool:
    """Return whether all of a slide is held out."""
    return Region(0, 0, *record.mask_shape) in boxes_on_mask(record, parts)


def parts_to_json(parts: Parts) -> dict[str, list[list[int]]]:
    """Return parts as JSON values: top, left, height and width of each box, by slide."""
    return {slide: [list(box) for box in boxes] for slide, boxes in parts.items()}


def parts_from_json(stored: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, tuple[Region, ...]]:
    """Return the parts that `parts_to_json` wrote."""
    return {slide: tuple(Region(*map(int, box)) for box in boxes) for slide, boxes in stored.items()}


def covers(parts: Parts, slide: str, boxes: Sequence[Region]) -> bool:
    """Return whether each of `boxes` lies inside one of a slide's parts."""
    return all(any(part.intersect(box) == box for part in parts.get(slide, ())) for box in boxes)


def describe_parts(records: Sequence[SlideRecord], parts: Parts) -> str:
    """Return which slides, or parts of which, are held out.

    >>> describe_parts([], {"a": (Region(0, 0, 9, 9),), "b": (Region(0, 0, 9, 9),)})
    'parts of a and b'
    """
    known = {record.id: record for record in records}
    whole = [slide for slide in parts if slide in known and is_whole(known[slide], parts)]
    partly = [slide for slide in parts if slide not in whole]
    texts = [f"parts of {join_names(partly)}"] if partly else []
    return " and ".join([*([f"{join_names(whole)} of the same patient"] if whole else []), *texts])


def join_names(names: Sequence[str]) -> str:
    """Return the first names as text, and how many more there are.

    >>> join_names(["a", "b"]), join_names(list("abcdefg"))
    ('a and b', 'a, b, c, d and 3 more')
    """
    shown = list(names)
    if len(names) > _MOST_NAMES:
        shown = [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def choose_parts(project: Project, records: Sequence[SlideRecord], earlier: Parts | None = None) -> HeldOutParts:
    """Choose parts of labelled slides to hold out, the same ones each time for the same labels.

    Every class stays in the part that is learnt, and is in a held-out one where that is possible.

    Parameters
    ----------
    project, records
        The labelled slides that a model learns from.
    earlier
        The parts that an earlier model was scored on.  They stay, so that models can be compared, unless a class can
        then not be learnt; parts are added only for classes that none of them has.

    Raises
    ------
    NothingToLearnError
        If the slides are too small.
    """
    known = {record.id for record in records}
    kept = {slide: boxes for slide, boxes in (earlier or {}).items() if slide in known}
    for fixed in [kept, {}] if kept else [{}]:
        attempts = _Choice(project, records, fixed).attempts()
        if attempts:
            best = max(attempts, key=_Attempt.rank)
            return HeldOutParts(best.boxes, best.missing)
    names = join_names([record.id for record in records])
    raise NothingToLearnError(
        f"{project.folder.name} has no slide to score a model on: contours are on {names} only, too small to hold out "
        "a part. Outline a slide of another patient, or a larger area here."
    )


@dataclass(frozen=True)
class _Attempt:
    """A choice of parts, with the smallest share of a class that is held out, and that is learnt."""

    boxes: Parts
    held: int  # number of classes
    missing: tuple[int, ...]  # classes that are not held out
    share: float
    kept: float

    @property
    def good(self) -> bool:
        return not self.missing and self.share >= _LEAST_SHARE and self.kept >= _LEAST_KEPT

    def rank(self) -> tuple[bool, int, bool, float]:
        """Return what a better choice has more of."""
        return self.good, self.held, self.kept >= _LEAST_KEPT, min(self.share, _SHARE)


@dataclass(frozen=True)
class _Candidate:
    """A box of units of one slide that could be held out, and the box with its margin."""

    slide: int
    box: Region
    around: Region


class _Slide:
    """A slide in units: labelled pixels by class and unit, and which units can be learnt."""

    def __init__(self, project: Project, record: SlideRecord) -> None:
        factor = working_factor(project.mpp, record)
        side = min(max(max(record.mask_shape) / factor / _UNITS, _SMALLEST_UNIT), _LARGEST_UNIT)
        self.record, self.unit = record, max(1, int(side * factor))
        self.counts = _labelled_units(project, record, self.unit)
        self.shape = (self.counts.shape[1], self.counts.shape[2])
        self.margin = math.ceil(MARGIN * factor / self.unit)
        self.allowed = np.ones(self.shape, bool)
        self.boxes: list[Region] = []

    def around(self, box: Region) -> Region:
        """Return a box with its margin; nothing is left of a slide that is held out as a whole."""
        wide = 2 * self.margin
        grown = Region(box.top - self.margin, box.left - self.margin, box.height + wide, box.width + wide)
        return grown.clip(self.shape)

    def hold_out(self, box: Region) -> None:
        """Hold out a box of units."""
        self.boxes.append(box)
        self.allowed[self.around(box).slices] = False

    def give_back(self, box: Region) -> None:
        """Undo :meth:`hold_out`."""
        self.boxes.remove(box)
        self.allowed[:] = True
        for other in self.boxes:
            self.allowed[self.around(other).slices] = False

    def learnable(self) -> _Counts:
        """Return the labelled pixels, by class and unit, that are learnt."""
        return self.counts * self.allowed

    def level0(self, box: Region) -> Region:
        """Return a box of units in level-0 pixels; units at the edge reach to the edge."""
        finer = box.finer(self.unit)
        height = self.record.mask_shape[0] - finer.top if box.bottom == self.shape[0] else finer.height
        width = self.record.mask_shape[1] - finer.left if box.right == self.shape[1] else finer.width
        return Region(finer.top, finer.left, height, width).finer(self.record.downsample)

    def candidates(self, number: int, fraction: float) -> Iterator[_Candidate]:
        """Yield boxes whose side is a fraction of the labelled area's."""
        labelled = np.argwhere(self.counts.any(axis=0))
        if not len(labelled):
            return
        low, extent = labelled.min(axis=0), np.ptp(labelled, axis=0) + 1
        side = max(2, round(fraction * int(extent.max())))
        height, width = min(side, int(extent[0])), min(side, int(extent[1]))
        for top in _starts(int(low[0]), int(extent[0]), height):
            for left in _starts(int(low[1]), int(extent[1]), width):
                box = Region(top, left, height, width)
                yield _Candidate(number, box, self.around(box))


class _Choice:
    """Chooses parts beside those that are `fixed`."""

    def __init__(self, project: Project, records: Sequence[SlideRecord], fixed: Parts) -> None:
        self._fixed = fixed
        self._slides = [_Slide(project, record) for record in records]
        self._total: _Counts = np.sum([slide.counts.sum(axis=(1, 2)) for slide in self._slides], axis=0)
        self._classes = np.flatnonzero(self._total)

    def attempts(self) -> list[_Attempt]:
        """Return what can be held out; empty if nothing can."""
        found = []
        for candidates in self._plans():
            attempt = self._attempt(candidates)
            if attempt is not None:
                found.append(attempt)
                if attempt.good:
                    break
        return found

    def _plans(self) -> Iterator[list[_Candidate]]:
        """Yield what could be held out: whole slides if there are many, then smaller and smaller parts."""
        if len(self._slides) >= _MANY_SLIDES:
            boxes = [Region(0, 0, *slide.shape) for slide in self._slides]
            yield [_Candidate(number, box, box) for number, box in enumerate(boxes)]
        for fraction in _FRACTIONS:
            found = [one for number, slide in enumerate(self._slides) for one in slide.candidates(number, fraction)]
            yield found[:: 1 + len(found) // _MAX_CANDIDATES]

    def _attempt(self, candidates: list[_Candidate]) -> _Attempt | None:
        """Hold out candidates, the best first, until enough is; None if a class can then not be learnt."""
        for slide in self._slides:
            slide.boxes.clear()
            slide.allowed[:] = True
            for box in boxes_on_mask(slide.record, self._fixed):
                slide.hold_out(_inner_units(box, slide.unit, slide.record.mask_shape))
        held, learnable = self._held(), self._learnable()
        if (learnable[self._classes] == 0).any():
            return None
        while sum(len(slide.boxes) for slide in self._slides) < _MAX_PARTS and self._wants_more(held):
            chosen = self._best(candidates, held, learnable)
            if chosen is None and not self._fixed:  # no class is left that can be held out and is not yet
                chosen = self._best(candidates, np.maximum(held, 1), learnable)
            if chosen is None or not (self._fixed or self._wants_share(held) or self._adds_class(chosen, held)):
                break
            candidates.remove(chosen)
            slide = self._slides[chosen.slide]
            slide.hold_out(chosen.box)
            after = self._learnable()
            if (after[self._classes] == 0).any():
                slide.give_back(chosen.box)
                continue
            held, learnable = self._held(), after
        boxes = {
            slide.record.id: tuple(slide.level0(box) for box in slide.boxes) for slide in self._slides if slide.boxes
        }
        boxes |= {slide: self._with_earlier(slide, boxes.get(slide, ())) for slide in self._fixed}
        if not boxes:
            return None
        shares = held[self._classes] / self._total[self._classes]
        kept = learnable[self._classes] / self._total[self._classes]
        missing = tuple(map(int, self._classes[shares == 0]))
        smallest = float(shares[shares > 0].min(initial=1.0))
        return _Attempt(boxes, len(shares) - len(missing), missing, smallest, float(kept.min()))

    def _with_earlier(self, name: str, boxes: tuple[Region, ...]) -> tuple[Region, ...]:
        """Return a slide's earlier parts as they were, not rounded to units, and the new ones after them."""
        record = next(slide.record for slide in self._slides if slide.record.id == name)
        return (*self._fixed[name], *boxes[len(boxes_on_mask(record, self._fixed)) :])

    def _wants_more(self, held: _Counts) -> bool:
        return bool((held[self._classes] == 0).any()) or (not self._fixed and self._wants_share(held))

    def _wants_share(self, held: _Counts) -> bool:
        return float((held[self._classes] / self._total[self._classes]).mean()) < _SHARE

    def _adds_class(self, candidate: _Candidate, held: _Counts) -> bool:
        gain = self._slides[candidate.slide].counts[:, *candidate.box.slices].sum(axis=(1, 2))
        return bool((gain[held == 0] > 0).any())

    def _best(self, candidates: list[_Candidate], held: _Counts, learnable: _Counts) -> _Candidate | None:
        """Return the candidate that holds out most of what is wanted for what it costs, or None."""
        sums = [(_integral(slide.counts), _integral(slide.learnable())) for slide in self._slides]
        total, classes = self._total[self._classes], self._classes
        wanted = held[classes] == 0
        best, best_value = None, -math.inf
        for candidate in candidates:
            slide = self._slides[candidate.slide]
            if any(not candidate.box.intersect(box).empty for box in slide.boxes):
                continue
            gain = _sum_in(sums[candidate.slide][0], candidate.box)[classes] / total
            lost = _sum_in(sums[candidate.slide][1], candidate.around)[classes] / total
            left = learnable[classes] / total - lost
            least = 0.0 if wanted.any() else _LEAST_KEPT
            if not gain.any() or (left <= least).any() or (wanted.any() and not (gain[wanted] > 0).any()):
                continue
            enough = np.minimum(gain, _SHARE).sum()
            short = np.maximum(_LEAST_KEPT - left, 0).sum()
            value = 2.0 * float((gain[wanted] >= _LEAST_SHARE / 2).sum()) + float(enough - lost.sum() / 2 - 4 * short)
            if value > best_value:
                best, best_value = candidate, value
        return best

    def _held(self) -> _Counts:
        held = np.zeros_like(self._total)
        for slide in self._slides:
            for box in slide.boxes:
                held += slide.counts[:, *box.slices].sum(axis=(1, 2))
        return held

    def _learnable(self) -> _Counts:
        found: _Counts = np.sum([slide.learnable().sum(axis=(1, 2)) for slide in self._slides], axis=0)
        return found


def _labelled_units(project: Project, record: SlideRecord, unit: int) -> _Counts:
    """Return the ground-truth pixels by class and unit; incomplete units at the edge are left out."""
    rows, columns = (max(1, length // unit) for length in record.mask_shape)
    classes = project.classes.highest + 1
    counts = np.zeros((classes, rows, columns), np.int64)
    try:
        truth = GroundTruth(project, record)
        inside = Region(0, 0, rows * unit, columns * unit).clip(record.mask_shape)
        for region in layout(inside, -(-_READ // unit) * unit):
            labels = truth.labels(region)
            for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=classes)[1:classes]) + 1:
                part = region.coarser(unit)
                counts[label, *part.slices] = _sum_blocks(labels == label, unit, (part.height, part.width))
    except PathsegError:  # reported where the mask is checked
        return np.zeros((classes, rows, columns), np.int64)
    return counts


def _sum_blocks(pixels: BoolArray, unit: int, shape: tuple[int, int]) -> _Counts:
    padded = np.zeros((shape[0] * unit, shape[1] * unit), bool)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    summed: _Counts = padded.reshape(shape[0], unit, shape[1], unit).sum(axis=(1, 3))
    return summed


def _inner_units(box: Region, unit: int, shape: tuple[int, int]) -> Region:
    """Return the units that a box of the mask touches, without the incomplete ones at the edge."""
    inside = Region(0, 0, *(max(1, length // unit) * unit for length in shape)).intersect(box)
    return inside.coarser(unit)


def _starts(first: int, length: int, side: int) -> list[int]:
    """Return where boxes of a side begin along an axis: half a side apart, the last one at the end."""
    last = first + length - side
    return sorted({*range(first, last + 1, max(1, side // 2)), last})


def _integral(counts: _Counts) -> _Counts:
    """Return the sums over all units above and to the left, with a first row and column of zeros."""
    summed: _Counts = np.pad(counts.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    return summed


def _sum_in(integral: _Counts, box: Region) -> _Counts:
    """Return the sum in a box by class."""
    top, left, bottom, right = box.top, box.left, box.bottom, box.right
    total: _Counts = (
        integral[:, bottom, right] - integral[:, top, right] - integral[:, bottom, left] + integral[:, top, left]
    )
    return total
