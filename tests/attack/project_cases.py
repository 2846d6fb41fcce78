"""Attacks by a project of a stranger: names, links, pipes, devices and huge files."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import forks
import payloads
from scene import Case, Command, Make, Site, edit_json


def _manifest(change: Callable[[dict, Site], object], command: Callable[[Site], Command]) -> Make:
    """Change the ``project.json`` of the ordinary project."""

    def make(site: Site) -> Command:
        edit_json(site.project / "project.json", lambda content: change(content, site))
        return command(site)

    return make


def _named(name: str) -> Make:
    def change(content: dict, site: Site) -> None:
        content["slides"][0]["id"] = name.format(folder=site.folder)

    return _manifest(change, lambda site: site.of_project("versions", "--keep"))


def _file_of_slide(path: str) -> Make:
    def change(content: dict, site: Site) -> None:
        content["slides"][0].update(path=path.format(folder=site.folder, url=site.url), relative_path="../none")

    return _manifest(change, lambda site: site.of_project("check"))


def _import_over(name: str) -> Make:
    """Make an import that is recorded under a name outside `contours`, and import the file again."""

    def change(content: dict, site: Site) -> None:
        imported = content["settings"]["imported"]
        imported[name.format(folder=site.folder)] = imported.pop("a.svg")

    return _manifest(change, lambda site: site.contours(site.folder / "slides" / "a.svg"))


def _linked(name: str, command: Callable[[Site], Command], *, old: bool = False) -> Make:
    """Move a part of the project outside, and leave a link to it."""

    def make(site: Site) -> Command:
        place = (site.old if old else site.project) / name
        target = site.outside / Path(name).name
        if place.exists():
            shutil.move(place, target)
        elif not place.suffix:
            target.mkdir()
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target, target_is_directory=target.is_dir())
        return command(site)

    return make


def replaced(
    name: str, write: Callable[[Path], object], command: Callable[[Site], Command], *, old: bool = False
) -> Make:
    """Put something else in the place of a file of the project."""

    def make(site: Site) -> Command:
        path = (site.old if old else site.project) / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
        return command(site)

    return make


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path, size: int = 20 * payloads.GIB) -> None:
    with path.open("ab") as file:
        file.truncate(size)


def _many_objects(path: Path) -> None:
    path.write_text('{"format": 1, "x": [' + "{}," * 20_000_000 + "1]}")


def _deep(path: Path) -> None:
    path.write_text("[" * 1_000_000)


def _keep(site: Site) -> Command:
    return site.of_project("versions", "--keep")


def _again(site: Site) -> Command:
    return site.contours(site.folder / "slides" / "a.svg")


def _check(site: Site) -> Command:
    return site.of_project("check")


def _export(site: Site) -> Command:
    return site.of_project("export", "--format", "mask", "--out", str(site.folder / "out"))


def resume(site: Site) -> Command:
    return ["train", str(site.old), "--resume"]


def _train(site: Site) -> Command:
    return ["train", str(site.old), "--steps", "1", "--tile", "64", "--from", "m001"]


def predict(site: Site) -> Command:
    return ["predict", str(site.old), "--model", "m001", "--slide", "case5"]


_PROJECT = partial(Case, "project.json")
_LINKS = partial(Case, "links")
_FILES = partial(Case, "files of a project")

CASES = (
    _PROJECT("a slide named ../x", _named("../../outside/x"), 1, "which is not a file name", quick=True),
    _PROJECT("a slide named by a path", _named("{folder}/outside/x"), 1, "which is not a file name"),
    _PROJECT("a slide named for a drive", _named("C:x"), 1, "which is not a file name"),
    _PROJECT("a slide named with NUL", _named("a\0b"), 1, "which is not a file name"),
    _PROJECT(
        "a slide that is a pipe",
        replaced("../in/pipe.tif", os.mkfifo, lambda site: _file_of_slide("{folder}/in/pipe.tif")(site)),
        1,
        "is a pipe or a device, not a file",
    ),
    _PROJECT("a slide that is a device", _file_of_slide("/dev/zero"), 1, "is a pipe or a device, not a file"),
    _PROJECT("a slide at an address", _file_of_slide("{url}/a.tif"), 1, "The files of 1 of 2 slides are missing"),
    _PROJECT(
        "an import recorded as ../x",
        _import_over("../../outside/secret.txt"),
        1,
        "an import recorded as '../../outside/secret.txt', which is not a file name",
        quick=True,
    ),
    _PROJECT(
        "an import recorded by a path", _import_over("{folder}/outside/secret.txt"), 1, "which is not a file name"
    ),
    _PROJECT(
        "20 million empty objects",
        replaced("project.json", _many_objects, _check),
        1,
        "it has more than 2,000,000 lists and objects",
    ),
    _PROJECT("deep JSON", replaced("project.json", _deep, _check), 1, "project.json is damaged"),
    _PROJECT("a pipe", replaced("project.json", os.mkfifo, _check), 1, "it has no project.json", quick=True),
    _PROJECT("a device", replaced("project.json", _device, _check), 1, "it has no project.json"),
    _LINKS("masks", _linked("masks", _again), 1, "and nothing is written through it", quick=True),
    _LINKS("a mask", _linked("masks/a.zarr", _again), 1, "and nothing is written through it"),
    _LINKS("a pyramid of a mask", _linked("masks/a.zarr/labels", _again), 1, "and nothing is written through it"),
    _LINKS(
        "a row of chunks of a mask",
        _linked("masks/a.zarr/labels/0/c/0", _again),
        1,
        "is a link, a pipe or a device",
        quick=True,
    ),
    _LINKS("a journal", _linked("masks/a.journal", _again), 1, "and nothing is written through it", quick=True),
    _LINKS("contours", _linked("contours", _again), 1, "and nothing is written through it"),
    _LINKS("a contour file", _linked("contours/a.svg", _again), 1, "and nothing is written through it"),
    _LINKS("versions", _linked("versions", _keep), 1, "and nothing is written through it"),
    _LINKS("the versions of a slide", _linked("versions/a", _keep), 1, "and nothing is written through it"),
    _LINKS("project.json", _linked("project.json", _again), 1, "and nothing is written through it", quick=True),
    _LINKS("runs", _linked("runs", _train, old=True), 1, "and nothing is written through it", imports=forks.TORCH),
    _LINKS(
        "a run", _linked("runs/r004", resume, old=True), 1, "and nothing is written through it", imports=forks.TORCH
    ),
    _LINKS(
        "the events of a run",
        _linked("runs/r004/events.jsonl", resume, old=True),
        1,
        "and nothing is written through it",
        imports=forks.TORCH,
    ),
    _LINKS("models", _linked("models", _train, old=True), 1, "and nothing is written through it", imports=forks.TORCH),
    _LINKS(
        "the model of a run",
        _linked("models/m004", resume, old=True),
        1,
        "and nothing is written through it",
        imports=forks.TORCH,
    ),
    _LINKS(
        "predictions",
        _linked("predictions", predict, old=True),
        1,
        "and nothing is written through it",
        imports=forks.TORCH,
    ),
    _LINKS("read by export: a mask", _linked("masks/a.zarr", _export), 0, "2 files written"),
    _FILES(
        "metadata of a mask that is a pipe",
        replaced("masks/a.zarr/zarr.json", os.mkfifo, _export),
        1,
        "cannot be read as a mask (it is a pipe or a device",
        quick=True,
    ),
    _FILES(
        "metadata of a mask that is a device",
        replaced("masks/a.zarr/zarr.json", _device, _export),
        1,
        "cannot be read as a mask (it is a pipe or a device",
    ),
    _FILES(
        "metadata of a mask of 20 GiB",
        replaced("masks/a.zarr/zarr.json", sparse, _export),
        1,
        "at most 16,384 KiB are read",
    ),
    _FILES(
        "a chunk of a mask that is a pipe",
        replaced("masks/a.zarr/labels/0/c/0/0", os.mkfifo, _export),
        1,
        "it is a pipe or a device",
    ),
    _FILES(
        "a chunk of a mask that is a device",
        replaced("masks/a.zarr/labels/0/c/0/0", _device, _export),
        1,
        "it is a pipe or a device",
    ),
    _FILES(
        "a chunk of a mask of 4 GiB of zstd",
        replaced("masks/a.zarr/labels/0/c/0/0", lambda path: path.write_bytes(payloads.zstd(4 << 30)), _export),
        1,
        "is damaged",
        quick=True,
    ),
    _FILES(
        "a chunk of a mask of 20 GiB",
        replaced("masks/a.zarr/labels/0/c/0/0", sparse, _export),
        1,
        "at most 512 KiB are read",
    ),
    _FILES("a journal that is a pipe", replaced("masks/a.journal", os.mkfifo, _again), 1, "it is a pipe or a device"),
    _FILES("a journal that is a device", replaced("masks/a.journal", _device, _again), 1, "it is a pipe or a device"),
    _FILES(
        "a journal of 1 GiB of zeros",
        replaced("masks/a.journal", partial(sparse, size=1 << 30), _again),
        0,
        "skipped 1073741824 damaged bytes",
    ),
    _FILES(
        "a lock that is a pipe",
        replaced(".lock-1", os.mkfifo, _again),
        1,
        "is a pipe or a device, not a lock",
        quick=True,
    ),
    _FILES(
        "a contour file that is a pipe", replaced("contours/b.svg", os.mkfifo, _check), 0, "it is a pipe or a device"
    ),
    _FILES(
        "a contour file that is a device", replaced("contours/b.svg", _device, _check), 0, "it is a pipe or a device"
    ),
    _FILES("a contour file of 20 GiB", replaced("contours/b.svg", sparse, _check), 0, "Ready to train"),
    _FILES(
        "a version's metadata that is a pipe",
        replaced("versions/case0/1/version.json", os.mkfifo, lambda site: ["versions", str(site.old)], old=True),
        0,
        "it is a pipe or a device",
    ),
    _FILES(
        "a version with links that loop",
        replaced(
            "versions/case0/1/mask.zarr/loop",
            lambda path: path.symlink_to(path.parent),
            lambda site: ["versions", str(site.old), "--keep"],
            old=True,
        ),
        0,
        "by hand",
        quick=True,
    ),
)
