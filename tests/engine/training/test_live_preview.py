import time

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.engine.events import RequestPreview
from napari_pathseg.engine.training.live_preview import LivePreview
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import add_slides


@pytest.fixture
def view(project, tmp_path):
    Image.fromarray(np.zeros((1500, 1500, 3), np.uint8)).save(tmp_path / "large.png")
    add_slides(project, [tmp_path / "large.png"])
    view = LivePreview(project, tmp_path, lambda slide, box: np.zeros((2, box.height, box.width), np.uint8))
    yield view
    view.close()


def test_nothing_is_shown_before_it_is_asked_for(view):
    assert list(view.events()) == []


def test_the_whole_view_is_shown_from_its_centre_out(view):
    whole = Region(0, 0, 1500, 1500)
    view.show(RequestPreview("large", whole))
    regions = [event.region for event in view.events()]
    assert regions[0] == Region(512, 512, 256, 256)
    assert sum(region.height * region.width for region in regions) == 1500**2


def test_a_view_that_hangs_over_the_slide_is_cut(view):
    view.show(RequestPreview("large", Region(1400, 1400, 500, 500)))
    (event,) = view.events()
    assert event.region == Region(1400, 1400, 100, 100)
    assert np.load(event.path).shape == (100, 100)


def test_a_slow_network_gets_a_second_and_then_a_share_of_the_time(view):
    def slow(slide, box):
        time.sleep(0.3)
        return np.zeros((2, box.height, box.width), np.uint8)

    view._predict = slow
    view.show(RequestPreview("large", Region(0, 0, 1500, 1500)))
    assert 3 <= len(list(view.events())) <= 6  # of 36 tiles
