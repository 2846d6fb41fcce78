"""Gaussian blending averages overlapping windows, whichever box a pixel is predicted with."""

import numpy as np
import pytest
import torch

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.events import run
from napari_pathseg.engine.inference import tta
from napari_pathseg.engine.inference.blending import STEP, GaussianBlending
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.inference.predictor_choice import choose_predictor
from napari_pathseg.engine.inference.region_predictor import RegionPredictor
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.runtime.choice import ReadyNetwork, Way
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region

FP32 = Device(torch.device("cpu"), bfloat16=False)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(NetworkSpec("unet", "mobilenetv3_small_050", 2)).eval()


@pytest.fixture
def slide(project):
    source = SlidePatchSource(project, project.slide("case0"))
    yield source
    source.close()


def blended(network):
    return RegionPredictor(GaussianBlending(tta.TestTimeAugmentation(network, 1)), FP32, STEP)


@torch.inference_mode()
def test_pixel_is_the_weighted_mean_of_the_windows_that_see_it(network):
    pixels = torch.randint(0, 256, (1, 3, 768, 768), dtype=torch.uint8)
    found = GaussianBlending(tta.TestTimeAugmentation(network, 1))(pixels)[0].softmax(0)
    row, column, total, weights = 300, 350, 0, 0
    for top in (0, 256):
        for left in (0, 256):
            answer = network(pixels[..., top : top + 512, left : left + 512])[0].softmax(0)
            distance = (row - top - 255.5) ** 2 + (column - left - 255.5) ** 2
            weight = np.exp(-distance / 2 / 64**2)
            total, weights = total + weight * answer[:, row - top, column - left], weights + weight
    torch.testing.assert_close(found[:, row, column], total / weights, rtol=0, atol=1e-5)


def test_answer_does_not_depend_on_the_box(network, slide):
    whole = blended(network).probabilities(slide, Region(0, 0, 192, 192))
    part = blended(network).probabilities(slide, Region(40, 100, 60, 50))
    torch.testing.assert_close(part, whole[:, 40:100, 100:150], rtol=0, atol=1e-5)


def test_prediction_is_blended_when_asked_for(trained):
    project, _, bundle = trained
    run(predict(project, PredictConfig(blend=True), slides=["case1"]))
    smooth = np.asarray(project.find_prediction(bundle.id, "case1").probabilities).astype(int)
    run(predict(project, PredictConfig(), slides=["case1"]))
    plain = np.asarray(project.find_prediction(bundle.id, "case1").probabilities).astype(int)
    assert 0 < np.abs(smooth - plain).mean() < 20


def test_network_with_context_cannot_be_blended():
    network = build_network(NetworkSpec("unet", "resnet18", 2, context=True)).eval()
    with pytest.raises(ConfigError, match=r"blend is True, but this model sees the surroundings"):
        choose_predictor(network, ReadyNetwork(network, FP32, Way("torch", "fp32")), PredictConfig(blend=True))
