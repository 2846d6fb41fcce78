"""What a killed program leaves behind in a project: half-written files, strokes not yet in a mask."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from napari_pathseg.masks import Mask
from napari_pathseg.masks.opening import has_leftovers

_ORPHAN_SECONDS = 60  # a younger one may be another program's that is being written


def slides_with_unapplied_strokes(folder: Path) -> list[str]:
    """Return the slides whose journal holds strokes that are not in their mask yet."""
    journals = folder.glob("masks/*.journal")
    masks = (path.with_suffix(".zarr") for path in journals)
    return [path.stem for path in masks if has_leftovers(path) and path.exists()]


def repair(folder: Path, open_mask: Callable[[str], Mask]) -> None:
    """Take leftover strokes into their masks and sweep half-written files."""
    for slide_id in slides_with_unapplied_strokes(folder):
        open_mask(slide_id).close()
    old = time.time() - _ORPHAN_SECONDS
    for pattern in (".*.partial", "*/.*.partial", "*/*/.*.partial"):
        for orphan in folder.glob(pattern):
            if orphan.stat().st_mtime < old:
                shutil.rmtree(orphan) if orphan.is_dir() else orphan.unlink(missing_ok=True)
