"""Open a mask for editing or read-only, or read its pixel counts alone."""

import contextlib
from pathlib import Path

from napari_pathseg.classes import ClassTable
from napari_pathseg.errors import ProjectError
from napari_pathseg.masks.journal import Journal, WriteCheck, always_writable, is_saved
from napari_pathseg.masks.mask import Mask
from napari_pathseg.masks.provenance import Counts, counts_from
from napari_pathseg.masks.zarr_store import MaskStore, create_store, stored_counts
from napari_pathseg.storage.json_schema import SchemaError
from napari_pathseg.storage.links import check_links

_LEVELS = 4  # of folders of a mask that files are written into: labels/0/c/12


def open_mask(
    path: Path, shape: tuple[int, int], classes: ClassTable, check_writable: WriteCheck = always_writable
) -> Mask:
    """Open the mask at `path`, or create an empty one of `shape`; `check_writable` is called before each write.

    Raises
    ------
    ProjectError
        If the folder is not a mask, has another size, cannot be written, or a link in it leads elsewhere.
    """
    if path.exists():
        check_links(path, _LEVELS)
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
    """Open the mask at `path` read-only, as last saved; an empty one if it does not exist.

    Raises
    ------
    ProjectError
        If the folder is not a mask, or has another size.
    """
    store = MaskStore(path) if path.exists() else MaskStore.missing(path, shape)
    _check_shape(store, shape)
    return Mask(store, None)


def _check_shape(store: MaskStore, shape: tuple[int, int]) -> None:
    if store.shape != shape:
        rows, columns = store.shape
        raise ProjectError(
            f"{store.path} is a mask of {rows} x {columns} pixels; its slide needs {shape[0]} x {shape[1]}. "
            "The slide file was replaced: restore the old one, or add the new one under another name."
        )


def read_counts(path: Path) -> Counts:
    """Return the pixels by (class, provenance) last saved at `path`; zeros if there is no mask.

    Only the file that holds them is read: opening the mask takes twenty times as long, which thousands of slides show.
    """
    try:
        return counts_from(stored_counts(path))
    except (ProjectError, SchemaError):  # there is no mask, or one whose problem is said when it is opened
        return counts_from(MaskStore(path).load_counts() or {}) if path.exists() else counts_from({})


def has_unapplied_edits(path: Path) -> bool:
    """Return whether the journal of the mask at `path` holds edits that are not in its files yet."""
    return not is_saved(path.with_suffix(".journal"))
