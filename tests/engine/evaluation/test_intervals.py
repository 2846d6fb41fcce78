import numpy as np
import pytest
from scipy import stats

from napari_pathseg.engine.evaluation.intervals import FEWEST_PATIENTS, patient_mean, patient_notes, slides_by_patient


def test_interval_of_symmetric_values_is_students_from_eight_patients_on():
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    assert len(values) == FEWEST_PATIENTS
    found = patient_mean(values)
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert found.to_json()["interval"] == [found.low, found.high]
    assert found.to_json()["range"] is None


def test_interval_of_skewed_values_solves_halls_equation():
    values = np.random.default_rng(3).beta(8, 1, 20)
    found, spread, number = patient_mean(values), values.std(ddof=1), len(values)
    skewness = stats.skew(values)

    def transformed(mean):
        t = (values.mean() - mean) / spread
        cubic = t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * number)
        return cubic * np.sqrt(number)

    quantile = stats.t.ppf(0.975, number - 1)
    assert transformed(found.low) == pytest.approx(quantile)
    assert transformed(found.high) == pytest.approx(-quantile)
    assert found.mean - found.low > found.high - found.mean  # the long tail lies below


def test_equal_values_have_an_interval_of_no_width():
    found = patient_mean([0.7] * 9)
    assert (found.low, found.high) == pytest.approx((0.7, 0.7))


def test_fewer_patients_have_a_range_and_a_sentence_that_says_why():
    found = patient_mean([0.2, 0.9, 0.4]).to_json()
    assert (found["interval"], found["range"]) == (None, [0.2, 0.9])
    (note,) = patient_notes(3, [])
    assert "3 patients are scored" in note
    assert "range" in note


def test_patients_without_a_value_do_not_count():
    assert patient_mean([0.5, None]).patients == 1
    assert patient_mean([None, None]) is None


def test_interval_of_a_share_ends_at_its_limits():
    found = patient_mean([1.0] * 9 + [0.5], (0.0, 1.0))
    assert found.high == 1.0
    assert found.low < found.mean


def test_slides_of_a_patient_count_once_and_those_of_unknown_patients_are_named():
    assert slides_by_patient({"a": "Smith", "b": "Smith", "c": "c"}) == {"Smith": ["a", "b"], "c": ["c"]}
    assert any("1 slide is of unknown patients" in note for note in patient_notes(9, ["c"]))
    assert patient_notes(9, []) == []


def test_intervals_of_fifty_patients_cover_the_mean():
    rng = np.random.default_rng(0)
    found = [patient_mean(rng.beta(8, 2, 50), (0, 1)) for _ in range(2000)]
    assert 0.93 <= np.mean([each.low <= 0.8 <= each.high for each in found]) <= 0.97
