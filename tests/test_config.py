import pytest

from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.errors import ConfigError


@pytest.mark.parametrize("kind", [TrainConfig, PredictConfig])
def test_the_defaults_lie_within_their_own_limits(kind):
    assert kind.from_json(kind().to_json()) == kind()


@pytest.mark.parametrize("kind", [TrainConfig, PredictConfig])
def test_every_setting_has_a_help_text(kind):
    assert all(len(limits.help) > 10 for _, limits in kind.described())


def test_a_value_beyond_its_limits_is_refused_with_the_limits():
    with pytest.raises(ConfigError, match=r"^batch is 0; it must lie between 1 and 256\.$"):
        TrainConfig(batch=0)


def test_not_a_number_is_refused():
    with pytest.raises(ConfigError, match="minutes is nan"):
        TrainConfig(minutes=float("nan"))


def test_a_fraction_is_no_whole_number():
    with pytest.raises(ConfigError, match="batch is 2.5; it must be a whole number"):
        TrainConfig(batch=2.5)


def test_an_unknown_choice_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="schedule is .magic.; it must be one of auto, cosine"):
        TrainConfig(schedule="magic")


def test_a_misspelt_setting_is_named():
    with pytest.raises(ConfigError, match="minuts is no setting of TrainConfig"):
        TrainConfig.from_json({"minuts": 2})
