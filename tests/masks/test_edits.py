import numpy as np
import pytest

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.contours.contour import Contour
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits, open_mask
from napari_pathseg.masks.shapes import PolygonShape
from napari_pathseg.masks.stroke_queue import Brush, Stroke

WHOLE = Region(0, 0, 100, 100)
BACKGROUND, TUMOUR = 1, 2


@pytest.fixture
def mask(tmp_path):
    with open_mask(tmp_path / "m.zarr", (100, 100), DEFAULT_CLASSES) as mask:
        yield mask


def square(first, last, label=TUMOUR):
    return Contour(np.array([[first, first], [first, last], [last, last], [last, first]], float) - 0.5, label=label)


def full(value):
    return np.full((100, 100), value, np.uint8)


def pixel(mask, row, column):
    labels, provenance = mask.read(Region(row, column, 1, 1))
    return int(labels[0, 0]), Provenance(int(provenance[0, 0]))


def test_stroke_on_unlabelled_pixels_is_drawn(mask):
    edits.paint(mask, WHOLE, full(TUMOUR))
    assert pixel(mask, 5, 5) == (TUMOUR, Provenance.DRAWN)


def test_stroke_over_a_model_is_corrected(mask):
    edits.fill_from_model(mask, WHOLE, full(TUMOUR))
    edits.paint(mask, WHOLE, full(BACKGROUND))
    assert pixel(mask, 5, 5) == (BACKGROUND, Provenance.CORRECTED)


def test_erasing_a_models_class_makes_it_background(mask):
    edits.fill_from_model(mask, WHOLE, full(TUMOUR))
    edits.paint(mask, WHOLE, full(0))
    assert pixel(mask, 5, 5) == (BACKGROUND, Provenance.CORRECTED)


def test_erasing_a_stroke_clears_its_pixels(mask):
    edits.paint(mask, WHOLE, full(TUMOUR))
    edits.paint(mask, WHOLE, full(0))
    assert pixel(mask, 5, 5) == (0, Provenance.NONE)


def test_stroke_keeps_the_provenance_of_unchanged_pixels(mask):
    edits.fill_from_model(mask, WHOLE, full(TUMOUR))
    painted = full(TUMOUR)
    painted[:50] = BACKGROUND
    edits.paint(mask, WHOLE, painted)
    assert pixel(mask, 80, 80) == (TUMOUR, Provenance.MODEL)


@pytest.mark.parametrize("author", ["drawn", "imported", "accepted", "corrected"])
def test_model_never_overwrites_a_person(mask, author):
    if author in ("accepted", "corrected"):
        edits.fill_from_model(mask, WHOLE, full(BACKGROUND))
    if author == "accepted":
        mask.run(edits.accept(WHOLE))
    elif author == "imported":
        edits.import_labels(mask, WHOLE, full(BACKGROUND), full(1) > 0)
    else:
        edits.paint(mask, WHOLE, full(TUMOUR))
    before = pixel(mask, 5, 5)
    assert edits.fill_from_model(mask, WHOLE, full(TUMOUR)).empty
    assert pixel(mask, 5, 5) == before


def test_newer_model_replaces_an_older_one(mask):
    edits.fill_from_model(mask, WHOLE, full(TUMOUR))
    edits.fill_from_model(mask, WHOLE, full(BACKGROUND))
    assert pixel(mask, 5, 5) == (BACKGROUND, Provenance.MODEL)


def test_prediction_leaves_pixels_without_a_prediction(mask):
    edits.fill_from_model(mask, WHOLE, full(TUMOUR))
    assert edits.fill_from_model(mask, WHOLE, full(0)).empty


def test_accept_stays_in_its_region_and_is_one_undo_group(mask):
    edits.fill_from_model(mask, WHOLE, full(TUMOUR))
    mask.end_undo_group()
    mask.run(edits.accept(Region(0, 0, 50, 100)))
    assert mask.counts[TUMOUR, Provenance.ACCEPTED] == 5000
    mask.undo()
    assert mask.counts[TUMOUR, Provenance.MODEL] == 10_000


def test_reject_clears_only_the_models_pixels(mask):
    edits.fill_from_model(mask, WHOLE, full(TUMOUR))
    edits.paint(mask, Region(0, 0, 10, 100), full(BACKGROUND)[:10])
    mask.run(edits.reject(WHOLE))
    assert mask.counts[TUMOUR].sum() == 0
    assert mask.counts[BACKGROUND, Provenance.CORRECTED] == 1000


def test_later_contour_wins_over_an_earlier_one(mask):
    edits.import_contours(mask, [square(10, 60), square(30, 50, BACKGROUND)], 1)
    assert pixel(mask, 20, 20) == (TUMOUR, Provenance.IMPORTED)
    assert pixel(mask, 40, 40) == (BACKGROUND, Provenance.IMPORTED)


def test_contours_of_level_0_land_on_a_coarser_grid(mask):
    edits.import_contours(mask, [square(20, 60)], 2)
    assert mask.counts[TUMOUR, Provenance.IMPORTED] == 400
    assert pixel(mask, 10, 10) == (TUMOUR, Provenance.IMPORTED)
    assert pixel(mask, 30, 30) == (0, Provenance.NONE)


def test_outline_over_a_models_pixels_gives_them_human_provenance(mask):
    edits.fill_from_model(mask, Region(10, 10, 30, 30), full(TUMOUR)[:30, :30])
    mask.add_stroke(Stroke(PolygonShape([square(10, 60).exterior]), Brush(TUMOUR)))
    edits.fill_from_model(mask, WHOLE, full(BACKGROUND))
    assert mask.counts[TUMOUR].sum() == mask.counts[TUMOUR, Provenance.DRAWN :].sum() == 2500


def test_import_never_covers_a_correction(mask):
    edits.paint(mask, WHOLE, full(TUMOUR))
    edits.import_labels(mask, WHOLE, full(BACKGROUND), full(1) > 0)
    assert pixel(mask, 5, 5) == (TUMOUR, Provenance.DRAWN)


def test_model_leaves_a_locked_class_unchanged(mask):
    edits.fill_from_model(mask, Region(40, 40, 10, 10), full(TUMOUR)[:10, :10])
    edits.fill_from_model(mask, WHOLE, full(BACKGROUND), locked=frozenset({TUMOUR}))
    assert mask.counts[TUMOUR].sum() == 10 * 10
    assert mask.counts[BACKGROUND].sum() == 100 * 100 - 10 * 10


def test_clear_removes_a_class_of_any_provenance_as_one_undo_group(mask):
    edits.import_contours(mask, [square(0, 50)], 1)
    edits.paint(mask, Region(60, 60, 20, 20), full(TUMOUR)[:20, :20])
    edits.fill_from_model(mask, Region(80, 0, 10, 10), full(BACKGROUND)[:10, :10])
    mask.end_undo_group()
    before = mask.counts.copy()
    mask.run(edits.clear(WHOLE, TUMOUR))
    assert mask.counts[TUMOUR].sum() == 0
    assert mask.counts[BACKGROUND].sum() == 100
    mask.run(edits.clear(WHOLE, None))
    assert mask.counts[0, Provenance.NONE] == 100 * 100
    mask.undo()
    mask.undo()
    assert (mask.counts == before).all()
    mask.run(edits.clear(WHOLE, None, frozenset({TUMOUR})))
    assert (mask.counts[TUMOUR] == before[TUMOUR]).all()


def found_in_right_half():
    found = np.zeros((100, 50), np.uint8)
    found[:, 25:] = TUMOUR
    return found


def test_accepting_what_a_model_says_in_a_box_takes_its_pixels_and_fills_what_has_no_label(mask):
    edits.fill_from_model(mask, Region(0, 0, 50, 100), np.full((50, 100), BACKGROUND, np.uint8))
    edits.paint(mask, Region(90, 80, 10, 20), np.full((10, 20), BACKGROUND, np.uint8))
    mask.end_undo_group()
    mask.run(edits.accept_found(Region(0, 50, 100, 50), found_in_right_half(), lambda _: False))
    assert pixel(mask, 10, 90) == (BACKGROUND, Provenance.ACCEPTED)
    assert pixel(mask, 60, 90) == (TUMOUR, Provenance.ACCEPTED)
    assert pixel(mask, 60, 60) == (0, Provenance.NONE)
    assert pixel(mask, 95, 95) == (BACKGROUND, Provenance.DRAWN)
    assert pixel(mask, 10, 10) == (BACKGROUND, Provenance.MODEL)
    mask.undo()
    assert mask.counts[:, Provenance.ACCEPTED].sum() == 0
    assert pixel(mask, 10, 90) == (BACKGROUND, Provenance.MODEL)


def test_accepting_what_a_model_says_leaves_locked_classes_and_complete_boxes(mask):
    edits.fill_from_model(mask, Region(0, 0, 50, 100), np.full((50, 100), BACKGROUND, np.uint8))
    mask.run(edits.accept_found(WHOLE, full(TUMOUR), lambda _: True, frozenset({BACKGROUND})))
    assert pixel(mask, 10, 10) == (BACKGROUND, Provenance.MODEL)
    assert pixel(mask, 60, 10) == (0, Provenance.NONE)


def test_none_here_is_background_of_the_person_where_nobody_labelled_in_one_undo_step(mask):
    edits.fill_from_model(mask, Region(0, 0, 50, 100), np.full((50, 100), TUMOUR, np.uint8))
    edits.paint(mask, Region(90, 80, 10, 20), np.full((10, 20), TUMOUR, np.uint8))
    mask.end_undo_group()
    mask.run(edits.mark_background(Region(0, 50, 100, 50)))
    assert pixel(mask, 10, 90) == (BACKGROUND, Provenance.CORRECTED)
    assert pixel(mask, 60, 90) == (BACKGROUND, Provenance.DRAWN)
    assert pixel(mask, 95, 95) == (TUMOUR, Provenance.DRAWN)
    assert pixel(mask, 10, 10) == (TUMOUR, Provenance.MODEL)
    mask.undo()
    assert mask.counts[BACKGROUND].sum() == 0


def test_none_here_leaves_a_locked_class(mask):
    edits.fill_from_model(mask, WHOLE, full(TUMOUR))
    mask.run(edits.mark_background(WHOLE, frozenset({TUMOUR})))
    assert mask.counts[TUMOUR, Provenance.MODEL] == 100 * 100
