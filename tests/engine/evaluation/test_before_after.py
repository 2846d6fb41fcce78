import numpy as np
import pytest
from bundle_helpers import make_bundle
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.engine.evaluation.before_after import (
    NOISE,
    BeforeAfter,
    SlidePair,
    before_after,
    interval,
)
from napari_pathseg.engine.evaluation.intervals import FEWEST_PATIENTS
from napari_pathseg.engine.evaluation.slide_scores import SlideScore

dice = st.floats(0, 1)
slides = st.lists(st.tuples(dice, dice, st.integers(0, 11)), min_size=1, max_size=30)


def _compare(rows):
    """Return the comparison of Dice before, Dice after and patient of each slide."""
    pairs = (SlidePair(f"s{number}", f"P{patient}", *both) for number, (*both, patient) in enumerate(rows))
    return BeforeAfter("m002", "m001", tuple(pairs))


@given(slides)
def test_identical_models_differ_by_nothing(rows):
    same = _compare([(before, before, patient) for before, _, patient in rows])
    assert (same.mean, same.bounds, same.worse) == (0, (0, 0), False)


@given(slides)
def test_exchanging_the_models_turns_the_signs_around(rows):
    forth, back = _compare(rows), _compare([(after, before, patient) for before, after, patient in rows])
    assert back.mean == pytest.approx(-forth.mean)
    assert back.bounds == pytest.approx((-forth.bounds[1], -forth.bounds[0]), abs=1e-12)
    assert not (forth.worse and back.worse)


@given(slides)
def test_slides_are_paired_so_that_what_both_find_hard_makes_no_difference(rows):
    harder = [(before / 2, before / 2 + (after - before) / 2, patient) for before, after, patient in rows]
    assert _compare(harder).mean == pytest.approx(_compare(rows).mean / 2, abs=1e-12)
    assert _compare(harder).bounds == pytest.approx([bound / 2 for bound in _compare(rows).bounds], abs=1e-12)


@given(slides)
def test_mean_and_interval_lie_within_the_range_of_the_slides(rows):
    compared = _compare(rows)
    low, high = (extreme(after - before for before, after, _ in rows) for extreme in (min, max))
    for value in (compared.mean, *compared.bounds):
        assert low - 1e-9 <= value <= high + 1e-9
    assert compared.worst.difference == low


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        effects = np.repeat(0.05 + 0.1 * rng.standard_normal(12), 3)  # three slides of each patient share its effect
        low, high = interval(effects + 0.02 * rng.standard_normal(36), [f"P{number // 3}" for number in range(36)])
        covered += low <= 0.05 <= high
    assert 0.86 < covered / 300 < 0.99


def test_interval_of_few_patients_with_many_slides_is_wider_than_that_of_as_many_patients():
    differences = np.repeat(np.linspace(-0.1, 0.2, 10), 4)
    low, high = interval(differences, [f"P{number // 4}" for number in range(40)])
    narrow_low, narrow_high = interval(differences, [f"P{number}" for number in range(40)])
    assert high - low > 1.5 * (narrow_high - narrow_low)


def test_interval_is_the_same_each_time_and_names_its_patients():
    compared = _compare([(0.5, 0.5 + 0.01 * number, number) for number in range(FEWEST_PATIENTS)])
    assert compared.bounds == compared.bounds
    assert "95 % interval" in compared.text
    assert f"{FEWEST_PATIENTS} patients" in compared.text


def test_too_few_patients_have_a_range_and_the_reason():
    compared = _compare([(0.5, 0.6, 0), (0.5, 0.45, 1), (0.5, 0.7, 1)])
    assert compared.bounds == pytest.approx((-0.05, 0.2))
    assert compared.to_json()["interval"] is None
    assert compared.text == (
        "m002 against m001: Dice +0.083 on 3 held-out slides (from -0.050 to +0.200; no interval with fewer than 8 "
        "patients). Worst: s1 -0.050."
    )


@pytest.mark.parametrize(
    ("rows", "worse"),
    [
        ([(0.8, 0.8 - NOISE / 2, 0)], False),
        ([(0.8, 0.8 - 2 * NOISE, 0)], True),
        ([(0.8, 0.5, 0), (0.8, 0.81, 1)], True),
        ([(0.8, 0.79 - 0.001 * patient, patient) for patient in range(8)], True),  # little, but all of them
        ([(0.8, 0.8 + (0.1 if patient % 2 else -0.13), patient) for patient in range(8)], False),  # by chance
    ],
)
def test_worse_means_by_more_than_noise(rows, worse):
    assert _compare(rows).worse is worse


def _scores(**dice):
    return {slide: SlideScore(list(values), f"labels of {slide}") for slide, values in dice.items()}


def test_classes_that_do_not_occur_are_left_out_and_unknown_ones_are_not_found(project):
    after = _scores(case0=[0.8, None, 0.6], case1=[None, 0.5, None])
    before = _scores(case0=[0.7, None], case1=[None, 0.4])
    compared = before_after(project, make_bundle("m002", base="m001", slide_scores=after, base_scores=before))
    assert [(pair.before, pair.after) for pair in compared.pairs] == [(0.35, pytest.approx(0.7)), (0.4, 0.5)]


def test_slides_whose_labels_have_changed_do_not_compare(project):
    after = _scores(case0=[0.8, 0.6], case1=[0.5, 0.5])
    before = {**after, "case1": SlideScore([0.1, 0.1], "other labels")}
    compared = before_after(project, make_bundle("m002", base="m001", slide_scores=after, base_scores=before))
    assert [pair.slide for pair in compared.pairs] == ["case0"]
    assert compared.left_out == ("case1",)


def test_older_bundles_and_first_models_have_no_comparison(project):
    assert before_after(project, make_bundle("m002", parent="m001")) is None
    assert before_after(project, make_bundle("m001", slide_scores=_scores(case0=[0.5, 0.5]))) is None
