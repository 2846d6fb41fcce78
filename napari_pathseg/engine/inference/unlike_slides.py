"""Slides that look unlike those that a model learnt: stain, brightness, sharpness and pixel size.

A slide is compared with the nearest of the slides that were learnt.  How far it may be from that one depends on how
far these are from each other; of few slides that is not known well, so that more is allowed.
"""

import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.dataset.slide_looks import look_of
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.events import Note, Progress
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.held_out_parts import join_names
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.look import Look

COMPARING = "Comparing with what was learnt"  # the stage before a prediction
_TIMES, _PERCENTILE = 2.0, 90  # a slide may be so many times as far as this percentage of the learnt slides are
_SCALE = "of another pixel size"
_OTHER_SCALE, _OTHER_WORKING_SCALE = 1.5, 1.1  # times a pixel size: of slides, and of what a network sees

# Measured on 18 lymph nodes, 27 photographs of glands from several laboratories, and synthetic slides: models of four
# or more of each find up to 5 % of the others unlike, and all that are blurred by 1.5 px, 0.6 times as bright, twice
# as dense, or of a hue shifted by 40 degrees.
_LABEL_SOME = "Check them closely: if the model errs there, label some of them and train again"
_STAIN = ("darker", "brighter", "stained more weakly", "stained more strongly", "stained in other colours")


class _Measure(NamedTuple):
    """The largest distance of a slide that is alike: the least, and that of a single learnt slide."""

    least: float
    of_one: float


_MEASURES = {
    "brightness": _Measure(0.2, 0.5),  # in octaves, as all but the colours
    "density": _Measure(0.35, 0.8),
    "colour": _Measure(6.0, 22.0),  # degrees, of both directions together
    "sharpness": _Measure(0.4, 0.7),
}


@dataclass(frozen=True)
class Difference:
    """How a slide differs from what was learnt: the `kind`, a sentence without a subject, and by how much."""

    kind: str
    amount: str


def differences(look: Look, learnt: Sequence[Look]) -> list[Difference]:
    """Return in what a slide is unlike slides that a model has learnt; nothing if these are unknown.

    What follows from another difference is left out: a darker picture is also denser, a magnified one also blurred.
    """
    if not learnt:
        return []
    scale = _scale(look, learnt)
    found = [] if scale is None else [scale]
    brightness = _octaves(look, learnt, "brightness")
    if brightness:
        found.append(_sided("darker", "brighter", brightness, "of their brightness"))
    else:
        density = _octaves(look, learnt, "density")
        if density:
            found.append(_sided("stained more weakly", "stained more strongly", density, "as dense"))
        angle = _distance("colour", look, learnt)
        if angle > _limit("colour", learnt):
            found.append(Difference("stained in other colours", f"{angle:.0f}° apart"))
    sharpness = 0.0 if scale is not None else _octaves(look, learnt, "sharpness")
    if sharpness:
        found.append(_sided("blurred", "sharper", sharpness, "as much fine structure"))
    return found


def unlike_sentences(found: Mapping[str, Iterable[Difference]], model: str) -> list[str]:
    """Return a sentence for each kind of difference, with the slides that differ so, and what to do."""
    by_kind: dict[str, list[str]] = {}
    for slide, each in found.items():
        for difference in each:
            by_kind.setdefault(difference.kind, []).append(f"{slide} ({difference.amount})")
    return [
        f"Unlike the slides that {model} learnt, {kind}: {join_names(slides)}. {_remedy(kind)}"
        for kind, slides in by_kind.items()
    ]


def compare_with_learnt(project: Project, bundle: Bundle, records: Sequence[SlideRecord]) -> Iterator[Progress | Note]:
    """Look at slides before they are predicted; yield in what they are unlike those that the model has learnt."""
    scale = other_scale(project, bundle)
    if scale:
        yield Note(scale, warning=True)
    found = yield from unlike_slides(project, bundle, records)
    yield from (Note(text, warning=True) for text in unlike_sentences(found, bundle.id))


def other_scale(project: Project, bundle: Bundle) -> str:
    """Return a warning if a model has learnt at another pixel size than that at which its project predicts, or ""."""
    learnt, here = bundle.mpp, project.mpp
    if learnt is None or (here is not None and abs(math.log(here / learnt)) < math.log(_OTHER_WORKING_SCALE)):
        return ""
    size = "the full resolution of each slide" if here is None else f"{here:g} µm per pixel"
    return (
        f"{bundle.id} was made for {learnt:g} µm per pixel, and this project predicts at {size}. Use it in a project "
        f"of its own: pathseg new --mpp {learnt:g}."
    )


def unlike_slides(
    project: Project, bundle: Bundle, records: Sequence[SlideRecord]
) -> Generator[Progress, Any, dict[str, list[Difference]]]:
    """Return in what each slide is unlike those that the model has learnt; slides that cannot be read are left out."""
    learnt = list(bundle.looks.values())
    found: dict[str, list[Difference]] = {}
    for record in records if learnt else ():
        yield Progress(COMPARING, 0.0, 0.0)
        try:
            with closing(
                SlidePatchSource(project, record, stain_norm=bundle.config.get("stain_norm", "none"))
            ) as slide:
                look = look_of(project, slide)
        except PathsegError:  # the prediction says so
            continue
        if look is not None:
            found[record.id] = differences(look, learnt)
    return found


def _remedy(kind: str) -> str:
    if kind == _SCALE:
        return (
            "They are brought to the size that the model learnt, and coarser ones lack detail. If a size is wrong, "
            "give the right one with pathseg set --pixel-size."
        )
    return f"{_LABEL_SOME}, or try Adapt to scanner (--adapt)." if kind in _STAIN else f"{_LABEL_SOME}."


def _sided(less: str, more: str, octaves: float, unit: str) -> Difference:
    return Difference(less if octaves < 0 else more, f"{2**octaves:.2g} times {unit}".replace("times of", "of"))


def _octaves(look: Look, learnt: Sequence[Look], name: str) -> float:
    """Return how far a slide is above the nearest of the learnt ones, or below it; 0 if that is not far."""
    nearest = min(learnt, key=lambda other: _between(name, look, other))
    if _between(name, look, nearest) <= _limit(name, learnt):
        return 0.0
    return float(_values(name, look)[0] - _values(name, nearest)[0])


def _scale(look: Look, learnt: Sequence[Look]) -> Difference | None:
    sizes = [other.mpp for other in learnt if other.mpp is not None]
    if look.mpp is None or not sizes:
        return None
    mpp = look.mpp
    nearest = min(sizes, key=lambda size: abs(math.log(size / mpp)))
    if abs(math.log(nearest / mpp)) < math.log(_OTHER_SCALE):
        return None
    return Difference(_SCALE, f"{mpp:.3g} µm instead of {nearest:.3g} µm")


def _limit(name: str, learnt: Sequence[Look]) -> float:
    """Return how far from the nearest learnt slide one may be that is alike."""
    measure, number = _MEASURES[name], len(learnt)
    allowed = max(measure.least, measure.of_one / math.sqrt(number))
    if number < 2:
        return allowed
    values = np.stack([_values(name, look) for look in learnt])
    apart = np.linalg.norm(values[:, None] - values, axis=-1)
    np.fill_diagonal(apart, np.inf)
    return max(allowed, _TIMES * float(np.percentile(apart.min(axis=1), _PERCENTILE)))


def _distance(name: str, look: Look, learnt: Sequence[Look]) -> float:
    return min(_between(name, look, other) for other in learnt)


def _between(name: str, look: Look, other: Look) -> float:
    return float(np.linalg.norm(_values(name, look) - _values(name, other)))


def _values(name: str, look: Look) -> np.ndarray:
    if name == "colour":
        return np.degrees([*look.pale, *look.dense])  # of nearly equal directions: the angle between them
    if name == "sharpness":
        return np.array([look.sharpness])
    return np.log2([max(1.0 if name == "brightness" else 0.01, getattr(look, name))])
