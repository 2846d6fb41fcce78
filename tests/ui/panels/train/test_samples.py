import numpy as np
import pytest
from PIL import Image

from napari_pathseg.config import TrainConfig
from napari_pathseg.jobs.protocol import AugmentationSampled, JobFailed, SampleAugmentation
from napari_pathseg.ui.panels.train.settings import TrainSettings


@pytest.fixture
def settings(qtbot, learnable):
    settings = TrainSettings(learnable)
    qtbot.addWidget(settings)
    return settings


@pytest.fixture
def samples(settings):
    settings.preview.click()
    return settings.samples


def finish(worker, path, red):
    Image.fromarray(np.full((60, 60, 3), (red, 0, 0), np.uint8)).save(path)
    worker.event.emit(AugmentationSampled(str(path)))


def test_preview_uses_current_settings_and_another_changes_the_tile(settings, worker, tmp_path):
    settings.form.fields["rotation"].value = 90.0
    settings.preview.click()
    assert settings.samples.isVisible()
    assert isinstance(worker.sent[0], SampleAugmentation)
    assert worker.sent[0].config.rotation == 90
    finish(worker, tmp_path / "variation.png", 200)
    assert settings.samples.image_view.image.pixelColor(9, 9).red() == 200
    settings.samples.another.click()
    assert worker.sent[1].seed != worker.sent[0].seed


def test_changed_setting_redraws_the_same_tile(settings, samples, worker, tmp_path, qtbot):
    finish(worker, tmp_path / "variation.png", 200)
    settings.form.fields["blur"].value = 9.0
    qtbot.waitUntil(lambda: len(worker.sent) == 2)
    assert worker.sent[1].seed == worker.sent[0].seed
    assert worker.sent[1].config.blur == 9


def test_preview_shows_why_it_could_not_be_drawn(samples, worker, learnable):
    messages = []
    learnable.message.connect(lambda *words: messages.append(words))
    worker.event.emit(JobFailed("No slide has a contour."))
    assert samples.sentence.text() == "No slide has a contour."
    assert messages == []
    assert samples.another.isEnabled()


def test_preview_is_disabled_while_a_job_runs(settings, learnable):
    assert settings.preview.isEnabled()
    learnable.training.train(TrainConfig())
    assert not settings.preview.isEnabled()
    learnable.close()
    assert not settings.preview.isEnabled()
