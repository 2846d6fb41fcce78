"""The table of slide formats; a slide is opened by the first reader that does not refuse it.

A new format is a row here and a reader in `slides.readers`.  All other lists of slide suffixes are derived from
this table, or tested against it.  Readers are imported when a file needs them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.fingerprint import is_zarr, require_file
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES

_READERS = "napari_pathseg.slides.readers"


@dataclass(frozen=True, kw_only=True)
class SlideFormat:
    """A kind of slide file.

    Attributes
    ----------
    name
        What messages call its reader.
    suffixes
        Of the files that people open with it.  The content decides who reads a file, not its suffix.
    opener
        ``module:function`` in `slides.readers`; takes a path, a page or None, and the most bytes to decode at
        once, and raises UnsupportedSlideError for what it cannot read.  Its message continues "NAME reader: ", so it
        begins with "it" or "its" and leaves out the path.
    page_counter
        ``module:function`` in `slides.readers` that returns how many slides a path holds, 1 if it has another
        format; None where it is always one.
    folder
        Whether such a slide is a folder.
    in_manifest
        Whether napari's manifest offers this package as the reader of these suffixes.
    """

    name: str
    suffixes: tuple[str, ...]
    opener: str
    page_counter: str | None
    folder: bool
    in_manifest: bool

    def open(self, path: Path, page: int | None, max_chunk_bytes: int) -> Slide:
        """Open `path` with the reader of this format."""
        opener: Callable[[Path, int | None, int], Slide] = _load(self.opener)
        return opener(path, page, max_chunk_bytes)

    def count_pages(self, path: Path) -> int:
        """Return how many slides `path` holds, if it is of this format."""
        return 1 if self.page_counter is None else int(_load(self.page_counter)(path))


_PICTURES = "PNG and JPEG"
# In the order in which they are tried; OpenSlide is loaded only for a file that no other reader opens.
SLIDE_FORMATS = (
    SlideFormat(
        name="OME-Zarr",
        suffixes=(".zarr",),
        opener="ome_zarr:open_ome_zarr",
        page_counter="ome_zarr:count_channels",
        folder=True,
        in_manifest=True,
    ),
    SlideFormat(
        name="TIFF",
        suffixes=(".tif", ".tiff", ".btf", ".tf8", ".svs", ".ndpi", ".scn", ".qptiff"),
        opener="tiff:open_tiff",
        page_counter="tiff:count_tiff_pages",
        folder=False,
        in_manifest=True,
    ),
    SlideFormat(
        name=_PICTURES,
        suffixes=(".png", ".jpg", ".jpeg", ".bmp", ".jp2"),
        opener="image_file:open_image",
        page_counter=None,
        folder=False,
        in_manifest=True,
    ),
    SlideFormat(
        name="OpenSlide",
        suffixes=(".bif", ".mrxs", ".vms", ".vmu", ".svslide", ".dcm", ".czi"),
        opener="openslide:open_with_openslide",
        page_counter=None,
        folder=False,
        in_manifest=True,
    ),
)
SLIDE_SUFFIXES = frozenset(suffix for known in SLIDE_FORMATS for suffix in known.suffixes)


def open_slide(path: str | Path, page: int | None = None, *, max_chunk_bytes: int = MAX_DECODED_BYTES) -> Slide:
    """Open a slide with the first reader that does not refuse it.

    Parameters
    ----------
    path
        The file, or the folder of an OME-Zarr.
    page
        Which page or channel, counted from 0, of a file that holds several; each is a slide.
    max_chunk_bytes
        Bytes that may be decoded at once; a file whose strips or tiles are larger is refused.

    Raises
    ------
    UnsupportedSlideError
        If the file is missing or unreadable, or every reader refuses it: which reader, and why.
    """
    path = Path(path)
    if not is_zarr(path):
        require_file(path)
    reasons = []
    for known in _candidates(path):
        try:
            slide = known.open(path, page, max_chunk_bytes)
        except UnsupportedSlideError as refusal:
            reasons.append(f"{known.name} reader: {refusal}")
        else:
            slide.page = page
            return slide
    raise UnsupportedSlideError(f"{path} could not be opened as a slide. {' '.join(reasons)}")


def count_pages(path: str | Path) -> int:
    """Return how many slides a file holds: 1, the pages of a stack, or the channels of an image.

    Raises
    ------
    UnsupportedSlideError
        If the file is missing or unreadable.
    """
    path = Path(path)
    try:
        if not is_zarr(path):
            require_file(path)
        return max(known.count_pages(path) for known in _candidates(path))
    except UnsupportedSlideError as refusal:
        if str(path) in str(refusal):
            raise
        raise UnsupportedSlideError(f"The pages of {path} could not be counted: {refusal}") from refusal


def _candidates(path: Path) -> Iterator[SlideFormat]:
    """Yield the formats that a path may have, in order.

    A slide of OpenSlide's may look like a picture: an ``.mrxs`` is a small JPEG of the slide beside its folder.
    """
    *others, openslide = SLIDE_FORMATS
    is_openslides = path.suffix.lower() in openslide.suffixes
    known = [one for one in others if not (is_openslides and one.name == _PICTURES)]
    return (one for one in (*known, openslide) if one.folder == path.is_dir())


def _load(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(f"{_READERS}.{module}"), function)
