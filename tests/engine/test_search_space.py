import sys

import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.search_space import SearchDimension, TuneRequest, grid
from napari_pathseg.errors import ConfigError

RATES, BATCHES = "learning_rate=1e-4,1e-3", "batch=2,4"


def request(*vary, config=None, **others):
    return TuneRequest.read(vary, config or TrainConfig(), **others)


def test_grid_is_every_combination_in_order():
    tried = grid(request(RATES, BATCHES))
    assert tried == [{"learning_rate": rate, "batch": batch} for rate in (1e-4, 1e-3) for batch in (2, 4)]


def test_fewer_trials_of_a_grid_are_a_prefix_of_more_trials():
    vary = ("tile=64,96,128,160", "batch=1,2,3,4")
    few, more = grid(request(*vary, trials=3)), grid(request(*vary, trials=9))
    assert more[:3] == few != grid(request(*vary))[:3]
    assert grid(request(*vary, trials=3, config=TrainConfig(seed=1))) != few
    assert len(grid(request(*vary, trials=99))) == 16


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("weight-decay=0,1e-4", (0.0, 1e-4)),
        ("flip_rotate=true,no", (True, False)),
        ("loss=dice, focal", ("dice", "focal")),
        ("batch=2,2,4", (2, 4)),
    ],
)
def test_values_are_parsed_by_the_type_of_the_setting(text, values):
    assert SearchDimension.read(text).values == values


@pytest.mark.parametrize(
    ("vary", "others", "message"),
    [
        (["rate=1,2"], {}, "rate is not a setting of TrainConfig. Choose one of accumulate"),
        (["batch=2,-1"], {}, "batch is -1; it must lie between 0 and 256."),
        (["batch=two"], {}, "batch is 'two'; it must be a whole number."),
        (["flip_rotate=maybe"], {}, "flip_rotate is 'maybe'; it must be true or false."),
        (["tile=64,100"], {}, "tile is 100; it must be a multiple of 32."),
        (["batch"], {}, "write FIELD=A,B,C or FIELD=LOW..HIGH."),
        (["batch=2", "batch=4"], {}, "give all values of a setting at once"),
        (["batch=4..2"], {"search": "optuna"}, "the first of the two must be the lower one"),
        (["batch=2..4"], {}, "batch is a range; a grid takes values."),
        (["batch=2"], {"trials": -1}, "trials is -1"),
        (["batch=2"], {"search": "luck"}, "search is 'luck'; it must be one of grid, optuna."),
        (["batch=2"], {"name": "../r001"}, "use letters, digits, dots and dashes"),
        (["batch=2"], {"parent": "latest"}, "Name a model, or leave it out."),
        ([], {}, "vary is empty"),
    ],
)
def test_request_that_cannot_be_searched_is_refused(vary, others, message):
    with pytest.raises(ConfigError) as refused:
        request(*vary, **others)
    assert message in str(refused.value)


@pytest.mark.parametrize("vary", ["architecture=unet,fcn8s", "encoder=resnet18,resnet34", "weights=imagenet,none"])
def test_trials_that_keep_a_models_network_cannot_vary_the_network(vary):
    assert request(vary).fields == [vary.partition("=")[0]]
    with pytest.raises(ConfigError, match="but each trial keeps the network of m001"):
        request(vary, parent="m001")


def test_tuning_is_named_after_its_varied_and_shared_settings():
    name = request(RATES).name
    assert name.startswith("learning_rate-")
    assert request("learning_rate=1e-2", config=TrainConfig(learning_rate=0.1)).name == name
    assert request(RATES, config=TrainConfig(batch=2)).name != name
    assert request(RATES, parent="m001").name != name


def follow(asked, score):
    """Try what is asked for until nothing is left."""
    tried, scores = [], []
    while (settings := asked.next_settings(tried, scores)) is not None:
        tried.append(settings)
        scores.append(score(settings))
    return tried


def test_optuna_approaches_a_maximum_faster_than_chance():
    asked = request("learning_rate=1e-6..1", "batch=1..64", search="optuna", trials=24)
    tried = follow(asked, lambda s: -abs(s["batch"] - 40))
    assert len(tried) == 24
    assert all(1e-6 <= s["learning_rate"] <= 1 and 1 <= s["batch"] <= 64 for s in tried)
    misses = [abs(s["batch"] - 40) for s in tried]
    assert sum(misses[12:]) < sum(misses[:8]) * 12 / 8


def test_wide_range_is_searched_on_a_logarithmic_scale():
    wide = follow(request("weight_decay=1e-6..1", search="optuna", trials=15), lambda _: None)
    assert sum(s["weight_decay"] < 1e-3 for s in wide) >= 4
    narrow = follow(request("zoom=0.01..0.5", "tile=64..128", search="optuna", trials=15), lambda _: None)
    assert sum(s["zoom"] > 0.1 for s in narrow) >= 8
    assert {s["tile"] for s in narrow} == {64, 96, 128}


def test_optuna_resumes_as_if_it_had_not_been_interrupted():
    asked = request("learning_rate=1e-5..1e-2", BATCHES, search="optuna", trials=8)
    tried = follow(asked, lambda s: s["learning_rate"])
    assert asked.next_settings(tried[:6], [s["learning_rate"] for s in tried[:6]]) == tried[6]


def test_optuna_tries_each_combination_once():
    tried = follow(request(RATES, BATCHES, search="optuna", trials=10), lambda _: 0.5)
    assert sorted(map(str, tried)) == sorted(map(str, grid(request(RATES, BATCHES))))


def test_grid_can_be_searched_without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r'pip install "napari-pathseg\[tune\]"'):
        request(RATES, search="optuna")
    assert request(RATES).remaining([]) == 2
