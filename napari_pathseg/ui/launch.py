"""The window from the command line: napari with the dock, on a project or on slides."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import FOLDER_SUFFIX
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.storage.names import is_project
from napari_pathseg.ui.crash_log import CrashLog, crash_folder, unreported_crashes
from napari_pathseg.ui.session.import_controller import add_files, classify_paths
from napari_pathseg.ui.session.session import Session

if TYPE_CHECKING:
    import napari

    from napari_pathseg.ui.dock import PathsegDock


def open_window(paths: Sequence[Path], slide: str | None = None, region: Region | None = None) -> None:
    """Open napari with the dock on `paths` (a project, slides or a folder of slides) and block until it is closed.

    Slides without a project get one in their folder.  `slide` names the slide to show first, `region` the part of it,
    in level-0 pixels.

    Raises
    ------
    PathsegError
        If there is no display, or one of the paths cannot be opened.
    """
    check_paths(paths)
    log = CrashLog(crash_folder())
    try:
        _open_and_run(paths, slide, region)
    finally:
        log.close()


def _open_and_run(paths: Sequence[Path], slide: str | None, region: Region | None) -> None:
    with _collections_paused():
        viewer, dock = make_window()
        report_crashes(dock.show_doctor)
        try:
            open_paths(dock.session, paths)
            if slide is not None:
                dock.session.show_slide(slide)
            if region is not None:
                dock.session.layers.look_at(region, dock.session.require_slide().mpp)
        except PathsegError:
            close_window(viewer, dock)
            raise
    import napari

    napari.run()
    gc.freeze()  # the program ends: 1.3 s of looking for garbage among all modules is saved


def report_crashes(show_doctor: Callable[[], None]) -> None:
    """Name the file of the last crash, if the window has crashed since it was opened last, and offer the doctor."""
    from napari_pathseg.ui.widgets.notifications import notify

    crashes = unreported_crashes(crash_folder())
    if crashes:
        text = f"napari crashed last time. What you had drawn is in the project; {crashes[0]} says where it was."
        details = crashes[0].read_text(encoding="utf8", errors="replace")
        notify(text, details, "warning", offer=("Doctor", show_doctor))


@contextlib.contextmanager
def _collections_paused() -> Iterator[None]:
    """Collect no garbage within the block, and never among what it made: a tenth of the time until the first slide."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def make_window() -> tuple[napari.Viewer, PathsegDock]:
    """Open a napari window, maximised or as it was last left, and return its viewer and the dock."""
    require_display()
    import napari
    from napari.settings import get_settings
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    never_left = get_settings().application.window_size is None  # it is saved when a window is closed
    viewer = napari.Viewer(title="napari-pathseg", show=False)
    dock = get_dock(viewer)
    viewer.window.show()  # with the dock, and as it was left
    if (window := dock.window()) is not None and (screen := window.screen()) is not None:
        room = screen.availableGeometry()
        if never_left or not room.contains(window.geometry()):  # or it was left on a larger screen
            window.setGeometry(room)  # where nothing maximises windows
            window.setWindowState(Qt.WindowState.WindowMaximized)
    QApplication.processEvents()  # gives the canvas its size, to which the first slide is fitted
    dock.window_layout.open()
    QApplication.processEvents()
    return viewer, dock


def get_dock(viewer: napari.Viewer) -> PathsegDock:
    """Return the viewer's dock, the one that the Plugins menu shows; create it on first use."""
    dock: PathsegDock = viewer.window.add_plugin_dock_widget("napari-pathseg", "PathSeg")[1]
    return dock


def close_window(viewer: napari.Viewer, dock: PathsegDock) -> None:
    """Save, stop the worker and close the window."""
    dock.shutdown()
    viewer.close()


def open_paths(session: Session, paths: Sequence[Path]) -> None:
    """Open projects, slides and contours in the window and show the first slide among `paths`.

    Raises
    ------
    PathsegError
        If one of them cannot be used; the others are loaded.
    """
    added = add_files(session, paths)
    unclear = [
        f"{file.path.name} needs a decision. Import it in the window." for file in added.ambiguous if not file.ignored
    ]
    problems = [*added.problems, *added.refused.values(), *unclear]
    if problems:
        raise PathsegError("\n".join(problems))
    wanted = [path.absolute() for path in classify_paths(paths).slides[:1]]
    for record in session.project.slides.values() if session.project is not None else ():
        if session.require_project().find_file(record) in wanted and record != session.slide:
            session.show_slide(record.id)


def check_paths(paths: Sequence[Path]) -> None:
    """Raise, before a window opens, if `paths` cannot be shown in it.

    Raises
    ------
    ProjectError
        If there are several projects, or a path is neither a project nor a slide nor contours.
    UnsupportedSlideError
        If a slide cannot be opened.
    """
    found = classify_paths(paths)
    projects = [path for path in paths if is_project(path)]
    if len(projects) > 1:
        names = ", ".join(path.name for path in projects)
        raise ProjectError(f"{len(projects)} projects were given ({names}); a window shows one. Open each separately.")
    for path in found.unknown:
        if path.suffix.lower() == FOLDER_SUFFIX:
            raise ProjectError(f"{path} is not a project: it has no project.json. Make one with `pathseg new`.")
        raise ProjectError(f"{path} is not a project, slide, contour file or folder of slides. Give one of these.")
    for path in found.slides:
        open_slide(path).close()


def require_display() -> None:
    """Raise if there is no display; Qt would abort the program without a message.

    Raises
    ------
    PathsegError
        Which variables are missing, and what to do.
    """
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if sys.platform.startswith("linux") and not shown:
        raise PathsegError(
            "There is no display: neither DISPLAY nor WAYLAND_DISPLAY is set. Start it on a desktop, or under "
            '`xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX"`.'
        )
