import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.evaluation import validation
from napari_pathseg.engine.evaluation.validation import Validator
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project

CPU = Device(torch.device("cpu"), bfloat16=False)


class AllTumour(torch.nn.Module):
    """A network that finds class 2 everywhere, and counts its calls."""

    multiple, surroundings = 1, None

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, pixels, context):
        self.calls += 1
        logits = torch.zeros(len(pixels), 2, *pixels.shape[2:])
        logits[:, 1] = 9
        return logits


@pytest.fixture
def held_out(tmp_path):
    """Three complete slides: one of 12 tiles, two of 2."""
    for name, shape in (("large", (1536, 2048)), ("left", (512, 1024)), ("right", (512, 1024))):
        Image.fromarray(np.full((*shape, 3), 200, np.uint8)).save(tmp_path / f"{name}.png")
    project = Project.create(tmp_path / "p.pathseg")
    slides = add_slides(project, sorted(tmp_path.glob("*.png")), AddOptions(negative=True))
    with PatchDataset(project, slides, TrainConfig()) as dataset:
        yield dataset


def _slides(validator):
    return [slide.record.id for slide, _ in validator.sample]


def test_sample_is_balanced_over_the_slides_at_any_length(held_out):
    for most in (3, 6, 16):
        counts = [_slides(Validator(held_out, 2, most)).count(name) for name in ("large", "left", "right")]
        assert counts == [most - 2 * min(2, most // 3), *[min(2, most // 3)] * 2]


def test_sample_is_the_same_each_time(held_out):
    assert Validator(held_out, 2, 5).sample == Validator(held_out, 2, 5).sample


def test_sample_that_takes_too_long_is_shortened_for_good(held_out):
    validator, network = Validator(held_out, 2, 6), AllTumour()
    assert validator.score(network, CPU, seconds=0).matrix.sum() == 512**2
    validator.score(network, CPU)
    assert network.calls == 2
    assert validator.coverage == (1, 16)


def test_all_tiles_cover_every_labelled_pixel(held_out):
    *_, confusion = Validator(held_out, 2, 1).scores_on_all(AllTumour(), CPU)
    assert confusion.matrix.tolist() == [[0, 16 * 512**2], [0, 0]]


def test_time_of_scoring_all_tiles_follows_from_that_of_the_sample(held_out, monkeypatch):
    seconds = itertools.count(0, 3)  # each tile takes three
    monkeypatch.setattr(validation.time, "perf_counter", lambda: next(seconds))
    validator = Validator(held_out, 2, 4)
    assert validator.seconds_for_all == 0  # not known yet
    validator.score(AllTumour(), CPU)
    assert validator.seconds_for_all == 16 * 3
    whole = Validator(held_out, 2, 16)
    whole.score(AllTumour(), CPU)
    assert whole.seconds_for_all == 0
