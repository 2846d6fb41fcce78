"""The live model of a real worker with what it cannot learn from: one sentence, and the worker goes on."""

import shutil
import time

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import save_file
from small_disk import fill_up, small_disk

from napari_pathseg.config import LINEAR, LiveConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.events import LiveStatus, LiveTile
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.weights import lite0_weights
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import (
    ComputeSuperpixels,
    ShowLive,
    StartLive,
    StopLive,
    SuperpixelsFailed,
    SuperpixelsReady,
    UpdateLive,
)
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides

WHOLE = Region(0, 0, 640, 640)
BACKGROUND, TUMOUR, DRAWN = 1, 2, 4
TISSUE, GLASS = Region(200, 200, 300, 300), Region(0, 0, 100, 640)


@pytest.fixture
def picture(tmp_path):
    """A slide of glass with a square of tissue, one half of which is darker."""
    rng = np.random.default_rng(0)
    pixels = np.full((640, 640, 3), 244, np.uint8)
    pixels[TISSUE.slices] = rng.normal((190, 110, 170), 25, (300, 300, 3)).clip(0, 255)
    pixels[200:350, 200:500] //= 2
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb")
    return path


@pytest.fixture
def blank(tmp_path, picture):
    """A project with that slide, on which nothing is drawn."""
    project = Project.create(tmp_path / "a.pathseg")
    add_slides(project, [picture], AddOptions(role="train"))
    return project


class Live:
    """The live model of a worker that shows a slide."""

    def __init__(self, worker, project, config=None, slide="a", region=WHOLE):
        self.worker, self.slide, self._status, self._tiles = worker, slide, LiveStatus(ready=False), 0
        worker.send(StopLive())
        folder = str(project.folder)
        worker.send(
            ComputeSuperpixels(
                project=folder, slide="none", region=region, downsample=1, size=10, number=0, path=f"{folder}/none"
            )
        )
        worker.events_until((SuperpixelsReady, SuperpixelsFailed))  # what a former model said is over
        worker.send(StartLive(project=folder, config=config or LiveConfig(disk_gb=0)))
        worker.send(ShowLive(slide, region, 1))

    def draw(self, label, box):
        pixels = np.stack([np.full(box[2:], label, np.uint8), np.full(box[2:], DRAWN, np.uint8)])
        self.worker.send(UpdateLive(self.slide, box, pack(pixels)))

    def says(self, text):
        """Wait for a status with this text; return it."""
        while text not in self._next().text:
            pass
        return self._status

    def follows(self):
        """Wait until it has answered for the view."""
        while not (self._status.ready and self._tiles):
            self._next()

    def _next(self):
        event = self.worker.events_until((LiveStatus, LiveTile))[-1]
        if isinstance(event, LiveTile):
            self._tiles += 1
        else:
            self._status = event
        return self._status


def draw_both(live):
    live.draw(TUMOUR, Region(210, 210, 30, 60))
    live.draw(BACKGROUND, Region(400, 210, 30, 60))


def test_one_class_alone_is_no_model_until_a_second_is_drawn(worker, blank):
    live = Live(worker, blank)
    live.says("Draw a stroke of each of two classes: the live model follows them.")
    live.draw(TUMOUR, Region(210, 210, 30, 60))
    assert not live.says("Draw some Background, too: the live model needs two classes.").ready
    live.draw(BACKGROUND, Region(400, 210, 30, 60))
    live.follows()


def test_class_of_three_pixels_is_no_model_until_more_of_it_is_drawn(worker, blank):
    live = Live(worker, blank)
    live.draw(TUMOUR, Region(210, 210, 30, 60))
    live.draw(BACKGROUND, Region(400, 210, 1, 3))
    assert not live.says("Draw more Background: 3 labelled pixels are fewer than the 200 needed").ready
    live.draw(BACKGROUND, Region(400, 210, 30, 60))
    live.follows()


def test_strokes_on_glass_alone_are_no_model_until_some_lie_on_tissue(worker, blank):
    live = Live(worker, blank)
    live.draw(TUMOUR, Region(10, 10, 30, 60))
    live.draw(BACKGROUND, Region(10, 400, 30, 60))
    assert not live.says("All that is labelled lies on glass. Draw some on the tissue").ready
    draw_both(live)
    live.follows()


def test_features_that_are_not_numbers_let_it_rest_until_another_encoder_is_chosen(worker, blank, tmp_path):
    weights = {name: torch.full(tensor.shape, torch.nan) for name, tensor in lite0_weights().items()}
    save_file(weights, tmp_path / "tf_efficientnet_lite0.safetensors")
    live = Live(worker, blank, LiveConfig(encoder=str(tmp_path / "tf_efficientnet_lite0.safetensors"), disk_gb=0))
    draw_both(live)
    assert not live.says("The features of what is labelled are not numbers, so the live model rests.").ready
    live = Live(worker, blank)
    draw_both(live)
    live.follows()


def test_slide_whose_pixels_are_damaged_where_they_are_needed_is_named_and_others_are_learnt(worker, blank, tmp_path):
    pixels = tifffile.imread(tmp_path / "a.tif")
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(pixels, photometric="rgb", tile=(256, 256), compression="jpeg")
    add_slides(blank, [tmp_path / "b.tif"], AddOptions(role="train"))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        places = list(zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True))
    with (tmp_path / "b.tif").open("r+b") as file:
        for offset, count in places:
            file.seek(offset)
            file.write(b"\xff" * count)
    live = Live(worker, blank, slide="b")
    status = live.says("b.tif")
    assert (status.ready, status.warning) == (False, True)
    live = Live(worker, blank)
    draw_both(live)
    live.follows()


def test_slide_whose_pixels_are_far_too_coarse_is_named_and_others_are_learnt(worker, blank, picture):
    shutil.copy(picture, picture.with_name("b.tif"))
    add_slides(blank, [picture.with_name("b.tif")], AddOptions(role="train"))
    change_slides(blank, ["b"], SlideChanges(pixel_size=100))
    live = Live(worker, blank, slide="b")
    live.draw(TUMOUR, Region(210, 210, 30, 60))
    assert live.says("b has 100 um per pixel, 100 times the project's 1, so the live model does without it.").warning
    live = Live(worker, blank)
    draw_both(live)
    live.follows()


def test_features_of_another_encoder_on_disk_are_neither_used_nor_lost(worker, blank, tmp_path):
    for number, encoder in enumerate(("tf_efficientnet_lite0", "resnet18"), 1):
        path = tmp_path / f"{encoder}.safetensors"
        save_file(build_network(NetworkSpec(LINEAR, encoder, 2)).encoder.state_dict(), path)
        live = Live(worker, blank, LiveConfig(encoder=str(path)))
        draw_both(live)
        live.follows()
        while len({path.parent for path in (blank.folder / "features" / "a").glob("*/*.safetensors")}) < number:
            time.sleep(0.05)


def test_full_disk_is_said_once_and_it_follows_all_the_same(worker, tmp_path, picture):
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        project = Project.create(disk / "a.pathseg")
        add_slides(project, [picture], AddOptions(role="train"))
        ballast = fill_up(disk, leave=200_000)
        live = Live(worker, project, LiveConfig())
        draw_both(live)
        status = live.says("Features are kept in memory only, as ")
        assert "No space left on device" in status.text
        assert (status.ready, status.warning) == (True, True)
        live.follows()
        assert list((project.folder / "features").rglob("*.partial*")) == []
        ballast.unlink()
        worker.send(StopLive())
