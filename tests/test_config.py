import dataclasses
import json
import re

import pytest

from napari_pathseg.cli import main
from napari_pathseg.cli.parser import build_parser
from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.search_space import TuneRequest
from napari_pathseg.errors import ConfigError
from napari_pathseg.jobs.tuning import TrialRecord, open_study
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import save_json

# A name of version 0.1.0, today's, and a value that is not the default.
RENAMED = [
    ("averaging", "ema_decay", 0.5),
    ("clip", "gradient_clip_norm", 3.0),
    ("decoder_rate", "decoder_learning_rate", 0.25),
    ("encoder_rate", "encoder_lr_scale", 0.5),
    ("turns", "flip_rotate", False),
    ("warped", "geometric_p", 0.75),
    ("spoiled", "degrade_p", 0.75),
]
renamed = pytest.mark.parametrize(("old", "new", "value"), RENAMED)
all_renamed = pytest.mark.parametrize(
    ("kind", "old", "new", "value"),
    [*((TrainConfig, *names) for names in RENAMED), (PredictConfig, "positions", "tta", 8)],
)


@pytest.mark.parametrize("kind", [TrainConfig, PredictConfig])
def test_defaults_are_within_their_limits(kind):
    assert kind.from_json(kind().to_json()) == kind()


@pytest.mark.parametrize("kind", [TrainConfig, PredictConfig])
def test_every_setting_has_a_help_text(kind):
    assert all(len(info.help) > 10 for _, info in kind.described())


def test_value_beyond_its_limits_is_refused_with_the_limits():
    with pytest.raises(ConfigError, match=r"^batch is -1; it must lie between 0 and 256\.$"):
        TrainConfig(batch=-1)


def test_nan_is_refused():
    with pytest.raises(ConfigError, match="minutes is nan"):
        TrainConfig(minutes=float("nan"))


def test_fraction_is_refused_for_a_whole_number():
    with pytest.raises(ConfigError, match="batch is 2.5; it must be a whole number"):
        TrainConfig(batch=2.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"context": "yes"}, "context is 'yes'; it must be True or False."),
        ({"flip_rotate": 1}, "flip_rotate is 1; it must be True or False."),
        ({"encoder": 3}, "encoder is 3; it must be a string."),
        ({"batch": "8"}, "batch is '8'; it must be a number between 0 and 256."),
        ({"batch": True}, "batch is True; it must be a number between 0 and 256."),
        ({"schedule": 2}, "schedule is 2; it must be one of auto, cosine"),
    ],
)
def test_value_of_the_wrong_type_is_refused(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        TrainConfig(**values)


def test_unknown_choice_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="schedule is .magic.; it must be one of auto, cosine"):
        TrainConfig(schedule="magic")


def test_misspelt_setting_is_named():
    with pytest.raises(ConfigError, match="minuts is not a setting of TrainConfig"):
        TrainConfig.from_json({"minuts": 2})


@pytest.mark.parametrize("kind", [TrainConfig, PredictConfig])
def test_old_names_are_all_tested_and_unambiguous(kind):
    known = [name for field, info in kind.described() for name in (field.name, *info.aliases)]
    assert len(set(known)) == len(known)
    aliases = {alias for _, info in kind.described() for alias in info.aliases}
    assert aliases == ({old for old, _, _ in RENAMED} if kind is TrainConfig else {"positions"})


@all_renamed
def test_old_name_in_a_file_is_read_as_the_new_one(kind, old, new, value):
    assert kind.from_json({old: value}) == kind(**{new: value})
    assert set(kind().to_json()) == {field.name for field in dataclasses.fields(kind)}


@all_renamed
def test_old_name_in_project_settings_is_read_as_the_new_one(kind, old, new, value):
    assert kind.known({old: value}) == kind(**{new: value})


@all_renamed
def test_new_name_wins_if_a_file_has_both(kind, old, new, value):
    assert kind.from_json({old: value, new: getattr(kind(), new)}) == kind()


@all_renamed
def test_old_value_beyond_its_limits_is_refused_under_the_new_name(kind, old, new, value):
    if not isinstance(value, bool):
        with pytest.raises(ConfigError, match=f"^{new} is -1; it must lie between"):
            kind.from_json({old: -1})


@all_renamed
def test_old_option_works_on_the_command_line_but_is_hidden(kind, old, new, value, capsys):
    for command in ("train", "tune") if kind is TrainConfig else ("predict",):
        words = [command, "p", *(["--vary", "batch=2"] if command == "tune" else [])]
        name = old.replace("_", "-")
        words += [f"--no-{name}"] if value is False else [f"--{name}", str(value)]
        assert getattr(build_parser().parse_args(words), new) == value
        with pytest.raises(SystemExit):
            main([command, "--help"])
        listed = capsys.readouterr().out
        assert f"--{name} " not in listed
        assert f"--{new.replace('_', '-')}" in listed


@renamed
def test_old_name_can_be_varied_and_is_shown_as_the_new_one(old, new, value):
    for name in (old, old.replace("_", "-")):
        varied = TuneRequest.read([f"{name}={str(value).lower()}"], TrainConfig()).varied
        assert [(one.field, one.values) for one in varied] == [(new, (value,))]


@renamed
def test_old_name_in_a_bundle_is_read_as_the_new_one(old, new, value, tmp_path):
    bundle = {"id": "m001", "parent": None, "run": "r001", "mpp": 1.0, "scores": {}, "mean_dice": 0.5}
    bundle |= {"train": [], "val": [], "steps": 1, "seconds": 1.0, "finished": True, "format": 1}
    bundle["classes"] = [{"name": "Background", "color": "#888888"}, {"name": "Tumour", "color": "#e69f00"}]
    network = {"architecture": "unet", "encoder": "", "classes": 2}
    save_json(tmp_path / "bundle.json", {**bundle, "network": network, "config": {old: value}})
    assert load_bundle(tmp_path).config == {new: value}


@renamed
def test_old_name_in_a_tuning_is_read_as_the_new_one(old, new, value, tmp_path):
    project = Project.create(tmp_path / "p.pathseg")
    request = TuneRequest.read([f"{new}={str(value).lower()}", "batch=2,4"], TrainConfig(learning_rate=0.5))
    assert request.name.startswith("batch-")
    with open_study(project, request) as study:
        study.trials.append(TrialRecord({new: value, "batch": 2}, state="finished", model="m001", score=0.5))
        study.save()
    folder = project.folder / "runs" / f"tune-{request.name}"
    kept = json.loads((folder / "study.json").read_text(encoding="utf-8").replace(f'"{new}"', f'"{old}"'))
    assert old in kept["trials"][0]["settings"]
    assert new not in kept["trials"][0]["settings"]
    folder.rename(folder.with_name(f"tune-{request.legacy_name}"))  # as version 0.1.0 called it
    save_json(folder.with_name(f"tune-{request.legacy_name}") / "study.json", kept)
    with open_study(project, request) as study:
        assert study.result().name == request.legacy_name != request.name
        assert study.result().best.settings == {new: value, "batch": 2}
        assert study.next_trial().settings == {new: value, "batch": 4}


def test_tuning_keeps_its_automatic_name_of_version_0_1_0():
    first = TuneRequest.read(["averaging=0.9,0.95", "batch=2"], TrainConfig(seed=3, decoder_seconds=8.0)).legacy_name
    assert first == "averaging-batch-fa2fc004", "a new setting lacks `since`, or a default changed"
    assert TuneRequest.read(["batch=2"], TrainConfig(), name="mine").legacy_name == "mine"


def test_tuning_with_a_setting_of_a_newer_version_has_a_name_of_its_own():
    plain, other = (TuneRequest.read(["batch=2"], TrainConfig(fill_mode=mode)) for mode in ("mirror", "nearest"))
    assert plain.name != other.name
