import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.events import Progress, Validated, run
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training.tensorboard import kernel_grid, visualized_layers
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


def board(project, run_id="r001"):
    return EventAccumulator(str(project.folder / "runs" / run_id / "tensorboard"), {"images": 0}).Reload()


def points(board, tag):
    return [(point.step, point.value) for point in board.Scalars(tag)]


def test_a_run_shows_its_curves_its_graph_its_kernels_and_examples(project):
    job, validated = train(project, TINY), []
    for event in job:
        if isinstance(event, Validated):
            validated.append(event)
    shown = board(project)
    assert points(shown, "held-out/mean_dice") == [(e.step, pytest.approx(e.mean_dice)) for e in validated]
    assert points(shown, "held-out/dice/Tumour")[-1][1] == pytest.approx(validated[-1].dice["Tumour"])
    assert [step for step, _ in points(shown, "training/loss")] == [1, 11]
    assert points(shown, "training/rate")[0][1] == pytest.approx(TINY.learning_rate, rel=1)
    assert len(points(shown, "training/dice")) == 1  # it is known from the fifth step on
    assert any("MobileNetV3" in node.name for node in shown.Graph().node)
    kernels = [tag for tag in shown.Tags()["images"] if tag.startswith("kernels/")]
    assert len(kernels) == 3
    assert [image.step for image in shown.Images(kernels[0])] == [e.step for e in validated]
    newest = Image.open(io.BytesIO(shown.Images("held-out/examples")[-1].encoded_image_string))
    assert np.array_equal(newest, Image.open(project.folder / "runs" / "r001" / "examples.png"))


def test_a_resumed_run_goes_on_with_the_same_curves(project):
    job = train(project, TINY)
    for event in job:
        if isinstance(event, Progress) and event.step == 5:
            break
    job.close()
    run(train(project, resume="r001"))
    shown = board(project)
    assert [step for step, _ in points(shown, "training/loss")] == [1, 11]
    steps = [step for step, _ in points(shown, "held-out/mean_dice")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 11


def test_a_run_without_the_setting_writes_nothing_for_it(project):
    next(train(project, TINY.replace(tensorboard=False)))
    assert not (project.folder / "runs" / "r001" / "tensorboard").exists()


def test_without_the_package_nothing_begins_and_the_user_is_told_what_to_install(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ConfigError, match=r'pip install "napari-pathseg\[tensorboard\]"'):
        run(train(project, TINY))
    assert not list((project.folder / "runs").iterdir())


@pytest.mark.parametrize(
    ("architecture", "encoder", "names"),
    [
        ("unet", "resnet18", ("net.encoder.conv1", "net.decoder.blocks.0.conv1.0", "net.segmentation_head.0")),
        ("unet-classic", "", ("down.0.0.0", "up.3.0", "last.0.0")),
    ],
)
def test_the_kernels_are_those_of_the_first_and_last_layers_as_they_compute(architecture, encoder, names):
    network = build_network(NetworkSpec(architecture, encoder, 2))
    tiles = (torch.zeros(1, 3, 64, 64),)
    assert tuple(visualized_layers(network.eval(), tiles)) == names


def test_a_kernel_is_grey_around_zero():
    layer = nn.Conv2d(2, 1, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 1, 0, 0] = -2.0
        layer.weight[0, 1, 2, 2] = 1.0
    grid = kernel_grid(layer)
    first, second = grid[:12, :12], grid[:12, 13:25]
    assert set(np.unique(first)) == {127}
    assert (second[0, 0], second[11, 11]) == (0, 191)


def test_of_many_filters_the_first_sixteen_are_shown():
    assert kernel_grid(nn.ConvTranspose2d(100, 20, 3)).shape == (16 * 13, 16 * 13)
