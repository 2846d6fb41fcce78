"""The runtime that computes a prediction: the fastest at hand whose answer is torch's."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.events import Note, Stop, TileDone, run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.networks import Network, build_network
from napari_pathseg.engine.runtime import choice, openvino_module
from napari_pathseg.engine.runtime.choice import OpenVinoNetwork, choose_runtime, compile_stages
from napari_pathseg.engine.runtime.openvino_module import converted_folder, module_key
from napari_pathseg.engine.runtime.trial import agree
from napari_pathseg.errors import ConfigError
from napari_pathseg.storage.portable import remove_tree

MUCH = 1e9  # megapixels: worth any conversion


class Small(Network):
    """A network of two layers."""

    multiple = 8

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.Conv2d(16, 2, 3, padding=1)
        with torch.no_grad():
            self.last.weight *= 20

    @property
    def encoder(self):
        return self.first

    def _encode(self, pixels):
        return [self.first(pixels).relu()]

    def _decode(self, features):
        return nn.functional.interpolate(self.last(features[0]), scale_factor=2.0)


class Slow(Small):
    """One whose bfloat16 takes long."""

    def _encode(self, pixels):
        if torch.is_autocast_enabled("cpu"):
            time.sleep(0.5)
        return super()._encode(pixels)


class Wrong(Small):
    """One whose bfloat16 is wrong, and fast."""

    def _decode(self, features):
        if torch.is_autocast_enabled("cpu"):
            return torch.zeros(1, 2, *[2 * side for side in features[0].shape[2:]])
        time.sleep(0.05)
        return super()._decode(features)


@pytest.fixture(autouse=True)
def new_machine(monkeypatch, tmp_path):
    """Nothing is known from earlier choices, in this process or on disk."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    forget(monkeypatch)


def forget(monkeypatch):
    """As if the program had been started again."""
    monkeypatch.setattr(choice, "_CHOSEN", {})
    monkeypatch.setattr(choice, "_COMPILED", type(choice._COMPILED)())
    monkeypatch.setattr(choice, "_STAGES", type(choice._STAGES)())


@pytest.fixture
def conversions(monkeypatch):
    """The modules that are converted from now on."""
    converted, convert = [], openvino_module._convert

    def noted(module, examples):
        converted.append(module)
        return convert(module, examples)

    monkeypatch.setattr(openvino_module, "_convert", noted)
    return converted


def needs_openvino():
    pytest.importorskip("openvino", reason="of the extra fast")


@pytest.mark.parametrize("kind", [Slow, Wrong])
def test_slow_or_wrong_bfloat16_is_not_used(kind):
    assert str(choose_runtime(kind().eval(), runtime="torch").way) == "torch fp32"


def test_precision_that_was_asked_for_is_used():
    assert str(choose_runtime(Small().eval(), "torch", "bf16").way) == "torch bf16"
    assert str(choose_runtime(Small().eval(), "torch", "fp32").way) == "torch fp32"


def test_little_work_is_done_by_torch_without_converting_the_network(conversions):
    assert choose_runtime(Small().eval(), megapixels=0.1).way.runtime == "torch"
    assert conversions == []


@pytest.mark.parametrize("context", [False, True])
def test_openvino_answers_as_torch_for_tiles_of_any_size(context):
    needs_openvino()
    torch.manual_seed(1)
    network = build_network(NetworkSpec("unet", "tf_efficientnet_lite0", 3, context=context), "none").eval()
    if context:
        nn.init.normal_(network.surroundings.weight, std=0.05)
    ready = choose_runtime(network, "openvino", "fp32")
    assert str(ready.way) == "openvino fp32"
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        for rows, columns in ((64, 64), (96, 224), (320, 32)):
            inputs = [
                torch.from_numpy(rng.integers(0, 256, (1, 3, rows, columns), np.uint8)) for _ in range(1 + context)
            ]
            assert torch.allclose(ready.network(*inputs), network(*inputs), atol=2e-3)


def test_stages_of_a_network_answer_as_torchs_for_tiles_of_any_size():
    needs_openvino()
    torch.manual_seed(1)
    network = build_network(NetworkSpec("unet", "tf_efficientnet_lite0", 3), "none").eval()
    stages = network.divide()
    compiled = compile_stages(network, stages, "fp32")
    assert compiled is compile_stages(network, stages, "fp32")  # not compiled again for the next view
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        for rows, columns in ((64, 96), (320, 32)):
            tile = torch.from_numpy(rng.integers(0, 256, (1, 3, rows, columns), np.uint8))
            answers = []
            for each in (stages, compiled):
                *finer, seam = (level.clone() for level in each.shallow(tile))
                answers.append(each.fine(*each.deep(seam), *finer))
            assert torch.allclose(*answers, atol=2e-3)


def test_answers_stay_when_the_network_is_called_again():
    needs_openvino()
    network = Small().eval()
    compiled = OpenVinoNetwork(network, "fp32")
    black, white = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    first = compiled(black)
    compiled(white)
    assert agree(first, network(black))


def test_network_is_converted_once_and_again_if_what_is_kept_is_damaged(conversions, monkeypatch):
    needs_openvino()
    for _ in range(2):
        assert choose_runtime(Small().eval(), "openvino").way.runtime == "openvino"
        forget(monkeypatch)
    assert len(conversions) == 1
    (weights,) = converted_folder().glob("*/model.bin")
    weights.write_bytes(weights.read_bytes()[::-1])
    assert choose_runtime(Small().eval(), "openvino").way.runtime == "openvino"
    assert len(conversions) == 2


def test_other_weights_are_another_conversion(conversions):
    needs_openvino()
    network = Small().eval()
    choose_runtime(network, "openvino")
    with torch.no_grad():
        network.last.bias += 1
    choose_runtime(network, "openvino")
    assert len(conversions) == 2


def test_kept_conversion_that_answers_otherwise_is_not_used(monkeypatch):
    needs_openvino()
    network, other = Small().eval(), Small().eval()
    with torch.no_grad():
        other.last.weight *= -1
    choose_runtime(other, "openvino")
    (kept,) = converted_folder().iterdir()
    kept.rename(kept.with_name(module_key(network, choice._inputs(network, 16))))
    forget(monkeypatch)
    ready = choose_runtime(network, "openvino")
    assert ready.way.runtime == "torch"
    assert ready.note == "OpenVINO does not compute this network as torch does, so torch does."


def test_network_that_openvino_cannot_convert_is_computed_by_torch(monkeypatch):
    def refuse(*_):
        raise RuntimeError("no conversion rule")

    needs_openvino()
    monkeypatch.setattr(openvino_module, "_convert", refuse)
    assert choose_runtime(Small().eval(), megapixels=MUCH).way.runtime == "torch"


def test_choice_is_kept_for_the_next_program(monkeypatch):
    tried, try_ways = [], choice.try_ways
    monkeypatch.setattr(choice, "try_ways", lambda *args: tried.append(args) or try_ways(*args))
    first = choose_runtime(Small().eval(), "torch").way
    count = len(tried)
    forget(monkeypatch)
    assert choose_runtime(Small().eval(), "torch").way == first
    assert len(tried) == count
    (kept,) = (converted_folder().parent / "runtimes").glob("*.json")
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "runtime": "rm -rf"}))
    forget(monkeypatch)
    assert choose_runtime(Small().eval(), "torch").way.runtime == "torch"
    assert len(tried) > count


def test_openvino_that_is_not_installed_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(choice, "openvino_is_installed", lambda: False)
    with pytest.raises(ConfigError, match=r'pip install "napari-pathseg\[fast\]"'):
        choose_runtime(Small().eval(), "openvino")
    assert choose_runtime(Small().eval(), megapixels=MUCH).way.runtime == "torch"


def test_openvino_does_not_report_its_use():
    needs_openvino()
    script = (
        "import sys; from napari_pathseg.engine.runtime.openvino_module import openvino_knows_bfloat16; "
        "openvino_knows_bfloat16(); assert 'openvino' in sys.modules; "
        "sys.exit(any(name.startswith('openvino_telemetry') and sys.modules[name] for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_prediction_says_what_computed_it_and_never_mixes_two(trained):
    needs_openvino()
    project, _, bundle = trained
    config = PredictConfig(tile=64, halo="32", runtime="torch")
    path = project.prediction_path(bundle.id, "case3")
    remove_tree(path)
    (done,) = run(predict(project, config, slides=["case3"]))
    assert done.runtime.startswith("torch ")
    by_torch = project.find_prediction(bundle.id, "case3").read(done.region)

    def stop_early(event):
        return Stop() if isinstance(event, TileDone) else None

    config = config.replace(runtime="openvino")
    run(predict(project, config, slides=["case3"]), stop_early)
    events = []
    (done,) = run(predict(project, config, slides=["case3"]), events.append)
    assert done.runtime.startswith("openvino ")
    assert not [event for event in events if isinstance(event, Note)]  # it went on with what openvino had computed
    by_openvino = project.find_prediction(bundle.id, "case3").read(done.region)
    assert (by_torch == by_openvino).mean() > 0.98
    run(predict(project, config.replace(runtime="torch"), slides=["case3"]), events.append)
    (note,) = [event for event in events if isinstance(event, Note)]
    assert note.text.startswith("case3 is predicted again with torch ")
    assert np.array_equal(project.find_prediction(bundle.id, "case3").read(done.region), by_torch)
    remove_tree(path)
