"""A slide as the live model sees it: its tiles and its labels."""

import itertools

import numpy as np

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.live.labelled_tiles import TileLabels
from napari_pathseg.engine.live.tile_features import SIDE
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.zarr_store import chunk_region
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.working_grid import working_factor, working_shape
from napari_pathseg.slides.tissue import TissueMask

_COARSEST = 1 / 32  # mask pixels along a working pixel; of a slide scanned at 0.25 um per pixel, 8 um are a thumbnail

Cell = tuple[int, int]  # row and column of a tile


class LiveSlide:
    """A slide with its tiles and the human-confirmed labels on them; the file is opened when it is needed.

    Parameters
    ----------
    project, record
        The slide.
    stain_norm
        Stain normalisation of the pixels.
    untouched
        Boxes of the working grid that are not learnt.

    Attributes
    ----------
    tissue
        Where tissue is; None until that is known.
    shape, factor
        Rows and columns of the working grid, and mask pixels along one of its pixels.
    problem
        Why it cannot be read, as a sentence; empty if it can.
    """

    def __init__(self, project: Project, record: SlideRecord, stain_norm: str, untouched: list[Region]) -> None:
        self._project, self._stain_norm, self._untouched = project, stain_norm, untouched
        self.record, self.problem = record, ""
        self.factor, self.shape = working_factor(project.mpp, record), working_shape(project.mpp, record)
        self.truth = GroundTruth(project, record)
        self._known = np.zeros(256, np.uint8)  # labels by what a mask holds: a class that is gone is no label
        self._known[list(project.classes.numbers)] = list(project.classes.numbers)
        self._source: SlidePatchSource | None = None
        self.tissue: TissueMask | None = None

    @property
    def source(self) -> SlidePatchSource:
        """Its pixels and labels; see :meth:`open`."""
        return self.open()

    def open(self) -> SlidePatchSource:
        """Open the file, unless it is open, and return its pixels and labels.

        Raises
        ------
        PathsegError
            If it cannot be read, or its pixels are far too coarse to show anything.
        """
        if self.factor < _COARSEST:
            raise ProjectError(
                f"{self.record.id} has {self.record.mpp:g} um per pixel, {1 / self.factor:.0f} times the project's "
                f"{self._project.mpp:g}, so the live model does without it. Correct its pixel size in the menu of the "
                "slide."
            )
        if self._source is None:
            self._source = SlidePatchSource(self._project, self.record, stain_norm=self._stain_norm, truth=self.truth)
        return self._source

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._source is not None:
            self._source.close()
            self._source = None

    # -- tiles

    def tile(self, cell: Cell) -> Region:
        """Return a tile on the working grid."""
        return Region(cell[0] * SIDE, cell[1] * SIDE, SIDE, SIDE).clip(self.shape)

    def box(self, cell: Cell, step: int = 1) -> Region:
        """Return the box of the mask's grid that a tile answers for, aligned to `step`; all cover the mask."""
        edges = []
        for index, size, working in zip(cell, self.record.mask_shape, self.shape, strict=True):
            last = (index + 1) * SIDE >= working
            start, stop = (round(place * SIDE * self.factor / step) * step for place in (index, index + 1))
            edges.append((min(start, size), size if last else min(stop, size)))
        (top, bottom), (left, right) = edges
        return Region(top, left, max(0, bottom - top), max(0, right - left))

    def cells(self, region: Region) -> list[Cell]:
        """Return the tiles that answer for pixels of a box of the mask's grid, and perhaps some beside them."""
        inside = region.clip(self.record.mask_shape)
        if inside.empty:
            return []
        ranges = []
        for start, stop, working in zip(inside[:2], (inside.bottom, inside.right), self.shape, strict=True):
            last = (working - 1) // SIDE
            first, final = (int(place / self.factor) // SIDE for place in (max(0.0, start - 0.5), stop - 0.5))
            ranges.append(range(min(first, last), min(final, last) + 1))
        return [(row, column) for row, column in itertools.product(*ranges)]

    def nearest_cells(self, region: Region) -> list[Cell]:
        """Return the tiles of a box of the mask's grid, the nearest to its centre first."""
        side = SIDE * self.factor
        row, column = ((start + size / 2) / side - 0.5 for start, size in (region[::2], region[1::2]))
        return sorted(self.cells(region), key=lambda cell: (cell[0] - row) ** 2 + (cell[1] - column) ** 2)

    def tissue_cells(self) -> set[Cell]:
        """Return the tiles that show tissue, none if it is not known."""
        tissue = self.tissue
        if tissue is None:
            return set()
        pixels, step = tissue.pixels, self.record.downsample * self.factor * SIDE / tissue.downsample
        for axis, working in enumerate(self.shape):
            starts = (np.arange(-(-working // SIDE)) * step).astype(int)
            pixels = np.logical_or.reduceat(pixels, starts[starts < pixels.shape[axis]], axis=axis)
        return {(int(row), int(column)) for row, column in np.argwhere(pixels)}

    # -- labels

    def labels(self, cell: Cell) -> TileLabels:
        """Return the labels of a tile that are learnt."""
        tile = self.tile(cell)
        labels, corrected = self.source.truth(tile)
        labels = self._known[labels]
        for box in self._untouched:
            labels[box.intersect(tile).shift(-tile.top, -tile.left).slices] = 0
        return TileLabels(labels, corrected)

    def labels_on_tissue(self, cell: Cell, labels: TileLabels) -> int:
        """Return how many labelled pixels of a tile show tissue: all of them unless the tissue is known."""
        tissue = self.tissue_in(cell)
        return int(np.count_nonzero(labels.labels if tissue is None else (labels.labels > 0) & tissue))

    def tissue_in(self, cell: Cell) -> BoolArray | None:
        """Return which pixels of a tile show tissue; None if that is not known, or the slide has none."""
        tissue, tile = self.tissue, self.tile(cell)
        if tissue is None or not tissue.pixels.any():
            return None
        step = self.record.downsample * self.factor / tissue.downsample
        rows, columns = (
            ((np.arange(start, start + count) + 0.5) * step).astype(int).clip(max=size - 1)
            for start, count, size in zip(tile[:2], tile[2:], tissue.pixels.shape, strict=True)
        )
        found: BoolArray = tissue.pixels[np.ix_(rows, columns)]
        return found

    def give(self, region: Region, pixels: UInt8Array) -> list[Cell]:
        """Use pixels of a box of the mask that are not saved yet; return the tiles that show it."""
        inside = region.clip(self.record.mask_shape)
        if inside.empty:
            return []
        self.truth.give(inside, pixels[:, *inside.shift(-region.top, -region.left).slices])
        return self.cells(inside)

    def labelled_cells(self) -> list[Cell]:
        """Return the tiles that may hold labels, in a fixed random order."""
        regions = [chunk_region(key) for key in self.truth.set_chunks()] + self.record.mask_boxes
        if self.record.complete:
            regions = [Region(0, 0, *self.record.mask_shape)]
        cells = sorted({cell for region in regions for cell in self.cells(region)})
        return [cells[index] for index in np.random.default_rng(0).permutation(len(cells))]
