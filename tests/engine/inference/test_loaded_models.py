"""A model that stays loaded between predictions, as long as its files do not change."""

import shutil

import pytest
from safetensors.torch import load_file, save_file

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.inference.loaded_models import load_model
from napari_pathseg.projects.model_weights import WEIGHTS

OUTPUTS = ([1, 2], {})


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of a model that the test may change."""
    project, _, bundle = trained
    return shutil.copytree(project.folder / "models" / bundle.id, tmp_path / "m001")


def test_model_is_loaded_once(folder):
    first = load_model(folder, WEIGHTS, 2, OUTPUTS)
    assert load_model(folder, WEIGHTS, 2, OUTPUTS) is first
    ready = first.ready("torch", "fp32", 1.0)
    predictor = first.predictor(ready, PredictConfig())
    assert first.predictor(first.ready("torch", "fp32", 1.0), PredictConfig()) is predictor


def test_model_is_loaded_again_once_its_weights_are_replaced(folder):
    first = load_model(folder, WEIGHTS, 2, OUTPUTS)
    changed = {name: tensor + 1 for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(changed, folder / WEIGHTS)
    assert load_model(folder, WEIGHTS, 2, OUTPUTS) is not first


@pytest.mark.parametrize(("classes", "outputs"), [(3, OUTPUTS), (2, ([1], {})), (2, ([1, 2], {2: 1}))])
def test_model_with_other_outputs_is_another_one(folder, classes, outputs):
    first = load_model(folder, WEIGHTS, 2, OUTPUTS)
    assert load_model(folder, WEIGHTS, classes, outputs) is not first


def test_setting_of_the_margin_is_that_of_the_predictor(folder):
    model = load_model(folder, WEIGHTS, 2, OUTPUTS)
    ready = model.ready("torch", "fp32", 1.0)
    assert model.predictor(ready, PredictConfig(), 128).halo == 128
    assert model.predictor(ready, PredictConfig(), 192).halo == 192
    assert model.predictor(ready, PredictConfig(halo="64"), 192).halo == 64
