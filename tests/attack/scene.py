"""Where an attack takes place: an ordinary project, hostile files beside it, and what must stay as it is."""

import hashlib
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import numpy as np
import tifffile

OLD_PROJECT = Path(__file__).parents[1] / "old_project" / "project_0_1.zip"  # with a model and an interrupted run
Command = list[str]


@dataclass(frozen=True)
class Site:
    """A folder with a project, ordinary slides, hostile files, and what nothing may touch.

    Attributes
    ----------
    folder
        All of it; commands run in it.
    url
        Of a server on this machine which nothing may ask.
    """

    folder: Path
    url: str

    @property
    def project(self) -> Path:
        """An ordinary project of two slides, ``a`` and ``b``, with contours."""
        return self.folder / "p.pathseg"

    @property
    def old(self) -> Path:
        """A project with models, an interrupted training, a tuning and versions."""
        folder = self.folder / "old.pathseg"
        if not folder.exists():
            with zipfile.ZipFile(OLD_PROJECT) as archive:
                archive.extractall(self.folder)
            then = time.time() - 3600  # so that its interrupted run counts as interrupted
            for path in folder.rglob("*"):
                os.utime(path, (then, then))
        return folder

    @property
    def inputs(self) -> Path:
        """The folder of hostile files."""
        folder = self.folder / "in"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def outside(self) -> Path:
        """A folder of files that belong to nobody's project."""
        return self.folder / "outside"

    def add(self, path: Path, *options: str) -> Command:
        """Return the command that adds a slide."""
        return ["add", str(self.project), str(path), *options]

    def contours(self, path: Path, *options: str) -> Command:
        """Return the command that imports contours into the slide ``a``."""
        return self.add(self.folder / "slides" / "a.tif", "--contours", str(path), *options)

    def of_project(self, name: str, *options: str) -> Command:
        """Return a command on the project."""
        return [name, str(self.project), *options]


Make = Callable[[Site], Command]


@dataclass(frozen=True)
class Case:
    """An attack: a surface, what is done to it, and the expected answer.

    Attributes
    ----------
    surface, name
        Where the attack begins, and what it is.
    make
        Writes the hostile files; returns the command that meets them.
    code, says
        The exit code, and a piece of what is printed.
    quick
        Whether `make test` runs it; `make attack` runs all.
    seconds
        The most that it may take there.
    imports
        What the process of the children imports before.
    """

    surface: str
    name: str
    make: Make
    code: int
    says: str
    quick: bool = False
    seconds: float = 10.0
    imports: tuple[str, ...] = forks.SLIDES

    def __str__(self) -> str:
        return f"{self.surface}: {self.name}".replace(" ", "_")


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the content of a JSON file."""
    content = json.loads(path.read_text(encoding="utf8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf8")


def snapshot(folder: Path, besides: set[str]) -> dict[str, str]:
    """Return what lies in a folder and how it looks, without the names `besides` at its top."""
    found = {}
    for place, folders, files in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name not in besides]
        for name in (*folders, *files):
            path = Path(place) / name
            found[str(path.relative_to(folder))] = _look(path)
    return found


def _look(path: Path) -> str:
    status = path.lstat()
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    if not path.is_file() or status.st_size > 1 << 20:
        return f"{status.st_mode:o} {status.st_size if path.is_file() else ''} {status.st_mtime_ns}"
    return f"{status.st_mode:o} {status.st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def write_template(folder: Path) -> None:
    """Write two slides of a dark square each, ``a`` and ``b``, the outlines of these, and a folder of nobody's."""
    for name in ("slides", "outside"):
        (folder / name).mkdir()
    (folder / "outside" / "secret.txt").write_text("secret")
    for seed, name in enumerate("ab"):
        rng = np.random.default_rng(seed)
        pixels = rng.integers(190, 230, (192, 192, 3)).astype(np.uint8)
        pixels[20:100, 20:100] = rng.integers(60, 120, (80, 80, 3))
        tifffile.imwrite(folder / "slides" / f"{name}.tif", pixels, photometric="rgb")
        outline = '<polyline points="20,20 100,20 100,100 20,100" stroke="red" fill="none"/>'
        (folder / "slides" / f"{name}.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{outline}</svg>')


def copy_template(template: Path, folder: Path) -> None:
    """Copy the ordinary project and slides; their records name the files of the copy."""
    shutil.copytree(template, folder, dirs_exist_ok=True)
    edit_json(
        folder / "p.pathseg" / "project.json",
        lambda content: [slide.update(path=str(folder / slide["relative_path"])) for slide in content["slides"]],
    )
