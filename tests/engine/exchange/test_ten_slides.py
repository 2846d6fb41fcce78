"""On ten real slides a model that has travelled gives its answer: as ONNX, and taken in again from its package."""

import numpy as np
import pytest
import torch
from PIL import Image

from napari_pathseg.engine.bundle import find_bundle
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.events import run
from napari_pathseg.engine.exchange.graphs import compare, run_onnx
from napari_pathseg.engine.exchange.model_export import export_model
from napari_pathseg.engine.exchange.model_import import import_model
from napari_pathseg.engine.inference.image_prediction import predict_images
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.slides.registry import open_slide

SLIDES, MOST_OTHER_LABELS = 10, 100e-6


@pytest.fixture
def ten(shared):
    paths = sorted((shared / "data" / "tumour_tif_svg").glob("camelyon_*.tiff"))[:SLIDES]
    assert len(paths) == SLIDES
    return paths


@pytest.fixture(scope="module")
def source(trained):
    project, _, bundle = trained
    return project.folder / "models" / bundle.id


@pytest.mark.shared_data
def test_onnx_answers_as_the_model_on_ten_slides(source, ten, tmp_path):
    graph = run_onnx(export_model(source, "onnx", tmp_path)[0])
    network = load_network(source).eval()
    found = set()
    for path in ten:
        with open_slide(path) as slide:
            pixels = slide.read(Region(0, 0, *slide.shape))
        picture = np.ascontiguousarray(np.moveaxis(pixels, -1, 0)[None])
        with torch.inference_mode():
            wanted = network(torch.from_numpy(picture)).softmax(dim=1).numpy()
        assert compare(wanted, graph(picture)) == ""
        found |= set(np.unique(wanted.argmax(axis=1)))
    assert found == {0, 1}  # or a graph that says one class everywhere would pass


@pytest.mark.shared_data
def test_package_that_is_taken_in_predicts_the_same_labels_of_ten_slides(source, ten, tmp_path):
    (package,) = export_model(source, "bioimageio", tmp_path)
    other = Project.create(tmp_path / "other.pathseg")
    imported = find_bundle(other, import_model(other, package))
    before, after = (
        run(predict_images(folder, ten, tmp_path / name)).files for folder, name in ((source, "a"), (imported, "b"))
    )
    assert len(before) == len(after) == SLIDES
    labels, again = (np.stack([np.asarray(Image.open(path)) for path in files]) for files in (before, after))
    assert (labels != again).mean() <= MOST_OTHER_LABELS
