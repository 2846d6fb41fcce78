"""Pixels that travel as text come back the same; text that is none of ours is refused."""

import base64
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from napari_pathseg.engine.live.packed import pack, unpack


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=3, max_side=20)))
def test_pixels_come_back_the_same(pixels):
    assert np.array_equal(unpack(pack(pixels), pixels.shape), pixels)


@pytest.mark.parametrize(
    "text", ["", "no base64", base64.b64encode(b"no zlib").decode(), pack(np.zeros((2, 5), np.uint8))]
)
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="pixels"):
        unpack(text, (2, 4))


def test_text_of_a_huge_array_takes_no_memory():
    text = base64.b64encode(zlib.compress(bytes(100_000_000))).decode()
    tracemalloc.start()
    with pytest.raises(ValueError, match="shape"):
        unpack(text, (2, 4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
