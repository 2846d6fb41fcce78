"""Patches of unlabelled tissue of a tile: what a model makes of them, and their features."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_pathseg.engine.live.live_slide import Cell, LiveSlide
from napari_pathseg.engine.live.tile_features import SIDE, Indices, ScaleWeights, TileFeatures
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import BoolArray, Float32Array, Float64Array
from napari_pathseg.masks.prediction import Prediction

Places = tuple[Indices, Indices]  # rows and columns that are looked at, counted from a tile
PATCH = 128  # working pixels along a side
_STEP = 8  # working pixels between places that are looked at
_LEAST_SHARE = 0.1  # of a patch that is unlabelled tissue

assert SIDE % PATCH == 0


@dataclass(frozen=True, eq=False)
class Patch:
    """A patch of a slide.

    Attributes
    ----------
    slide, region
        Where it lies, on the slide's working grid.
    doubt
        The mean over its unlabelled tissue of 1 minus the difference between the two likeliest classes; 1 without a
        model.
    classes
        The two classes that it hesitates between, the likelier first; () without a model.
    share
        The part of it that is unlabelled tissue.
    features
        The mean of its features there.
    """

    slide: str
    region: Region
    doubt: float
    classes: tuple[int, ...]
    share: float
    features: Float32Array


def patches_of(
    slide: LiveSlide, cell: Cell, tile: TileFeatures, weights: ScaleWeights | None, prediction: Prediction | None
) -> Iterator[Patch]:
    """Yield the patches of a tile that have unlabelled tissue.

    Parameters
    ----------
    slide, cell, tile
        A tile, and its features.
    weights
        The live model; None if it cannot tell two classes apart.
    prediction
        What a model has predicted of the slide, which counts instead where it is; None for nothing.
    """
    rows, columns = (np.arange(_STEP // 2, size, _STEP) for size in tile.region[2:])
    grid = np.ix_(rows, columns)
    wanted: BoolArray = _unlabelled_tissue(slide, cell)[grid]
    if not wanted.any():
        return
    probabilities = None if prediction is None else _stored(prediction, slide, cell, (rows, columns))
    if probabilities is None and weights is not None:
        probabilities = _live(weights, tile, (rows, columns))
    for box in layout(Region(0, 0, *wanted.shape), PATCH // _STEP):
        here = wanted[box.slices]
        if here.mean() < _LEAST_SHARE:
            continue
        down, across = np.nonzero(here)
        features = tile.at(rows[box.top + down], columns[box.left + across]).mean(axis=0)
        if not np.isfinite(features).all():
            continue
        doubt, classes = _doubt(None if probabilities is None else probabilities[:, *box.slices][:, here])
        where = Region(box.top * _STEP, box.left * _STEP, box.height * _STEP, box.width * _STEP)
        inside = where.shift(tile.region.top, tile.region.left).intersect(tile.region)
        yield Patch(slide.record.id, inside, doubt, classes, float(here.mean()), features)


def _unlabelled_tissue(slide: LiveSlide, cell: Cell) -> BoolArray:
    """Return where a tile has tissue without a label that is learnt."""
    tissue, unlabelled = slide.tissue_in(cell), np.equal(slide.labels(cell).labels, 0)
    return unlabelled if tissue is None else unlabelled & tissue


def _stored(prediction: Prediction, slide: LiveSlide, cell: Cell, places: Places) -> Float64Array | None:
    """Return what was predicted at some places of a tile, (classes, rows, columns); None if it was not all."""
    box = slide.box(cell)
    stored = np.asarray(prediction.probabilities[(slice(None), *box.slices)])
    down, across = (
        (((start + along + 0.5) * slide.factor).astype(int) - first).clip(0, size - 1)
        for start, along, first, size in zip(slide.tile(cell)[:2], places, box[:2], box[2:], strict=True)
    )
    found: Float64Array = stored[:, down[:, None], across[None]] / 255.0
    return found if (found.sum(axis=0) > 0).all() else None


def _live(weights: ScaleWeights, tile: TileFeatures, places: Places) -> Float64Array:
    """Return the live model's probabilities at some places of a tile, (classes, rows, columns)."""
    rows, columns = (start + along.astype(float) for start, along in zip(tile.region[:2], places, strict=True))
    found: Float64Array = weights.logits(tile, rows, columns).double().softmax(dim=0).numpy()
    return found


def _doubt(probabilities: Float64Array | None) -> tuple[float, tuple[int, ...]]:
    """Return how undecided probabilities (classes, places) are, and between which two classes most."""
    if probabilities is None:
        return 1.0, ()
    order = np.argsort(-probabilities, axis=0)[:2]
    first, second = np.take_along_axis(probabilities, order, axis=0)
    each = 1 - (first - second)
    pairs: dict[tuple[int, int], float] = {}
    for one, other, doubt in zip(*order, each, strict=True):
        pair = (int(one) + 1, int(other) + 1)
        pairs[pair] = pairs.get(pair, 0.0) + float(doubt)
    return float(each.mean()), max(pairs, key=lambda pair: pairs[pair])
