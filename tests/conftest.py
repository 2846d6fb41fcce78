"""What many tests need: small slides with contours, and a project of them."""

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from hypothesis import settings

from napari_pathseg.config import TrainConfig
from napari_pathseg.contours.formats import contour_file
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.events import Event
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project

# The same examples in every run, so that a change is judged by what it changes; `make fuzz` looks for new ones.
settings.register_profile("same", derandomize=True)
if "FUZZ" not in os.environ:
    settings.load_profile("same")

# Real slides, contours and weights that are too large for the repository; tests that read them carry the marker
# `shared_data` and are skipped, and counted in one line, where the folder is absent.
ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
_NO_SHARED_DATA = "the folder shared/ with real data does not lie beside the repository"

OLD_PROJECT = Path(__file__).parent / "old_project" / "project_0_1.zip"  # see the README beside it
AN_HOUR = 3600  # seconds

SIDE = 192
# fp32, as "auto" may choose another precision for a training than for a later prediction on a busy machine
QUICK = TrainConfig(steps=32, tile=64, batch=4, cached_tiles=24, decoder_seconds=8, precision="fp32")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of shared data where there is none."""
    if not SHARED.is_dir():
        for item in items:
            if item.get_closest_marker("shared_data"):
                item.add_marker(pytest.mark.skip(reason=_NO_SHARED_DATA))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a run of the window's tests and torch's in one process, where torch crashes after napari's OpenGL."""
    folders = {item.path.relative_to(ROOT).parts[:2] for item in session.items if item.path.is_relative_to(ROOT)}
    if {("tests", "engine"), ("tests", "ui")} <= folders and not session.config.option.collectonly:
        raise pytest.UsageError("tests/ui and tests/engine crash in one process. Run `make tests`, or one of the two.")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line how many tests were skipped for want of shared data."""
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if _NO_SHARED_DATA in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests skipped: {_NO_SHARED_DATA}.", yellow=True)


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Path:
    """The folder of real data beside the repository; only for tests marked `shared_data`."""
    assert request.node.get_closest_marker("shared_data"), "mark the test with @pytest.mark.shared_data"
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests put into the cache folder out of the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(folder))
        yield


def draw_slide(path: Path, seed: int) -> tuple[slice, slice]:
    """Write a small slide with a dark square on pale ground; return where the square is."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(190, 230, (SIDE, SIDE, 3)).astype(np.uint8)
    top, left = (int(v) for v in rng.integers(20, 80, 2))
    square = (slice(top, top + 80), slice(left, left + 80))
    pixels[square] = rng.integers(60, 120, (80, 80, 3))
    tifffile.imwrite(path, pixels, photometric="rgb", compression="deflate")
    return square


def write_svg(path: Path, square: tuple[slice, slice]) -> None:
    """Write the outline of a square as the gastric set does."""
    top, bottom, left, right = square[0].start, square[0].stop, square[1].start, square[1].stop
    points = f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}"
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg"><polyline points="{points}" stroke="red" fill="none"/></svg>'
    )


def _write_slides(folder: Path) -> list[Path]:
    paths = []
    for number in range(6):
        path = folder / f"case{number}.tif"
        square = draw_slide(path, number)
        if number < 5:
            write_svg(path.with_suffix(".svg"), square)
        paths.append(path)
    return paths


def _make_project(folder: Path, slides: list[Path]) -> Project:
    project = Project.create(folder / "test.pathseg")
    add_slides(project, slides[:5], AddOptions(contours=slides[0].parent))
    add_slides(project, slides[5:], AddOptions(role="test"))
    return project


@pytest.fixture(scope="session")
def slide_maker() -> Callable[[Path], list[Path]]:
    """A function that writes the six slides into a folder."""
    return _write_slides


@pytest.fixture
def slides(tmp_path: Path) -> list[Path]:
    """Six slides; the first five have an SVG of the same stem beside them."""
    (tmp_path / "slides").mkdir()
    return _write_slides(tmp_path / "slides")


@pytest.fixture
def project(tmp_path: Path, slides: list[Path]) -> Project:
    """A project of the six slides: five complete with their contours, one for testing."""
    return _make_project(tmp_path, slides)


HOLDER = """
import sys
from napari_pathseg import Project

project = Project.open(sys.argv[1])
project.acquire_lock("the window")
print("held", flush=True)
for order in sys.stdin:
    if order.strip() == "change":
        project.update_slide("case0", patient="Smith")
    else:
        project.release_lock()
    print("done", flush=True)
"""


@pytest.fixture
def holder(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A second process that holds the lock of `project` and obeys "change" and "release" on its standard input."""
    command = [sys.executable, "-c", HOLDER, str(project.folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the contour files that were parsed, one entry for each time."""
    parse, names = contour_file.parse_document, []
    monkeypatch.setattr(contour_file, "parse_document", lambda path: names.append(path.name) or parse(path))
    return names


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, list[Event], Bundle]:
    """A project with a model, the events of its training, and its bundle: one short real training.

    Tests that share it look and add, and change nothing.
    """
    from napari_pathseg.engine.training import trainer
    from napari_pathseg.engine.training.training import train

    folder = tmp_path_factory.mktemp("trained")
    project = _make_project(folder, _write_slides(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "_VALIDATIONS", 4)  # of these few steps, instead of one after each
        job, events = train(project, QUICK), []
        while True:
            try:
                events.append(next(job))
            except StopIteration as end:
                return project, events, end.value


@pytest.fixture
def old_project(tmp_path: Path) -> SimpleNamespace:
    """A project of version 0.1.0: its folder, the answers of that version, and its arrays; files are an hour old."""
    with zipfile.ZipFile(OLD_PROJECT) as archive:
        archive.extractall(tmp_path)
    then = time.time() - AN_HOUR
    for path in tmp_path.rglob("*"):
        os.utime(path, (then, then))
    answers = json.loads((tmp_path / "expected.json").read_text(encoding="utf8"))
    return SimpleNamespace(folder=tmp_path / "old.pathseg", answers=answers, arrays=np.load(tmp_path / "expected.npz"))
