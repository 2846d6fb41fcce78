"""Ground truth of a slide: the human-confirmed labels that training, validation, scoring and counting use.

On a complete slide, and in complete boxes, unlabelled pixels are Background.
"""

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.geometry import EMPTY_REGION, Region, layout
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.label_rules import training_labels
from napari_pathseg.masks.provenance import Counts, Provenance
from napari_pathseg.masks.zarr_store import Key, MaskStore, chunk_region, chunks_of, overlap
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

_TILE = 2048


class GroundTruth:
    """Human-confirmed labels of one slide, as last saved, but for boxes whose pixels were given since."""

    def __init__(self, project: Project, record: SlideRecord) -> None:
        self._record, self._path = record, project.mask_path(record.id)
        self._store = self._open()
        self._given: dict[Key, UInt8Array] = {}  # labels and provenance of the chunks that hold given pixels

    def _open(self) -> MaskStore:
        return MaskStore(self._path) if self._path.exists() else MaskStore.missing(self._path, self._record.mask_shape)

    def give(self, region: Region, pixels: UInt8Array) -> None:
        """Use labels and provenance, shape (2, rows, columns), of a box of the mask's grid that are not saved yet."""
        for key in chunks_of(region):
            if key not in self._given:
                self._given[key] = np.stack(self._store.read(chunk_region(key)))
            inside, here = overlap(key, region)
            self._given[key][:, *inside] = pixels[:, *here]

    def forget_saved(self, most: int) -> None:
        """Forget given pixels that have been saved since; look at so many chunks, others the next time."""
        if self._given:
            self._store = self._open()
        for key in list(self._given)[:most]:
            pixels = self._given.pop(key)
            if not np.array_equal(pixels, np.stack(self._store.read(chunk_region(key)))):
                self._given[key] = pixels  # as the last one

    def read_again(self) -> None:
        """Forget all given pixels, and find what was saved since."""
        self._store = self._open()
        self._given.clear()

    def set_chunks(self) -> set[Key]:
        """Return the chunks of the mask in which something is set."""
        return self._store.chunks() | self._given.keys()

    def labels(self, region: Region) -> UInt8Array:
        """Return the labels in a region of the mask's grid, 0 where there is no ground truth."""
        return self.labels_and_corrections(region)[0]

    def labels_and_corrections(self, region: Region) -> tuple[UInt8Array, BoolArray]:
        """Return the labels in a region of the mask's grid, and where they correct a model or an import."""
        labels, provenance = self._read(region)
        truth = training_labels(labels, provenance, self._record.complete_in(region))
        return truth, provenance == Provenance.CORRECTED

    def labels_made_alone(self, region: Region) -> UInt8Array:
        """Return the labels in a region that owe nothing to a model: imported, drawn, or implied where it is complete.

        Elsewhere they are 0: what was accepted is a model's, and what was corrected beside it is where it was wrong.
        """
        labels, provenance = self._read(region)
        truth = training_labels(labels, provenance, self._record.complete_in(region))
        dependent = (provenance == Provenance.ACCEPTED) | (provenance == Provenance.CORRECTED)
        return np.where(dependent, np.uint8(UNLABELLED), truth)

    def implied_background(self) -> int:
        """Return the number of pixels that are Background only because they are unlabelled in a complete box."""
        count, bounds = 0, EMPTY_REGION
        for box in self._record.mask_boxes:
            bounds = bounds.unite(box)
        for tile in layout(bounds, _TILE):
            complete = self._record.complete_in(tile)
            if complete is not False:
                unlabelled = self._read(tile)[1] < Provenance.ACCEPTED
                count += int(np.count_nonzero(unlabelled & complete))
        return count

    def _read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        pixels = self._store.read(region)
        for key in chunks_of(region) if self._given else ():
            if key in self._given:
                inside, here = overlap(key, region)
                for array, given in zip(pixels, self._given[key], strict=True):
                    array[here] = given[inside]
        return pixels


def labelled_pixel_counts(project: Project, record: SlideRecord, counts: Counts) -> npt.NDArray[np.int64]:
    """Return the ground-truth pixels by class; `counts` are those of the mask, read only if there are boxes."""
    pixels: npt.NDArray[np.int64] = counts[:, Provenance.ACCEPTED :].sum(axis=1)
    if record.complete:
        pixels[BACKGROUND] += record.mask_shape[0] * record.mask_shape[1] - pixels.sum()
    elif record.boxes:
        pixels[BACKGROUND] += GroundTruth(project, record).implied_background()
    pixels[UNLABELLED] = 0  # not a class
    return pixels
