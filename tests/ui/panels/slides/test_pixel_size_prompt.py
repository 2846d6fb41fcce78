"""Slides that do not say their pixel size leave one question, asked once."""

from napari_pathseg.projects.project import Project


def test_a_pixel_size_is_asked_once_and_kept_in_the_project(dock, pictures):
    dock.slides.file_drop.add_files(pictures)
    question = dock.slides.size_question
    assert question.isVisibleTo(dock.slides)
    assert f"{len(pictures)} slides do not state" in question.text.text()
    question.mpp.value = 0.44
    question.set_size.click()
    assert not question.isVisibleTo(dock.slides)
    session = dock.slides._session
    assert {entry.mpp for entry in Project.open(session.project.folder).slides.values()} == {0.44}
    assert session.slide.mpp == 0.44  # the slide in view is placed anew


def test_who_does_not_know_it_is_not_asked_again_but_of_new_slides(dock, pictures):
    dock.slides.file_drop.add_files(pictures[:2])
    question = dock.slides.size_question
    question.unknown.click()
    assert not question.isVisibleTo(dock.slides)
    dock.slides.file_drop.add_files(pictures[2:])
    assert f"{len(pictures) - 2} slide" in question.text.text() or pictures[2].stem in question.text.text()
    assert question.isVisibleTo(dock.slides)


def test_a_project_in_pixels_asks_nothing(dock, pictures, tmp_path):
    dock.slides._session.new_project(tmp_path / "pixels.pathseg", mpp=None)
    dock.slides.file_drop.add_files(pictures)
    assert not dock.slides.size_question.isVisibleTo(dock.slides)
