"""A trial takes the fastest way whose answer is right, whatever goes wrong with the others."""

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.engine.runtime.trial import agree, try_ways

LOGITS = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 4


def after(seconds, logits=LOGITS):
    def compute():
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return logits

    return compute


def failing():
    raise RuntimeError("could not create a primitive")


def asleep():
    time.sleep(0.2)
    return LOGITS


def fastest(**ways):
    seconds = try_ways(ways, 0.5)
    return min(seconds, key=seconds.get)


def test_fastest_way_is_found():
    assert fastest(fp32=after(0.03), bf16=after(0.005)) == "bf16"
    assert fastest(fp32=after(0.005), bf16=after(0.03)) == "fp32"
    assert fastest(fp32=after(0.005), bf16=asleep) == "fp32"  # it waits for something


@pytest.mark.parametrize(
    "wrong", [LOGITS.flip(1), LOGITS * float("nan"), LOGITS[..., :16], torch.zeros_like(LOGITS), LOGITS + 30]
)
def test_fast_way_with_a_wrong_answer_is_left_out(wrong):
    assert fastest(fp32=after(0.01), bf16=after(0.0, wrong)) == "fp32"


def test_way_that_fails_is_left_out():
    assert try_ways({"fp32": after(0.0), "bf16": failing}, 0.1).keys() == {"fp32"}


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_rounding_to_bfloat16_agrees_and_swapped_classes_do_not(seed, classes):
    logits = torch.randn(1, classes, 24, 24, generator=torch.Generator().manual_seed(seed)) * 5
    assert agree(logits.bfloat16(), logits)
    if classes > 1:
        assert not agree(logits.roll(1, dims=1), logits)
