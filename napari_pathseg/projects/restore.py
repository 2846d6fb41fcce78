"""The way back to a version of a mask: one step, which can be undone."""

from collections.abc import Iterator, Sequence

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.masks.operations import Editable, MaskOperation, OperationStep
from napari_pathseg.masks.zarr_store import MaskStore
from napari_pathseg.projects.versions import Version, changed_regions, check_version


def restore(version: Version) -> MaskOperation:
    """Bring labels and provenance of the whole mask back.

    Raises
    ------
    ProjectError
        When it is begun, if the version lacks files or is of another size; in its first half, if one of them is
        damaged: then nothing is changed.  Later, if the disk takes no more: what was brought back until then is one
        undo step.
    """

    def begin(mask: Editable) -> Iterator[OperationStep]:
        check_version(version)
        source = MaskStore(version.kept)
        if source.shape != mask.shape:
            (rows, columns), (now_rows, now_columns) = source.shape, mask.shape
            raise ProjectError(
                f"{version.folder} is a version of {rows} x {columns} pixels; the mask has {now_rows} x {now_columns}. "
                "Choose a version that was kept since the slide was exchanged."
            )
        mask.flush()  # files are compared, and are to hold the last stroke
        return _bring_back(mask, source, [box.clip(mask.shape) for box in changed_regions(version)])

    return MaskOperation("Restoring", begin)


def _bring_back(mask: Editable, source: MaskStore, boxes: Sequence[Region]) -> Iterator[OperationStep]:
    for number, box in enumerate(boxes):  # a damaged chunk is found before anything is changed
        source.read(box)
        yield OperationStep(EMPTY_REGION, number / len(boxes) / 2)
    for number, box in enumerate(boxes, 1):
        yield OperationStep(mask.edit(box, *source.read(box)), 0.5 + number / len(boxes) / 2)
