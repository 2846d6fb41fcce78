"""A new model beside the one before it, in the window: kept, discarded, brought back."""

import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import Qt

from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.jobs.protocol import Predict, TrainingFinished
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.panels.review import ReviewPanel
from napari_pathseg.ui.panels.train.train import TrainPanel

WORSE = "m002 is worse than m001 by more than noise, so m001 stays the current model."
KEEPS = " Keep, under Train, makes m002 current."


@pytest.fixture
def panel(qtbot, learnable):
    save_model(learnable.project, make_bundle("m001"))
    panel = TrainPanel(learnable)
    qtbot.addWidget(panel)
    panel.show()
    return panel


@pytest.fixture
def train(panel, learnable, worker):
    """A function that trains the second model, with its mean Dice on two slides; the first has 0.8."""

    def train(*dice):
        base = {f"case{number}": SlideScore([0.8, 0.8], "labels") for number in range(len(dice))}
        own = {f"case{number}": SlideScore([value, value], "labels") for number, value in enumerate(dice)}
        panel.button.click()
        save_model(learnable.project, make_bundle("m002", base="m001", base_scores=base, slide_scores=own))
        worker.event.emit(TrainingFinished("m002", 0.8))

    return train


def _stored(session):
    return Project.open(session.project.folder)


def _click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_nothing_is_shown_before_a_model_is_compared(panel, worker):
    assert not panel.version_choice.isVisible()
    panel.button.click()
    worker.event.emit(TrainingFinished("m001", 0.8))
    assert not panel.version_choice.isVisible()


def test_better_model_is_current_and_its_comparison_can_be_put_away(panel, train, learnable, qtbot, worker):
    train(0.83, 0.91)
    choice = panel.version_choice
    assert choice.sentence.text() == (
        "m002 against m001: Dice +0.070 (+0.030 to +0.110) on 2 slides; worst case0 +0.030."
    )
    assert "no interval with fewer than 8 patients" in choice.sentence.toolTip()
    assert learnable.project.current_model == "m002"
    assert [command.model for command in worker.sent if isinstance(command, Predict)] == ["m002"]
    _click(qtbot, choice.keep)
    assert not choice.isVisible()
    assert learnable.project.current_model == "m002"


def test_worse_model_is_not_current_is_not_shown_on_the_slide_and_keep_changes_that(
    panel, train, learnable, qtbot, worker, messages
):
    train(0.7, 0.76)
    assert learnable.project.current_model == _stored(learnable).current_model == "m001"
    assert not [command for command in worker.sent if isinstance(command, Predict)]
    assert messages[-1] == WORSE + KEEPS
    assert panel.version_choice.sentence.text().endswith("worst case0 -0.100. m001 stays current.")
    assert panel.parent_model.choices[0] == "latest"
    _click(qtbot, panel.version_choice.keep)
    assert _stored(learnable).current_model == "m002"
    assert not panel.version_choice.isVisible()


def test_discarded_model_is_removed_and_comes_back_by_one_click(panel, train, learnable, qtbot):
    train(0.7, 0.7)
    choice = panel.version_choice
    _click(qtbot, choice.discard)
    assert choice.sentence.text() == "m002 is discarded; m001 is current."
    assert _stored(learnable).model_ids() == ["m001"]
    assert (choice.keep.isVisible(), choice.discard.isVisible(), choice.restore.isVisible()) == (False, False, True)
    _click(qtbot, choice.restore)
    assert _stored(learnable).model_ids() == ["m001", "m002"]
    assert learnable.project.current_model == "m001"
    assert choice.keep.isVisible()


def test_current_model_that_was_discarded_comes_back_as_the_current_one(panel, train, learnable, qtbot):
    train(0.9, 0.9)
    _click(qtbot, panel.version_choice.discard)
    assert learnable.project.current_model == "m001"
    _click(qtbot, panel.version_choice.restore)
    assert _stored(learnable).current_model == "m002"


def test_choice_ends_with_the_next_training(panel, train):
    train(0.9, 0.9)
    assert panel.version_choice.keep.isEnabled()
    panel.button.click()
    panel.version_choice.refresh()
    assert not panel.version_choice.isVisible()


def test_review_predicts_with_the_current_model(panel, train, learnable, qtbot):
    review = ReviewPanel(learnable)
    qtbot.addWidget(review)
    train(0.7, 0.7)
    assert review.model.currentData() == "m001"
    _click(qtbot, panel.version_choice.keep)
    assert review.model.currentData() == "m002"
