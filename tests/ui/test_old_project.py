"""A project of version 0.1.0 in the window: curves, settings, locks and clean-up are restored."""

import json

import pytest
from qtpy.QtWidgets import QApplication

from napari_pathseg.config import TrainConfig
from napari_pathseg.projects.project_state import TrainedLabels
from napari_pathseg.ui.panels.annotate.cleanup import CleanupDialog
from napari_pathseg.ui.session.cleanup import CleanupRequest
from napari_pathseg.ui.session.selection import VIEW

STROMA = 3


@pytest.fixture
def old(dock, old_project, qtbot):
    """The dock with the old project open."""
    dock.session.open_project(old_project.folder)
    qtbot.waitUntil(lambda: dock.session.slide is not None)
    QApplication.processEvents()
    return dock


def test_curves_of_an_old_training_are_shown(old, qtbot):
    curves, run = old.train.curves, old.session.training.last_training
    qtbot.waitUntil(lambda: curves.has_data)
    assert run.model == "m004"
    assert len(curves._loss_curve.getData()[0]) == len(run.losses) > 3
    assert set(curves._class_curves) == {"Background", "Tumour", "Stroma"}
    assert run.samples_path.endswith("r004/examples.png")
    assert old.train.samples.has_data


def test_old_interrupted_training_can_be_resumed(old):
    assert "r004" in old.train.parent_model.choices


def test_old_training_settings_are_read_under_their_new_names(old):
    assert old.train.config() == TrainConfig(
        preset="live",  # what Quick look is now
        encoder_lr_scale=0.25,
        flip_rotate=False,
        batch=4,  # the default of that version
        decoder_seconds=8.0,  # likewise
        geometric_p=0.4,
        degrade_p=0.2,
        decoder_learning_rate=0.002,
        ema_decay=0.95,
        gradient_clip_norm=0.5,
    )


def test_old_tuning_settings_are_read_under_their_new_names(old):
    tuning = old.train.tuning
    assert tuning.rows.values() == {"ema_decay": "0.9, 0.95", "geometric_p": "0.1, 0.3"}
    assert (tuning.trials.value, tuning.minutes.value) == (3, 1.0)


def test_locked_classes_of_an_old_project_are_locked(old):
    assert old.session.class_flags.locked == {STROMA}
    assert old.session.layers.mask.locked_classes == {STROMA}
    old.annotate.classes.toggle_locked(STROMA)
    assert old.session.layers.mask.locked_classes == frozenset()


def test_trained_labels_of_an_old_project_survive_an_edit(old):
    trained = TrainedLabels("m003", {"case0": [1, 2, 3]})
    assert old.session.require_project().state.trained_labels == trained
    old.annotate.classes.toggle_locked(STROMA)
    stored = json.loads((old.session.require_project().folder / "project.json").read_text(encoding="utf8"))["settings"]
    assert (stored["learnt"], stored["locked"]) == ({"model": "m003", "pixels": {"case0": [1, 2, 3]}}, [])


def test_old_cleanup_is_read_under_its_old_key(dock, old_project, qtbot):
    path = old_project.folder / "project.json"
    text = path.read_text(encoding="utf8")
    assert text.count('"deed": "holes"') == 1
    changed = text.replace('"deed": "holes"', '"deed": "shrink"').replace('"amount": 1000.0', '"amount": 3.0')
    path.write_text(changed, encoding="utf8")  # "holes" is the default
    dock.session.open_project(old_project.folder)
    dialog = CleanupDialog(dock.session, dock)
    dialog.open_beside()
    dialog.scope.value = VIEW
    assert dialog.request == CleanupRequest(method="shrink", label=2, amount=3.0, new_label=1, scope=VIEW)
    dialog.close()
