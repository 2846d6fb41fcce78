import shutil

import pytest
import torch
from safetensors.torch import save_file

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.device import best_device
from napari_pathseg.engine.events import Note, Started
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training.plan import plan_training
from napari_pathseg.engine.training.training import train
from napari_pathseg.projects.project import Project

FCN = TrainConfig(architecture="fcn8s", weights="none", tile=64, steps=4)


def is_bilinear(layer):
    """Return whether a transposed convolution keeps a constant plane, as interpolation does."""
    with torch.inference_mode():
        return torch.allclose(layer(torch.ones(1, 2, 8, 8))[..., 16:-16, 16:-16], torch.tensor(1.0))


@pytest.mark.parametrize("init", ["bilinear", "xavier"])
def test_upsampling_init_decides_how_fcn8s_starts(project, init):
    network = plan_training(project, FCN.replace(upsampling_init=init), None).network
    assert is_bilinear(network.up_pool3) == (init == "bilinear")


def test_xavier_upsampling_repeats_with_the_seed(project):
    config = FCN.replace(upsampling_init="xavier", seed=3)
    one, two = (plan_training(project, config, None).network.up_pool3.weight for _ in range(2))
    other = plan_training(project, config.replace(seed=4), None).network.up_pool3.weight
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_training_says_what_the_initial_weights_lack(project, tmp_path):
    encoder = build_network(NetworkSpec("fcn8s", "", 2)).encoder.state_dict()
    save_file({f"features.{name}": tensor for name, tensor in encoder.items()}, tmp_path / "vgg16.safetensors")
    job = train(project, FCN.replace(weights=str(tmp_path / "vgg16.safetensors")), None)
    started, note = next(job), next(job)
    job.close()
    assert isinstance(started, Started)
    assert isinstance(note, Note)
    assert "no weights for fc6 and fc7" in note.text


@pytest.mark.skipif(best_device().type != "cpu", reason="with a GPU, batches stay as they are")
@pytest.mark.parametrize(
    ("changes", "batch"),
    [
        ({"minutes": 1}, 2),
        ({}, 2),  # two minutes
        ({"minutes": 3}, 4),
        ({"minutes": 1, "batch": 8}, 8),
        ({"minutes": 1, "batch": 4}, 4),
        ({"minutes": 1, "accumulate": 2}, 4),
        ({"minutes": 1, "preset": "thorough"}, 4),
        ({"steps": 50}, 4),
    ],
)
def test_short_training_on_a_cpu_makes_more_steps_of_half_the_usual_batch(project, changes, batch):
    config = TrainConfig(encoder="mobilenetv3_small_050", weights="none", **changes)
    assert plan_training(project, config, None).config.batch == batch


def test_short_training_that_goes_on_from_a_model_keeps_the_usual_batch(trained, tmp_path):
    project, _, bundle = trained
    copy = shutil.copytree(project.folder.parent, tmp_path / "copy") / project.folder.name
    assert plan_training(Project.open(copy), TrainConfig(minutes=1), bundle.id).config.batch == 4
