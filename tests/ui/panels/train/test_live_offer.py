"""A training beside the live model in the window: which of the two is shown, and what is offered at the end."""

import os

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import Qt

from napari_pathseg.engine.bundle_io import save_bundle
from napari_pathseg.engine.events import KEEPING, LiveCompared, LiveKept, LiveStatus, Progress, Started, Validated
from napari_pathseg.engine.training.kept_model import KeptLive
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import KeepLive, Predict, Train, TrainingFinished
from napari_pathseg.masks.edits import paint
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.panels.review import ReviewPanel
from napari_pathseg.ui.panels.train.train import TrainPanel
from napari_pathseg.ui.session.background import run_now
from napari_pathseg.ui.session.formatting import format_job
from napari_pathseg.ui.session.next_step import changed_slides, next_step

READY = LiveStatus(ready=True, fit=1)
HELD = Started("r002", "m002", None, ["case0"], ["case4"])


@pytest.fixture
def panel(qtbot, followed, worker):
    """The Train section of a window whose live model has found something."""
    worker.event.emit(READY)
    panel = TrainPanel(followed)
    qtbot.addWidget(panel)
    panel.show()
    return panel


@pytest.fixture
def models(project):
    """A trained model and the live model, as files."""
    for name, weights, dice in (("m002", b"network", 0.81), ("live", b"linear", 0.88)):
        save_model(project, make_bundle(name, mean_dice=dice))
        (project.folder / "models" / name / "weights.safetensors").write_bytes(weights)
    return project.folder / "models"


def train(panel, worker, *events):
    panel.button.click()
    for event in (HELD, LiveCompared(0.88), *events):
        worker.event.emit(event)


def finished(dice=0.81, live_dice=0.88):
    return TrainingFinished("m002", dice, live_dice=live_dice)


def better():
    return LiveCompared(0.88, 0.91, leads=False)


def said(panel, qtbot, text):
    qtbot.waitUntil(lambda: panel.live_offer.sentence.text() == text)


def sent(worker, kind):
    return [command for command in worker.sent if isinstance(command, kind)]


def test_training_is_compared_while_live_has_found_something(panel, worker, followed):
    panel.button.click()
    assert sent(worker, Train)[-1].beside_live
    worker.event.emit(TrainingFinished("m001", 0.9))
    followed.live.set_on(False)
    panel.button.click()
    assert not sent(worker, Train)[-1].beside_live


def test_quick_look_is_not_compared_as_it_is_the_live_model(panel, worker):
    panel.presets.buttons["live"].click()
    panel.button.click()
    assert not sent(worker, Train)[-1].beside_live


def test_panel_says_which_is_shown_during_a_training(panel, worker, messages, qtbot):
    assert not panel.live_offer.isVisible()
    train(panel, worker)
    said(panel, qtbot, "The live model (Dice 0.88) stays in view until the network finds more of the held-out slides.")
    assert not panel.live_offer.use.isVisible()
    height = panel.live_offer.height()
    worker.event.emit(better())
    text = "The network now finds more of the held-out slides than the live model (Dice 0.91, live 0.88); its answer"
    said(panel, qtbot, f"{text} is shown.")
    assert messages == [f"{text} is shown."]
    worker.event.emit(Validated(9, 9.0, 0.1, {}, 0.95, best=True, tiles=1))
    assert len(messages) == 1
    assert panel.live_offer.height() == height


def test_progress_says_that_the_live_model_is_kept(panel, worker, followed, qtbot):
    panel.button.click()
    worker.event.emit(Progress(KEEPING, 0.5, 0.0))
    assert format_job(followed.training.run) == "Training: keeping the live model…"
    said(panel, qtbot, "The live model is kept first, to compare the training with it.")
    assert "the live model stays in view" in next_step(followed).text
    height = panel.live_offer.height()
    worker.event.emit(HELD)
    worker.event.emit(LiveCompared(0.88))
    said(panel, qtbot, "The live model (Dice 0.88) stays in view until the network finds more of the held-out slides.")
    assert panel.live_offer.height() == height
    assert "the live model stays in view" in next_step(followed).text


def test_training_that_does_not_compare_is_shown_as_without_a_live_model(panel, worker, followed, qtbot):
    panel.button.click()
    qtbot.waitUntil(panel.live_offer.isVisible)
    worker.event.emit(HELD)
    qtbot.waitUntil(lambda: not panel.live_offer.isVisible())
    assert "the slide shows what it finds" in next_step(followed).text
    worker.event.emit(TrainingFinished("m002", 0.81))
    assert sent(worker, Predict)[-1].model == "m002"
    assert not panel.live_offer.isVisible()


def test_network_that_ends_better_predicts_the_view(panel, worker, qtbot):
    train(panel, worker, better(), finished(0.92))
    assert sent(worker, Predict)[-1].model == "m002"
    said(panel, qtbot, "m002 finds more of the held-out slides than the live model (Dice 0.92, live 0.88).")
    assert not panel.live_offer.use.isVisible()


def test_network_that_was_never_better_leaves_the_live_overlay_in_view(panel, worker, followed, qtbot):
    train(panel, worker, finished())
    assert sent(worker, Predict) == []
    assert not followed.training.active
    said(panel, qtbot, "m002 finds less of the held-out slides than the live model (Dice 0.81, live 0.88).")
    assert panel.live_offer.use.isVisible()


def test_network_that_was_better_once_still_predicts_the_view(panel, worker, qtbot):
    train(panel, worker, better(), finished())
    assert sent(worker, Predict)[-1].model == "m002"
    said(panel, qtbot, "m002 finds less of the held-out slides than the live model (Dice 0.81, live 0.88).")


def test_button_makes_the_live_model_the_newest_and_changes_no_mask(
    panel, worker, followed, models, messages, qtbot, project
):
    train(panel, worker, finished())
    qtbot.waitUntil(panel.live_offer.use.isVisible)
    before = followed.mask.counts.copy()
    messages.clear()
    qtbot.mouseClick(panel.live_offer.use, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(messages))
    assert sorted(os.listdir(models)) == ["live", "m002", "m003"]
    assert (models / "m003" / "weights.safetensors").read_bytes() == b"linear"
    assert Project.open(project.folder).model_ids()[-1] == "m003"
    assert messages == ["m003 is a copy of the live model, Dice 0.88, and the newest model now. No mask was changed."]
    assert (followed.mask.counts == before).all()
    qtbot.waitUntil(lambda: not panel.live_offer.isVisible())


def test_next_step_counts_what_changed_since_the_live_model_was_kept(panel, worker, followed, models, qtbot):
    train(panel, worker, finished())
    run_now(followed.training.using_live_model())
    assert changed_slides(followed) == 0
    with followed.project.open_mask("case0") as mask:
        paint(mask, Region(0, 0, 20, 20), np.full((20, 20), 2, np.uint8))
    assert changed_slides(followed) == 1


def keep(models, dice, pixels):
    bundle = make_bundle("live", mean_dice=dice)
    save_bundle(models / "live", bundle)
    KeptLive(bundle, "labels", [], pixels).save(models / "live")


def test_live_model_that_became_worse_since_the_training_is_not_copied(panel, worker, followed, models, qtbot):
    train(panel, worker, finished())
    keep(models, 0.7, {})
    text = run_now(followed.training.using_live_model())
    assert text == (
        "The live model has followed your labels since: its Dice is 0.70 now, and that of m002 is 0.81, "
        "so nothing was copied. Train again to use these labels."
    )
    assert sorted(os.listdir(models)) == ["live", "m002"]
    said(panel, qtbot, "m002 finds more of the held-out slides than the live model (Dice 0.81, live 0.70).")
    assert not panel.live_offer.use.isVisible()


def test_next_step_counts_what_changed_since_the_labels_of_the_live_model(panel, worker, followed, models):
    train(panel, worker, finished())
    with followed.project.open_mask("case0") as mask:
        paint(mask, Region(0, 0, 20, 20), np.full((20, 20), 2, np.uint8))
    keep(models, 0.9, followed.workspace.labelled_pixels())
    run_now(followed.training.using_live_model())
    assert changed_slides(followed) == 0


def test_review_lists_the_live_model_last_and_predicts_with_it_when_asked(followed, worker, models, qtbot):
    worker.event.emit(READY)
    review = ReviewPanel(followed)
    qtbot.addWidget(review)
    texts = [review.model.itemText(number) for number in range(review.model.count())]
    assert texts == ["● m002 · Dice 0.81 · new", "Live model · Dice 0.88"]
    assert review.model.currentData() == "m002"
    review.model.setCurrentIndex(1)
    review.predict()
    assert sent(worker, Predict)[-1].model == "live"


def test_live_model_that_was_just_kept_is_listed(followed, worker, project, qtbot):
    worker.event.emit(READY)
    review = ReviewPanel(followed)
    qtbot.addWidget(review)
    assert review.model.currentData() is None
    followed.show_slide("case0")
    assert worker.sent[-1] == KeepLive()
    save_model(project, make_bundle("live", mean_dice=0.88))
    worker.event.emit(LiveKept())
    assert review.model.currentText() == "Live model · Dice 0.88"
    assert review.predict_slide.isEnabled()
    assert not review.compare.isEnabled()
