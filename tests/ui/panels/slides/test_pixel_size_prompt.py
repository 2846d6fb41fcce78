"""The window asks once for the pixel size of slides that do not state it."""

from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication

from napari_pathseg.projects.project import Project
from napari_pathseg.ui.panels.slides.rows import ROW_HEIGHT


def test_pixel_size_is_asked_once_and_stored_in_the_project(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files)
    question = dock.slides.size_question
    assert question.isVisibleTo(dock.slides)
    assert f"{len(slide_files)} slides do not state" in question.text.text()
    question.mpp.value = 0.44
    question.set_size.click()
    assert not question.isVisibleTo(dock.slides)
    session = dock.slides._session
    assert {entry.mpp for entry in Project.open(session.project.folder).slides.values()} == {0.44}
    assert session.slide.mpp == 0.44  # the slide in view is repositioned


def test_unknown_pixel_size_is_asked_again_only_for_new_slides(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files[:2])
    question = dock.slides.size_question
    question.unknown.click()
    assert not question.isVisibleTo(dock.slides)
    dock.slides.file_drop.add_files(slide_files[2:])
    assert f"{len(slide_files) - 2} slide" in question.text.text() or slide_files[2].stem in question.text.text()
    assert question.isVisibleTo(dock.slides)


def test_project_in_pixels_asks_for_no_pixel_size(dock, slide_files, tmp_path):
    dock.slides._session.new_project(tmp_path / "pixels.pathseg", mpp=None)
    dock.slides.file_drop.add_files(slide_files)
    assert not dock.slides.size_question.isVisibleTo(dock.slides)


def test_prompt_takes_its_room_from_the_list_and_moves_nothing_below(dock, slide_files):
    panel, outline = dock.slides, dock.sections["outline"]
    dock.resize(dock.width(), 700)
    QApplication.processEvents()
    panel._session.new_project(slide_files[0].parent / "p.pathseg")
    QApplication.processEvents()
    places = [outline.mapTo(dock, QPoint(0, 0)).y()]
    panel.file_drop.add_files(slide_files)
    QApplication.processEvents()
    places.append(outline.mapTo(dock, QPoint(0, 0)).y())
    assert panel.size_question.isVisible()
    assert panel.list.height() >= 2 * ROW_HEIGHT
    assert panel.size_question.height() >= panel.size_question.sizeHint().height()
    panel.size_question.unknown.click()
    QApplication.processEvents()
    places.append(outline.mapTo(dock, QPoint(0, 0)).y())
    assert places == places[:1] * 3
    assert panel.list.height() >= 4 * ROW_HEIGHT
