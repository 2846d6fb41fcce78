"""What the header of a JPEG or JPEG 2000 claims, before a decoder believes it: a file of 4 kB can ask for 10 GB."""

import re

from napari_pathseg.storage.untrusted import DecodeError

# Frame header of JPEG (ITU T.81, B.2.2): rows, columns, components.
_JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]\x00.[\x08\x0c](..)(..)(.)", re.DOTALL)
# Image size of JPEG 2000 (T.800, A.5.1): columns, rows, offsets and sizes of tiles, components.
_JPEG_2000_SIZE = re.compile(rb"\xff\x4f\xff\x51....(....)(....).{24}(..)", re.DOTALL)
_START_OF_SCAN = b"\xff\xda"
_MAX_SCANS = 100  # of a progressive JPEG; encoders write about ten, and each costs the time of a whole picture


def require_small(data: bytes, max_samples: int) -> None:
    """Raise DecodeError if a picture in memory claims more samples, or more scans, than any that is read has."""
    for pattern in (_JPEG_FRAME, _JPEG_2000_SIZE):
        for frame in pattern.finditer(data):
            one, other, components = (int.from_bytes(number, "big") for number in frame.groups())
            if one * other * components > max_samples:
                raise DecodeError(f"it claims {one} x {other} pixels")
    require_few_scans(data)


def require_few_scans(data: bytes) -> None:
    """Raise DecodeError if a JPEG has more scans than any encoder writes."""
    scans = data.count(_START_OF_SCAN)
    if scans > _MAX_SCANS:
        raise DecodeError(f"it has {scans:,} scans; at most {_MAX_SCANS} are read")
