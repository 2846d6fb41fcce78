import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.config import NETWORK_NAMES, TrainConfig
from napari_pathseg.engine.cost_model import (
    DatasetSize,
    HardwareProfile,
    dataset_size,
    estimate,
    local_hardware,
)
from napari_pathseg.engine.dataset.tiles import MAX_CACHED_PIXELS

SMALL = DatasetSize([1_000_000] * 4, [1_000_000])
LAPTOP = HardwareProfile(tflops=0.26, free_gb=8)


def cost(config=None, dataset=SMALL, hardware=LAPTOP, **settings):
    return estimate(dataset, config or TrainConfig(**settings), hardware)


@pytest.mark.parametrize("architecture", NETWORK_NAMES)
@settings(deadline=None)
@given(batch=st.integers(1, 128), tile=st.integers(2, 63), more=st.sampled_from(["batch", "tile"]))
def test_larger_batch_or_tile_takes_more_memory_and_time(architecture, batch, tile, more):
    less = cost(architecture=architecture, batch=batch, tile=32 * tile)
    if more == "batch":
        batch += 1
    else:
        tile += 1
    larger = cost(architecture=architecture, batch=batch, tile=32 * tile)
    assert larger.memory_gb >= less.memory_gb
    assert larger.seconds_per_step > less.seconds_per_step
    assert larger.steps <= less.steps


def test_default_settings_take_their_minutes_and_a_few_gigabytes():
    found = cost()
    assert found.minutes == 2
    assert 1 < found.memory_gb < 4
    assert 0.1 < found.seconds_per_step < 1  # 0.28 s was measured on two cores
    assert found.text == f"about 2 min, {found.memory_gb:.1f} GB on this computer"


@pytest.mark.parametrize(
    ("architecture", "seconds"), [("unet", 0.28), ("unet-classic", 5.6), ("fcn8s", 2.8)]
)  # fp32, batch 4 of 256 pixels, on two cores
def test_step_time_is_within_a_factor_of_two_of_the_measured(architecture, seconds):
    assert 0.5 < cost(architecture=architecture).seconds_per_step / seconds < 2


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"preset": "quick"}, "about 10 s, "),
        ({"preset": "live"}, "about 6 s, "),
        ({"minutes": 30}, "about 30 min, "),
        ({"preset": "thorough"}, "up to 10 h, "),
        ({"preset": "thorough", "minutes": 300}, "about 5 h, "),
    ],
)
def test_estimate_shows_the_time_that_is_set(settings, text):
    assert cost(**settings).text.startswith(text)


def test_estimate_counts_the_scoring_of_all_held_out_tiles_after_the_training():
    few = DatasetSize([1_000_000] * 4, [8_000_000])  # 31 tiles of 512 pixels, which each validation scores
    many, more = (DatasetSize([1_000_000] * 4, [number * 1_000_000_000]) for number in (1, 2))
    assert cost(dataset=few).minutes == 2
    assert cost(dataset=many).minutes > 4
    assert cost(dataset=more).minutes - 2 == pytest.approx(2 * (cost(dataset=many).minutes - 2))
    assert cost(dataset=many).text.startswith(f"about {cost(dataset=many).minutes:.0f} min, ")
    assert cost(dataset=many, steps=100).minutes > cost(dataset=few, steps=100).minutes + 2


def test_number_of_steps_sets_the_time():
    short, long = cost(steps=100), cost(steps=10_000)
    assert (short.steps, long.steps) == (100, 10_000)
    assert 100 * short.seconds_per_step / 60 < short.minutes < long.minutes


def test_faster_computer_makes_more_steps():
    assert cost(hardware=HardwareProfile(2.6, 8)).steps >= 9 * cost().steps


def test_accumulated_batches_take_time_but_no_memory():
    once, four = cost(), cost(accumulate=4)
    assert four.memory_gb == once.memory_gb
    assert four.seconds_per_step == pytest.approx(4 * once.seconds_per_step)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"batch": 64}, "Lower batch (64)."),
        ({"batch": 1, "tile": 2048}, "Lower tile (2048)."),
        ({"architecture": "fcn8s"}, "Choose another architecture than fcn8s."),
    ],
)
def test_memory_shortage_names_the_setting_to_lower(settings, remedy):
    text = cost(hardware=HardwareProfile(0.26, 2.0), **settings).text
    assert "but only 2.0 GB are free on this computer." in text
    assert text.endswith(remedy)


def test_slides_take_memory_up_to_the_cache_limit():
    none, full, more = (
        cost(dataset=DatasetSize(train, [])).memory_gb
        for train in ([], [MAX_CACHED_PIXELS], [MAX_CACHED_PIXELS, 10**9])
    )
    assert full == more == pytest.approx(none + 1.6)


def test_cached_features_take_memory_where_the_decoder_is_trained_alone():
    normal, first, quick = (
        cost(batch=1, cached_tiles=1000, **changes).memory_gb
        for changes in ({}, {"decoder_seconds": 8}, {"preset": "quick"})
    )
    assert first == quick > normal + 0.5


def test_project_is_estimated_by_its_slides(project):
    dataset = dataset_size(project)
    assert dataset == DatasetSize([192 * 192] * 4, [192 * 192], [192] * 4)
    assert estimate(project, TrainConfig(), LAPTOP) == cost(dataset=dataset)


def test_local_hardware_has_a_speed_and_memory():
    hardware = local_hardware()
    assert 0.005 < hardware.tflops < 100
    assert hardware.free_gb > 0
    assert local_hardware().tflops == hardware.tflops


def test_cost_model_does_not_import_torch():
    code = "import napari_pathseg.engine.cost_model, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
