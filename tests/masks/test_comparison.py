import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_helpers import fill, read_all

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, open_mask, training_labels
from napari_pathseg.masks.comparison import Agreement, Opinion, adopt, agreement, keep
from napari_pathseg.masks.prediction import create_prediction

SHAPE = (700, 600)
WHOLE = Region(0, 0, *SHAPE)
BACKGROUND, TUMOUR, STROMA = 1, 2, 3
MINE, THEIRS = Region(100, 100, 100, 100), Region(150, 100, 450, 100)  # half of mine, and across a border of chunks
BOTH = MINE.intersect(THEIRS)


@pytest.fixture
def mask(tmp_path):
    with open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        fill(mask, MINE, TUMOUR, Provenance.IMPORTED)
        mask.end_undo_group()
        yield mask


@pytest.fixture
def opinion(tmp_path):
    prediction = create_prediction(tmp_path / "p.zarr", SHAPE, DEFAULT_CLASSES.names)
    probabilities = np.zeros((len(DEFAULT_CLASSES), *SHAPE), np.uint8)
    probabilities[BACKGROUND - 1] = 100
    probabilities[TUMOUR - 1][THEIRS.slices] = 200
    prediction.write(WHOLE, probabilities)
    return Opinion(SHAPE, prediction)


def shown(mask, opinion, level=0):
    region = Region(0, 0, *mask.shapes[level])
    return agreement(mask.preview(region, level), opinion.read(region, level))


def counts(shown):
    return [int((shown == who).sum()) for who in Agreement]


def test_agreement_tells_both_only_mine_and_only_the_models(mask, opinion):
    whole = SHAPE[0] * SHAPE[1]
    assert counts(shown(mask, opinion)) == [whole - 5_000 - 5_000 - 40_000, 5_000, 5_000, 40_000]


def test_agreement_is_the_same_at_a_coarser_level(mask, opinion):
    coarse = counts(shown(mask, opinion, 1)) if len(mask.shapes) > 1 else [n // 4 for n in counts(shown(mask, opinion))]
    assert coarse == pytest.approx([n / 4 for n in counts(shown(mask, opinion))], rel=0.05)
    every_second = opinion.read(Region(10, 5, 100, 80), 1)
    assert (every_second == opinion.read(Region(20, 10, 200, 160))[::2, ::2]).all()


def test_accepting_makes_the_models_outline_mine_in_one_undo_step(mask, opinion):
    before = read_all(mask)
    mask.run(adopt(WHOLE, opinion))
    labels, provenance = read_all(mask)
    assert (training_labels(labels, provenance, True) == opinion.read(WHOLE)).all()
    assert (provenance[MINE.slices] == Provenance.IMPORTED).sum() == BOTH.height * BOTH.width
    assert not counts(shown(mask, opinion))[Agreement.ONLY_MODEL]
    mask.undo()
    assert (read_all(mask) == before).all()


def test_rejecting_keeps_mine_and_drops_the_find_in_one_undo_step(mask, opinion):
    before = read_all(mask)
    mask.run(keep(WHOLE, opinion))
    labels, provenance = read_all(mask)
    assert (training_labels(labels, provenance, True) == training_labels(*before, True)).all()
    assert (provenance == Provenance.CORRECTED).sum() == 45_000
    assert counts(shown(mask, opinion)) == [SHAPE[0] * SHAPE[1] - 5_000, 5_000, 0, 0]
    mask.undo()
    assert (read_all(mask) == before).all()


def test_locked_classes_and_pixels_set_to_ignore_stay(mask, opinion):
    fill(mask, Region(500, 100, 10, 10), 0, Provenance.DRAWN)
    mask.end_undo_group()
    mask.run(adopt(WHOLE, opinion, locked=frozenset({TUMOUR})))
    labels, _ = read_all(mask)
    assert (labels[MINE.slices] == TUMOUR).all()
    assert not labels[500:510, 100:110].any()
    assert (labels == TUMOUR).sum() == 10_000 + 40_000 - 100


def test_only_the_part_inside_is_decided(mask, opinion):
    mask.run(adopt(Region(300, 100, 100, 100), opinion, inside=lambda box: np.ones((box.height, box.width), bool)))
    assert (read_all(mask)[0] == TUMOUR).sum() == 10_000 + 10_000


def test_preview_of_a_training_lies_over_the_stored_prediction(opinion):
    opinion.show_preview(Region(150, 100, 60, 60), np.full((60, 60), STROMA, np.uint8))
    assert (opinion.read(Region(140, 90, 100, 100)) == STROMA).sum() == 3600
    assert (opinion.read(Region(75, 50, 30, 30), 1) == STROMA).all()
    assert (opinion.read(Region(0, 0, 700, 600)) == TUMOUR).sum() == 45_000 - 3600


@given(st.integers(0, 2**32 - 1))
def test_what_is_decided_no_longer_differs(seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, [[[4]], [[6]]], (2, 20, 20)).astype(np.uint8)
    found = rng.integers(0, 4, (20, 20)).astype(np.uint8)

    class Box:
        shape = (20, 20)
        edit = staticmethod(lambda region, *after: pixels.__setitem__(slice(None), np.stack(after)))
        read = staticmethod(lambda region: pixels.copy())

    opinion = Opinion((20, 20))
    opinion.show_preview(Region(0, 0, 20, 20), found)
    before = training_labels(*pixels, True)
    differed = np.isin(agreement(pixels, found), [Agreement.ONLY_MODEL, Agreement.ONLY_PERSON])
    operation = (adopt if seed % 2 else keep)(Region(0, 0, 20, 20), opinion)
    list(operation.steps(Box()))
    after = training_labels(*pixels, True)
    assert not np.isin(agreement(pixels, found), [Agreement.ONLY_MODEL, Agreement.ONLY_PERSON]).any()
    assert (after[~differed] == before[~differed]).all()
    assert (after[differed] == (found if seed % 2 else before)[differed]).all()
