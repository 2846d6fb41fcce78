import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.config import LiveConfig, PredictConfig, TrainConfig
from napari_pathseg.engine.events import (
    Command,
    Event,
    Note,
    PreviewReady,
    Progress,
    SlideDone,
    Started,
    Stop,
    Trial,
    Validated,
    ValidationSamplesReady,
)
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import (
    COMMANDS,
    EVENTS,
    JobFinished,
    LiveCommand,
    Predict,
    StartJob,
    Train,
    parse_command,
    parse_event,
    to_line,
)

ABSTRACT = {Event, Command, StartJob, JobFinished, LiveCommand}

# As version 0.1.0 wrote them to events.jsonl.
LOGGED = [
    (
        '{"time": 1.5, "event": "started", "run": "r001", "model": "m001", "parent": null, "train": ["a"], "val": []}',
        Started("r001", "m001", None, ["a"], []),
    ),
    (
        '{"time": 1.5, "event": "progress", "stage": "Training", "fraction": 0.5, "seconds_left": 9.0, "step": 3, '
        '"loss": 0.25, "rate": 0.001, "seconds": 8.5}',
        Progress("Training", 0.5, 9.0, 3, 0.25, 0.001, 8.5),
    ),
    (
        '{"time": 1.5, "event": "progress", "stage": "Training", "fraction": 0.5, "seconds_left": 9.0}',
        Progress("Training", 0.5, 9.0),
    ),
    (
        '{"time": 1.5, "event": "validated", "step": 3, "seconds": 8.5, "loss": 0.25, "dice": {"Tumour": 0.5}, '
        '"mean_dice": 0.5, "best": true, "rate": 0.001}',
        Validated(3, 8.5, 0.25, {"Tumour": 0.5}, 0.5, True, 0.001),
    ),
    ('{"time": 1.5, "event": "examples", "path": "a.png"}', ValidationSamplesReady("a.png")),
    (
        '{"time": 1.5, "event": "view", "slide": "a", "region": [1, 2, 3, 4], "path": "a.npy"}',
        PreviewReady("a", Region(1, 2, 3, 4), "a.npy"),
    ),
    ('{"time": 1.5, "event": "note", "text": "So.", "warning": true}', Note("So.", warning=True)),
    (
        '{"time": 1.5, "event": "slidedone", "slide": "a", "seconds": 1.5, "pixels": 7, "region": [1, 2, 3, 4]}',
        SlideDone("a", 1.5, 7, Region(1, 2, 3, 4)),
    ),
]

st.register_type_strategy(float, st.floats(allow_nan=False))
st.register_type_strategy(Region, st.builds(Region, *[st.integers(0, 10**6)] * 4))
st.register_type_strategy(TrainConfig, st.builds(TrainConfig, batch=st.integers(1, 64), seed=st.integers(0, 99)))
st.register_type_strategy(PredictConfig, st.builds(PredictConfig))
st.register_type_strategy(LiveConfig, st.builds(LiveConfig))
st.register_type_strategy(Trial, st.builds(Trial, settings=st.dictionaries(st.text(), st.integers() | st.text())))


def subclasses(base):
    return {base}.union(*map(subclasses, base.__subclasses__()))


def test_every_message_class_has_a_wire_name():
    assert {*COMMANDS.values(), *EVENTS.values()} == (subclasses(Event) | subclasses(Command)) - ABSTRACT
    assert len(COMMANDS) + len(EVENTS) == len({*COMMANDS.values(), *EVENTS.values()})


@pytest.mark.parametrize("kind", [*COMMANDS.values(), *EVENTS.values()], ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_message_comes_back_from_its_line_as_it_was(kind, data):
    message = data.draw(st.from_type(kind))
    line = to_line(message)
    assert "\n" not in line
    found = (parse_command if isinstance(message, Command) else parse_event)(line)
    assert type(found) is kind
    assert found == message
    assert [type(value) for value in vars(found).values()] == [type(value) for value in vars(message).values()]


@pytest.mark.parametrize(("line", "event"), LOGGED)
def test_logs_of_older_versions_stay_readable(line, event):
    assert parse_event(line) == event
    assert {**json.loads(line), **event.to_json()}.keys() - {"time"} == event.to_json().keys()


@pytest.mark.parametrize("parse", [parse_command, parse_event])
@pytest.mark.parametrize("line", ['{"event": "later", "command": "later"}', '{"time": 1}', '{"event": ["a"]}'])
def test_unknown_kind_is_skipped_with_a_line_in_the_log(parse, line, caplog):
    with caplog.at_level(logging.INFO):
        assert parse(line) is None
    assert "Skipped a message of unknown kind" in caplog.text


def test_unknown_field_is_ignored_and_a_missing_one_has_its_default():
    assert parse_command('{"command": "stop", "gently": true}') == Stop()
    line = '{"command": "predict", "project": "p", "model": "m001", "slides": ["a"]}'
    assert parse_command(line) == Predict(project="p", model="m001", slides=["a"])


def test_missing_field_without_a_default_is_an_error():
    with pytest.raises(ValueError, match="^A message train lacks config, project"):
        parse_command('{"command": "train"}')


def test_settings_in_a_command_are_checked():
    command = Train(project="p", config=TrainConfig())
    values = command.to_json()
    values["config"]["batch"] = -1
    with pytest.raises(ConfigError, match="batch is -1"):
        Train.from_json(values)
