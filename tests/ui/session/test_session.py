import os
import signal
import time

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundle, load_bundles
from napari_pathseg.errors import NothingToLearnError, PathsegError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.projects.importing.add_slides import AddOptions
from napari_pathseg.projects.importing.contour_import import ImportOptions
from napari_pathseg.projects.importing.import_preview import inspect_file
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_settings import SlideChanges
from napari_pathseg.ui.layers.metadata import METADATA_KEY
from napari_pathseg.ui.layers.slide_layers import layer_transform
from napari_pathseg.ui.session.background import run_now
from napari_pathseg.ui.session.import_controller import ImportTask, importing
from napari_pathseg.ui.session.queries import slide_state
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.worker_process import WorkerProcess

QUICK = TrainConfig(steps=20, tile=64, batch=2, decoder_seconds=4, cached_tiles=8)


@pytest.fixture
def worker(qapp):
    worker = WorkerProcess()
    yield worker
    worker.close()


@pytest.fixture
def session(worker):
    session = Session(ViewerModel(), worker)
    yield session
    session.close()


@pytest.fixture
def opened(session, project):
    session.open_project(project.folder)
    return session


def sentences(session):
    heard = []
    session.message.connect(lambda text, details, severity: heard.append((severity, text)))
    return heard


def test_project_opens_on_its_first_slide_with_four_layers(opened):
    layers = opened.layers.viewer.layers
    assert [layer.name for layer in layers] == ["case0", "case0 · probability", "case0 · mask", "case0 · contours"]
    assert {layer.metadata[METADATA_KEY]["slide"] for layer in layers} == {"case0"}


def test_slide_that_is_nearly_black_is_reported_once(session, tmp_path):
    Project.create(tmp_path / "p.pathseg")
    for name in ("dark", "sound"):
        pixels = np.random.default_rng(0).integers(0, 25, (64, 64, 3)) * (1 if name == "dark" else 10)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{name}.png")
    session.open_project(tmp_path / "p.pathseg")
    heard = sentences(session)
    session.add_slides([tmp_path / "dark.png", tmp_path / "sound.png"])
    session.show_slide("sound")
    session.show_slide("dark")
    ((severity, text),) = heard
    assert severity == "warning"
    assert text.startswith("dark: nearly black: 99 % of the pixels lie below 50 of 255.")


def test_another_slide_swaps_the_layers_but_not_the_users_own(opened):
    own = opened.layers.viewer.add_points(np.zeros((1, 2)), name="mine")
    opened.show_slide("case3")
    names = [layer.name for layer in opened.layers.viewer.layers]
    assert sorted(names) == ["case3", "case3 · contours", "case3 · mask", "case3 · probability", "mine"]
    assert own in opened.layers.viewer.layers


def test_deleted_layer_comes_back_with_the_next_slide(opened):
    opened.layers.viewer.layers.remove(opened.layers.contours)
    opened.show_slide("case1")
    assert opened.layers.contours in opened.layers.viewer.layers


def test_probability_is_shown_and_hidden_again_with_the_next_slide(opened):
    opened.layers.show_probability(Region(0, 0, 10, 10), lambda part: np.full(part[2:], 255, np.uint8), visible=True)
    assert opened.layers.probability.visible
    opened.show_slide("case1")
    assert not opened.layers.probability.visible
    assert not np.asarray(opened.layers.probability.data).any()


@pytest.mark.parametrize("downsample", [1, 2, 4])
def test_mask_pixel_lies_over_the_pixels_it_covers(downsample):
    settings = layer_transform(0.5, downsample)
    first = settings["translate"][0] - settings["scale"][0] / 2
    assert first == pytest.approx(-0.25)
    assert settings["units"] == ("um", "um")


def test_strokes_are_there_when_the_project_is_reopened(opened, project):
    opened.show_slide("case5")
    opened.layers.mask.brush_size = 20
    opened.layers.mask.paint((50, 50), 2)
    painted = opened.mask.counts.copy()
    opened.close()
    assert (project.counts("case5") == painted).all()
    opened.open_project(project.folder)
    opened.show_slide("case5")
    assert (np.asarray(opened.layers.mask.data) == 2).sum() == painted[2].sum()


def test_drawn_outline_is_filled_with_the_class_and_disappears(opened):
    opened.show_slide("case5")
    opened.layers.contours.add_polygons([[[10, 10], [10, 60], [60, 60], [60, 10]]])
    opened.editor.rasterize_outlines(2)
    assert opened.mask.counts[2, Provenance.DRAWN] == pytest.approx(2500, rel=0.05)
    assert len(opened.layers.contours.data) == 0


def test_changes_of_slides_reach_the_slide_in_view(opened):
    opened.change_slides(["case0", "case1"], SlideChanges(patient="Smith"))
    opened.change_slides(["case1"], SlideChanges(role="val"))  # and so case0, of the same patient
    assert (opened.slide.patient, opened.slide.role) == ("Smith", "val")
    before = opened.layers.mask.scale
    opened.change_slides(["case0"], SlideChanges(pixel_size=0.25))
    assert opened.layers.mask.scale[0] == 0.25 * before[0]


def test_slide_that_becomes_complete_keeps_its_strokes_and_loses_predictions(opened):
    drawn, predicted = Region(0, 0, 4, 4), Region(100, 100, 4, 4)
    for box, provenance in ((drawn, Provenance.DRAWN), (predicted, Provenance.MODEL)):
        opened.mask.edit(box, np.full((4, 4), 2, np.uint8), np.full((4, 4), provenance, np.uint8))
    opened.change_slides(["case0"], SlideChanges(complete=True))
    assert opened.slide.complete
    assert (opened.mask.read(drawn)[1] == Provenance.DRAWN).all()
    assert not (opened.mask.read(predicted)[1] == Provenance.MODEL).any()


def test_contours_can_be_imported_into_the_slide_in_view(opened, slides):
    opened.show_slide("case5")
    info = inspect_file(slides[0].with_suffix(".svg"), opened.project, ("case5",))
    task = ImportTask(info.file, "case5", ImportOptions(), complete=True)
    assert not run_now(importing(opened, [task])).problems
    assert opened.mask.counts[2, Provenance.IMPORTED] == 6400
    assert opened.slide.complete


def test_project_open_in_one_window_is_read_only_in_another(opened, project, worker):
    other = Session(ViewerModel(), worker)
    other.open_project(project.folder)
    assert other.read_only.startswith("open in the window of ")
    assert other.slide.id == "case0"
    assert not opened.read_only
    other.close()


def test_folder_without_project_leaves_the_open_one_open(opened, tmp_path):
    with pytest.raises(ProjectError):
        opened.open_project(tmp_path)
    assert opened.project is not None
    assert opened.slide.id == "case0"


def test_training_an_unready_project_starts_nothing(session, slides, tmp_path):
    session.new_project(tmp_path / "new.pathseg")
    session.add_slides(slides)
    with pytest.raises(NothingToLearnError, match="has a contour"):
        session.training.train(QUICK)
    assert not session.training.active


def test_preview_of_a_training_fills_only_unannotated_pixels(opened, qtbot):
    opened.show_slide("case5")
    opened.layers.mask.brush_size = 20
    opened.layers.mask.paint((100, 100), 1)
    drawn = int(opened.mask.counts[1, Provenance.DRAWN])
    opened.training.train(QUICK)
    qtbot.waitUntil(lambda: opened.mask.counts[:, Provenance.MODEL].any())
    assert opened.mask.counts[1, Provenance.DRAWN] == drawn
    with pytest.raises(PathsegError, match="Training .*is still running"):
        opened.training.train(QUICK)
    qtbot.waitUntil(lambda: not opened.training.active)
    (bundle,) = load_bundles(opened.require_project())
    assert bundle.id == "m001"
    assert slide_state(opened, opened.slide) == "predicted"
    opened.editor.reject()
    opened.show_slide("case0")
    opened.training.predict(["case5"])  # the prediction is merged into a mask out of view, too
    qtbot.waitUntil(lambda: not opened.training.active)
    assert opened.counts("case5")[:, Provenance.MODEL].sum() == 192 * 192 - drawn


def test_killed_worker_is_reported_and_the_best_model_kept(opened, worker, qtbot, project):
    heard = sentences(opened)
    opened.training.train(QUICK.replace(steps=100_000))
    qtbot.waitUntil(lambda: opened.training.run.has_best)
    os.kill(worker.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not opened.training.active)
    severity, text = heard[-1]
    assert severity == "warning"
    assert text.startswith("Training stopped because its process ended. The best of model m001 so far is kept.")
    assert Project.open(project.folder).model_ids() == ["m001"]
    opened.training.predict(["case5"])  # a new worker continues
    qtbot.waitUntil(lambda: not opened.training.active)
    assert project.counts("case5")[:, Provenance.MODEL].sum() == 192 * 192


def test_window_closes_at_once_and_its_training_still_keeps_the_model(opened, worker, qtbot, project):
    opened.training.train(QUICK.replace(steps=100_000))
    qtbot.waitUntil(lambda: opened.training.run.has_best)
    started = time.perf_counter()
    opened.close(clear=False)
    worker.close()
    assert time.perf_counter() - started < 10  # the steps would take hours
    assert not project.lock.other_owner()
    model = project.folder / "models" / "m001"
    qtbot.waitUntil(lambda: load_bundle(model).finished)


def test_viewer_that_closes_with_a_slide_in_view_shows_no_error(opened):
    opened.close(clear=False)
    assert opened.project is None
    assert opened.held_out.slide == ""


def test_file_that_is_not_a_slide_adds_nothing(opened, tmp_path):
    (tmp_path / "letter.tif").write_text("Dear doctor")
    with pytest.raises(PathsegError, match=r"letter\.tif"):
        opened.add_slides([tmp_path / "letter.tif"], AddOptions())
    assert len(opened.require_project().slides) == 6


def status_at(session, row, column):
    """What napari's status bar says of a place of the slide, in level-0 pixels."""
    position = session.layers.image.data_to_world((row, column))
    return session.layers.mask.get_status(position, world=True)["coordinates"]


def test_status_bar_calls_what_is_left_on_complete_slides_and_in_complete_boxes_background(opened):
    assert opened.slide.complete
    outlined = np.argwhere(np.asarray(opened.layers.mask.data) == 2)[0]
    assert status_at(opened, *(outlined * opened.slide.downsample)).endswith("class: Tumour")
    assert status_at(opened, 1, 1).endswith("class: Background")
    opened.editor.set_complete(False)
    assert status_at(opened, 1, 1).endswith("class: unlabelled")
    opened.workspace.update_slide(boxes=(Region(0, 0, 2, 2),))
    assert status_at(opened, 1, 1).endswith("class: Background")
    assert status_at(opened, 3, 1).endswith("class: unlabelled")
