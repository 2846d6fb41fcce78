import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.evaluation.validation import Validator
from napari_pathseg.engine.events import Progress, Validated, run
from napari_pathseg.engine.inference.region_predictor import RegionPredictor
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training import tensorboard
from napari_pathseg.engine.training.tensorboard import TensorBoardLogger, ValidationSamples
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import ConfigError

TINY = TrainConfig(
    minutes=0.06,
    tile=64,
    batch=2,
    steps=11,
    encoder="mobilenetv3_small_050",
    weights="none",
    precision="fp32",
    tensorboard=True,
)


def read_log(project, run_id="r001"):
    return EventAccumulator(str(project.folder / "runs" / run_id / "tensorboard"), {"images": 0}).Reload()


def points(log, tag):
    return [(point.step, point.value) for point in log.Scalars(tag)]


def test_run_logs_its_curves_graph_kernels_and_samples(project):
    job, validated = train(project, TINY), []
    for event in job:
        if isinstance(event, Validated):
            validated.append(event)
    log = read_log(project)
    assert points(log, "held-out/mean_dice") == [(e.step, pytest.approx(e.mean_dice)) for e in validated]
    assert points(log, "held-out/dice/Tumour")[-1][1] == pytest.approx(validated[-1].dice["Tumour"])
    assert [step for step, _ in points(log, "training/loss")] == [1, 11]
    assert points(log, "training/rate")[0][1] == pytest.approx(TINY.learning_rate, rel=1)
    assert len(points(log, "training/dice")) == 1  # known from the fifth step on
    assert any("MobileNetV3" in node.name for node in log.Graph().node)
    kernels = [tag for tag in log.Tags()["images"] if tag.startswith("kernels/")]
    outputs = [tag for tag in log.Tags()["images"] if tag.startswith("decoder/")]
    assert len(kernels) >= 10  # a stage for each of five resolutions of the encoder and of the decoder
    assert len(outputs) == 5
    for tag in (*kernels, *outputs):
        assert [image.step for image in log.Images(tag)] == [e.step for e in validated]
    newest = Image.open(io.BytesIO(log.Images("held-out/examples")[-1].encoded_image_string))
    assert np.array_equal(newest, Image.open(project.folder / "runs" / "r001" / "examples.png"))


def test_resumed_run_continues_the_same_curves(project):
    job = train(project, TINY)
    for event in job:
        if isinstance(event, Progress) and event.step == 5:
            break
    job.close()
    run(train(project, resume="r001"))
    log = read_log(project)
    assert [step for step, _ in points(log, "training/loss")] == [1, 11]
    steps = [step for step, _ in points(log, "held-out/mean_dice")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 11


def test_run_without_the_setting_writes_no_log(project):
    next(train(project, TINY.replace(tensorboard=False)))
    assert not (project.folder / "runs" / "r001" / "tensorboard").exists()


def test_missing_package_ends_before_a_run_and_names_what_to_install(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ConfigError, match=r'pip install "napari-pathseg\[tensorboard\]"'):
        run(train(project, TINY))
    assert not list((project.folder / "runs").iterdir())


@pytest.fixture
def state():
    network = build_network(NetworkSpec("unet", "mobilenetv3_small_050", 2))
    device = choose_device(network, torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "fp32")
    return TrainState(network, device, TINY, [1, 1])


@pytest.mark.parametrize("error", [RuntimeError, TypeError, ValueError])
def test_graph_that_cannot_be_traced_is_only_a_message(state, tmp_path, monkeypatch, caplog, error):
    def fail(*_, **__):
        raise error("no such operator")

    monkeypatch.setattr(torch.jit, "trace", fail)
    TensorBoardLogger(tmp_path / "log", state, resumed=False).close()
    assert "TensorBoard shows no graph of this network: no such operator" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError, TypeError, ValueError])
def test_bug_in_the_network_is_not_taken_for_a_failed_trace(state, tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error("a bug of ours")

    monkeypatch.setattr(state.ema_model, "forward", fail)
    with pytest.raises(error, match="a bug of ours"):
        TensorBoardLogger(tmp_path / "log", state, resumed=False)


@pytest.mark.parametrize("error", [RuntimeError, TypeError, ValueError])
def test_bug_in_the_log_of_a_validation_keeps_its_traceback(state, tmp_path, monkeypatch, error):
    def fail(_):
        raise error("a bug of ours")

    logger = TensorBoardLogger(tmp_path / "log", state, resumed=False)
    monkeypatch.setattr(tensorboard, "kernel_grid", fail)
    event = Validated(1, 1.0, 0.5, {"Tumour": 0.5}, 0.5, True, 1e-3)
    with pytest.raises(error, match="a bug of ours"):
        logger.log_validation(event, np.zeros((8, 8, 3), np.uint8), (torch.zeros(1, 3, 64, 64),))
    logger.close()


# -- validation samples


@pytest.fixture(scope="module")
def samples(trained):
    project, _, bundle = trained
    network = load_network(project.folder / "models" / bundle.id).eval()
    device = choose_device(network, torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "fp32")
    with PatchDataset(project, [project.slide(f"case{n}") for n in range(5)], TrainConfig()) as dataset:
        return ValidationSamples(Validator(dataset, 2, 32), project.classes).draw(
            RegionPredictor(network, device, halo=32)
        )


def test_samples_show_image_truth_and_prediction_of_four_slides(samples):
    assert samples.shape == (4 * 196, 3 * 196, 3)


def test_samples_of_a_validation_show_what_it_found_without_predicting_again(project):
    config, calls = TrainConfig(), []
    network = build_network(NetworkSpec("unet", "mobilenetv3_small_050", 2)).eval()
    network.register_forward_hook(lambda *_: calls.append(1))
    device = choose_device(network, torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "fp32")
    with PatchDataset(project, [project.slide(f"case{n}") for n in range(5)], config) as dataset:
        validator, predictor = Validator(dataset, 2, 32), RegionPredictor(network, device, halo=64)
        samples = ValidationSamples(validator, project.classes)
        validator.score(network, device, on_tile=samples.add)
        calls.clear()
        found = samples.draw(predictor)
        assert not calls
        predicted = samples.draw(predictor)
    assert calls
    assert (found != predicted).mean() < 0.02  # a patch sees less around it than a tile


def test_samples_tint_the_truth_where_the_tumour_is(samples):
    image, truth = samples[:192, :192].astype(int), samples[:192, 196 : 196 + 192].astype(int)
    dark = image.mean(axis=-1) < 150
    changed = np.abs(image - truth).sum(axis=-1) > 0
    assert (changed == dark).mean() > 0.99
