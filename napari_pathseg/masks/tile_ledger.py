"""Which tiles of a prediction are whole on disk, so that a run that was killed goes on where it was.

A line is added after each tile, with a checksum of it.  A last line that was cut off does not count.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from napari_pathseg.geometry import Region
from napari_pathseg.storage.atomic import replace_file
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
        self._stored_table: npt.NDArray[np.int64] | None = None
        self._read()

    def begin(self, settings: str, checksum: Callable[[Region], int]) -> None:
        """Go on with the tiles of the same settings, or start again; the newest tiles are compared with their checksum.

        Glass stays, whatever the settings.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        computed = [line for line in self._lines if not line["glass"]]
        damaged = [line for line in computed[-_CHECKED:] if checksum(Region(*line["tile"])) != line["checksum"]]
        same = self._settings == settings
        kept = [line for line in self._lines if line["glass"] or (same and line not in damaged)]
        with replace_file(self._path) as partial:
            text = "".join(json.dumps(line) + "\n" for line in [_Header(settings=settings), *kept])
            partial.write_text(text, encoding="utf8")
        self._settings, self._lines, self._stored_table = settings, kept, None

    @property
    def settings(self) -> str | None:
        """What the tiles were predicted with; None if there are none yet."""
        return self._settings

    def has(self, tile: Region, *, glass: bool = False) -> bool:
        """Return whether a tile lies in one that is done; one that was left out as `glass` counts only where asked."""
        top, left, bottom, right, is_glass = self._table
        inside = (top <= tile.top) & (left <= tile.left) & (tile.bottom <= bottom) & (tile.right <= right)
        return bool((inside & (is_glass <= glass)).any())

    def parts_in(self, region: Region, *, glass: bool) -> Iterator[Region]:
        """Yield the parts of a box that are done, or those of `glass`, which has no tissue and was not computed."""
        top, left, bottom, right, is_glass = self._table
        meets = (top < region.bottom) & (region.top < bottom) & (left < region.right) & (region.left < right)
        for number in np.flatnonzero(meets & (is_glass == glass)):
            yield Region(*self._lines[number]["tile"]).intersect(region)

    def add(self, tile: Region, checksum: int) -> None:
        """Record that a tile is done; raise OSError if the file cannot be written."""
        self._append([_Line(tile=list(tile), checksum=checksum, glass=False)])

    def add_glass(self, tiles: Iterable[Region]) -> None:
        """Record tiles that are not computed, as they have no tissue; raise OSError if the file cannot be written."""
        self._append([_Line(tile=list(tile), checksum=0, glass=True) for tile in tiles])

    def _append(self, lines: list[_Line]) -> None:
        with self._path.open("a", encoding="utf8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        self._lines += lines
        self._stored_table = None

    @property
    def _table(self) -> npt.NDArray[np.int64]:
        """Top, left, bottom and right of each line's tile, and whether it is glass, shape (5, lines)."""
        if self._stored_table is None:
            rows = [(*(box := Region(*line["tile"]))[:2], box.bottom, box.right, line["glass"]) for line in self._lines]
            self._stored_table = np.array(rows, np.int64).reshape(-1, 5).T
        return self._stored_table

    def _read(self) -> None:
        try:
            header, *lines = read_regular(self._path, _MAX_BYTES).decode("utf8", "replace").splitlines() or [""]
            self._settings = conform(json.loads(header), _Header)["settings"]
            for line in lines:
                self._lines.append(conform(json.loads(line), _Line))
        except (OSError, ValueError, RecursionError, SchemaError):  # none yet, or cut off here
            return
