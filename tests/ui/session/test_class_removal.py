"""A class is removed beside the window: each mask in the background, which can be stopped."""

import time

import pytest
from napari.components import ViewerModel

from napari_pathseg.errors import ProjectError
from napari_pathseg.ui.session.class_removal import remove_class
from napari_pathseg.ui.session.session import Session

TUMOUR, STROMA = 2, 3


@pytest.fixture
def opened(qapp, beside, monkeypatch, project, make_worker):
    monkeypatch.setattr("napari_pathseg.ui.session.background.AT_ONCE_S", 0)
    session = Session(ViewerModel(), make_worker())
    project.change_classes(project.classes.add("Stroma"))
    session.open_project(project.folder)
    messages = []
    session.message.connect(lambda text, *_: messages.append(text))
    session.heard = messages
    yield session
    session.close()


def finish(session):
    until = time.monotonic() + 60
    while session.background.active:
        session.background.poll(0.05)
        assert time.monotonic() < until


def left(session, number):
    return sum(int(session.counts(slide)[number].sum()) for slide in session.project.slides)


def test_the_window_goes_on_while_the_masks_change(opened):
    remove_class(opened, TUMOUR, STROMA)
    assert opened.background.active
    assert opened.background.title == "Merging Tumour into Stroma"
    assert "Tumour" in opened.project.classes.names
    finish(opened)
    assert "Tumour" not in opened.project.classes.names
    assert not left(opened, TUMOUR)
    assert opened.heard[-1].startswith("Tumour is Stroma now on ")
    assert not opened.read_only


def test_the_slide_that_is_being_changed_can_only_be_looked_at(opened):
    slide = next(one for one in opened.project.slides if opened.counts(one)[TUMOUR].any())
    opened.show_slide(slide)
    remove_class(opened, TUMOUR)
    while opened.workspace.importing != slide:
        opened.background.poll(0.05)
    with pytest.raises(ProjectError, match="Removing Tumour: this slide is being changed. Wait a moment"):
        opened.editor.reject("slide")
    finish(opened)
    assert opened.workspace.require_mask().writable


def test_strokes_of_the_class_that_are_painted_meanwhile_go_too(opened):
    remove_class(opened, TUMOUR)
    free = next(one for one in opened.project.slides if one != opened.workspace.importing)
    opened.show_slide(free)
    opened.layers.mask.brush_size = 20
    opened.layers.mask.paint((50, 50), TUMOUR)
    finish(opened)
    assert not left(opened, TUMOUR)
    assert "Tumour" not in opened.project.classes.names


def test_a_stop_leaves_the_class_and_whole_masks(opened):
    before = {slide: opened.counts(slide) for slide in opened.project.slides}
    remove_class(opened, TUMOUR)
    opened.background.cancel()
    finish(opened)
    assert "Tumour" in opened.project.classes.names
    assert opened.heard[-1].startswith("Stopped: Tumour stays")
    for slide, counts in before.items():
        assert opened.counts(slide)[TUMOUR].sum() in (0, counts[TUMOUR].sum())
    assert left(opened, TUMOUR)
