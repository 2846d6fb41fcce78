import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model
from PIL import Image

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import run
from napari_pathseg.engine.live.packed import unpack
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.handlers import create_job
from napari_pathseg.jobs.live import LiveService
from napari_pathseg.jobs.protocol import (
    ComputeSuperpixels,
    ExportModel,
    FindDisagreements,
    FindPlaces,
    SampleAugmentation,
    Score,
    SuperpixelsFailed,
    SuperpixelsReady,
    parse_event,
    to_line,
)
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project

SMALL = TrainConfig(tile=64)


def sample(project, config, seed):
    return run(
        create_job(SampleAugmentation(project=str(project.folder), config=config, seed=seed), LiveService(print))
    )


def pixels_of_samples(project, config, seed):
    return np.asarray(Image.open(sample(project, config, seed).path))


def test_augmentation_samples_are_the_same_for_a_seed_and_differ_between_seeds(project):
    first, again, other = (pixels_of_samples(project, SMALL, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_samples_without_augmentation_are_the_tile_itself(project):
    config = SMALL.replace(flip_rotate=False, geometric_p=0.0, degrade_p=0.0, stain_jitter=0.0)
    pixels = pixels_of_samples(project, config, 0)
    assert (pixels[:160, :160] == pixels[-160:, -160:]).all()


def test_model_is_exported(trained, tmp_path):
    project, _, bundle = trained
    command = ExportModel(project=str(project.folder), model=bundle.id, format="torchscript", folder=str(tmp_path))
    finished = run(create_job(command, LiveService(print)))
    assert finished.files[0] == str(tmp_path / f"{bundle.id}.pt")
    assert (tmp_path / f"{bundle.id}.pt").stat().st_size > 1_000_000


def test_sampling_assigns_no_role(project):
    before = [record.role for record in project.slides.values()]
    sample(project, SMALL, 0)
    assert [record.role for record in Project.open(project.folder).slides.values()] == before


def test_sampling_without_contours_says_what_is_missing(tmp_path):
    with pytest.raises(NothingToLearnError, match="No slide of a.pathseg has a contour"):
        sample(Project.create(tmp_path / "a.pathseg"), SMALL, 0)


def test_places_to_annotate_come_with_a_picture_of_each(tmp_path, slides):
    project = Project.create(tmp_path / "a.pathseg")
    add_slides(project, slides)
    found = run(create_job(FindPlaces(project=str(project.folder), count=3), LiveService(print)))
    assert parse_event(to_line(found)) == found
    assert len(found.places) == 3
    for place in found.places:
        picture = unpack(place.pixels, (*place.sides, 3))
        with project.open_slide(place.slide) as slide:
            assert abs(picture.mean() - slide.read(place.region).mean()) < 2


def test_score_comes_with_its_confusion_matrix_and_areas_where_the_pixel_size_is_known(trained):
    project, _, bundle = trained
    (slide,) = bundle.val
    command = Score(project=str(project.folder), role="val", model=bundle.id)
    found = run(create_job(command, LiveService(print)))
    assert parse_event(to_line(found)) == found
    rows, columns = project.slide(slide).mask_shape
    assert np.sum(found.confusion) == rows * columns
    assert found.confusion_mm2 == []


def test_disagreements_come_with_their_classes_and_a_picture_of_each(project):
    save_model(project, make_bundle(val=["case4"]))
    tumour = np.full((192, 192), 250, np.uint8)
    prediction = create_prediction(project.prediction_path("m001", "case4"), (192, 192), project.classes.names)
    prediction.write(Region(0, 0, 192, 192), np.stack([255 - tumour, tumour]))
    command = FindDisagreements(project=str(project.folder), count=3, pair=(1, 2))
    found = run(create_job(command, LiveService(print)))
    assert parse_event(to_line(found)) == found
    assert found.note == "case0, case1, case2 and case3 are not compared: predict them first."
    (place,) = found.places
    assert (place.pair, place.model, place.learnt) == ((1, 2), "m001", False)
    assert place.confidence == pytest.approx(250 / 255)
    assert unpack(place.pixels, (*place.sides, 3)).any()
    assert run(create_job(replace(command, pair=(2, 1)), LiveService(print))).places == []


@pytest.fixture
def worker():
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_pathseg.jobs.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def ask(worker, project, path, slide="case5", number=7):
    command = ComputeSuperpixels(
        project=str(project.folder),
        slide=slide,
        region=Region(10, 20, 60, 1000),
        downsample=1,
        size=12,
        number=number,
        path=str(path),
    )
    worker.stdin.write(to_line(command) + "\n")
    worker.stdin.flush()


def test_superpixels_come_before_torch_is_loaded_and_cover_the_box(worker, project, tmp_path):
    path = tmp_path / "patches.npy"
    ask(worker, project, path)
    answer = parse_event(worker.stdout.readline())
    assert isinstance(answer, SuperpixelsReady)
    assert (answer.number, answer.path) == (7, str(path))
    patches = np.load(path)
    top, left, height, width = answer.region
    assert (top, left, height) == (10, 20, 60)
    assert width < 1000
    assert patches.shape == (height, width)
    assert patches.max() > 4


def test_superpixels_that_fail_leave_the_worker_listening(worker, project, tmp_path):
    ask(worker, project, tmp_path / "a.npy", slide="nothing", number=1)
    ask(worker, project, tmp_path / "b.npy", number=2)
    first, second = (parse_event(worker.stdout.readline()) for _ in range(2))
    assert isinstance(first, SuperpixelsFailed)
    assert "nothing" in first.text
    assert isinstance(second, SuperpixelsReady)
    assert second.number == 2
