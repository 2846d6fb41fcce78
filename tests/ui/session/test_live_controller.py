"""The window's end of the live model: what it sends the worker, and what it does with the answers."""

import numpy as np
import pytest

from napari_pathseg.config import LiveConfig
from napari_pathseg.engine.events import LiveFilled, LiveKept, LiveStatus, LiveTile
from napari_pathseg.engine.live.packed import pack, unpack
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region, layout
from napari_pathseg.jobs.protocol import FillLive, KeepLive, ShowLive, StartLive, StopLive, UpdateLive
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.masks.operations import MaskOperation, OperationStep
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.project_state import TrainingChoices
from napari_pathseg.ui.session import live_controller, live_labels
from napari_pathseg.ui.session.live_controller import FOLLOWS, NOTHING_DRAWN, OFF, STARTING
from napari_pathseg.ui.session.selection import SLIDE, VIEW
from napari_pathseg.ui.session.session import Session

BACKGROUND, TUMOUR, SIDE = 1, 2, 192
WHOLE = Region(0, 0, SIDE, SIDE)
LEFT, RIGHT = Region(0, 0, SIDE, SIDE // 2), Region(0, SIDE // 2, SIDE, SIDE // 2)
READY = LiveStatus(ready=True, fit=1, encoded=2, wanted=2)


@pytest.fixture
def live(followed, monkeypatch):
    monkeypatch.setattr(live_labels, "_APART_S", 0.0)  # strokes of these tests follow one another in no time
    return followed


@pytest.fixture
def ready(live, worker):
    worker.event.emit(READY)
    worker.sent.clear()
    return live


@pytest.fixture
def heard(live):
    texts = []
    live.message.connect(lambda text, *_: texts.append(text))
    return texts


def paint(session, label=TUMOUR, at=(50, 50), to=(50, 90)):
    session.layers.mask.stroke(BrushSegment(at, to, 6), label)
    session.layers.mask.apply_pending()


def sent(worker, kind):
    return [command for command in worker.sent if isinstance(command, kind)]


def found(region, label=TUMOUR, probability=200):
    pixels = np.empty((2, region.height, region.width), np.uint8)
    pixels[0], pixels[1] = label, probability
    return pack(pixels)


def tile(region=WHOLE, *, slide="case5", fit=1, **what):
    return LiveTile(slide, region, 1, fit, found(region, **what))


def filled(region=WHOLE, *, share=1.0, last=True, **what):
    return LiveFilled("case5", region, found(region, **what), share, last)


def shown(session, level=0):
    """Return the classes that the live layer shows."""
    data = session.layers.live.data[level]
    return np.asarray(data) % 128


def model_pixels(session):
    return int(session.mask.counts[TUMOUR, Provenance.MODEL])


def test_it_starts_with_the_project_and_the_view(live, worker):
    start, view = worker.sent
    assert start == StartLive(project=str(live.project.folder), config=LiveConfig())
    assert view == ShowLive("case5", WHOLE, 1)
    assert live.live.sentence == STARTING


def test_it_waits_until_something_is_drawn(worker, slides, tmp_path, project):
    project.release_lock()
    session = Session(_viewer(), worker)
    session.new_project(tmp_path / "new.pathseg")
    session.live.follow()
    session.add_slides(slides[5:])
    assert worker.sent == []
    assert session.live.sentence == NOTHING_DRAWN
    paint(session)
    assert [type(command) for command in worker.sent] == [StartLive, ShowLive]
    with session.project.open_mask_readonly(session.slide.id) as mask:
        assert (mask.read(Region(0, 0, *mask.shape))[0] == TUMOUR).any()  # the stroke is there for the worker to read
    session.close()
    assert isinstance(worker.sent[-1], StopLive)


def test_nothing_is_written_into_a_project_that_another_program_holds(learnable, worker):
    learnable.workspace.taken = "open in another window"
    learnable.show_slide("case5")  # as it was saved
    learnable.live.follow()
    assert worker.sent[0].config == LiveConfig(disk_gb=0)


def _viewer():
    from napari.components import ViewerModel

    return ViewerModel()


def test_stroke_is_sent_once_as_the_box_that_changed(ready, worker):
    paint(ready)
    (update,) = worker.sent
    assert update.slide == "case5"
    labels, provenance = unpack(update.pixels, (2, update.region.height, update.region.width))
    mask_labels, mask_provenance = ready.mask.read(WHOLE)
    assert (labels == mask_labels[update.region.slices]).all()
    assert (provenance == mask_provenance[update.region.slices]).all()
    assert (mask_labels == TUMOUR).sum() == (labels == TUMOUR).sum() > 0
    assert update.region.height < 20


def test_stroke_that_is_being_drawn_is_sent_once_it_has_ended(ready, worker):
    layer = ready.layers.mask
    with layer.block_history():
        layer.stroke(BrushSegment((20, 20), (20, 60), 5), TUMOUR)
        ready.mask.process_pending(1)
        ready.mask_changed.emit()
        assert worker.sent == [ShowLive("case5", WHOLE, 1)]  # which announces it
    layer.apply_pending()
    assert len(sent(worker, UpdateLive)) == 1


@pytest.fixture
def waits(ready):
    """In how many seconds the window was asked to send what was painted."""
    seconds = []
    ready.live.send_wanted.connect(seconds.append)
    return seconds


def test_strokes_that_follow_one_another_are_sent_together(ready, worker, waits, monkeypatch):
    monkeypatch.setattr(live_labels, "_APART_S", 1000.0)
    paint(ready)
    assert len(worker.sent) == 1
    for row in (100, 120, 140):
        paint(ready, at=(row, 50), to=(row, 90))
    assert len(worker.sent) == 1
    assert 0 < min(waits) <= max(waits) <= 1000
    monkeypatch.setattr(live_labels, "_APART_S", 0.0)  # the time has passed
    ready.live.send_edits()
    (update,) = worker.sent[1:]
    labels, _ = unpack(update.pixels, (2, update.region.height, update.region.width))
    assert (labels == ready.mask.read(update.region)[0]).all()
    assert (labels[:: len(labels) - 1].sum(axis=1) > 0).all()  # from the first to the last of them


def test_stroke_that_waits_to_be_applied_is_sent_with_those_before_it(ready, worker):
    layer = ready.layers.mask
    layer.stroke(BrushSegment((50, 50), (50, 90), 6), TUMOUR)
    layer.stroke(BrushSegment((50, 20), (50, 40), 6), BACKGROUND)
    ready.mask_changed.emit()
    labels, _ = unpack(worker.sent[-1].pixels, (2, *worker.sent[-1].region[2:]))
    assert (labels == ready.mask.preview(worker.sent[-1].region, 0)[0]).all()


def test_slide_that_is_left_before_its_last_stroke_was_sent_is_read_again(ready, worker, waits, monkeypatch):
    monkeypatch.setattr(live_labels, "_APART_S", 1000.0)
    paint(ready)
    paint(ready, BACKGROUND)
    worker.sent.clear()
    ready.show_slide("case0")
    assert worker.sent == [UpdateLive("case5", EMPTY_REGION), ShowLive("case0", WHOLE, 1), KeepLive()]


@pytest.mark.parametrize("change", ["undo", "redo", "accept", "reject a stroke", "erase"])
def test_every_change_of_a_persons_pixels_is_sent(ready, worker, change):
    paint(ready)
    layer = ready.layers.mask
    if change == "redo":
        layer.undo()
    if change == "accept":
        ready.refresh_mask(fill_from_model(ready.mask, WHOLE, np.full((SIDE, SIDE), TUMOUR, np.uint8)))
    worker.sent.clear()
    if change in ("undo", "redo"):
        getattr(layer, change)()
    elif change == "accept":
        ready.editor.accept(SLIDE)
    else:
        paint(ready, 0 if change == "erase" else BACKGROUND)
    assert {update.region.empty for update in sent(worker, UpdateLive)} == {False}


def test_what_a_model_fills_or_is_rejected_is_not_sent(ready, worker):
    ready.refresh_mask(fill_from_model(ready.mask, WHOLE, np.full((SIDE, SIDE), TUMOUR, np.uint8)))
    ready.editor.reject(SLIDE)
    assert worker.sent == []


def test_other_slides_are_read_again_when_their_labels_roles_or_completeness_change(ready, worker):
    with ready.project.open_mask("case1") as mask:
        mask.edit(WHOLE, np.full((SIDE, SIDE), 2, np.uint8), np.full((SIDE, SIDE), 3, np.uint8))
    ready.project.update_slide("case2", role="test")
    ready.project.update_slide("case3", complete=False)
    ready.workspace.project_changed.emit()
    assert worker.sent == [UpdateLive(name, EMPTY_REGION) for name in ("case1", "case2", "case3")]
    worker.sent.clear()
    ready.workspace.project_changed.emit()
    assert worker.sent == []


def test_completing_the_slide_in_view_lets_its_mask_be_read_again(ready, worker):
    paint(ready)
    ready.editor.set_complete(True)
    assert worker.sent[-1] == UpdateLive("case5", EMPTY_REGION)


def test_all_slides_are_read_again_with_another_class(ready, worker):
    ready.change_classes(ready.project.classes.add("Necrosis"))
    assert {update.slide for update in sent(worker, UpdateLive)} == set(ready.project.slides)


def test_removed_slide_is_read_again_which_drops_it(ready, worker):
    ready.remove_slides(["case1"])
    assert worker.sent == [UpdateLive("case1", EMPTY_REGION)]


def test_slide_that_is_left_with_a_stroke_on_its_way_is_read_again(ready, worker, monkeypatch):
    monkeypatch.setattr(live_controller, "_QUICK", 0)  # as a stroke across a large slide
    ready.layers.mask.stroke(BrushSegment((50, 50), (50, 90), 6), TUMOUR)
    ready.show_slide("case0")
    assert worker.sent == [UpdateLive("case5", EMPTY_REGION), ShowLive("case0", WHOLE, 1), KeepLive()]


def test_live_model_is_kept_when_a_slide_is_left(ready, worker):
    ready.show_slide("case5")  # as it is shown again after others have written it
    assert sent(worker, KeepLive) == []
    ready.show_slide("case0")
    assert worker.sent[-1] == KeepLive()
    ready.live.set_on(False)
    worker.sent.clear()
    ready.show_slide("case1")
    assert worker.sent == []


def test_nothing_is_kept_of_a_project_that_is_closed_or_that_another_program_holds(ready, worker):
    ready.workspace.taken = "open in another window"
    ready.show_slide("case0")
    assert sent(worker, KeepLive) == []
    ready.workspace.taken = ""
    ready.close()
    assert sent(worker, KeepLive) == []


def test_model_that_was_kept_is_announced(live, worker):
    heard = []
    live.live.kept.connect(lambda: heard.append(True))
    worker.event.emit(LiveKept())
    assert heard == [True]


def test_view_is_sent_when_it_moves_and_no_finer_than_the_screen(ready, worker):
    ready.live.follow_view()
    assert worker.sent == []
    ready.layers.viewer.scene.camera.zoom = 0.2  # one screen pixel is five of the mask
    ready.live.follow_view()
    assert worker.sent == [ShowLive("case5", WHOLE, 8)]


def test_overlay_lies_between_slide_and_mask_and_leaves_the_brush_where_it_is(ready, worker):
    layers = ready.layers
    worker.event.emit(tile())
    order = list(layers.viewer.layers)
    assert order.index(layers.image) < order.index(layers.live) < order.index(layers.mask)
    assert layers.viewer.layers.selection.active is layers.mask
    assert layers.live.name == "case5 · live"
    assert not layers.live.editable
    assert (shown(ready) == TUMOUR).all()
    assert ready.mask.counts[0].sum() == SIDE * SIDE


def test_overlay_shows_no_background_nothing_below_the_threshold_and_nothing_on_labels(ready, worker):
    worker.event.emit(tile(LEFT))
    worker.event.emit(tile(RIGHT, label=BACKGROUND))
    assert (shown(ready)[LEFT.slices] == TUMOUR).all()
    assert not shown(ready)[RIGHT.slices].any()
    paint(ready, to=(50, 80))
    assert (shown(ready) == TUMOUR).sum() == LEFT.height * LEFT.width - ready.mask.counts[TUMOUR].sum()
    ready.live.set_threshold(0.9)
    assert not shown(ready).any()
    assert ready.layers.live.threshold == 0.9


def test_boxes_that_are_drawn_again_look_as_the_whole_does(ready, worker):
    rng, layers = np.random.default_rng(0), ready.layers
    worker.event.emit(tile())
    ready.live.redraw()
    for fit in range(2, 12):
        top, left = rng.integers(0, SIDE - 40, 2).tolist()
        worker.event.emit(tile(Region(top, left, 40, 30), fit=fit, label=int(rng.integers(1, 3))))
        row, column = rng.integers(20, SIDE - 20, 2).tolist()
        paint(ready, int(rng.integers(0, 3)), (row, column), (row, column))
        ready.live.redraw()
        seen = layers.live._slice.image.raw
        assert np.array_equal(seen, np.asarray(layers.live.data[0]))
        assert seen.any()


@pytest.mark.parametrize(("zoom", "stripe"), [(0.5, 4), (1, 4), (2, 4), (4, 2), (8, 2), (40, 2)])
def test_hatching_stays_fine_where_pixels_are_large_on_screen(ready, worker, zoom, stripe):
    worker.event.emit(tile())
    layer = ready.layers.live
    layer.scale_factor = layer.scale[-1] / zoom  # as napari sets it when it draws
    between = np.asarray(layer.data[0])[0] >= 128
    assert np.flatnonzero(np.diff(between)).tolist() == list(range(stripe - 1, SIDE - 1, stripe))


def test_overlay_has_the_colours_of_the_classes_and_hides_hidden_ones(ready, worker):
    worker.event.emit(tile())
    live, red = ready.layers.live, ready.project.classes.numbered(TUMOUR).rgb
    assert np.allclose(live.colormap.color_dict[TUMOUR], (*(part / 255 for part in red), 1))
    ready.class_flags.set_hidden(TUMOUR, True)
    assert live.colormap.color_dict[TUMOUR][3] == 0


def test_another_slide_has_its_own_overlay_in_the_same_layer(ready, worker):
    worker.event.emit(tile())
    layer = ready.layers.live
    ready.show_slide("case0")
    worker.event.emit(tile())  # was on its way
    assert not shown(ready).any()
    assert (ready.layers.live, layer.name) == (layer, "case0 · live")
    assert len([one for one in ready.layers.viewer.layers if one.name.endswith("live")]) == 1


def test_overlay_that_the_user_removed_does_not_come_back(ready, worker):
    worker.event.emit(tile())
    ready.layers.viewer.layers.remove(ready.layers.live)
    worker.event.emit(tile(fit=2))
    assert not [one for one in ready.layers.viewer.layers if one.name.endswith("live")]


def test_sentence_says_what_it_does_or_what_is_missing(live, worker):
    worker.event.emit(LiveStatus(ready=False, text="Draw some Background, too."))
    assert live.live.sentence == "Draw some Background, too."
    assert not live.live.ready
    worker.event.emit(LiveStatus(ready=True, fit=1, encoded=5, wanted=8))
    assert live.live.sentence == f"{FOLLOWS} · 62 % of the slide read"
    worker.event.emit(READY)
    assert live.live.sentence == FOLLOWS


def test_overlay_is_hidden_while_there_is_no_model(ready, worker):
    worker.event.emit(tile())
    worker.event.emit(LiveStatus(ready=False, text="Draw some Background, too."))
    assert not shown(ready).any()
    worker.event.emit(READY)
    assert (shown(ready) == TUMOUR).all()


def test_warning_is_shown_once(live, worker, heard):
    for _ in range(2):
        worker.event.emit(LiveStatus(ready=False, text="The disk is full.", warning=True))
    assert heard == ["The disk is full."]


def test_switched_off_it_is_gone_and_the_project_remembers_that(ready, worker):
    worker.event.emit(tile())
    ready.live.set_on(False)
    assert worker.sent == [StopLive()]
    assert not shown(ready).any()
    assert ready.live.sentence == OFF
    paint(ready)
    assert worker.sent == [StopLive()]
    folder = ready.project.folder
    assert not Project.open(folder).state.live_choices.on
    ready.open_project(folder)
    assert not ready.live.on
    ready.live.set_on(True)
    assert [type(command) for command in worker.sent[1:]] == [StartLive, ShowLive]


def test_other_settings_start_it_again_and_are_remembered(ready, worker):
    config = LiveConfig(memory_gb=4)
    ready.live.set_config(config)
    assert [type(command) for command in worker.sent] == [StopLive, StartLive, ShowLive]
    assert worker.sent[1].config == config
    ready.open_project(ready.project.folder)
    assert ready.live.config == config


def test_training_with_another_encoder_starts_it_again_with_that(ready, worker):
    with ready.project.edit_state() as state:
        state.training_choices = TrainingChoices({"minutes": 3})
    ready.project_changed.emit()
    assert worker.sent == []
    with ready.project.edit_state() as state:
        state.training_choices = TrainingChoices({"encoder": "resnet18"})
    ready.project_changed.emit()
    assert [type(command) for command in worker.sent] == [StopLive, StartLive, ShowLive]


def test_worker_that_dies_is_given_everything_again(ready, worker):
    paint(ready)
    worker.sent.clear()
    ready.worker.died.emit("")
    assert [type(command) for command in worker.sent] == [StartLive, ShowLive]
    with ready.project.open_mask_readonly("case5") as mask:
        assert (mask.read(WHOLE)[0] == TUMOUR).any()


def test_live_model_whose_worker_dies_again_and_again_rests(ready, worker, heard):
    for _ in range(3):
        worker.died.emit("")
    assert len(sent(worker, StartLive)) == 2
    assert ready.live.sentence.startswith("Live rests: its process ended several times.")
    paint(ready)
    assert len(sent(worker, StartLive)) == 2
    ready.live.set_on(True)
    assert len(sent(worker, StartLive)) == 3


def test_filling_is_one_undo_step_of_model_pixels_and_keeps_what_a_person_drew(ready, worker):
    paint(ready, BACKGROUND)
    drawn = ready.mask.counts[BACKGROUND, Provenance.DRAWN]
    ready.live.fill(VIEW)
    assert worker.sent[-1] == FillLive("case5", WHOLE)
    for number, box in enumerate(layout(WHOLE, 96), 1):
        worker.event.emit(filled(box, share=number / 4, last=number == 4))
    assert ready.live.filling is None
    assert model_pixels(ready) == SIDE * SIDE - drawn
    assert ready.mask.counts[BACKGROUND, Provenance.DRAWN] == drawn
    ready.layers.mask.undo()
    assert model_pixels(ready) == 0
    assert ready.mask.counts[BACKGROUND, Provenance.DRAWN] == drawn


def test_below_the_threshold_background_is_filled_and_a_locked_class_stays(ready, worker):
    ready.refresh_mask(fill_from_model(ready.mask, LEFT, np.full((SIDE, SIDE // 2), TUMOUR, np.uint8)))
    ready.class_flags.set_locked(TUMOUR, True)
    ready.live.set_threshold(0.9)
    ready.live.fill(SLIDE)
    worker.event.emit(filled())
    assert model_pixels(ready) == LEFT.height * LEFT.width
    assert ready.mask.counts[BACKGROUND, Provenance.MODEL] == RIGHT.height * RIGHT.width


def test_cancelled_filling_keeps_what_is_filled_and_says_so(ready, worker, heard):
    ready.live.fill(SLIDE)
    worker.event.emit(filled(LEFT, share=0.5, last=False))
    ready.live.cancel_fill()
    assert worker.sent[-1] == FillLive("case5", EMPTY_REGION)
    assert heard == ["Stopped: 50 % of the slide filled; what is done is kept."]
    worker.event.emit(filled(RIGHT))
    assert model_pixels(ready) == LEFT.height * LEFT.width
    ready.layers.mask.undo()
    assert model_pixels(ready) == 0


def test_filling_ends_when_another_slide_is_shown(ready, worker, heard):
    ready.live.fill(SLIDE)
    worker.event.emit(filled(LEFT, share=0.5, last=False))
    ready.show_slide("case0")
    assert ready.live.filling is None
    assert FillLive("case5", EMPTY_REGION) in worker.sent
    assert ready.counts("case5")[TUMOUR, Provenance.MODEL] == LEFT.height * LEFT.width


def test_filling_waits_for_an_operation_on_the_mask(ready, worker):
    def slow(mask):
        yield OperationStep(EMPTY_REGION, 0.5)
        yield OperationStep(EMPTY_REGION, 1.0)

    ready.live.fill(SLIDE)
    ready.mask.enqueue(MaskOperation("Working", slow))
    worker.event.emit(filled())
    assert ready.live.filling is not None
    ready.editor.apply_pending()
    ready.mask_changed.emit()
    assert ready.live.filling is None
    assert model_pixels(ready) == SIDE * SIDE


def test_complete_slide_is_compared_with_what_is_filled(ready, worker):
    ready.show_slide("case0")
    before = ready.mask.counts.copy()
    ready.live.fill(SLIDE)
    for box, last in ((LEFT, False), (RIGHT, True)):
        worker.event.emit(LiveFilled("case0", box, found(box), 1.0, last))
    assert (ready.workspace.opinion.read(WHOLE) == TUMOUR).all()
    assert (ready.mask.counts == before).all()


def test_nothing_is_filled_before_there_is_a_model(live):
    with pytest.raises(ProjectError, match="The live model has found nothing yet"):
        live.live.fill(VIEW)


def test_training_takes_no_notice_of_the_live_model(ready, worker):
    changes = []
    ready.training.run_changed.connect(lambda: changes.append(1))
    worker.event.emit(tile())
    worker.event.emit(READY)
    assert changes == []
