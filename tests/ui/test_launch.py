import sys

import numpy as np
import pytest
import tifffile

from napari_pathseg.errors import PathsegError, ProjectError, UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.launch import check_paths, close_window, get_dock, open_paths, require_display


@pytest.fixture
def slides(tmp_path):
    paths = [tmp_path / "liver" / f"{name}.tif" for name in "ab"]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        tifffile.imwrite(path, np.full((64, 64, 3), 200 + number, np.uint8), photometric="rgb")
    return paths


def test_slides_without_a_project_get_one_in_their_folder(session, slides):
    open_paths(session, slides)
    assert session.project.folder == slides[0].parent / "liver.pathseg"
    assert list(session.project.slides) == ["a", "b"]
    assert session.slide.id == "a"


def test_existing_project_of_slides_is_reopened(session, slides):
    open_paths(session, slides[:1])
    session.close()
    open_paths(session, slides[1:])
    assert list(session.project.slides) == ["a", "b"]
    assert session.slide.id == "b"


def test_slides_named_with_a_project_are_added_to_it(session, slides, tmp_path):
    Project.create(tmp_path / "x.pathseg")
    open_paths(session, [*slides, tmp_path / "x.pathseg"])
    assert session.project.folder == tmp_path / "x.pathseg"
    assert list(session.project.slides) == ["a", "b"]


def test_named_slide_is_shown(session, slides, tmp_path):
    add_slides(Project.create(tmp_path / "x.pathseg"), slides)
    open_paths(session, [tmp_path / "x.pathseg", slides[1]])
    assert session.slide.id == "b"


def test_folder_is_opened_as_its_slides(session, slides):
    open_paths(session, [slides[0].parent])
    assert list(session.project.slides) == ["a", "b"]


def test_two_projects_are_refused(tmp_path):
    folders = [Project.create(tmp_path / f"{name}.pathseg").folder for name in "ab"]
    with pytest.raises(ProjectError, match="2 projects"):
        check_paths(folders)


def test_missing_project_is_refused_before_a_window_opens(tmp_path):
    with pytest.raises(ProjectError, match="pathseg new"):
        check_paths([tmp_path / "a.pathseg"])


def test_folder_without_slides_is_refused_before_a_window_opens(tmp_path):
    with pytest.raises(ProjectError, match="folder of slides"):
        check_paths([tmp_path])


def test_missing_slide_is_refused_before_a_window_opens(tmp_path):
    with pytest.raises(UnsupportedSlideError, match="does not exist"):
        check_paths([tmp_path / "a.svs"])


def test_window_has_one_dock(make_napari_viewer):
    viewer = make_napari_viewer()
    dock = get_dock(viewer)
    assert get_dock(viewer) is dock
    assert dock in viewer.window.dock_widgets.values()
    dock.shutdown()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can be without a display")
def test_missing_display_is_reported_with_a_remedy(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PathsegError, match="xvfb-run"):
        require_display()


def test_dock_of_the_plugins_menu_shows_the_active_tool(make_napari_viewer, slides):
    viewer = make_napari_viewer()
    dock = get_dock(viewer)  # napari passes it the viewer in a wrapper
    open_paths(dock.session, slides)
    dock.annotate.choose("lasso")
    assert [name for name, button in dock.annotate.tools.items() if button.isChecked()] == ["lasso"]
    close_window(viewer, dock)


def test_place_on_a_slide_is_looked_at(session, slides, tmp_path):
    add_slides(Project.create(tmp_path / "x.pathseg"), slides)
    open_paths(session, [tmp_path / "x.pathseg"])
    session.layers.look_at(Region(10, 20, 5, 9), None)
    assert session.layers.viewer.scene.camera.center[-2:] == (12, 24)
