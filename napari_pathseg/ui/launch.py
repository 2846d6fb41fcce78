"""The window from the command line: napari with the dock, on a project or on slides."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.projects.project import FOLDER_SUFFIX
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.ui.session.import_controller import add_files, classify_paths
from napari_pathseg.ui.session.session import Session

if TYPE_CHECKING:
    import napari

    from napari_pathseg.ui.dock import PathsegDock


def open_window(paths: Sequence[Path], slide: str | None = None) -> None:
    """Open napari with the dock on `paths`, a project or slides or a folder of them, and stay until it is closed.

    Slides without a project get one beside them.  `slide` names the slide to bring into view.

    Raises
    ------
    PathsegError
        If there is no display, or what is named cannot be opened.
    """
    check_paths(paths)
    viewer, dock = make_window()
    try:
        open_paths(dock.session, paths)
        if slide is not None:
            dock.session.show_slide(slide)
    except PathsegError:
        close_window(viewer, dock)
        raise
    import napari

    napari.run()


def make_window() -> tuple[napari.Viewer, PathsegDock]:
    """Return a viewer in a window, and the dock in it."""
    require_display()
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(title="napari-pathseg")
    dock = get_dock(viewer)
    QApplication.processEvents()  # the canvas gets its size, to which the first slide is fitted
    return viewer, dock


def get_dock(viewer: napari.Viewer) -> PathsegDock:
    """Return the viewer's dock, made where it has none; the same one that the Plugins menu shows."""
    dock: PathsegDock = viewer.window.add_plugin_dock_widget("napari-pathseg", "PathSeg")[1]
    return dock


def close_window(viewer: napari.Viewer, dock: PathsegDock) -> None:
    """Save, end the worker and close the window."""
    dock.shutdown()
    viewer.close()


def open_paths(session: Session, paths: Sequence[Path]) -> None:
    """Bring projects, slides and contours into the window, the first slide that is named into view.

    Raises
    ------
    PathsegError
        If one of them cannot be used; the others are there.
    """
    taken = add_files(session, paths)
    unclear = [f"{path.name} needs a decision. Import it in the window." for path in taken.ambiguous]
    problems = [*taken.problems, *taken.refused.values(), *unclear]
    if problems:
        raise PathsegError("\n".join(problems))
    wanted = [path.absolute() for path in classify_paths(paths, None).slides[:1]]
    for entry in session.project.slides.values() if session.project is not None else ():
        if session.require_project().find_file(entry) in wanted and entry != session.slide:
            session.show_slide(entry.id)


def check_paths(paths: Sequence[Path]) -> None:
    """Refuse, before a window opens, what cannot be shown in one.

    Raises
    ------
    ProjectError
        If there are several projects, or something is neither project nor slide nor contours.
    UnsupportedSlideError
        If a slide cannot be opened.
    """
    found = classify_paths(paths, None)
    projects = [path for path in paths if (path / "project.json").is_file()]
    if len(projects) > 1:
        names = ", ".join(path.name for path in projects)
        raise ProjectError(f"{len(projects)} projects were named ({names}); a window shows one. Open each by itself.")
    for path in found.unknown:
        if path.suffix.lower() == FOLDER_SUFFIX:
            raise ProjectError(f"{path} is no project: it has no project.json. Make one with `pathseg new`.")
        raise ProjectError(f"{path} is no project, slide, contour file or folder of slides. Name one of these.")
    for path in found.slides:
        open_slide(path).close()


def require_display() -> None:
    """Refuse to open a window where there is no display; Qt would end the program without a word.

    Raises
    ------
    PathsegError
        Naming what is missing and what helps.
    """
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if sys.platform.startswith("linux") and not shown:
        raise PathsegError(
            "There is no display: neither DISPLAY nor WAYLAND_DISPLAY is set. Start it on a desktop, or under "
            '`xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX"`.'
        )
