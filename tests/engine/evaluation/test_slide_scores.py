import numpy as np
import pytest

from napari_pathseg.engine.evaluation.slide_scores import SlideTally
from napari_pathseg.geometry import Region

HERE, THERE = Region(0, 0, 1, 4), Region(0, 4, 1, 4)


def _row(*classes):
    return np.array([classes], np.uint8)


def test_dice_of_a_slide_is_of_its_own_pixels():
    tally = SlideTally(3)
    tally.add("a", HERE, _row(1, 1, 2, 2), _row(1, 1, 2, 1))
    tally.add("b", HERE, _row(2, 2, 0, 0), _row(1, 1, 1, 1))
    assert tally.scores()["a"].dice == [pytest.approx(0.8), pytest.approx(2 / 3, abs=1e-6), None]
    assert tally.scores()["b"].dice == [None, 0.0, None]
    assert tally.scores()["a"].confusion == [[2, 0, 0], [1, 1, 0], [0, 0, 0]]


def _truth(*tiles):
    tally = SlideTally(2)
    for region, labels, found in tiles:
        tally.add("a", region, labels, found)
    return tally.scores()["a"].truth


def test_hash_of_the_labels_depends_on_labels_and_places_not_on_their_order_or_on_the_model():
    first, second = (HERE, _row(1, 1, 2, 2), _row(1, 1, 1, 1)), (THERE, _row(1, 2, 2, 2), _row(2, 2, 2, 2))
    same = _truth(first, second)
    assert _truth(second, first) == same
    assert _truth((HERE, first[1], _row(2, 2, 2, 2)), second) == same
    assert _truth(first) != same
    assert _truth((HERE, _row(1, 1, 2, 0), first[2]), second) != same
    assert _truth((THERE, first[1], first[2]), (HERE, second[1], second[2])) != same
