"""Prediction of images outside any project, and how it goes on after a stop or a kill."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_pathseg.cli import main
from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.events import Note, Stop, TileDone, run
from napari_pathseg.engine.inference import divided_predictor
from napari_pathseg.engine.inference.image_prediction import predict_images
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.exporting.export import ExportOptions
from napari_pathseg.storage.atomic import load_json, save_json

WHOLE = Region(0, 0, 192, 192)
BLOCKS = 9  # of 512 pixels, of `large`

# pathseg with blocks of 512 pixels; says when it begins one.  One thread, as more of them round differently.
PROGRAM = """
import sys
import torch
from napari_pathseg.cli import main
from napari_pathseg.engine.inference import divided_predictor

torch.set_num_threads(1)
divided_predictor._LARGEST_BLOCK = 512
compute = divided_predictor.DividedPredictor.compute_tiles

def compute_and_say(self, block):
    print("block", flush=True)
    yield from compute(self, block)

divided_predictor.DividedPredictor.compute_tiles = compute_and_say
sys.exit(main())
"""


def dark(project, slide):
    with project.open_slide(slide) as opened:
        return opened.read(WHOLE).mean(axis=-1) < 150


def notes(job):
    found = []
    run(job, lambda event: found.append(event.text) if isinstance(event, Note) else None)
    return found


def test_bundle_predicts_images_without_a_project(trained, tmp_path):
    project, _, bundle = trained
    image = project.find_file(project.slide("case5"))
    (path,), failed, _ = run(predict_images(project.folder / "models" / bundle.id, [image], tmp_path / "out"))
    assert failed == 0
    found, truth = np.asarray(Image.open(path)) == 2, dark(project, "case5")
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_stopped_prediction_of_images_writes_only_whole_ones(trained, tmp_path):
    project, _, bundle = trained
    images = [project.find_file(project.slide(name)) for name in ("case1", "case2")]
    job = predict_images(project.folder / "models" / bundle.id, images, tmp_path / "out", PredictConfig(tile=64))
    done = run(job, lambda event: Stop() if isinstance(event, TileDone) and event.slide == "case2" else None)
    assert [path.name for path in done.files] == ["case1.png"]


def test_label_images_that_would_overwrite_their_images_are_refused_at_once(trained, tmp_path):
    project, _, bundle = trained
    image = tmp_path / "a.png"
    Image.open(project.find_file(project.slide("case5"))).convert("RGB").save(image)
    job = predict_images(project.folder / "models" / bundle.id, [image], tmp_path)
    with pytest.raises(ProjectError, match=r"a\.png is a slide and would be overwritten"):
        next(job)  # before anything is predicted


def test_label_images_beside_the_images_are_never_overwritten(trained, tmp_path):
    project, _, bundle = trained
    image, drawn = tmp_path / "a.png", tmp_path / "a_mask.png"
    Image.open(project.find_file(project.slide("case5"))).convert("RGB").save(image)
    drawn.write_bytes(b"drawn by hand")
    options = ExportOptions(format="mask", what="prediction", suffix="_mask")
    job = predict_images(project.folder / "models" / bundle.id, [image], tmp_path, options=options)
    with pytest.raises(ProjectError, match=r"a_mask\.png exists beside its slide and would be overwritten"):
        next(job)
    assert drawn.read_bytes() == b"drawn by hand"


def test_output_that_is_a_file_is_refused_before_anything_is_predicted(trained, tmp_path):
    project, _, bundle = trained
    (tmp_path / "out").write_text("a file")
    image = project.find_file(project.slide("case5"))
    with pytest.raises(ProjectError, match=r"out could not be created \(.*exists\). Choose another folder"):
        next(predict_images(project.folder / "models" / bundle.id, [image], tmp_path / "out"))


def test_image_without_a_pixel_size_is_named_if_the_model_learnt_at_one(trained, tmp_path):
    project, _, bundle = trained
    copy = tmp_path / "m"
    shutil.copytree(project.folder / "models" / bundle.id, copy)
    image = project.find_file(project.slide("case5"))
    assert bundle.mpp is None  # its slides state no pixel size, so it fits images at their full resolution
    assert not notes(predict_images(copy, [image], tmp_path / "out"))
    save_json(copy / "bundle.json", load_json(copy / "bundle.json") | {"mpp": 2.0})
    (note,) = notes(predict_images(copy, [image], tmp_path / "out"))
    assert "No pixel size in case5: predicted at full resolution, while the model learnt at 2 um" in note


def test_second_image_of_a_name_is_told_what_its_files_are_called(trained, tmp_path):
    project, _, bundle = trained
    image = project.find_file(project.slide("case5"))
    Image.open(image).convert("RGB").save(tmp_path / "case5.png")
    job = predict_images(project.folder / "models" / bundle.id, [image, tmp_path / "case5.png"], tmp_path / "out")
    assert "Names that are taken, or no file can have, were changed: case5.png as case5-2." in notes(job)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["case5-2.png", "case5.png"]


@pytest.fixture
def model(trained):
    """The folder of a model."""
    project, _, bundle = trained
    return project.folder / "models" / bundle.id


@pytest.fixture
def large(tmp_path):
    """An image of several blocks that looks like the training slides."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(190, 230, (1500, 1300, 3)).astype(np.uint8)
    pixels[300:700, 200:900] = rng.integers(60, 120, (400, 700, 3))
    tifffile.imwrite(tmp_path / "large.tif", pixels, photometric="rgb", tile=(256, 256))
    return tmp_path / "large.tif"


@pytest.fixture
def blocks(monkeypatch):
    """The blocks, of 512 pixels, that are computed in this process with one thread."""
    compute, computed = divided_predictor.DividedPredictor.compute_tiles, []

    def compute_and_note(self, block):
        computed.append(block.wide)
        yield from compute(self, block)

    monkeypatch.setattr(divided_predictor, "_LARGEST_BLOCK", 512)
    monkeypatch.setattr(divided_predictor.DividedPredictor, "compute_tiles", compute_and_note)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield computed
    torch.set_num_threads(threads)


def arguments(model, image, out):
    """Return those of pathseg that predict an image without a project."""
    return ["predict", "--bundle", str(model), str(image), "--out", str(out), "--tile", "256", "--probabilities"]


def stopped_by(number, command):
    """Run pathseg in a process, send it a signal in its third block; return the blocks it began and its messages."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(3):
        assert child.stdout.readline() == "block\n"
    child.send_signal(number)
    printed, complaints = child.communicate()
    assert child.returncode in (-number, 128 + number)
    return 3 + printed.count("block\n"), complaints


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL, and SIGINT to a child")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_prediction_of_images_ends_as_an_uninterrupted_one(number, model, large, blocks, tmp_path, capsys):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(arguments(model, large, whole)) == 0
    assert len(blocks) == BLOCKS
    before, complaints = stopped_by(number, arguments(model, large, out))
    assert 3 <= before < BLOCKS
    assert [path.name[:23] for path in out.iterdir()] == [".unfinished-prediction-"]
    assert ("The same command goes on with the rest." in complaints) == (number == signal.SIGINT)
    blocks.clear()
    capsys.readouterr()
    assert main(arguments(model, large, out)) == 0
    assert "Going on where an earlier run of the same prediction was interrupted." in capsys.readouterr().err
    assert len(blocks) <= BLOCKS - before + 1
    names = sorted(os.listdir(whole))
    assert sorted(os.listdir(out)) == names == ["large.png", "large_Tumour_probability.png"]
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in names)


def stop_at_the_first_tile(event):
    return Stop() if isinstance(event, TileDone) else None


SMALL_TILES = PredictConfig(tile=64, tta=2)


@pytest.fixture
def image(trained):
    project, _, _ = trained
    return project.find_file(project.slide("case5"))


def test_other_settings_start_from_the_beginning_and_keep_what_was_begun(model, image, tmp_path):
    out = tmp_path / "out"
    assert run(predict_images(model, [image], out, SMALL_TILES), stop_at_the_first_tile).stopped
    (begun,) = out.iterdir()
    (note,) = notes(predict_images(model, [image], out, SMALL_TILES.replace(tile=96)))
    assert note.startswith("This prediction starts from the beginning: what is unfinished in that folder is of another")
    assert note.endswith(f"delete {begun.name} if it is not wanted.")
    assert sorted(path.name for path in out.iterdir()) == [begun.name, "case5.png"]
    (note,) = notes(predict_images(model, [image], out, SMALL_TILES))
    assert note.startswith("Going on")
    assert [path.name for path in out.iterdir()] == ["case5.png"]


def test_image_that_was_replaced_meanwhile_is_predicted_from_the_beginning(model, image, tmp_path):
    copy, out = tmp_path / "a.tif", tmp_path / "out"
    shutil.copy(image, copy)
    run(predict_images(model, [copy], out, SMALL_TILES), stop_at_the_first_tile)
    pixels = tifffile.imread(copy)
    tifffile.imwrite(copy, pixels[::-1], photometric="rgb")
    run(predict_images(model, [copy], out, SMALL_TILES))
    run(predict_images(model, [copy], tmp_path / "fresh", SMALL_TILES))
    assert (out / "a.png").read_bytes() == (tmp_path / "fresh" / "a.png").read_bytes()


def test_same_prediction_into_the_same_folder_waits_for_the_first(model, image, tmp_path):
    out = tmp_path / "out"
    first = predict_images(model, [image], out, SMALL_TILES)
    while not isinstance(next(first), TileDone):
        pass
    with pytest.raises(ProjectError, match=r"out/\.unfinished-prediction-\w+ is open in .* Close it there"):
        run(predict_images(model, [image], out, SMALL_TILES))
    other = notes(predict_images(model, [image], out, SMALL_TILES.replace(tile=96), PROBABILITIES))
    assert other == []  # the first one is not unfinished but under way
    done = run(first)
    assert [path.name for path in done.files] == ["case5.png"]
    assert sorted(path.name for path in out.iterdir()) == [
        "case5.png",
        "case5_seen.png",
        "case5_seen_Tumour_probability.png",
    ]


PROBABILITIES = ExportOptions(format="mask", what="prediction", probabilities=True, suffix="_seen")


def test_unfinished_work_that_did_not_reach_the_disk_is_done_again(model, image, tmp_path):
    out = tmp_path / "out"
    run(predict_images(model, [image], out, SMALL_TILES), stop_at_the_first_tile)
    (weights,) = out.glob(".unfinished-prediction-*/images.pathseg/models/m001/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    assert notes(predict_images(model, [image], out, SMALL_TILES)) == []
    assert [path.name for path in out.iterdir()] == ["case5.png"]


def test_image_that_cannot_be_read_leaves_no_folder(model, tmp_path):
    (tmp_path / "a.tif").write_bytes(b"no image")
    with pytest.raises(OSError, match=r"a\.tif"):
        run(predict_images(model, [tmp_path / "a.tif"], tmp_path / "out"))
    assert not (tmp_path / "out").exists()
