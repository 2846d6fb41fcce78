"""A prediction is complete or says what is missing, goes on where it was killed, and leaves glass out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pathseg.cli import main
from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.events import Note, RequestPreview, Stop, TileDone, run
from napari_pathseg.engine.inference import predict as predict_module
from napari_pathseg.engine.inference.divided_predictor import DividedPredictor
from napari_pathseg.engine.inference.predict import fill_masks, predict
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.model_weights import weights_mtime
from napari_pathseg.projects.tissue_masks import load_tissue, save_tissue
from napari_pathseg.storage.portable import remove_tree

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much
SMALL_TILES = PredictConfig(tile=64, halo="32")
WHOLE = Region(0, 0, 192, 192)


@pytest.fixture
def fresh(trained, tmp_path):
    """The trained project, its model, and a slide of the test's own."""
    project, _, bundle = trained
    path = tmp_path / f"{tmp_path.name}.tif"
    shutil.copy(project.find_file(project.slide("case2")), path)
    (record,) = add_slides(project, [path])
    return project, bundle.id, record.id


@pytest.fixture
def computed(monkeypatch):
    """The tiles that the network computes from now on."""
    tiles, compute = [], DividedPredictor.compute_tiles

    def noted(self, block):
        for found in compute(self, block):
            tiles.extend([] if found is None else found[:1])
            yield found

    monkeypatch.setattr(DividedPredictor, "compute_tiles", noted)
    return tiles


def stored(project, model, slide):
    prediction = project.find_prediction(model, slide)
    return prediction.read(WHOLE), np.asarray(prediction.probabilities)


def same(found, expected):
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def stop_after(count):
    """Return what answers the events of a job: nothing, until so many tiles are done, and then Stop."""
    tiles = []

    def answer(event):
        tiles.extend([event] * isinstance(event, TileDone))
        return Stop() if len(tiles) >= count else None

    return answer


def test_second_run_goes_on_where_the_first_was_stopped(fresh, computed):
    project, model, slide = fresh
    run(predict(project, SMALL_TILES, slides=[slide]), stop_after(4))
    first = len(computed)
    events = []
    run(predict(project, SMALL_TILES, slides=[slide]), events.append)
    tiles = [event.region for event in events if isinstance(event, TileDone)]
    assert 4 <= first < 9
    assert len(computed) == len(set(tiles)) == 9
    found = stored(project, model, slide)
    remove_tree(project.prediction_path(model, slide))
    run(predict(project, SMALL_TILES, slides=[slide]))
    assert same(found, stored(project, model, slide))


def test_whole_slide_is_not_computed_twice_and_fills_the_mask_again(fresh, computed):
    project, model, slide = fresh
    run(predict(project, SMALL_TILES, slides=[slide]))
    computed.clear()
    done = run(predict(project, SMALL_TILES, slides=[slide]))
    assert computed == []
    assert project.find_prediction(model, slide).is_whole(weights_mtime(project, model))
    fill_masks(project, model, done)
    assert project.counts(slide)[1:].sum() == 192 * 192


def test_other_settings_are_another_prediction(fresh, computed):
    project, _, slide = fresh
    run(predict(project, SMALL_TILES, slides=[slide]))
    computed.clear()
    run(predict(project, SMALL_TILES.replace(halo="64"), slides=[slide]))
    assert len(computed) == 9


def test_tile_whose_pixels_changed_on_disk_is_predicted_again(fresh, computed):
    project, model, slide = fresh
    run(predict(project, SMALL_TILES, slides=[slide]))
    before = stored(project, model, slide)
    project.find_prediction(model, slide).classes[128:, 128:] = 0  # as if the computer had stopped before it was there
    computed.clear()
    run(predict(project, SMALL_TILES, slides=[slide]))
    assert computed == [Region(128, 128, 64, 64)]
    assert same(stored(project, model, slide), before)


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_ledger_that_was_cut_off_costs_no_more_than_what_it_lost(fresh, cut):
    project, model, slide = fresh
    run(predict(project, SMALL_TILES, slides=[slide]))
    before, path = stored(project, model, slide), project.prediction_path(model, slide) / "tiles.jsonl"
    path.write_bytes(path.read_bytes()[:cut])
    run(predict(project, SMALL_TILES, slides=[slide]))
    assert same(stored(project, model, slide), before)


def test_killed_run_ends_as_an_uninterrupted_one(fresh, tmp_path):
    project, model, slide = fresh
    run(predict(project, SMALL_TILES, slides=[slide]))
    expected, path = stored(project, model, slide), project.prediction_path(model, slide)
    program = "import sys; from napari_pathseg.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "predict", str(project.folder), "--slide", slide]
    command += ["--tile", "64", "--halo", "32"]
    for number in range(FUZZ):
        remove_tree(path)
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wanted = 1 + number % 8  # tiles
        ledger = path / "tiles.jsonl"
        while child.poll() is None and not (ledger.exists() and ledger.read_bytes().count(b"\n") > wanted):
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        child.wait()
        before = ledger.read_bytes().count(b"\n") - 1
        run(predict(project, SMALL_TILES, slides=[slide]))
        assert before >= 1
        assert same(stored(project, model, slide), expected)


def test_view_has_the_answer_of_the_slide(fresh):
    project, model, slide = fresh
    run(predict(project, PredictConfig(halo="192"), slides=[slide]))
    whole, _ = stored(project, model, slide)
    remove_tree(project.prediction_path(model, slide))
    run(predict(project, PredictConfig(halo="192"), slides=[slide], region=Region(43, 61, 77, 90)))
    view, _ = stored(project, model, slide)
    assert (view[43:120, 61:151] == whole[43:120, 61:151]).mean() > 0.999


def test_view_changes_no_tile_of_the_slide_that_is_done(fresh, computed):
    project, model, slide = fresh
    run(predict(project, SMALL_TILES, slides=[slide]))
    before = stored(project, model, slide)
    computed.clear()
    run(predict(project, SMALL_TILES, slides=[slide], region=Region(43, 61, 77, 90)))
    assert computed == []
    assert same(stored(project, model, slide), before)


def test_view_does_not_count_as_a_part_of_the_slide(fresh, computed):
    project, model, slide = fresh
    run(predict(project, SMALL_TILES, slides=[slide]))
    expected = stored(project, model, slide)
    remove_tree(project.prediction_path(model, slide))
    first = Region(0, 0, 64, 64)
    run(predict(project, SMALL_TILES, slides=[slide]), stop_after(1))
    done = list(dict.fromkeys(computed))
    before = stored(project, model, slide)[1][(slice(None), *first.slices)]
    run(predict(project, SMALL_TILES, slides=[slide], region=Region(32, 32, 160, 160)))
    classes, probabilities = stored(project, model, slide)
    assert (classes[32:, 32:] > 0).all()
    assert np.array_equal(probabilities[(slice(None), *first.slices)], before)
    computed.clear()
    run(predict(project, SMALL_TILES, slides=[slide]))
    assert first in done
    assert first not in computed
    assert Region(128, 128, 64, 64) in computed
    assert same(stored(project, model, slide), expected)


@pytest.fixture
def torn(tmp_path):
    """A slide of 640 x 640 pixels whose last tile, of 128 x 128, is damaged."""
    path = tmp_path / "torn.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (640, 640, 3)).astype(np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(128, 128), compression="deflate")
    with tifffile.TiffFile(path) as file:
        offset, size = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    return path


def test_unreadable_tile_is_named_and_the_rest_is_predicted(trained, torn):
    project, _, bundle = trained
    (record,) = add_slides(project, [torn])
    events = []
    (done,) = run(predict(project, PredictConfig(tile=256, halo="32"), slides=[record.id]), events.append)
    prediction = project.find_prediction(bundle.id, record.id)
    found = prediction.read(Region(0, 0, 640, 640)) > 0
    missing = np.zeros_like(found)
    for box in done.failed:
        missing[box.slices] = True
    assert np.array_equal(missing, ~found)
    assert missing[512:, 512:].all()
    assert not missing[:384].any()
    (note,) = (event for event in events if isinstance(event, Note) and "is predicted but for" in event.text)
    assert note.warning
    assert "torn.tif could not be read" in note.text
    assert not prediction.is_whole(weights_mtime(project, bundle.id))


def test_command_says_what_it_could_not_predict_and_exits_with_1(trained, torn, tmp_path, capfd):
    project, _, bundle = trained
    arguments = ["predict", "--bundle", str(project.folder / "models" / bundle.id), str(torn), "--json"]
    code = main([*arguments, "--out", str(tmp_path / "out"), "--halo", "32"])
    out, err = capfd.readouterr()
    answer = json.loads(out.splitlines()[-1])
    assert code == 1
    assert answer["failed"] > 0
    assert [Path(file).name for file in answer["files"]] == ["torn.png"]
    assert "torn is predicted but for" in err
    assert "Traceback" not in err


def test_tile_too_large_for_the_memory_is_predicted_in_parts(fresh, monkeypatch):
    project, model, slide = fresh
    run(predict(project, PredictConfig(halo="64"), slides=[slide]))
    expected, _ = stored(project, model, slide)
    remove_tree(project.prediction_path(model, slide))
    compute = DividedPredictor.compute_tiles

    def short_of_memory(self, block):
        if block.tiles[0].height > 100:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        yield from compute(self, block)

    monkeypatch.setattr(DividedPredictor, "compute_tiles", short_of_memory)
    (done,) = run(predict(project, PredictConfig(halo="64"), slides=[slide]))
    assert done.failed == []
    assert (stored(project, model, slide)[0] == expected).mean() > 0.99


def test_block_too_large_for_the_memory_is_predicted_in_smaller_ones(fresh, monkeypatch):
    project, model, slide = fresh
    run(predict(project, SMALL_TILES, slides=[slide]))
    expected, _ = stored(project, model, slide)
    remove_tree(project.prediction_path(model, slide))
    compute, blocks = DividedPredictor.compute_tiles, []

    def short_of_memory(self, block):
        blocks.append(len(block.tiles))
        for number, found in enumerate(compute(self, block)):
            if len(block.tiles) > 2 and number > 3:  # the first tiles are done by then
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
            yield found

    monkeypatch.setattr(DividedPredictor, "compute_tiles", short_of_memory)
    (done,) = run(predict(project, SMALL_TILES, slides=[slide]))
    assert done.failed == []
    assert blocks[0] == 9
    assert max(blocks[-2:]) <= 2
    assert (stored(project, model, slide)[0] == expected).mean() > 0.98


def test_view_that_moves_ends_the_block_at_hand_for_now(fresh, computed, monkeypatch):
    project, _, slide = fresh
    monkeypatch.setattr(DividedPredictor, "block", lambda *_: 128)
    job = predict(project, SMALL_TILES, slides=[slide])
    view, event = None, next(job)
    while not isinstance(event, TileDone):
        event = job.send(view)
        view = RequestPreview(slide, Region(0, 0, 60, 120))
    corner = Region(128, 128, 64, 64)
    job.send(RequestPreview(slide, corner))
    rest = [event for event in job if isinstance(event, TileDone)]
    assert corner in [event.region for event in rest[:4]]
    assert len(rest) == 8
    assert len(set(computed)) == 9


def test_bug_in_the_network_is_not_taken_for_a_tile_that_failed(fresh, monkeypatch):
    project, _, slide = fresh

    def broken(self, block):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(DividedPredictor, "compute_tiles", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        run(predict(project, slides=[slide]))


def test_glass_is_not_computed_and_is_background_wherever_the_prediction_is_read(fresh, computed, monkeypatch):
    project, model, slide = fresh
    monkeypatch.setattr(predict_module, "SMALL_PIXELS", 0)
    tissue = load_tissue(project, slide)
    only = np.zeros_like(tissue.pixels)
    only[: 100 // tissue.downsample, : 40 // tissue.downsample] = True
    save_tissue(project, slide, tissue.edit(only))
    done = run(predict(project, SMALL_TILES, slides=[slide]))
    prediction = project.find_prediction(model, slide)
    assert sorted(computed) == [Region(0, 0, 64, 64), Region(64, 0, 64, 64)]
    assert (prediction.read(WHOLE)[:, 64:] == 0).all()
    assert (prediction.read_with_glass(WHOLE)[:, 64:] == 1).all()
    assert (prediction.probability(1, WHOLE)[:, 64:] == 255).all()
    assert (prediction.probability(2, WHOLE)[:, 64:] == 0).all()
    assert prediction.is_whole(weights_mtime(project, model))
    fill_masks(project, model, done)
    assert project.counts(slide)[1:].sum() == 128 * 64
    save_tissue(project, slide, tissue.edit(np.ones_like(only)))
    computed.clear()
    run(predict(project, SMALL_TILES, slides=[slide]))
    assert len(computed) == 7  # what was glass and is tissue now


def test_glass_stays_background_while_a_view_is_predicted_with_other_settings(fresh, monkeypatch):
    project, model, slide = fresh
    monkeypatch.setattr(predict_module, "SMALL_PIXELS", 0)
    tissue = load_tissue(project, slide)
    only = np.zeros_like(tissue.pixels)
    only[:, : 40 // tissue.downsample] = True
    save_tissue(project, slide, tissue.edit(only))
    run(predict(project, SMALL_TILES, slides=[slide]))
    run(predict(project, SMALL_TILES.replace(tta=2), slides=[slide], region=Region(0, 0, 30, 30)))
    assert (project.find_prediction(model, slide).read_with_glass(WHOLE) > 0).all()
