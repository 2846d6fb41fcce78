import numpy as np
import pytest

from napari_pathseg.engine.augment import turn, vary_stain


def test_the_eight_turns_differ_and_keep_mask_and_picture_together():
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    pixels = np.repeat(labels[..., None], 3, axis=-1)
    seen = set()
    for number in range(8):
        turned_pixels, turned_labels = turn(number, pixels, labels)
        assert (turned_pixels[..., 0] == turned_labels).all()
        seen.add(turned_labels.tobytes())
    assert len(seen) == 8


def test_no_jitter_leaves_the_stain_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    assert (vary_stain(pixels, 0, np.random.default_rng(0)) == pixels).all()


@pytest.mark.parametrize("seed", range(5))
def test_jitter_changes_colours_a_little_and_keeps_their_order(seed):
    ramp = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[None, :, None], 3, axis=-1)
    varied = vary_stain(ramp, 0.15, np.random.default_rng(seed)).astype(int)
    assert (np.diff(varied, axis=1) >= 0).all()
    assert 0 < np.abs(varied - ramp).max() < 70
