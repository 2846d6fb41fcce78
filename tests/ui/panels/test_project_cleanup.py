"""The dialog that frees the disk of a project, with real files."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_pathseg.geometry import Region
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.projects.versions import ACCEPT_ALL, BY_HAND, create_version, versions
from napari_pathseg.ui.panels.project_cleanup import ProjectCleanupDialog
from napari_pathseg.ui.session.job_state import JobKind, JobState


@pytest.fixture
def crowded(opened):
    """A dock whose project has features and three versions of a mask, one of them superseded."""
    folder = opened.session.project.folder / "features" / "case0"
    folder.mkdir(parents=True)
    (folder / "0_0.safetensors").write_bytes(b"f" * 3_000_000)
    for why, column in ((BY_HAND, 10), (ACCEPT_ALL, 60), (ACCEPT_ALL, 110)):
        opened.session.layers.mask.stroke(BrushSegment((100, column), (100, column), 8), 2)
        opened.session.save_mask()
        create_version(opened.session.project, "case0", why)
    return opened


def dialog_of(dock, qtbot):
    dock.header._fill_menu()
    entry = next(action for action in dock.header.menu.actions() if action.text() == "Clean up project…")
    entry.trigger()
    qtbot.waitUntil(lambda: bool(dock.findChildren(ProjectCleanupDialog)))
    return dock.findChildren(ProjectCleanupDialog)[-1]


def test_dialog_shows_what_each_part_takes_and_what_deleting_frees(crowded, qtbot):
    dialog = dialog_of(crowded, qtbot)
    assert dialog.boxes.keys() == {"features", "versions"}
    assert dialog.chosen == {"features"}  # what a person may want back is left to them
    assert dialog.summary.text().startswith("Frees 3.0 MB of 3.")
    dialog.boxes["features"].setChecked(False)
    assert dialog.summary.text().startswith("Frees 0 B of ")
    assert not dialog.delete.isEnabled()


def test_only_what_is_ticked_is_deleted(crowded, qtbot, notifications):
    dialog = dialog_of(crowded, qtbot)
    qtbot.mouseClick(dialog.delete, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "3.0 MB freed." in notifications)
    project = crowded.session.project
    assert list((project.folder / "features").iterdir()) == []
    assert [version.why for version in versions(project, "case0")] == [ACCEPT_ALL, ACCEPT_ALL, BY_HAND]


def test_old_versions_go_and_the_mask_stays(crowded, qtbot, notifications):
    mask = crowded.session.mask
    labels = mask.preview(Region(0, 0, *mask.shape), 0).copy()
    dialog = dialog_of(crowded, qtbot)
    dialog.boxes["features"].setChecked(False)
    dialog.boxes["versions"].setChecked(True)
    qtbot.mouseClick(dialog.delete, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: any(text.endswith(" freed.") for text in notifications))
    project = crowded.session.project
    assert [version.why for version in versions(project, "case0")] == [ACCEPT_ALL, BY_HAND]
    stored = project.open_mask_readonly("case0").preview(Region(0, 0, *mask.shape), 0)
    assert np.array_equal(stored, labels)


def test_nothing_is_deleted_while_a_job_runs(crowded, qtbot, notifications):
    dialog = dialog_of(crowded, qtbot)
    crowded.session.training.run = JobState(JobKind.TRAIN)
    qtbot.mouseClick(dialog.delete, Qt.MouseButton.LeftButton)
    assert notifications[-1].endswith("is going on. Wait or stop it, then clean up.")
    assert (crowded.session.project.folder / "features" / "case0" / "0_0.safetensors").exists()


def test_project_with_nothing_to_delete_says_so(opened, qtbot):
    dialog = dialog_of(opened, qtbot)
    assert not dialog.boxes
    assert not dialog.delete.isEnabled()
