"""Open TIFF files of strangers with tifffile."""

import struct
from pathlib import Path

from tifffile import TiffFile

from napari_pathseg.storage.untrusted import DecodeError, decoding

_MAX_PAGES = 20_000  # counting a million of them takes minutes


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
            if _has_more_pages_than(_MAX_PAGES, tiff):
                raise DecodeError(f"it has more than {_MAX_PAGES:,} pages")
        except BaseException:
            tiff.close()
            raise
        return tiff


def _has_more_pages_than(limit: int, tiff: TiffFile) -> bool:
    """Return whether the chain of image file directories is longer than `limit`; a loop of fewer ends where it closes.

    The pages are not asked for: tifffile would keep them, and what it makes of a damaged chain depends on the order.
    """
    layout, file, seen = tiff.tiff, tiff.filehandle, set[int]()
    try:
        offset = tiff.pages.first.offset
    except IndexError:
        return False
    while offset and offset not in seen and len(seen) <= limit:
        seen.add(offset)
        file.seek(offset)
        count = file.read(layout.tagnosize)
        if len(count) < layout.tagnosize:
            break
        file.seek(offset + layout.tagnosize + struct.unpack(layout.tagnoformat, count)[0] * layout.tagsize)
        following = file.read(layout.offsetsize)
        if len(following) < layout.offsetsize:
            break
        (offset,) = struct.unpack(layout.offsetformat, following)
    return len(seen) > limit
