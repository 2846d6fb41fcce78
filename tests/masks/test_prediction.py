"""A model's raw output: classes are derived from the probabilities."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_pathseg.masks.prediction import most_likely_classes


@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 3)
    )
)
def test_class_of_a_pixel_is_the_first_of_the_most_likely_ones(probabilities):
    assert (most_likely_classes(probabilities) == probabilities.argmax(axis=0) + 1).all()
    assert most_likely_classes(probabilities).dtype == np.uint8
