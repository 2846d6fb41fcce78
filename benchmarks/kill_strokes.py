"""`kill -9` at random moments of painting: is every stroke there that was acknowledged?

A child process paints in a project and writes to a log, flushed to the disk, what it is about to
do and what was taken.  It is killed, sometimes again while it recovers, and what the mask holds
then is compared with the log played on plain arrays.  A control paints the same session with
plain writes in place, and must show losses.  Prints a line for each kill and a table, and on the
last line one JSON object:

``kills``           how often a painting child was killed
``unreadable``      masks that could not be read, or were not what any moment of the log had made
``oldest_lost_s``   age at the kill of the oldest stroke that was acknowledged and is not there
``history_lost``    kills after which undo did not go back, step by step, to the empty mask
``control_losses``  kills after which the control was unreadable or had lost what it acknowledged

    python benchmarks/kill_strokes.py [--short] [--kills 100]
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from strokes import InPlace, Plain, do, in_place, pixels_of, session

from napari_pathseg.errors import PathsegError
from napari_pathseg.masks import open_mask
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project

SLIDE = "slide"
CHILDREN = multiprocessing.get_context("forkserver")  # from a clean process that has imported all
CHILDREN.set_forkserver_preload(["strokes", "tifffile", "napari_pathseg.projects.importing.add_slides"])
LONGEST_LIFE = 4  # kills of one mask before a new one is begun: undo goes back through all of them


def play(folder: Path, log: Path, seed: int, control: bool) -> None:
    """Paint until killed, logging each action."""
    project = Project.open(folder)
    project.acquire_lock("kill_strokes")
    shape = project.slide(SLIDE).mask_shape
    canvas = InPlace(folder / "control.npz", shape) if control else project.open_mask(SLIDE)
    pixels = canvas.pixels if isinstance(canvas, InPlace) else pixels_of(canvas)
    with log.open("a", encoding="utf8") as file:

        def tell(**what: Any) -> None:
            file.write(json.dumps(what) + "\n")
            file.flush()
            os.fsync(file.fileno())

        file.write("\n")  # the line before may be half a line
        tell(opened=zlib.crc32(pixels.tobytes()))
        chance = random.Random(seed)
        for action in session(shape, chance):
            tell(**action)
            do(canvas, action)
            tell(taken=time.time())
            time.sleep(chance.choice([0, 0, 0, 0.01]))


# -- what the log says


@dataclass
class Told:
    """The log of a mask, replayed on plain arrays."""

    plain: Plain
    moments: list[tuple[int, float]] = field(default_factory=list)  # checksum and time of each state that was taken
    trying: dict[str, Any] | None = None  # what was begun and not acknowledged
    summed: tuple[np.ndarray, int] | None = None

    def _sum(self) -> int:
        if self.summed is None or self.summed[0] is not self.plain.pixels:
            self.summed = (self.plain.pixels, zlib.crc32(self.plain.pixels.tobytes()))
        return self.summed[1]

    def follow(self, log: Path) -> None:
        """Replay the log."""
        for line in log.read_text(encoding="utf8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if "opened" in entry:
                self._settle(entry["opened"])
            elif "taken" in entry:
                assert self.trying is not None
                do(self.plain, self.trying)
                self.moments.append((self._sum(), entry["taken"]))
                self.trying = None
            else:
                self.trying = entry

    def _settle(self, found: int) -> None:
        """Determine whether the action in progress at a kill was accepted; a kill ends an undo group."""
        if self.trying is not None and self._sum() != found:
            do(self.plain, self.trying)
        self.trying = None
        self.plain.end_undo_group()

    def lost(self, pixels: np.ndarray, killed: float) -> float | None:
        """Return the age of the oldest lost stroke, 0 if none is lost, None if `pixels` match no logged state."""
        found = zlib.crc32(pixels.tobytes())
        now = self._sum()
        self._settle(found)
        if found in (now, self._sum()):
            return 0.0
        last = max((index for index, (sum_, _) in enumerate(self.moments) if sum_ == found), default=None)
        if last is None:
            return killed - self.moments[0][1] if self.moments and not pixels.any() else None
        return killed - self.moments[last + 1][1]


def history_whole(path: Path, told: Told, project: Project) -> bool:
    """Return whether undo goes back through the logged states, tried on a copy of the mask."""
    shape = project.slide(SLIDE).mask_shape
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copytree(path, copy)
        shutil.copy(path.with_suffix(".journal"), copy.with_suffix(".journal"))
        with open_mask(copy, shape, project.classes) as mask:
            for state in reversed(told.plain.past):
                mask.undo()
                if (pixels_of(mask) != told.plain.unpacked(state)).any():
                    return False
            return bool(mask.undo().empty and not pixels_of(mask).any())


# -- killing


@dataclass
class Life:
    """A mask from empty through several kills; each child continues where the last one was killed."""

    project: Project
    log: Path
    control: bool

    def begin(self) -> None:
        """Start with an empty mask."""
        path = self.project.mask_path(SLIDE)
        shutil.rmtree(path, ignore_errors=True)
        for file in (path.with_suffix(".journal"), self.log, self.project.folder / "control.npz"):
            file.unlink(missing_ok=True)
        self.log.touch()

    def kill(self, seed: int, seconds: float, in_recovery: bool) -> float:
        """Start a child that paints, kill it `seconds` after it opened the mask (or began to); return the time."""
        before = self.log.stat().st_size
        child = CHILDREN.Process(target=play, args=(self.project.folder, self.log, seed, self.control))
        child.start()
        while child.is_alive() and self.log.stat().st_size == before and not in_recovery:
            time.sleep(0.002)
        time.sleep(seconds)
        child.kill()
        killed = time.time()
        child.join()
        if child.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"the child ended by itself: {child.exitcode}")
        for lock in self.project.folder.glob(".lock-*"):  # to take it over would take half a second
            lock.unlink()
        return killed

    def check(self, killed: float) -> tuple[float | None, bool]:
        """Return the age of the oldest lost stroke, None if the mask is unreadable, and whether undo is intact."""
        shape = self.project.slide(SLIDE).mask_shape
        told = Told(Plain(np.zeros((2, *shape), np.uint8)))
        told.follow(self.log)
        try:
            if self.control:
                path = self.project.folder / "control.npz"
                return told.lost(in_place(path, shape), killed), False
            with self.project.write_lock(), self.project.open_mask(SLIDE) as mask:
                pixels = pixels_of(mask)
            lost = told.lost(pixels, killed)
            with self.log.open("a", encoding="utf8") as file:  # for the next child's kill
                file.write(f"\n{json.dumps({'opened': zlib.crc32(pixels.tobytes())})}\n")
            return lost, lost is not None and history_whole(self.project.mask_path(SLIDE), told, self.project)
        except (PathsegError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            print(error)
            return None, False


def make_project(folder: Path, short: bool) -> Project:
    """Return a project of one slide."""
    shape = (700, 900) if short else (1100, 1300)
    slide = folder / f"{SLIDE}.tif"
    tifffile.imwrite(slide, np.full((*shape, 3), 220, np.uint8), photometric="rgb", compression="deflate")
    project = Project.create(folder / "kill.pathseg")
    add_slides(project, [slide], AddOptions())
    return project


def kill_often(project: Project, kills: int, longest: float, control: bool) -> dict[str, Any]:
    """Kill painting children, each after a random time; return what was lost."""
    chance = random.Random(1)
    life, age = Life(project, project.folder.parent / "strokes.log", control), LONGEST_LIFE
    answer: dict[str, Any] = {"kills": 0, "unreadable": 0, "oldest_lost_s": 0.0, "history_lost": 0, "losses": 0}
    while answer["kills"] < kills:
        if age == LONGEST_LIFE:
            life.begin()
            age = 0
        in_recovery = not control and age > 0 and chance.random() < 0.3
        seconds = chance.uniform(0.0, 0.2) if in_recovery else chance.uniform(0.05, longest)
        killed = life.kill(answer["kills"], seconds, in_recovery)
        lost, undone = life.check(killed)
        age = age + 1 if lost == 0 else LONGEST_LIFE
        answer["kills"] += 1
        answer["unreadable"] += lost is None
        answer["oldest_lost_s"] = round(max(answer["oldest_lost_s"], lost or 0.0), 3)
        answer["losses"] += lost != 0
        answer["history_lost"] += not undone
        told = "unreadable" if lost is None else f"oldest lost {lost:.3f} s"
        print(f"{'control' if control else 'mask'}: kill {answer['kills']}: {told}", flush=True)
    return answer


def main() -> None:
    """Kill children that paint a mask, then those of the control."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    kills = options.kills or (10 if options.short else 100)
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), options.short)
        mask, control = (
            kill_often(project, kills, 0.5 if options.short else 1.5, control) for control in (False, True)
        )
    print(f"{'':10}{'kills':>8}{'unreadable':>12}{'oldest lost, s':>16}{'losses':>8}")
    for name, found in (("mask", mask), ("in place", control)):
        print(f"{name:10}{found['kills']:8}{found['unreadable']:12}{found['oldest_lost_s']:16}{found['losses']:8}")
    del mask["losses"]
    print(json.dumps({**mask, "control_losses": control["losses"]}))


if __name__ == "__main__":
    main()
