import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.masks import Provenance
from napari_pathseg.masks.label_rules import (
    apply_import,
    apply_model,
    apply_paint,
    reassign_provenance,
    training_labels,
)

BACKGROUND, TUMOUR, OTHER = 1, 2, 3
NONE, MODEL, ACCEPTED, IMPORTED, DRAWN, CORRECTED = Provenance

pixels = st.integers(0, 2**32 - 1).map(lambda seed: _some(np.random.default_rng(seed)))


def _some(rng):
    labels, provenance = rng.integers(0, 4, (8, 8)), rng.integers(1, 6, (8, 8))
    return np.stack([labels, np.where(labels, provenance, 0)]).astype(np.uint8)


def one(label, provenance):
    return np.array([label, provenance], np.uint8).reshape(2, 1, 1)


def after_painting(label, provenance, wanted, marked=True, locked=frozenset()):
    found = apply_paint(one(label, provenance), np.full((1, 1), wanted, np.uint8), np.full((1, 1), marked), locked)
    return int(found[0, 0, 0]), Provenance(int(found[1, 0, 0]))


@pytest.mark.parametrize(
    ("label", "provenance", "wanted", "becomes"),
    [
        (0, NONE, TUMOUR, (TUMOUR, DRAWN)),
        (OTHER, DRAWN, TUMOUR, (TUMOUR, DRAWN)),
        (OTHER, MODEL, TUMOUR, (TUMOUR, CORRECTED)),
        (OTHER, ACCEPTED, TUMOUR, (TUMOUR, CORRECTED)),
        (OTHER, IMPORTED, TUMOUR, (TUMOUR, CORRECTED)),
        (OTHER, CORRECTED, TUMOUR, (TUMOUR, CORRECTED)),
        (TUMOUR, MODEL, TUMOUR, (TUMOUR, CORRECTED)),
        (TUMOUR, ACCEPTED, TUMOUR, (TUMOUR, CORRECTED)),
        (TUMOUR, IMPORTED, TUMOUR, (TUMOUR, IMPORTED)),
        (TUMOUR, DRAWN, TUMOUR, (TUMOUR, DRAWN)),
        (TUMOUR, DRAWN, 0, (0, NONE)),
        (TUMOUR, IMPORTED, 0, (0, NONE)),
        (TUMOUR, CORRECTED, 0, (0, NONE)),
        (TUMOUR, MODEL, 0, (BACKGROUND, CORRECTED)),
        (TUMOUR, ACCEPTED, 0, (BACKGROUND, CORRECTED)),
        (BACKGROUND, MODEL, 0, (0, NONE)),
        (0, NONE, 0, (0, NONE)),
    ],
)
def test_paint_sets_label_and_provenance(label, provenance, wanted, becomes):
    assert after_painting(label, provenance, wanted) == becomes


def test_paint_keeps_the_provenance_of_unmarked_unchanged_pixels():
    assert after_painting(TUMOUR, MODEL, TUMOUR, marked=False) == (TUMOUR, MODEL)


@pytest.mark.parametrize("wanted", [0, BACKGROUND, OTHER])
def test_locked_class_is_neither_painted_over_nor_erased(wanted):
    assert after_painting(TUMOUR, MODEL, wanted, locked=frozenset({TUMOUR})) == (TUMOUR, MODEL)


@given(pixels, st.integers(0, 3))
def test_painting_twice_equals_painting_once(before, label):
    wanted, marked = np.full((8, 8), label, np.uint8), np.ones((8, 8), bool)
    once = apply_paint(before, wanted, marked)
    assert (apply_paint(once, wanted, marked) == once).all()


@given(pixels, pixels)
def test_model_never_changes_annotated_pixels(before, new):
    after = apply_model(before, new[0])
    human = before[1] >= ACCEPTED
    assert (after[:, human] == before[:, human]).all()
    filled = ~human & (new[0] > 0)
    assert (after[0][filled] == new[0][filled]).all()
    assert (after[1][filled] == MODEL).all()
    assert (after[:, ~human & ~filled] == before[:, ~human & ~filled]).all()


@given(pixels, pixels)
def test_import_never_changes_drawn_or_corrected_pixels(before, new):
    known = new[1] > 0
    after = apply_import(before, new[0], known)
    by_hand = before[1] >= DRAWN
    assert (after[:, by_hand | ~known] == before[:, by_hand | ~known]).all()
    assert (after[0][known & ~by_hand] == new[0][known & ~by_hand]).all()
    assert (after[1][known & ~by_hand] == IMPORTED).all()


@given(pixels, st.sets(st.integers(1, 3)))
def test_accept_keeps_labels_and_reject_clears_only_the_models(before, locked):
    model = (before[1] == MODEL) & ~np.isin(before[0], list(locked))
    accepted = reassign_provenance(before, MODEL, ACCEPTED, frozenset(locked))
    assert (accepted[0] == before[0]).all()
    assert (accepted[1] == np.where(model, ACCEPTED, before[1])).all()
    rejected = reassign_provenance(before, MODEL, NONE, frozenset(locked))
    assert (rejected == np.where(model, 0, before)).all()


@given(pixels, pixels, st.sets(st.integers(1, 3), min_size=1))
def test_locked_class_is_changed_by_no_rule(before, new, locked):
    locked, known, kept = frozenset(locked), np.ones((8, 8), bool), np.isin(before[0], list(locked))
    for after, unlocked in (
        (apply_model(before, new[0], locked=locked), apply_model(before, new[0])),
        (apply_paint(before, new[0], known, locked), apply_paint(before, new[0], known)),
    ):
        assert (after == np.where(kept, before, unlocked)).all()


@given(pixels)
def test_rules_do_not_modify_their_input(before):
    copy = before.copy()
    apply_paint(before, np.zeros((8, 8), np.uint8), np.ones((8, 8), bool))
    apply_model(before, np.ones((8, 8), np.uint8))
    apply_import(before, np.ones((8, 8), np.uint8), np.ones((8, 8), bool))
    reassign_provenance(before, MODEL, NONE)
    assert (before == copy).all()


@given(pixels, st.booleans())
def test_training_labels_are_human_confirmed_only(before, complete):
    labels = training_labels(*before, complete)
    human = before[1] >= ACCEPTED
    assert (labels[human] == before[0][human]).all()
    assert (labels[~human] == (BACKGROUND if complete else 0)).all()
