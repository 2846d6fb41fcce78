from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.engine.events import RequestPreview
from napari_pathseg.engine.training import live_preview
from napari_pathseg.engine.training.live_preview import LivePreview
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import add_slides


@pytest.fixture
def view(project, tmp_path):
    Image.fromarray(np.zeros((1500, 1500, 3), np.uint8)).save(tmp_path / "large.png")
    add_slides(project, [tmp_path / "large.png"])
    view = LivePreview(project, tmp_path, lambda slide, box: np.ones((box.height, box.width), np.uint8))
    yield view
    view.close()


def test_preview_is_empty_before_a_request(view):
    assert list(view.events()) == []


def test_preview_covers_the_view_from_its_centre_out(view):
    whole = Region(0, 0, 1500, 1500)
    view.show(RequestPreview("large", whole))
    regions = [event.region for event in view.events()]
    assert regions[0] == Region(512, 512, 256, 256)
    assert sum(region.height * region.width for region in regions) == 1500**2


def test_preview_is_clipped_to_the_slide(view):
    view.show(RequestPreview("large", Region(1400, 1400, 500, 500)))
    (event,) = view.events()
    assert event.region == Region(1400, 1400, 100, 100)
    assert np.load(event.path).shape == (100, 100)


def test_preview_gets_a_second_and_then_a_tenth_of_the_time(view, monkeypatch):
    clock = SimpleNamespace(now=100.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(live_preview, "time", clock)

    def slow(slide, box):
        clock.now += 0.3
        return np.ones((box.height, box.width), np.uint8)

    view._predict = slow
    view.show(RequestPreview("large", Region(0, 0, 1500, 1500)))
    assert len(list(view.events())) == 4  # of 36 tiles, each 0.3 s
    assert len(list(view.events())) == 0
    clock.now += 10
    assert len(list(view.events())) == 4  # for a tenth of 10 s
