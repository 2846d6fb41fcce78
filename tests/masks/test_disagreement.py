import numpy as np
import pytest

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits, open_mask
from napari_pathseg.masks.disagreement import Question, asked_in, keep_own_class, take_models_class

BACKGROUND, TUMOUR, SIDE, REACH = 1, 2, 100, 3
WHOLE = Region(0, 0, SIDE, SIDE)
LABELLED, GLAND = Region(10, 10, 80, 80), Region(20, 20, 30, 30)
QUESTION = Question(BACKGROUND, TUMOUR)


@pytest.fixture
def mask(tmp_path):
    with open_mask(tmp_path / "m.zarr", (SIDE, SIDE), DEFAULT_CLASSES) as mask:
        edits.paint(mask, LABELLED, np.full((80, 80), BACKGROUND, np.uint8))
        mask.end_undo_group()
        yield mask


@pytest.fixture
def found():
    """A model's answer: a gland in what is labelled Background, a line, and something beyond what is labelled."""
    found = np.full((SIDE, SIDE), BACKGROUND, np.uint8)
    found[GLAND.slices] = TUMOUR
    found[70:73, 15:85] = TUMOUR
    found[:, :10] = TUMOUR
    return found


def ask(mask, found, complete=False):
    return asked_in(np.stack(mask.read(WHOLE)), found, complete, QUESTION, REACH)


def counts(mask):
    return {
        (label, Provenance(kind)): int(mask.counts[label, kind])
        for label in (BACKGROUND, TUMOUR)
        for kind in range(6)
        if mask.counts[label, kind]
    }


def test_only_areas_of_labelled_pixels_are_asked_about_and_no_lines(mask, found):
    wanted = np.zeros((SIDE, SIDE), bool)
    wanted[GLAND.slices] = True
    assert np.array_equal(ask(mask, found), wanted)
    wanted[:, :10] = True  # Background where the slide is complete
    assert np.array_equal(ask(mask, found, complete=True), wanted)


def test_models_class_is_taken_in_one_undo_step_and_nothing_is_asked_any_more(mask, found):
    before = counts(mask)
    mask.run(take_models_class(WHOLE, ask(mask, found), QUESTION))
    assert counts(mask) == {(BACKGROUND, Provenance.DRAWN): 80 * 80 - 900, (TUMOUR, Provenance.ACCEPTED): 900}
    assert not ask(mask, found).any()
    mask.undo()
    assert counts(mask) == before


def test_own_class_that_is_kept_is_decided(mask, found):
    mask.run(keep_own_class(WHOLE, ask(mask, found), QUESTION))
    assert mask.counts[BACKGROUND, Provenance.CORRECTED] == 900
    assert mask.counts[TUMOUR].sum() == 0
    assert not ask(mask, found).any()
    mask.undo()
    assert ask(mask, found).sum() == 900


def test_locked_class_stays(mask, found):
    before = counts(mask)
    locked = frozenset({BACKGROUND})
    mask.run(take_models_class(WHOLE, ask(mask, found), QUESTION, locked))
    mask.run(keep_own_class(WHOLE, ask(mask, found), QUESTION, locked))
    assert counts(mask) == before
