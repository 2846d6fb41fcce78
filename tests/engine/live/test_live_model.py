"""The live model as its worker drives it: commands in, events out, one slice of work at a time."""

import numpy as np
import pytest

from napari_pathseg.config import LiveConfig
from napari_pathseg.engine.events import LiveFilled, LiveStatus, LiveTile
from napari_pathseg.engine.live.live_model import LiveModel
from napari_pathseg.engine.live.packed import unpack
from napari_pathseg.geometry import EMPTY_REGION, Region

WHOLE = Region(0, 0, 192, 192)


def settle(model):
    """Let a live model do all it has to do; return the events."""
    events = []
    while not model.idle:
        events += model.work(background=True)
    return events


def overlay(events, shape=(192, 192)):
    """The classes and probabilities that the tiles of step 1 add up to."""
    found = np.zeros((2, *shape), np.uint8)
    for event in events:
        if isinstance(event, LiveTile) and event.step == 1:
            found[:, *event.region.slices] = unpack(event.pixels, (2, event.region.height, event.region.width))
    return found


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
    assert 2 * ((classes == 2) & dark).sum() / ((classes == 2).sum() + dark.sum()) > 0.9
    assert probability.min() >= 127
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
