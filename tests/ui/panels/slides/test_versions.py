import os
from datetime import datetime, timedelta

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.projects.versions import create_version, versions
from napari_pathseg.ui.panels.slides.versions import VersionsDialog, when_text


@pytest.fixture
def shown(session, tmp_path, slide_files):
    """A session with one slide in view."""
    session.new_project(tmp_path / "liver.pathseg")
    session.add_slides(slide_files[:1])
    notification_manager.records.clear()
    return session


@pytest.fixture
def ask(shown, qtbot):
    """Return a function that opens a new dialog."""

    def open_dialog():
        dialog = VersionsDialog(shown)
        qtbot.addWidget(dialog)
        dialog.open()
        return dialog

    return open_dialog


def paint(session, region, label=2):
    shape = (region.height, region.width)
    labels, provenance = np.full(shape, label, np.uint8), np.full(shape, Provenance.DRAWN, np.uint8)
    session.refresh_mask(session.mask.edit(region, labels, provenance))


def keep(session, why):
    session.save_mask()
    version = create_version(session.require_project(), session.slide.id, why)
    assert version is not None
    return version


def texts(dialog, row):
    return [dialog.table.item(row, column).text() for column in range(dialog.table.columnCount())]


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def shows(view, share_down, spec):
    """Return whether a thumbnail has the colour of a class at a share of its height; a display of 16 bits rounds it."""
    image = view.thumbnail.pixmap().toImage()
    color = image.pixelColor(image.width() // 2, int(share_down * image.height()))
    return max(abs(a - b) for a, b in zip(color.getRgb()[:3], spec.rgb, strict=True)) < 8


def test_versions_are_listed_newest_first_in_words(shown, ask):
    paint(shown, Region(0, 0, 20, 20))
    keep(shown, "import")
    paint(shown, Region(50, 50, 10, 10), 1)
    keep(shown, "training")
    paint(shown, Region(0, 0, 10, 10), 0)
    dialog = ask()
    assert dialog.heading.text() == "<b>case0</b>: 2 versions"
    when, *rest = texts(dialog, 0)
    assert when.startswith("today, ")
    assert rest == ["before training", "Background 100 px · Tumour 400 px", "Tumour −100 px"]
    assert texts(dialog, 1)[1:] == ["before an import", "Tumour 400 px", "Background +100 px · Tumour −100 px"]


def test_version_areas_are_in_mm2_if_the_pixel_size_is_known(shown, ask):
    shown.require_project().update_slide("case0", mpp=100.0)
    shown.show_slide("case0")
    paint(shown, Region(0, 0, 20, 20))
    keep(shown, "import")
    assert texts(ask(), 0)[2] == "Tumour 4.00 mm²"


def test_unsaved_stroke_counts_as_a_change_since_the_version(shown, ask):
    paint(shown, Region(0, 0, 20, 20))
    keep(shown, "import")
    paint(shown, Region(100, 100, 5, 5))
    dialog = ask()
    assert texts(dialog, 0)[3] == "Tumour +25 px"
    assert dialog.ok.isEnabled()


def test_restore_brings_the_mask_back_and_undo_reverses_it(shown, ask, qtbot):
    paint(shown, Region(0, 0, 20, 20))
    keep(shown, "import")
    paint(shown, Region(0, 0, 200, 200), 1)
    dialog = ask()
    click(qtbot, dialog.ok)
    assert shown.counts("case0")[2].sum() == 400
    assert "Ctrl+Z undoes it" in notification_manager.records[-1].message
    shown.layers.mask.undo()
    assert shown.counts("case0")[1].sum() == 200 * 200


def test_mask_before_a_restore_becomes_a_version(shown, ask, qtbot):
    paint(shown, Region(0, 0, 20, 20))
    keep(shown, "import")
    paint(shown, Region(0, 0, 200, 200), 1)
    dialog = ask()
    click(qtbot, dialog.ok)
    assert [version.why for version in versions(shown.require_project(), "case0")] == ["before restore", "import"]


def test_unchanged_mask_cannot_be_restored(shown, ask):
    paint(shown, Region(0, 0, 20, 20))
    keep(shown, "import")
    dialog = ask()
    assert not dialog.ok.isEnabled()
    assert texts(dialog, 0)[3] == "same areas"
    assert dialog.hint.text() == "The mask is now as it was then."


def test_moved_pixels_can_be_restored_although_areas_are_equal(shown, ask):
    paint(shown, Region(0, 0, 20, 20))
    keep(shown, "import")
    paint(shown, Region(0, 0, 20, 20), 0)
    paint(shown, Region(0, 100, 20, 20))
    dialog = ask()
    assert texts(dialog, 0)[3] == "same areas"
    assert dialog.ok.isEnabled()


def test_keep_now_creates_one_version_of_unchanged_masks(shown, ask, qtbot):
    paint(shown, Region(0, 0, 20, 20))
    dialog = ask()
    assert "No versions yet" in dialog.hint.text()
    assert not dialog.ok.isEnabled()
    click(qtbot, dialog.keep_now)
    assert texts(dialog, 0)[1] == "kept by hand"
    click(qtbot, dialog.keep_now)
    assert dialog.table.rowCount() == 1
    assert "Nothing changed since the newest version" in dialog.hint.text()


def test_thumbnails_show_both_masks_in_class_colours(shown, ask):
    paint(shown, Region(0, 0, 128, 256))
    keep(shown, "import")
    paint(shown, Region(0, 0, 256, 256), 1)
    dialog = ask()
    background, tumour = shown.require_project().classes
    assert shows(dialog.then, 0.25, tumour)
    assert not any(shows(dialog.then, 0.75, spec) for spec in (background, tumour))
    assert all(shows(dialog.now, share, background) for share in (0.25, 0.75))


def test_damaged_version_is_listed_with_the_reason(shown, ask):
    paint(shown, Region(0, 0, 20, 20))
    damaged = keep(shown, "import")
    (damaged.folder / "version.json").write_text("{")
    paint(shown, Region(0, 0, 40, 20))
    keep(shown, "training")
    dialog = ask()
    assert texts(dialog, 1)[1:] == ["⚠ version 1 cannot be read", "", ""]
    dialog.table.selectRow(1)
    assert str(damaged.folder) in dialog.hint.text()
    assert not dialog.ok.isEnabled()
    assert dialog.then.thumbnail.pixmap().isNull()


def test_version_with_a_missing_file_is_not_shown_as_empty(shown, ask):
    paint(shown, Region(0, 0, 20, 20))
    version = keep(shown, "import")
    os.unlink(version.snapshot / "labels/0/c/0/0")
    paint(shown, Region(0, 0, 40, 20))
    dialog = ask()
    assert "its mask had" in dialog.hint.text()
    assert not dialog.ok.isEnabled()


def test_versions_dialog_needs_a_slide_in_view(dock):
    with pytest.raises(ProjectError):
        VersionsDialog(dock.session, dock)


NOW = datetime(2026, 3, 6, 8, 0).astimezone()


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(minutes=5), "today, 07:55"),
        (timedelta(hours=9), "yesterday, 23:00"),
        (timedelta(days=9), "25 Feb, 08:00"),
        (timedelta(days=100), "26 Nov 2025, 08:00"),
    ],
)
def test_version_time_is_shown_relative_to_today(before, text):
    assert when_text(NOW - before, NOW) == text
