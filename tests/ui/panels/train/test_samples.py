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


def test_samples_are_drawn_with_the_settings_as_they_are_and_another_draws_another(settings, worker, tmp_path):
    settings.form.fields["rotation"].value = 90.0
    settings.preview.click()
    assert settings.samples.isVisible()
    assert isinstance(worker.sent[0], SampleAugmentation)
    assert worker.sent[0].config.rotation == 90
    finish(worker, tmp_path / "variation.png", 200)
    assert settings.samples.image_view.image.pixelColor(9, 9).red() == 200
    settings.samples.another.click()
    assert worker.sent[1].seed != worker.sent[0].seed


def test_a_change_of_the_settings_draws_the_same_tile_again(settings, samples, worker, tmp_path, qtbot):
    finish(worker, tmp_path / "variation.png", 200)
    settings.form.fields["blur"].value = 9.0
    qtbot.waitUntil(lambda: len(worker.sent) == 2, timeout=3000)
    assert worker.sent[1].seed == worker.sent[0].seed
    assert worker.sent[1].config.blur == 9


def test_what_keeps_samples_from_being_drawn_is_said_where_they_would_be(samples, worker, learnable):
    said = []
    learnable.message.connect(lambda *words: said.append(words))
    worker.event.emit(JobFailed("No slide has a contour."))
    assert samples.sentence.text() == "No slide has a contour."
    assert said == []
    assert samples.another.isEnabled()


def test_while_something_runs_no_samples_can_be_asked_for(settings, learnable):
    assert settings.preview.isEnabled()
    learnable.training.train(TrainConfig())
    assert not settings.preview.isEnabled()
    learnable.close()
    assert not settings.preview.isEnabled()
