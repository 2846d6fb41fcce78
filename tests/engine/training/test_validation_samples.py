import numpy as np
import pytest
import torch

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.evaluation.validation import Validator
from napari_pathseg.engine.training.tensorboard import ValidationSamples


@pytest.fixture(scope="module")
def picture(trained):
    project, _, bundle = trained
    network = load_network(project.folder / "models" / bundle.id).eval()
    device = choose_device(network, torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "fp32")
    with PatchDataset(project, [project.slide(f"case{n}") for n in range(5)], TrainConfig()) as held_out:
        examples = ValidationSamples(Validator(held_out, 2), project.classes)
        return examples.draw(network, device)


def test_four_slides_show_image_truth_and_prediction(picture):
    assert picture.shape == (4 * 196, 3 * 196, 3)


def test_the_truth_is_tinted_where_the_tumour_is(picture):
    image, truth = picture[:192, :192].astype(int), picture[:192, 196 : 196 + 192].astype(int)
    dark = image.mean(axis=-1) < 150
    changed = np.abs(image - truth).sum(axis=-1) > 0
    assert (changed == dark).mean() > 0.99
