import numpy as np
import pytest

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits, open_mask
from napari_pathseg.masks.confidence import accept_confident, stored_threshold
from napari_pathseg.masks.prediction import create_prediction

BACKGROUND, TUMOUR, SIDE = 1, 2, 120
WHOLE = Region(0, 0, SIDE, SIDE)


@pytest.fixture
def prediction(tmp_path):
    """A model that finds Tumour in the left half and Background in the right one, more surely from row to row."""
    sure = np.linspace(130, 255, SIDE).astype(np.uint8)[:, None]
    tumour = np.where(np.arange(SIDE) < SIDE // 2, sure, 255 - sure).astype(np.uint8)
    prediction = create_prediction(tmp_path / "p.zarr", (SIDE, SIDE), ["Background", "Tumour"])
    prediction.write(WHOLE, np.stack([255 - tumour, tumour]))
    return prediction


@pytest.fixture
def mask(tmp_path, prediction):
    with open_mask(tmp_path / "m.zarr", (SIDE, SIDE), DEFAULT_CLASSES) as mask:
        edits.paint(mask, Region(100, 0, 20, 10), np.full((20, 10), TUMOUR, np.uint8))
        edits.fill_from_model(mask, WHOLE, prediction.read(WHOLE))
        mask.end_undo_group()
        yield mask


def accepted(mask):
    labels, provenance = mask.read(WHOLE)
    return np.where(provenance == Provenance.ACCEPTED, labels, 0)


def expected(prediction, share, label=None):
    surest = np.asarray(prediction.probabilities).max(axis=0) >= stored_threshold(share)
    classes = prediction.read(WHOLE)
    chosen = surest if label is None else surest & (classes == label)
    chosen[100:, :10] = False  # a person's
    return np.where(chosen, classes, 0)


def test_exactly_what_is_so_sure_is_accepted_in_one_undo_step(mask, prediction):
    before = mask.counts.copy()
    mask.run(accept_confident(WHOLE, prediction, (0.95, None)))
    assert np.array_equal(accepted(mask), expected(prediction, 0.95))
    assert accepted(mask).any()
    assert mask.counts[TUMOUR, Provenance.DRAWN] == 200
    mask.undo()
    assert np.array_equal(mask.counts, before)


@pytest.mark.parametrize("label", [BACKGROUND, TUMOUR])
def test_one_class_alone_can_be_accepted(mask, prediction, label):
    mask.run(accept_confident(WHOLE, prediction, (0.8, label)))
    assert np.array_equal(accepted(mask), expected(prediction, 0.8, label))


def test_only_a_part_of_the_mask_can_be_accepted(mask, prediction):
    box = Region(90, 20, 30, 70)
    mask.run(accept_confident(box, prediction, (0.8, None), inside=lambda box: np.eye(box.height, box.width) > 0))
    wanted = np.zeros((SIDE, SIDE), np.uint8)
    wanted[box.slices] = expected(prediction, 0.8)[box.slices] * np.eye(30, 70, dtype=np.uint8)
    assert np.array_equal(accepted(mask), wanted)


def test_locked_class_and_what_another_model_found_instead_stay(mask, prediction):
    mask.run(accept_confident(WHOLE, prediction, (0.5, None), locked=frozenset({TUMOUR})))
    assert not (accepted(mask) == TUMOUR).any()
    mask.undo()
    edits.fill_from_model(mask, WHOLE, np.full((SIDE, SIDE), TUMOUR, np.uint8))
    mask.run(accept_confident(WHOLE, prediction, (0.95, None)))
    assert not accepted(mask)[:, SIDE // 2 :].any()


def test_threshold_is_reached_by_the_next_stored_probability():
    assert [stored_threshold(share) for share in (0.0, 0.5, 0.8, 0.95, 1.0)] == [1, 128, 204, 243, 255]
