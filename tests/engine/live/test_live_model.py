"""The live model as its worker drives it: commands in, events out, one slice of work at a time."""

import contextlib

import numpy as np
import pytest
import tifffile
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from napari_pathseg.config import LINEAR, LiveConfig, TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.events import LiveFilled, LiveStatus, LiveTile, Note, run
from napari_pathseg.engine.live import learner, live_model
from napari_pathseg.engine.live.live_model import LiveModel
from napari_pathseg.engine.live.packed import unpack
from napari_pathseg.engine.live.tile_features import TileEncoder
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.weights import lite0_weights
from napari_pathseg.engine.training.training import train
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.masks.edits import clear, fill_from_model
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides

LIVE = LiveConfig(disk_gb=0)
WHOLE = Region(0, 0, 192, 192)


def settle(model):
    """Let a live model do all it has to do; return the events."""
    events = []
    while not model.idle:
        events += model.work(background=True)
    return events


def overlay(events, shape=(192, 192)):
    """The classes other than Background and their probabilities that the tiles of step 1 add up to."""
    found = np.zeros((2, *shape), np.uint8)
    for event in events:
        if isinstance(event, LiveTile) and event.step == 1:
            found[:, *event.region.slices] = unpack(event.pixels, (2, event.region.height, event.region.width))
    return found


def last_status(events):
    return [event for event in events if isinstance(event, LiveStatus)][-1]


@pytest.fixture
def model(project):
    live = LiveModel(project, LiveConfig())
    yield live
    live.close()


def test_overlay_finds_the_dark_square_of_a_slide_without_labels(model, project):
    model.show("case5", WHOLE, 1)
    events = settle(model)
    classes, probability = overlay(events)
    with project.open_slide("case5") as slide:
        dark = slide.read(WHOLE).mean(axis=2) < 150
    tumour = probability >= 128
    assert 2 * (tumour & dark).sum() / (tumour.sum() + dark.sum()) > 0.9
    assert (classes == 2).all()
    assert [event for event in events if isinstance(event, LiveStatus)][-1].ready


def test_view_is_filled_with_what_is_shown(model):
    model.show("case5", WHOLE, 1)
    shown = overlay(settle(model))
    model.fill("case5", Region(10, 20, 100, 60))
    (filled,) = [event for event in settle(model) if isinstance(event, LiveFilled)]
    assert (filled.last, filled.share, filled.region) == (True, 1.0, Region(10, 20, 100, 60))
    assert np.array_equal(unpack(filled.pixels, (2, 100, 60)), shown[:, 10:110, 20:80])


def test_filling_that_is_ended_sends_nothing(model):
    model.show("case5", WHOLE, 1)
    settle(model)
    model.fill("case5", WHOLE)
    model.fill("case5", EMPTY_REGION)
    assert [event for event in settle(model) if isinstance(event, LiveFilled)] == []


# -- what is learnt


def head_of(model):
    """The weights and bias of a live model's classifier."""
    weights = model._learner.weights
    return [*weights.weights, weights.bias]


def stored_head(project, model):
    """The weights and bias of a model's classifier."""
    stored = load_file(project.folder / "models" / model / "weights.safetensors")
    heads = [stored[f"heads.{number}.weight"][:, :, 0, 0].T for number in range(6)]
    return [*map(torch.from_numpy, heads), torch.from_numpy(stored["bias"])]


def same(first, second, tolerance=0.0):
    """Whether no weight differs by more than a fraction of the largest one."""
    most = tolerance * max(float(part.abs().max()) for part in first)
    return all(torch.allclose(a, b, atol=most, rtol=0) for a, b in zip(first, second, strict=True))


@pytest.fixture
def blank(project):
    """The project with the labels of two slides taken away: case0 is to be painted, case5 to be looked at."""
    change_slides(project, [f"case{number}" for number in range(5)], SlideChanges(complete=False, role="train"))
    for number in range(5):
        with project.open_mask(f"case{number}") as mask:
            mask.run(clear(WHOLE, None))
    return project


def strokes(seed, count=6):
    """Boxes with labels and provenance as a window sends them, of one slide that is painted stroke by stroke."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((2, 192, 192), np.uint8)
    for _ in range(count):
        top, left = rng.integers(0, 150, 2)
        box = Region(int(top), int(left), int(rng.integers(10, 40)), int(rng.integers(10, 40))).clip((192, 192))
        label = rng.integers(0, 3)
        pixels[0][box.slices], pixels[1][box.slices] = label, Provenance.DRAWN if label else 0
        yield box, pixels[:, *box.slices].copy(), pixels


def test_strokes_one_by_one_give_the_overlay_of_all_at_once(blank):
    one, other = LiveModel(blank, LIVE), LiveModel(blank, LIVE)
    one.show("case5", WHOLE, 1)
    other.show("case5", WHOLE, 1)
    drawn, events = list(strokes(0, 8)), []
    for box, changed, _ in drawn:
        one.update("case0", box, changed)
        events += settle(one)
    other.update("case0", WHOLE, drawn[-1][2])
    assert (overlay(events)[0] == overlay(settle(other))[0]).mean() > 0.98


def test_overlay_follows_though_strokes_come_faster_than_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(learner, "_LATE_S", 0.0)
    monkeypatch.setattr(live_model, "_GENTLE_SLICE_S", 0.0)  # one step a slice
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    tifffile.imwrite(tmp_path / "noise.tif", pixels, photometric="rgb", tile=(256, 256))
    project = Project.create(tmp_path / "noise.pathseg", mpp=None)
    add_slides(project, [tmp_path / "noise.tif"], AddOptions(role="train"))
    with contextlib.closing(LiveModel(project, LIVE)) as model:
        model.show("noise", Region(0, 0, 1024, 1024), 8)

        def paint_all(label):
            for top, left in ((100, 100), (100, 700), (700, 100), (700, 700)):
                box = np.full((2, 40, 40), Provenance.DRAWN, np.uint8)
                box[0, :20], box[0, 20:] = label, 3 - label
                model.update("noise", Region(top, left, 40, 40), box)

        paint_all(1)
        settle(model)
        events = []
        for number in range(40):
            paint_all(1 + number % 2)
            events += model.work(background=False, gentle=True)
        assert last_status(events).fit > 1
        assert any(isinstance(event, LiveTile) for event in events)


def test_stroke_that_is_undone_leaves_the_head_as_it_was(blank):
    model = LiveModel(blank, LIVE)
    *_, (_, _, whole) = strokes(0, 8)
    model.update("case0", WHOLE, whole)
    settle(model)
    before = head_of(model)
    box = Region(40, 40, 60, 60)
    model.update("case0", box, np.stack([np.full((60, 60), 2, np.uint8), np.full((60, 60), 4, np.uint8)]))
    settle(model)
    assert not same(before, head_of(model), 1e-3)
    model.update("case0", box, whole[:, *box.slices])
    settle(model)
    assert same(before, head_of(model), 1e-6)


def test_pixels_of_a_model_change_the_head_by_not_a_bit(project):
    change_slides(project, ["case5"], SlideChanges(role="train"))
    before, after = LiveModel(project, LIVE), LiveModel(project, LIVE)
    settle(before)
    with project.open_mask("case5") as mask:
        fill_from_model(mask, WHOLE, np.full((192, 192), 2, np.uint8))
    settle(after)
    assert same(head_of(before), head_of(after))
    predicted = np.stack([np.full((192, 192), 2, np.uint8), np.full((192, 192), Provenance.MODEL, np.uint8)])
    after.update("case5", WHOLE, predicted)
    after.update("case5", WHOLE, None)
    settle(after)
    assert same(head_of(before), head_of(after))


def test_live_model_and_its_preset_agree(project):
    change_slides(project, [f"case{number}" for number in range(4)], SlideChanges(role="train"))
    change_slides(project, ["case4"], SlideChanges(role="val"))
    model = LiveModel(project, LIVE)
    settle(model)
    bundle = run(train(project, TrainConfig(preset="live")))
    assert same(head_of(model), stored_head(project, bundle.id), 0.02)


def test_held_out_slide_is_not_learnt_and_said_to_be(project):
    change_slides(project, ["case0", "case1"], SlideChanges(role="train"))
    change_slides(project, ["case4"], SlideChanges(role="val"))
    model = LiveModel(project, LIVE)
    model.show("case4", WHOLE, 1)
    before = last_status(settle(model))
    head = head_of(model)
    model.update("case4", Region(0, 0, 50, 50), np.full((2, 50, 50), 2, np.uint8))
    settle(model)
    assert same(head, head_of(model))
    assert before.ready
    assert before.text == "case4 is held out, so the live model does not learn what is drawn on it."


def test_slide_that_becomes_a_validation_slide_is_forgotten(project):
    change_slides(project, [f"case{number}" for number in range(5)], SlideChanges(role="train"))
    model = LiveModel(project, LIVE)
    settle(model)
    change_slides(Project.open(project.folder), ["case4"], SlideChanges(role="val"))
    model.update("case4", EMPTY_REGION, None)
    settle(model)
    other = LiveModel(Project.open(project.folder), LIVE)
    settle(other)
    assert same(head_of(model), head_of(other), 1e-6)


def test_answers_that_do_not_change_are_not_sent_again(model):
    model.show("case5", WHOLE, 1)
    assert [event for event in settle(model) if isinstance(event, LiveTile)]
    model.show("case5", Region(0, 0, 100, 100), 1)
    assert [event for event in settle(model) if isinstance(event, LiveTile)] == []
    model.show("case5", WHOLE, 2)
    (tile,) = [event for event in settle(model) if isinstance(event, LiveTile)]
    assert (tile.step, unpack(tile.pixels, (2, 96, 96)).shape) == (2, (2, 96, 96))


# -- what is missing


def painted(model, slide, *boxes):
    for label, box in boxes:
        model.update(slide, box, np.stack([np.full(box[2:], label, np.uint8), np.full(box[2:], 4, np.uint8)]))
    return last_status(settle(model))


def test_one_sentence_says_what_is_missing(blank):
    model = LiveModel(blank, LIVE)
    model.show("case0", WHOLE, 1)
    start = last_status(settle(model))
    assert (start.ready, start.text) == (False, "Draw a stroke of each of two classes: the live model follows them.")
    first = painted(model, "case0", (2, Region(50, 50, 30, 30)))
    assert (first.ready, first.text) == (False, "Draw some Background, too: the live model needs two classes.")
    second = painted(model, "case0", (1, Region(0, 0, 1, 3)))
    assert not second.ready
    assert second.text == "Draw more Background: 3 labelled pixels are fewer than the 200 needed for the live model."
    third = painted(model, "case0", (1, Region(0, 0, 30, 30)))
    assert (third.ready, third.text) == (True, "")
    erased = painted(model, "case0", (0, Region(0, 0, 192, 192)))
    assert (erased.ready, erased.text) == (False, start.text)


def test_missing_weights_let_the_model_rest(project, tmp_path):
    model = LiveModel(project, LiveConfig(encoder=str(tmp_path / "lost.safetensors")))
    model.show("case5", WHOLE, 1)
    status = last_status(settle(model))
    assert (status.ready, status.warning) == (False, True)
    assert status.text.startswith(f'Weights "{tmp_path / "lost.safetensors"}" do not exist. Give imagenet')
    assert model.idle
    assert list(model.work(background=True)) == []


def test_features_that_are_not_numbers_let_the_model_rest(project, tmp_path):
    weights = {name: torch.full(tensor.shape, torch.nan) for name, tensor in lite0_weights().items()}
    save_file(weights, tmp_path / "nan.safetensors")
    model = LiveModel(project, LIVE.replace(encoder=str(tmp_path / "nan.safetensors")))
    model.show("case0", WHOLE, 1)
    status = last_status(settle(model))
    assert not status.ready
    assert status.text.startswith("The features of what is labelled are not numbers, so the live model rests.")


def test_slide_that_cannot_be_read_is_named_and_the_others_are_learnt(project, slides):
    change_slides(project, [f"case{number}" for number in range(5)], SlideChanges(role="train"))
    slides[0].write_bytes(b"no slide")
    model = LiveModel(project, LIVE)
    model.show("case0", WHOLE, 1)
    events = settle(model)
    (note,) = [event for event in events if isinstance(event, Note)]
    assert note.warning
    assert "case0.tif" in note.text
    assert last_status(events).text == note.text
    model.show("case5", WHOLE, 1)
    events = settle(model)
    assert last_status(events).ready
    assert overlay(events)[0].any()


def test_features_of_another_encoder_on_disk_are_left_alone(project):
    for encoder in ("tf_efficientnet_lite0", "resnet18"):
        path = project.folder / "weights.safetensors"
        network = build_network(NetworkSpec(LINEAR, encoder, 2))
        save_file(dict(network.encoder.state_dict()), path)
        model = LiveModel(project, LiveConfig(encoder=str(path)))
        model.show("case5", WHOLE, 1)
        assert last_status(settle(model)).ready
        model.close()
    assert len(list((project.folder / "features" / "case5").iterdir())) == 2


def test_features_on_disk_give_the_same_overlay_without_being_computed(project, monkeypatch):
    overlays = []
    for _ in range(2):
        model = LiveModel(project, LiveConfig())
        model.show("case5", WHOLE, 1)
        overlays.append(overlay(settle(model)))
        model.close()
        monkeypatch.setattr(TileEncoder, "encode", None)
    assert np.array_equal(*overlays)


def test_preset_live_reads_the_features_that_the_live_model_keeps(project, monkeypatch):
    change_slides(project, [f"case{number}" for number in range(4)], SlideChanges(role="train"))
    change_slides(project, ["case4"], SlideChanges(role="val"))
    model = LiveModel(project, LiveConfig())
    settle(model)
    head = head_of(model)
    model.close()
    monkeypatch.setattr(TileEncoder, "encode", None)
    bundle = run(train(project, TrainConfig(preset="live")))
    assert same(head, stored_head(project, bundle.id), 1e-5)


def test_strokes_on_glass_alone_are_no_model(tmp_path):
    rng = np.random.default_rng(0)
    pixels = np.full((640, 640, 3), 244, np.uint8)
    pixels[200:500, 200:500] = rng.normal((190, 110, 170), 25, (300, 300, 3)).clip(0, 255)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    project = Project.create(tmp_path / "glass.pathseg")
    add_slides(project, [tmp_path / "a.tif"], AddOptions())
    model = LiveModel(project, LIVE)
    model.show("a", Region(0, 0, 640, 640), 1)
    status = painted(model, "a", (1, Region(0, 0, 40, 40)), (2, Region(560, 560, 40, 40)))
    assert not status.ready
    assert status.text == "All that is labelled lies on glass. Draw some on the tissue: the live model learns from it."
    status = painted(model, "a", (2, Region(300, 300, 40, 40)))
    assert (status.ready, status.text) == (True, "")
