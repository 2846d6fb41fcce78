"""Which tiles of a prediction are whole on disk, so that a run that was killed goes on where it was.

A line is added after each tile, with a checksum of it.  A last line that was cut off does not count.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from napari_pathseg.geometry import Region
from napari_pathseg.storage.json_schema import Count, SchemaError, conform
from napari_pathseg.storage.regular_files import read_regular

_MAX_BYTES = 256 << 20  # millions of tiles
_CHECKED = 4  # of the newest tiles, whose pixels may not have reached the disk before the computer stopped


class _Header(TypedDict):
    settings: str


class _Line(TypedDict):
    tile: Annotated[list[Count], Meta(min_length=4, max_length=4)]
    checksum: Count
    glass: bool


class TileLedger:
    """The tiles of one prediction that are done with the same settings."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._settings: str | None = None
        self._lines: list[_Line] = []
        self._table: npt.NDArray[np.int64] | None = None  # of the lines: the tile, and whether it is glass
        self._read()

    @property
    def glass(self) -> list[Region]:
        """Boxes without tissue, which were not computed."""
        return [Region(*line["tile"]) for line in self._lines if line["glass"]]

    def begin(self, settings: str, checksum: Callable[[Region], int]) -> None:
        """Go on with the tiles of the same settings, or start again; the newest tiles are compared with their checksum.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        computed = [line for line in self._lines if not line["glass"]]
        damaged = [line for line in computed[-_CHECKED:] if checksum(Region(*line["tile"])) != line["checksum"]]
        kept = [line for line in self._lines if line not in damaged] if self._settings == settings else []
        self._settings, self._lines, self._table = settings, kept, None
        with self._path.open("w", encoding="utf8") as file:
            file.writelines(json.dumps(line) + "\n" for line in [_Header(settings=settings), *kept])

    def has(self, tile: Region, *, glass: bool = False) -> bool:
        """Return whether a tile lies in one that is done; one that was left out as `glass` counts only where asked."""
        if self._table is None:
            self._table = np.array([[*line["tile"], line["glass"]] for line in self._lines], np.int64).reshape(-1, 5)
        top, left, height, width, is_glass = self._table.T
        inside = (top <= tile.top) & (left <= tile.left) & (is_glass <= glass)
        return bool((inside & (tile.bottom <= top + height) & (tile.right <= left + width)).any())

    def add(self, tile: Region, checksum: int, *, glass: bool = False) -> None:
        """Record that a tile is done; raise OSError if the file cannot be written."""
        line = _Line(tile=list(tile), checksum=checksum, glass=glass)
        with self._path.open("a", encoding="utf8") as file:
            file.write(json.dumps(line) + "\n")
        self._lines.append(line)
        self._table = None

    def _read(self) -> None:
        try:
            header, *lines = read_regular(self._path, _MAX_BYTES).decode("utf8", "replace").splitlines() or [""]
            self._settings = conform(json.loads(header), _Header)["settings"]
            for line in lines:
                self._lines.append(conform(json.loads(line), _Line))
        except (OSError, ValueError, RecursionError, SchemaError):  # none yet, or cut off here
            return
