import numpy as np
import pytest

from napari_pathseg.engine.evaluation.agreement import AreaPair, agreement


def test_bias_and_limits_of_agreement_by_hand():
    found = agreement([AreaPair("a", 10.0, 12.0), AreaPair("b", 20.0, 20.0), AreaPair("c", 30.0, 31.0)])
    assert found["bias"]["mean"] == pytest.approx(1.0)
    assert found["limits"] == pytest.approx([1 - 1.96, 1 + 1.96], abs=1e-4)  # the differences 2, 0, 1 deviate by 1
    assert found["bias_percent"]["mean"] == pytest.approx(100 * (2 / 11 + 0 + 1 / 30.5) / 3)


def test_bias_has_an_interval_from_eight_patients_on_and_the_limits_are_wider():
    rng = np.random.default_rng(0)
    pairs = [AreaPair(str(number), 10.0, 10.0 + each) for number, each in enumerate(rng.normal(0.5, 1, 20))]
    found = agreement(pairs)
    low, high = found["bias"]["interval"]
    assert found["limits"][0] < low < found["bias"]["mean"] < high < found["limits"][1]


def test_one_patient_has_no_limits_and_two_empty_areas_no_percentage():
    found = agreement([AreaPair("a", 0.0, 0.0)])
    assert (found["bias"]["mean"], found["limits"], found["bias_percent"]) == (0.0, None, None)
