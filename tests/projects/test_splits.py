import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.errors import ConfigError
from napari_pathseg.projects.roles import SHARES
from napari_pathseg.projects.splits import read_shares, split_project

ROLES = ("train", "val", "test")


def read(*shares):
    return read_shares(dict(zip(ROLES, shares, strict=True)))


def test_without_a_word_the_shares_are_the_usual_ones():
    assert read(None, None, None) == SHARES


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ((0.6, 0.2, 0.2), (0.6, 0.2, 0.2)),
        ((60, 20, 20), (60, 20, 20)),
        ((0.8, 0.2, None), (0.8, 0.2, 0)),
        ((80, 20, None), (80, 20, 0)),
        ((33.3, 33.3, 33.3), (33.3, 33.3, 33.3)),
        ((70, None, None), (70, 15, 15)),
        ((1, None, None), (1, 0, 0)),
    ],
)
def test_shares_are_fractions_or_percents_and_one_may_be_left_out(told, meant):
    assert tuple(read(*told).values()) == pytest.approx(meant)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ((3, 1, 1), r"add up to 5 \(train 3, val 1, test 1\); fractions have to add up to 1, percents to 100. Change"),
        ((0.7, 0.2, 0.2), "add up to 1.1 "),
        ((70, 15, 10), "add up to 95 "),
        ((0.7, 15, 15), "add up to 30.7 "),
        ((0.5, 25, None), "add up to 40.5 "),
        ((60, None, None), r"add up to 90 \(train 60, val 15, test 15\)"),
        ((float("nan"), 0.5, 0.5), "add up to nan"),
        ((float("inf"), 0.5, 0.5), "add up to inf"),
    ],
)
def test_shares_that_make_up_no_whole_are_refused(told, message):
    with pytest.raises(ConfigError, match=message):
        read(*told)


@given(st.integers(1, 100), st.integers(0, 99))
def test_percents_and_their_fractions_mean_the_same(train, val):
    val = min(val, 100 - train)
    percents = read(train, val, 100 - train - val)
    fractions = read(train / 100, val / 100, (100 - train - val) / 100)
    assert tuple(percents.values()) == pytest.approx([100 * share for share in fractions.values()])


def test_percents_and_their_fractions_divide_alike(project):
    assert split_project(project, read(60, 20, 20)) == split_project(project, read(0.6, 0.2, 0.2))
