"""Which reader opens a slide: the first that does not refuse it.

The readers are loaded with the first slide, OpenSlide only for a file that no other reader takes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.fingerprint import is_zarr, require_file
from napari_pathseg.storage.untrusted import MAXIMUM_DECODED_BYTES

if TYPE_CHECKING:
    from napari_pathseg.slides.slide import Slide

# Of OME-Zarr the suffix is a folder's; the last line is read through OpenSlide.
SLIDE_SUFFIXES = frozenset(
    {
        ".tif", ".tiff", ".btf", ".tf8", ".svs", ".ndpi", ".scn", ".qptiff", ".zarr",
        ".png", ".jpg", ".jpeg", ".bmp", ".jp2",
        ".bif", ".mrxs", ".vms", ".vmu", ".svslide", ".dcm",
    }
)  # fmt: skip


def open_slide(path: str | Path, page: int | None = None, *, largest_chunk: int = MAXIMUM_DECODED_BYTES) -> "Slide":
    """Open a slide with the first reader that does not refuse it.

    Parameters
    ----------
    path
        The file, or the folder of an OME-Zarr.
    page
        Which page or channel, counted from 0, of a file that holds several; each is a slide of its own.
    largest_chunk
        Bytes that may be decoded at once; a file whose strips or tiles are larger is refused.

    Raises
    ------
    UnsupportedSlideError
        If the file is missing or unreadable, or every reader refuses: who did and why.
    """
    path = Path(path)
    if not is_zarr(path):
        require_file(path)
    reasons = []
    for name, reader in _readers(path):
        try:
            slide = reader(path, page, largest_chunk)
        except UnsupportedSlideError as refusal:
            reasons.append(f"{name} reader: {refusal}")
        else:
            slide.page = page
            return slide
    raise UnsupportedSlideError(f"{path} could not be opened as a slide. {' '.join(reasons)}")


def count_pages(path: str | Path) -> int:
    """Return how many slides a file holds: 1, or the pages of a stack, or the channels of a picture.

    Raises
    ------
    UnsupportedSlideError
        If the file is missing or unreadable.
    """
    from napari_pathseg.slides.readers.ome_zarr import count_channels
    from napari_pathseg.slides.readers.tiff import count_tiff_pages

    path = Path(path)
    try:
        if is_zarr(path):
            return count_channels(path)
        require_file(path)
        return count_tiff_pages(path)
    except UnsupportedSlideError as refusal:
        if str(path) in str(refusal):
            raise
        raise UnsupportedSlideError(f"The pages of {path} could not be counted: {refusal}") from refusal


def _readers(path: Path) -> "list[tuple[str, Callable[[Path, int | None, int], Slide]]]":
    """Return who may try a slide, in order."""
    # Imported here because the readers are built on this module.
    from napari_pathseg.slides.readers.image_file import open_picture
    from napari_pathseg.slides.readers.ome_zarr import open_ome_zarr
    from napari_pathseg.slides.readers.openslide import open_with_openslide
    from napari_pathseg.slides.readers.tiff import open_tiff

    if path.is_dir():
        return [("OME-Zarr", open_ome_zarr)]
    return [("TIFF", open_tiff), ("PNG and JPEG", open_picture), ("OpenSlide", open_with_openslide)]
