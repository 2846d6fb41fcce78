"""How a mask is opened: to be edited, to be looked at, or for its numbers alone."""

import contextlib
from pathlib import Path

from napari_pathseg.classes import ClassTable
from napari_pathseg.errors import ProjectError
from napari_pathseg.masks.counts import Counts, counts_from
from napari_pathseg.masks.journal import Journal, WriteCheck, always_writable, is_saved
from napari_pathseg.masks.mask import Mask
from napari_pathseg.masks.zarr_store import MaskStore, create_store


def open_mask(
    path: Path, shape: tuple[int, int], classes: ClassTable, check_writable: WriteCheck = always_writable
) -> Mask:
    """Open the mask at `path`, or make an empty one of `shape` there; `check_writable` is asked before each write.

    Raises
    ------
    ProjectError
        If the folder is no mask, is one of another size, or cannot be written.
    """
    store = MaskStore(path) if path.exists() else create_store(path, shape, classes)
    _check_shape(store, shape)
    try:
        journal = Journal(path.with_suffix(".journal"), check_writable)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(journal.close)
            mask = Mask(store, journal)
            on_failure.pop_all()
        return mask
    except OSError as error:
        raise ProjectError(
            f"{path.parent} cannot be written ({error.strerror}). Allow writing to the project folder."
        ) from error


def open_mask_readonly(path: Path, shape: tuple[int, int]) -> Mask:
    """Open the mask at `path` as it was saved last, to be looked at; an empty one where there is none.

    Raises
    ------
    ProjectError
        If the folder is no mask, or is one of another size.
    """
    store = MaskStore(path) if path.exists() else MaskStore.missing(path, shape)
    _check_shape(store, shape)
    return Mask(store, None)


def _check_shape(store: MaskStore, shape: tuple[int, int]) -> None:
    if store.shape != shape:
        rows, columns = store.shape
        raise ProjectError(
            f"{store.path} is a mask of {rows} x {columns} pixels; its slide needs {shape[0]} x {shape[1]}. "
            "The slide file was exchanged: put the old one back, or add the new one under another name."
        )


def read_counts(path: Path) -> Counts:
    """Return pixels by (class, provenance) as they were last saved at `path`; zeros where no mask is."""
    if not path.exists():
        return counts_from({})
    return counts_from(MaskStore(path).load_counts() or {})


def has_leftovers(path: Path) -> bool:
    """Whether the journal of the mask at `path` holds what is not in its pyramid yet."""
    return not is_saved(path.with_suffix(".journal"))
