import os

import numpy as np
import pytest

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.evaluation.evaluation import score
from napari_pathseg.engine.events import Progress, RequestPreview, SlideDone, Stop, TileDone, run
from napari_pathseg.engine.inference.predict import fill_masks, predict
from napari_pathseg.errors import NothingToLearnError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits
from napari_pathseg.masks.prediction import DISAGREEMENT, covers_slide
from napari_pathseg.projects.model_weights import weights_mtime
from napari_pathseg.storage.portable import remove_tree

WHOLE = Region(0, 0, 192, 192)


@pytest.fixture(scope="module")
def predicted(trained):
    """The prediction of the test slide, after it was merged into the mask."""
    project, _, bundle = trained
    done = run(predict(project, PredictConfig(role="test")))
    fill_masks(project, bundle.id, done)
    return project.find_prediction(bundle.id, "case5")


def dark(project, slide):
    with project.open_slide(slide) as opened:
        return opened.read(WHOLE).mean(axis=-1) < 150


def test_prediction_finds_the_dark_square(trained, predicted):
    project, _, _ = trained
    found, truth = predicted.read(WHOLE) == 2, dark(project, "case5")
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_prediction_of_a_slide_covers_every_pixel(trained, predicted):
    project, _, bundle = trained
    probabilities = np.asarray(predicted.probabilities)
    assert predicted.is_whole(weights_mtime(project, bundle.id))
    assert set(np.unique(predicted.read(WHOLE))) <= {1, 2}
    assert np.abs(probabilities.sum(axis=0).astype(int) - 255).max() <= 1


def test_mask_receives_predictions_with_model_provenance(trained, predicted):
    project, _, _ = trained
    counts = project.counts("case5")
    assert counts[1:, Provenance.MODEL].sum() == 192 * 192
    assert counts[:, Provenance.ACCEPTED :].sum() == 0


def test_complete_slide_is_not_filled(trained):
    project, _, bundle = trained
    before = project.counts("case0")
    fill_masks(project, bundle.id, run(predict(project, slides=["case0"])))
    assert (project.counts("case0") == before).all()


def test_small_tiles_agree_with_large_ones(trained):
    project, _, bundle = trained
    run(predict(project, PredictConfig(tile=512), slides=["case1"]))
    whole = project.find_prediction(bundle.id, "case1").read(WHOLE)
    run(predict(project, PredictConfig(tile=64, halo=64), slides=["case1"]))
    tiled = project.find_prediction(bundle.id, "case1").read(WHOLE)
    assert (whole != tiled).mean() < 0.01


def test_region_is_predicted_alone(trained):
    project, _, bundle = trained
    (done,) = run(predict(project, slides=["case2"], region=Region(50, 60, 30, 40)))
    prediction = project.find_prediction(bundle.id, "case2")
    assert done.pixels == 30 * 40
    assert (prediction.read(WHOLE) > 0).sum() == 30 * 40
    assert not prediction.is_whole(weights_mtime(project, bundle.id))


def test_region_fills_only_itself_in_the_mask(trained, predicted):
    project, _, bundle = trained
    with project.write_lock(), project.open_mask("case5") as mask:
        mask.run(edits.reject(WHOLE))
    fill_masks(project, bundle.id, run(predict(project, slides=["case5"], region=Region(50, 60, 30, 40))))
    assert project.counts("case5")[1:].sum() == 30 * 40


def test_prediction_is_outdated_once_the_weights_change(trained):
    project, _, bundle = trained
    score(project, role="val")
    (slide,) = (record.id for record in project.slides_with_role("val"))
    prediction = project.find_prediction(bundle.id, slide)
    weights = project.folder / "models" / bundle.id / "weights.safetensors"
    os.utime(weights)
    assert not prediction.is_whole(weights_mtime(project, bundle.id))


def test_stop_ends_prediction_between_tiles(trained):
    project, _, _ = trained
    job = predict(project, PredictConfig(tile=64), slides=["case3"])
    next(job)
    with pytest.raises(StopIteration) as end:
        job.send(Stop())
    assert end.value.value == []


def tiles_of(job, commands):
    """Run a job; reply to the n-th tile with the n-th command; return the tiles, and the slides that were finished."""
    tiles, command = [], None
    while True:
        try:
            event = job.send(command)
        except StopIteration as end:
            return tiles, [done.slide for done in end.value]
        command = None
        if isinstance(event, TileDone):
            command = commands[len(tiles)] if len(tiles) < len(commands) else None
            tiles.append(event)


def test_stopped_prediction_keeps_its_tiles_and_is_not_taken_for_whole(trained):
    project, _, bundle = trained
    remove_tree(project.prediction_path(bundle.id, "case2"))
    job = predict(project, PredictConfig(tile=64), slides=["case2"])
    tiles, finished = tiles_of(job, [None, None, Stop()])
    assert [tile.share for tile in tiles] == pytest.approx([number / 9 for number in range(1, len(tiles) + 1)])
    assert 3 <= len(tiles) < 9  # what was computed by then is written, too
    assert finished == []
    prediction = project.find_prediction(bundle.id, "case2")
    reported = np.zeros((192, 192), bool)
    for tile in tiles:
        reported[tile.region.slices] = True
    assert ((prediction.read(WHOLE) > 0) == reported).all()
    assert not prediction.is_whole(weights_mtime(project, bundle.id))
    assert not covers_slide(prediction.path)
    run(predict(project, slides=["case2"]))
    assert covers_slide(prediction.path)


def test_slide_that_is_begun_again_with_other_settings_is_not_whole_until_its_end(trained):
    project, _, bundle = trained
    run(predict(project, slides=["case2"]))
    prediction, stamp = project.find_prediction(bundle.id, "case2"), weights_mtime(project, bundle.id)
    assert prediction.is_whole(stamp)
    tiles_of(predict(project, PredictConfig(tile=64), slides=["case2"]), [None, Stop()])
    assert not project.find_prediction(bundle.id, "case2").is_whole(stamp)
    run(predict(project, slides=["case2"]))
    assert project.find_prediction(bundle.id, "case2").is_whole(stamp)


def test_stop_after_the_last_tile_comes_too_late(trained):
    project, _, _ = trained
    tiles, finished = tiles_of(predict(project, slides=["case2"]), [Stop()])
    assert (len(tiles), finished) == (1, ["case2"])


def test_what_is_in_view_is_predicted_first(trained):
    project, _, _ = trained
    view = RequestPreview("case1", Region(120, 120, 60, 60))
    job = predict(project, PredictConfig(tile=64), slides=["case1"])
    assert isinstance(next(job), Progress)
    event = job.send(view)
    while isinstance(event, Progress):  # a block of tiles is begun
        event = next(job)
    assert (event.region.top, event.region.left) == (128, 128)
    tiles, _ = tiles_of(job, [None, RequestPreview("case3", Region(0, 0, 9, 9)), None])
    assert [(tile.region.top, tile.region.left) for tile in tiles[3:]] == [(0, 0), (0, 64), (0, 128), (64, 0), (128, 0)]


def test_prediction_is_begun_anew_once_the_weights_change(trained):
    project, _, bundle = trained
    run(predict(project, slides=["case1"]))
    os.utime(project.folder / "models" / bundle.id / "weights.safetensors")
    tiles, _ = tiles_of(predict(project, PredictConfig(tile=64), slides=["case1"]), [Stop()])
    assert (project.find_prediction(bundle.id, "case1").read(WHOLE) > 0).sum() == len(tiles) * 64 * 64 < 192 * 192


def test_stop_between_slides_keeps_the_finished_ones(trained):
    project, _, _ = trained
    job = predict(project, slides=["case3", "case4"])
    while not isinstance(next(job), SlideDone):
        pass
    with pytest.raises(StopIteration) as end:
        job.send(Stop())
    assert [done.slide for done in end.value.value] == ["case3"]


def test_scores_compare_with_the_annotation(trained):
    project, _, _ = trained
    answer = score(project, role="val")
    assert answer["scores"]["Tumour"]["dice"] > 0.8
    assert [part["slide"] for part in answer["slides"]] == [e.id for e in project.slides_with_role("val")]


def test_slide_without_contours_cannot_be_scored(trained, predicted):
    project, _, _ = trained
    with pytest.raises(NothingToLearnError, match="No slide of the role test .* has a contour to score against"):
        score(project, role="test")


def test_region_outside_the_slide_is_refused_with_the_slide_size(trained):
    project, _, _ = trained
    with pytest.raises(ProjectError, match="lies outside case0, which has 192 x 192 pixels"):
        run(predict(project, slides=["case0"], region=Region(500, 0, 10, 10)))


def test_disagreement_of_positions_is_stored_only_where_there_are_several(trained):
    project, _, bundle = trained
    stored = {}
    for settings in ({"tta": 2}, {"shifts": 2}, {}, {"tta": 4, "blend": True}):
        run(predict(project, PredictConfig(**settings), slides=["case4"]))
        prediction = project.find_prediction(bundle.id, "case4")
        stored[str(settings)] = prediction.has_disagreement
        if prediction.has_disagreement:
            values = prediction.sample(DISAGREEMENT, WHOLE)
            assert values.shape == (192, 192)
            assert 0 < values.mean() < values.max() <= 255
            sizes = [
                sum(path.stat().st_size for path in (prediction.path / name).rglob("*") if path.is_file())
                for name in ("disagreement", "probabilities")
            ]
            assert sizes[0] < sizes[1]
    assert list(stored.values()) == [True, True, False, False]


def test_disagreement_of_a_view_is_stored_beside_that_of_done_tiles(trained):
    project, _, bundle = trained
    remove_tree(project.prediction_path(bundle.id, "case3"))
    run(predict(project, PredictConfig(tta=2), slides=["case3"], region=Region(50, 60, 30, 40)))
    found = project.find_prediction(bundle.id, "case3").sample(DISAGREEMENT, WHOLE)
    assert found[50:80, 60:100].any()
    found[50:80, 60:100] = 0
    assert not found.any()
