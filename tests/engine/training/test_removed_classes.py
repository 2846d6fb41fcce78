"""Models and trainings of projects whose classes were removed, merged, or never outlined."""

import numpy as np
import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.evaluation.evaluation import score
from napari_pathseg.engine.events import Note, run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.training.training import train
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.projects.class_changes import remove_class
from napari_pathseg.projects.project import Project

SHORT = TrainConfig(steps=12, tile=64, batch=2, cached_tiles=8)
SLIDE = "case0"


def classes_with_probability(prediction):
    return {number for number, plane in enumerate(prediction.probabilities[:], 1) if plane.any()}


def predicted(project, model):
    run(predict(project, model=model, slides=[SLIDE]))
    prediction = project.find_prediction(model, SLIDE)
    return prediction


@pytest.fixture
def project(project):
    """A project with a class Stroma that nobody has outlined."""
    project.change_classes(project.classes.add("Stroma"))
    return project


def paint_stroma(project):
    with project.write_lock():
        for name in project.slides:
            with project.open_mask(name) as mask:
                strip = np.full((mask.shape[0], 20), 3, np.uint8)
                mask.edit(Region(0, 0, *strip.shape), strip, np.full_like(strip, Provenance.DRAWN))


def test_a_class_without_pixels_is_left_out_of_the_training_with_a_sentence(project):
    job, notes = train(project, SHORT), []
    while True:
        try:
            event = next(job)
        except StopIteration as end:
            bundle = end.value
            break
        notes += [event.text] if isinstance(event, Note) else []
    assert any('Class "Stroma" is left out of this training' in text for text in notes)
    assert bundle.network.known == (1, 2)
    assert classes_with_probability(predicted(project, bundle.id)) == {1, 2}
    paint_stroma(project)
    after = run(train(project, SHORT, parent=bundle.id))
    assert after.network.known == ()
    assert load_bundle(project.folder / "models" / after.id).network == after.network


def test_a_model_goes_on_without_a_class_that_was_removed(project):
    paint_stroma(project)
    bundle = run(train(project, SHORT))
    assert classes_with_probability(predicted(project, bundle.id)) == {1, 2, 3}
    remove_class(project, 3, into=2)
    assert classes_with_probability(predicted(project, bundle.id)) == {1, 2}
    scores = score(Project.open(project.folder), model=bundle.id)
    assert list(scores["scores"]) == ["Background", "Tumour"]
    again = run(train(project, SHORT, parent=bundle.id))
    assert again.network.known == (1, 2)


def test_a_merged_class_adds_its_probability_to_the_one_that_took_it_over():
    import torch

    from napari_pathseg.engine.bundle import NetworkSpec
    from napari_pathseg.engine.networks import build_network

    torch.manual_seed(0)
    network = build_network(NetworkSpec("unet-classic", "", 4)).eval()
    pixels = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        before = network(pixels).softmax(dim=1)
        network.set_outputs((1, 2, 4), {4: 2})
        after = network(pixels).softmax(dim=1)
    total = before[:, [0, 1, 3]].sum(dim=1)
    torch.testing.assert_close(after[:, 1], (before[:, 1] + before[:, 3]) / total)
    assert not after[:, 2:].any()
