"""Live in a real window with what it cannot learn from: one sentence, and the rest of the window works."""

import pytest
import torch
from qtpy.QtCore import Qt
from safetensors.torch import save_file

from napari_pathseg.engine.networks.weights import lite0_weights
from napari_pathseg.masks import Provenance

BACKGROUND, TUMOUR = 1, 2


@pytest.fixture
def draw(real_worker, opened, mouse, qtbot):
    """Draw a stroke of a class with the mouse."""

    def draw(label, *places):
        before = opened.session.mask.counts[label, Provenance.DRAWN]
        opened.annotate.classes.select(label)
        opened.annotate.choose("brush")
        mouse.drag(*places)
        qtbot.waitUntil(lambda: opened.session.mask.counts[label, Provenance.DRAWN] > before)

    return draw


def test_weights_that_are_not_numbers_let_live_rest_while_the_window_works(
    opened, draw, mouse, tmp_path, qtbot, notifications
):
    weights = {name: torch.full(tensor.shape, torch.nan) for name, tensor in lite0_weights().items()}
    save_file(weights, tmp_path / "tf_efficientnet_lite0.safetensors")
    sentence, settings = opened.annotate.live.sentence, opened.review.live_settings.form
    settings.fields["encoder"].value = str(tmp_path / "tf_efficientnet_lite0.safetensors")
    qtbot.waitUntil(lambda: opened.session.live.config.encoder.startswith(str(tmp_path)))
    draw(TUMOUR, (80, 110), (120, 150))
    qtbot.waitUntil(lambda: "needs two classes" in sentence.text())
    draw(BACKGROUND, (220, 40), (220, 220))
    qtbot.waitUntil(lambda: "are not numbers, so the live model rests. Choose another encoder." in sentence.text())
    assert not opened.review.live.fill_view.isEnabled()
    drawn = opened.session.mask.counts[TUMOUR, Provenance.DRAWN]
    draw(TUMOUR, (60, 60), (60, 150))
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: opened.session.mask.counts[TUMOUR, Provenance.DRAWN] == drawn)
    assert opened.train.button.isEnabled()
    settings.fields["encoder"].value = "project"
    qtbot.waitUntil(lambda: opened.session.live.ready)
    assert opened.review.live.fill_view.isEnabled()
    assert not any("Error" in text for text in notifications)


def test_slide_that_the_worker_cannot_read_is_named_while_another_is_followed(
    opened, draw, slide_files, qtbot, notifications
):
    session, sentence = opened.session, opened.annotate.live.sentence
    session.show_slide("case1")
    slide_files[1].write_bytes(b"no slide any more")
    draw(TUMOUR, (90, 110), (130, 150))
    qtbot.waitUntil(lambda: "case1.png" in sentence.text())
    assert not session.live.ready
    assert any("case1.png" in text for text in notifications)
    session.show_slide("case0")
    draw(TUMOUR, (80, 110), (120, 150))
    draw(BACKGROUND, (220, 40), (220, 220))
    qtbot.waitUntil(lambda: session.live.ready and session.layers.live is not None)
    assert "case1" not in sentence.text()
