"""Open TIFF files of strangers with tifffile."""

import struct
from pathlib import Path

from tifffile import TiffFile

from napari_pathseg.storage.untrusted import DecodeError, decoding

_MAX_PAGES = 20_000  # counting a million of them takes minutes
_LOOP_NOTICED = 100  # pages; a loop of more tifffile follows without end


def open_tiff_file(path: Path) -> TiffFile:
    """Open a TIFF; other files that an OME-TIFF may name are left alone.

    Raises
    ------
    DecodeError
        If it is not a TIFF, is damaged, or has more than 20,000 pages.
    """
    with decoding():
        tiff = TiffFile(path, _multifile=False)
        try:
            _check_chain(tiff)
        except BaseException:
            tiff.close()
            raise
        return tiff


def _check_chain(tiff: TiffFile) -> None:
    """Raise DecodeError if the chain of image file directories is too long; a loop in it ends where it closes."""
    count, is_loop = _follow_chain(tiff)
    if count > _MAX_PAGES:
        raise DecodeError(f"it has more than {_MAX_PAGES:,} pages")
    if is_loop and count >= _LOOP_NOTICED:
        raise DecodeError(f"the last of its {count} pages leads back to another")
    if is_loop:
        len(tiff.pages)  # tifffile ends a loop only where it is asked for all pages at once


def _follow_chain(tiff: TiffFile) -> tuple[int, bool]:
    """Return how many image file directories are in the chain, at most one above the limit, and whether it is a loop.

    The pages are not asked for: tifffile would keep them, and what it makes of a damaged chain depends on the order.
    """
    layout, file, seen = tiff.tiff, tiff.filehandle, set[int]()
    try:
        offset = tiff.pages.first.offset
    except IndexError:
        return 0, False
    while offset and offset not in seen and len(seen) <= _MAX_PAGES:
        seen.add(offset)
        file.seek(offset)
        count = file.read(layout.tagnosize)
        if len(count) < layout.tagnosize:
            return len(seen), False
        file.seek(offset + layout.tagnosize + struct.unpack(layout.tagnoformat, count)[0] * layout.tagsize)
        following = file.read(layout.offsetsize)
        if len(following) < layout.offsetsize:
            return len(seen), False
        (offset,) = struct.unpack(layout.offsetformat, following)
    return len(seen), offset in seen
