"""Take files out of a folder or zip archive of strangers: no links, no path outside, no more than it states.

Nothing is unpacked but the files that are asked for, each under a name of ours.
"""

import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import yaml

from napari_pathseg.errors import BundleError
from napari_pathseg.storage.regular_files import open_regular
from napari_pathseg.storage.untrusted import DecodeError, decoding

MAX_WEIGHTS, MAX_TEXT = 8 << 30, 1 << 20  # bytes of a file
_MAX_ENTRIES = 10_000
_MAX_RATIO = 100  # of a file to what it takes in an archive: weights hardly shrink, text to a tenth
_SMALL = 1 << 20  # bytes, of which any ratio is harmless
_DRIVE = re.compile(r"^[A-Za-z]:")


class StrangerFiles:
    """The files of a folder or archive, by their names relative to where the model's description lies."""

    def __init__(self, path: Path, archive: zipfile.ZipFile | None) -> None:
        self._path, self._archive = path, archive
        self._names = list(_checked(path, archive))
        self._root = PurePosixPath()

    def find(self, *names: str) -> str:
        """Return the first of these names that is there, on top or in the only folder; "" if none is.

        Later names are relative to that folder.
        """
        folders = {name.parts[0] for name in self._names if len(name.parts) > 1 and name.parts[0] != "__MACOSX"}
        roots = [PurePosixPath(), *([PurePosixPath(*folders)] if len(folders) == 1 else [])]
        for root in roots:
            for name in names:
                if root / name in self._names:
                    self._root = root
                    return name
        return ""

    def copy(self, name: str, target: Path, limit: int) -> None:
        """Copy a file to `target`.

        Raises
        ------
        BundleError
            If there is no such file, or it is a link, damaged, or larger than `limit` bytes or than it may be.
        """
        with self._open(name, limit) as source, target.open("wb") as copy, decoding_archive(self._path):
            shutil.copyfileobj(source, copy)

    def read_yaml(self, name: str) -> Any:
        """Return the content of a YAML file of plain values; anchors are refused, as a few make gigabytes."""
        with self._open(name, MAX_TEXT) as file, decoding_archive(self._path):
            content = file.read()
        try:
            refers = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content))
            found = None if refers else yaml.safe_load(content)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BundleError(f"{self._path.name}: {name} is not YAML of plain values ({reason}).") from error
        if refers:
            raise BundleError(f"{self._path.name}: {name} refers to parts of itself. Write them out.")
        return found

    @contextmanager
    def _open(self, name: str, limit: int) -> Iterator[BinaryIO]:
        place = self._root / relative_name(name, self._path)
        if place not in self._names:
            raise BundleError(f"{self._path.name} lacks {name}. Copy it again, whole.")
        if self._archive is None:
            file = self._path / place
            try:
                with open_regular(file, limit) as opened:
                    yield opened
            except OSError as error:
                raise BundleError(f"{file} could not be read ({error.strerror or error}).") from error
            return
        info = self._archive.getinfo(place.as_posix())
        _check_size(self._path, info, limit)
        with decoding_archive(self._path):
            opened_member = self._archive.open(info)
        with opened_member as member:
            yield member  # type: ignore[misc]


@contextmanager
def opened(path: Path) -> Iterator[StrangerFiles]:
    """Open a folder or a zip archive.

    Raises
    ------
    BundleError
        If it is neither, is damaged, or has a link or a path that leads out of it.
    """
    if path.is_dir():
        yield StrangerFiles(path, None)
        return
    try:
        with open_regular(path) as file:
            with decoding_archive(path):
                if not zipfile.is_zipfile(file):
                    raise BundleError(
                        f"{path} is neither the folder of a model nor a zip file of one. Name such a one."
                    )
                archive = zipfile.ZipFile(file)
            with archive:
                yield StrangerFiles(path, archive)
    except OSError as error:
        raise BundleError(f"{path} could not be read ({error.strerror or error}). Check its name.") from error


@contextmanager
def decoding_archive(path: Path) -> Iterator[None]:
    """Turn what zipfile raises for a damaged archive into a sentence."""
    try:
        with decoding():
            yield
    except (DecodeError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} is damaged ({error}). Download or copy it again.") from error


def relative_name(name: str, path: Path) -> PurePosixPath:
    """Return the name of a file in a package as a path.

    Raises
    ------
    BundleError
        If it leads out of the package, or to another computer.
    """
    if "://" in name:
        raise BundleError(
            f"{path.name} refers to {name:.80}; nothing is downloaded. Download that file into the package."
        )
    pure = PurePosixPath(name.replace("\\", "/"))
    if not name or "\0" in name or pure.is_absolute() or ".." in pure.parts or _DRIVE.match(name):
        raise BundleError(f"{path.name} has the path {name!r:.80}, which leads out of it. It is not opened.")
    return pure


def _checked(path: Path, archive: zipfile.ZipFile | None) -> Iterator[PurePosixPath]:
    """Yield the names of all files; raise BundleError for a link, a path that leads out, or too many."""
    if archive is None:
        for number, file in enumerate([path, *path.glob("*"), *path.glob("*/*")]):
            if number > _MAX_ENTRIES:
                raise BundleError(f"{path.name} has more than {_MAX_ENTRIES:,} files. Name the folder of a model.")
            if file.is_symlink() and number:
                raise BundleError(f"{path.name}: {file.name} is a link. Put the file itself there.")
            if not file.is_dir():
                yield PurePosixPath(file.relative_to(path).as_posix())
        return
    entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES:
        raise BundleError(f"{path.name} has {len(entries):,} files; a model has less than {_MAX_ENTRIES:,}.")
    for info in entries:
        name = relative_name(info.orig_filename, path)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise BundleError(f"{path.name}: {name} is a link. Put the file itself there.")
        if info.flag_bits & 1:
            raise BundleError(f"{path.name} is encrypted. Unpack it, then name the folder.")
        if not info.is_dir():
            yield name


def _check_size(path: Path, info: zipfile.ZipInfo, limit: int) -> None:
    size = f"{info.file_size / 1e6:,.0f} MB"
    if info.file_size > limit:
        raise BundleError(
            f"{path.name}: {info.filename} would have {size} unpacked; at most {limit / 1e6:,.0f} MB are read."
        )
    if info.file_size > max(_SMALL, _MAX_RATIO * info.compress_size):
        raise BundleError(
            f"{path.name}: {info.filename} would have {size} unpacked, more than {_MAX_RATIO} times what it takes in "
            "the archive. It is not unpacked."
        )
