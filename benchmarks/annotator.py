"""How much a person must annotate: places of the queue against random ones, by a simulated annotator.

The annotator sees no truth but where it looks.  It begins with a disc of each class on one slide; in each round it
looks at some places, and corrects at each a disc of 64 pixels around the largest error of the newest model there with
the truth.  Then a live model (`pathseg train --preset live`) is trained and scored on the held-out slides; one more
slide, labelled, is what a training needs to score itself.  Ways to annotate, on the same slides:

``queue``       the places of `pathseg queue`
``random``      any place of the tissue
``foreground``  random places where the newest model finds something, the baseline that is hard to beat
``dense``       whole slides, one after another

A correction takes 5 s: to go there, look, and paint; a whole slide 4 s, 2 s for each region, and a second for each 50
pixels of border.  Prints Dice over the share of the pixels that is annotated and over those seconds, draws both with
``--plot``, and prints on its last line one JSON object, of the mean over the seeds:

``tissue_fraction``  share annotated by ``queue`` until Dice is 95 % of that with all labels
``area_vs_random``, ``area_vs_foreground``  the same relative to the others
``seconds_vs_dense``  seconds until then, relative to those for all slides
``dice_dense``, ``dice_reached``  Dice with all labels, and where the queue ended

A target that is not reached counts as all that was annotated.

    python benchmarks/annotator.py FOLDER [--patient REGEX] [--seeds 3] [--rounds 12] [--places 3] [--plot FILE.svg]
    python benchmarks/annotator.py --synthetic

FOLDER has ``masks`` and its pictures, by themselves or in ``images``.
"""

import argparse
import json
import re
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from accuracy import PATIENT, scores_on_test
from PIL import Image
from scipy import ndimage

from napari_pathseg.classes import class_table
from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.events import run
from napari_pathseg.engine.guidance.next_places import next_places
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.training.training import train
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.samples import draw_field

DISC, FRAME, ENOUGH = 32, 256, 0.95  # radius and side in pixels; share of the Dice with all labels
CORRECTION_S, SLIDE_S, REGION_S, BORDER_PX_PER_S = 5.0, 4.0, 2.0, 50.0
SYNTHETIC_SLIDES, SYNTHETIC_SIDE = 15, 512
COLOURS = {"queue": "#2f6db5", "random": "#d9822b", "foreground": "#4c9a52", "dense": "#888888"}
LIVE = TrainConfig(preset="live")

Places = list[tuple[str, Region]]


class Point(NamedTuple):
    """What was annotated, as a share of all pixels and in seconds, and the Dice that it gave."""

    area: float
    seconds: float
    dice: float


class Annotator:
    """Someone who knows the truth where they look, and labels a little of it."""

    def __init__(self, folder: Path, data: Path, patient: str) -> None:
        images = sorted(path for path in (data / "images" if (data / "images").is_dir() else data).iterdir())
        images = [path for path in images if path.is_file()]
        self._masks = data / "masks"
        of = {path: re.match(patient, path.name).group() for path in images}
        held = set(sorted(set(of.values()))[::3])
        first = next(path for path in images if of[path] not in held)
        learnt = [path for path in images if of[path] not in held | {of[first]}]
        self.project = Project.create(
            folder / "sim.pathseg", class_table([("Background", None), ("Found", None)]), None
        )
        masks = {"contours": self._masks, "patient": patient}
        add_slides(self.project, [first], AddOptions(role="val", **masks))
        add_slides(self.project, learnt, AddOptions(patient=patient, role="train"))
        add_slides(self.project, [path for path in images if of[path] in held], AddOptions(role="test", **masks))
        self.truth = {path.stem: self._read(path.stem) for path in learnt}
        self.model: str | None = None
        self.seconds = 0.0

    def _read(self, stem: str) -> np.ndarray:
        mask = np.asarray(Image.open(self._masks / f"{stem}.png"))
        return np.where((mask if mask.ndim == 2 else mask[..., 0]) > 0, 2, 1).astype(np.uint8)

    @property
    def annotated(self) -> float:
        """The share of the training slides' pixels that is annotated."""
        counts = sum(int(self.project.counts(name)[1:].sum()) for name in self.truth)
        return counts / sum(truth.size for truth in self.truth.values())

    def begin(self, rng: np.random.Generator) -> None:
        """Label a disc of each class deep inside it, on a random slide that has both."""
        both = [name for name, truth in self.truth.items() if len(np.unique(truth)) == 2]
        name = str(rng.choice(both))
        for label in (1, 2):
            inside = ndimage.distance_transform_edt(np.pad(self.truth[name] == label, 1))[1:-1, 1:-1]
            self._label(name, *np.unravel_index(inside.argmax(), inside.shape))

    def correct(self, name: str, region: Region) -> None:
        """Label a disc around the largest error of the newest model in a region, where all is right at its centre."""
        found = self._found(name)
        wrong = np.zeros(found.shape, bool)
        wrong[region.slices] = (found != self.truth[name])[region.slices]
        row, column = region.top + region.height // 2, region.left + region.width // 2
        if wrong.any():
            depth = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
            row, column = np.unravel_index(depth.argmax(), depth.shape)
        self._label(name, row, column)

    def outline(self, name: str) -> None:
        """Label a whole slide."""
        truth = self.truth[name]
        self.seconds += dense_seconds(truth)
        with self.project.open_mask(name) as mask:
            paint(mask, Region(0, 0, *truth.shape), truth)

    def learn(self) -> Point:
        """Train a model; return what was annotated, and its Dice on the held-out slides."""
        bundle = run(train(self.project, LIVE, None))
        self.model = bundle.id
        run(predict(self.project, PredictConfig(role="train"), self.model))
        return Point(self.annotated, self.seconds, scores_on_test(self.project, bundle)["scores"]["Found"]["dice"])

    def foreground(self) -> dict[str, np.ndarray]:
        """Return where the newest model finds something."""
        return {name: self._found(name) == 2 for name in self.truth}

    def _found(self, name: str) -> np.ndarray:
        assert self.model is not None
        truth = self.truth[name]
        return Prediction(self.project.prediction_path(self.model, name)).read(Region(0, 0, *truth.shape))

    def _label(self, name: str, row: int, column: int) -> None:
        truth = self.truth[name]
        box = Region(int(row) - DISC, int(column) - DISC, 2 * DISC + 1, 2 * DISC + 1).clip(truth.shape)
        rows, columns = np.ogrid[box.top : box.bottom, box.left : box.right]
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= DISC**2
        self.seconds += CORRECTION_S
        with self.project.open_mask(name) as mask:
            paint(mask, box, truth[box.slices], disc)


def dense_seconds(truth: np.ndarray) -> float:
    """Return how long the outlines of a whole slide take."""
    inside = truth == 2
    border = inside & ~ndimage.binary_erosion(inside, border_value=1)
    return SLIDE_S + REGION_S * ndimage.label(inside)[1] + border.sum() / BORDER_PX_PER_S


def from_queue(annotator: Annotator, count: int, rng: np.random.Generator) -> Places:
    """Return the places of the queue."""
    return [(place.slide, place.region) for place in run(next_places(annotator.project, count))]


def at_random(annotator: Annotator, count: int, rng: np.random.Generator) -> Places:
    """Return random places."""
    names = [str(name) for name in rng.choice(list(annotator.truth), count)]
    shapes = [annotator.truth[name].shape for name in names]
    return [(name, _around(*rng.integers(shape), shape)) for name, shape in zip(names, shapes, strict=True)]


def in_foreground(annotator: Annotator, count: int, rng: np.random.Generator) -> Places:
    """Return places around random pixels in which the newest model finds something."""
    found = {name: np.argwhere(here) for name, here in annotator.foreground().items() if here.any()}
    if not found:
        return at_random(annotator, count, rng)
    names = [str(name) for name in rng.choice(list(found), count)]
    return [(name, _around(*rng.choice(found[name]), annotator.truth[name].shape)) for name in names]


def _around(row: int, column: int, shape: tuple[int, int]) -> Region:
    top, left = (min(max(0, int(at) - FRAME // 2), size - FRAME) for at, size in zip((row, column), shape, strict=True))
    return Region(top, left, FRAME, FRAME)


WAYS: dict[str, Callable[[Annotator, int, np.random.Generator], Places]] = {
    "queue": from_queue,
    "random": at_random,
    "foreground": in_foreground,
}


def annotate(data: Path, way: str, seed: int, options: argparse.Namespace) -> list[Point]:
    """Annotate round by round; return what each round came to, those after the target was reached left out."""
    with tempfile.TemporaryDirectory() as folder:
        annotator, rng = Annotator(Path(folder), data, options.patient), np.random.default_rng(seed)
        annotator.begin(rng)
        points = []
        for _ in range(options.rounds + 1):
            points.append(annotator.learn())
            print(f"{way:10} seed {seed}: {points[-1].area:.4f} annotated, Dice {points[-1].dice:.3f}", flush=True)
            if points[-1].dice >= options.target:
                break
            for name, region in WAYS[way](annotator, options.places, rng):
                annotator.correct(name, region)
        return points


def dense(data: Path, options: argparse.Namespace) -> list[Point]:
    """Annotate whole slides; return what each of them came to."""
    with tempfile.TemporaryDirectory() as folder:
        annotator, points = Annotator(Path(folder), data, options.patient), []
        for name in np.random.default_rng(0).permutation(list(annotator.truth)):
            annotator.outline(str(name))
            points.append(annotator.learn())
            print(f"dense: {points[-1].area:.4f} annotated, Dice {points[-1].dice:.3f}", flush=True)
        return points


def synthetic(folder: Path) -> Path:
    """Write synthetic slides with their truth."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(SYNTHETIC_SLIDES):
        pixels, truth = draw_field((SYNTHETIC_SIDE, SYNTHETIC_SIDE), np.random.default_rng(number))
        Image.fromarray(pixels).save(folder / "images" / f"s{number:02}-.png")
        Image.fromarray(np.where(truth == 2, np.uint8(255), np.uint8(0))).save(folder / "masks" / f"s{number:02}-.png")
    return folder


def draw(path: Path, curves: dict[str, list[list[Point]]]) -> None:
    """Draw Dice over area and over seconds, a line for each seed, as SVG."""
    width, height, shapes = 480, 320, list[str]()
    for panel, axis in enumerate(("area", "seconds")):
        lines = [(way, points) for way, runs in curves.items() for points in runs]
        most = max(getattr(point, axis) for way, points in lines if way != "dense" for point in points)
        left = panel * (width + 60) + 50
        shapes.append(f'<rect x="{left}" y="20" width="{width}" height="{height}" fill="none" stroke="#bbb"/>')
        unit = f"area annotated, up to {100 * most:.1f} %" if axis == "area" else f"seconds, up to {most:.0f}"
        shapes.append(f'<text x="{left}" y="{height + 40}">{unit}; Dice from 0 to 1</text>')
        for way, points in lines:
            inside = [point for point in points if getattr(point, axis) <= most]
            at = [f"{left + width * getattr(p, axis) / most:.1f},{20 + height * (1 - p.dice):.1f}" for p in inside]
            shapes.append(f'<polyline points="{" ".join(at)}" fill="none" stroke="{COLOURS[way]}" stroke-width="2"/>')
    for number, (way, colour) in enumerate(COLOURS.items()):
        shapes.append(f'<text x="{60 + 100 * number}" y="{height}" fill="{colour}">{way}</text>')
    size = f'width="{2 * width + 140}" height="{height + 60}"'
    style = 'font-family="sans-serif" font-size="13"'
    content = "".join(shapes)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{content}</svg>', encoding="utf8")


def main() -> None:
    """Annotate in all ways and print what they need."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--patient", default=PATIENT)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--places", type=int, default=3)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.synthetic == (options.folder is not None):
        parser.error("give a folder, or --synthetic")
    with tempfile.TemporaryDirectory() as made:
        data = synthetic(Path(made)) if options.synthetic else options.folder
        curves = {"dense": [dense(data, options)]}
        all_labels = curves["dense"][0][-1]
        options.target = ENOUGH * all_labels.dice
        print(f"all labels: Dice {all_labels.dice:.3f}; the target is {options.target:.3f}", flush=True)
        curves |= {way: [annotate(data, way, seed, options) for seed in range(options.seeds)] for way in WAYS}
    if options.plot is not None:
        draw(options.plot, curves)
    area = {way: statistics.mean(points[-1].area for points in curves[way]) for way in WAYS}
    seconds = statistics.mean(points[-1].seconds for points in curves["queue"])
    answer = {
        "tissue_fraction": round(area["queue"], 4),
        "area_vs_random": round(area["queue"] / area["random"], 3),
        "area_vs_foreground": round(area["queue"] / area["foreground"], 3),
        "seconds_vs_dense": round(seconds / all_labels.seconds, 3),
        "dice_dense": round(all_labels.dice, 4),
        "dice_reached": round(statistics.mean(points[-1].dice for points in curves["queue"]), 4),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
