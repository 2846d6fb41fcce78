"""Reviewing a complete slide in the window: the same keys decide where a model differs from the person."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from bundle_helpers import make_bundle
from qtpy.QtCore import Qt

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, training_labels
from napari_pathseg.masks.comparison import Agreement
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.masks.shapes import PolygonShape
from napari_pathseg.ui.widgets.fixed_lines import FixedLines

TUMOUR, SHIFT, CONTROL = 2, Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
WHOLE = Region(0, 0, 256, 256)


def square(top, left, side):
    return np.array([[top, left], [top, left + side], [top + side, left + side], [top + side, left]]) - 0.5


@pytest.fixture
def compared(opened, qtbot):
    """The first slide, complete with a square of tumour; a model's square overlaps half of it."""
    session = opened.session
    session.layers.mask.stroke(PolygonShape([square(50, 50, 100)]), TUMOUR)
    folder = session.project.folder / "models" / "m001"
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps(asdict(make_bundle("m001"))))
    path = session.project.prediction_path("m001", "case0")
    prediction = create_prediction(path, (256, 256), session.project.classes.names)
    probabilities = np.zeros((len(session.project.classes), 256, 256), np.uint8)
    probabilities[0], probabilities[1, 100:200, 50:150] = 100, 200
    prediction.write(WHOLE, probabilities)
    opened.sections["outline"].set_open(True)
    opened.annotate.complete.click()
    qtbot.waitUntil(lambda: session.layers.comparison is not None and not session.mask.has_pending)
    return opened


def on_screen(dock):
    return dock.session.layers.comparison._slice.image.view


def labels(dock):
    return training_labels(*dock.session.mask.read(WHOLE), True)


def test_colours_tell_both_only_mine_and_only_the_models(compared, qtbot):
    assert compared.session.layers.comparison.visible
    screen = on_screen(compared)
    assert [screen[row, 100] for row in (60, 120, 180, 220)] == [
        Agreement.ONLY_PERSON,
        Agreement.BOTH,
        Agreement.ONLY_MODEL,
        Agreement.NOBODY,
    ]
    legend = compared.review.legend.text().replace("&nbsp;", " ")
    assert all(text in legend for text in ("both", "only mine", "only model"))
    compared.setFixedWidth(360)
    qtbot.waitUntil(lambda: compared.width() == 360)
    assert compared.review.legend.findChild(FixedLines).shown_text.endswith("only model")


def test_what_is_undecided_is_left_to_review(compared, mouse, qtbot):
    text = "85 % of this slide reviewed; the model differs on the rest"
    qtbot.waitUntil(lambda: compared.review.progress.text() == text)
    mouse.key(Qt.Key.Key_J, SHIFT)
    text = "Nothing unreviewed · 100 % of this slide reviewed"
    qtbot.waitUntil(lambda: compared.review.progress.text() == text)


def test_accept_makes_the_models_outline_mine_and_undo_takes_it_back(compared, mouse, viewer, qtbot):
    before = labels(compared)
    mouse.key(Qt.Key.Key_Y, SHIFT)
    qtbot.waitUntil(lambda: (labels(compared)[100:200, 50:150] == TUMOUR).all())
    assert (labels(compared) == TUMOUR).sum() == 10_000
    qtbot.waitUntil(lambda: not (on_screen(compared) == Agreement.ONLY_MODEL).any())
    mouse.key(Qt.Key.Key_Z, CONTROL)
    qtbot.waitUntil(lambda: (labels(compared) == before).all())
    qtbot.waitUntil(lambda: (on_screen(compared) == Agreement.ONLY_MODEL).any())


def test_reject_drops_the_models_find_and_keeps_mine(compared, mouse, qtbot):
    before = labels(compared)
    mouse.key(Qt.Key.Key_J, SHIFT)
    qtbot.waitUntil(lambda: not (on_screen(compared) == Agreement.ONLY_MODEL).any())
    assert (labels(compared) == before).all()
    assert compared.session.mask.counts[:, Provenance.CORRECTED].sum() == 10_000
    mouse.key(Qt.Key.Key_Z, CONTROL)
    qtbot.waitUntil(lambda: (on_screen(compared) == Agreement.ONLY_MODEL).sum() == 5_000)


def test_painting_updates_the_comparison(compared, mouse, qtbot):
    compared.annotate.choose("brush")
    mouse.drag((180, 60), (180, 140))
    qtbot.waitUntil(lambda: on_screen(compared)[180, 100] == Agreement.BOTH)


def test_comparison_comes_back_with_its_slide_and_not_on_others(compared, qtbot):
    compared.session.show_slide("case1")
    assert not compared.session.layers.comparison.visible
    compared.session.show_slide("case0")
    assert compared.session.layers.comparison.visible
    compared.annotate.complete.click()
    assert not compared.session.layers.comparison.visible


def test_accept_without_a_prediction_says_what_to_do(opened, mouse, notifications):
    opened.sections["outline"].set_open(True)
    opened.annotate.complete.click()
    mouse.key(Qt.Key.Key_Y, SHIFT)
    assert notifications == ["No model has predicted case0 yet. Press Predict view, then accept or reject."]


def test_holding_h_shows_nothing_but_the_slide(compared, mouse, viewer):
    own = viewer.add_points(np.zeros((1, 2)))
    viewer.layers.selection.active = compared.session.layers.mask
    compared.session.layers.probability.visible = False
    before = {layer.name: layer.visible for layer in viewer.layers}
    mouse.hold(Qt.Key.Key_H, True)
    assert [layer for layer in viewer.layers if layer.visible] == [compared.session.layers.image]
    assert not own.visible
    mouse.hold(Qt.Key.Key_H, False)
    assert {layer.name: layer.visible for layer in viewer.layers} == before


def test_sentence_that_asks_to_accept_or_reject_is_whole_in_a_narrow_panel(compared, qtbot):
    header = compared.header
    qtbot.waitUntil(lambda: header.button.text() == "Accept view")
    header.text.setFixedWidth(257)  # beside this button in a panel of 360 pixels
    assert header.text.text() == header.text.findChild(FixedLines).shown_text.replace("\n", " ")
    assert header.text.text().endswith("or reject it.")
