import numpy as np
import pytest
import tifffile

from napari_pathseg.ui.panels.slides import file_drop

SIDE = 16_500  # in one strip of 272 MB: more than may be decoded at once


@pytest.fixture
def giant(slide_folder):
    path = slide_folder / "giant.tif"
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[:100, :200] = 77
    tifffile.imwrite(path, pixels, compression="deflate", compressionargs={"level": 1}, rowsperstrip=SIDE)
    return path


def answer(monkeypatch, yes):
    monkeypatch.setattr(file_drop, "ask_to_convert", lambda *arguments: arguments[-1](yes))


def test_untiled_giant_slide_is_added_as_a_pyramid_on_consent(dock, giant, monkeypatch, qtbot):
    answer(monkeypatch, True)
    dock.slides.file_drop.add_files([giant])
    session = dock.session
    qtbot.waitUntil(lambda: "giant" in session.require_project().slides)
    assert (
        session.require_project()
        .find_file(session.require_project().slide("giant"))
        .is_relative_to(session.require_project().folder / "slides")
    )
    assert len(session.layers.image.data) > 3
    assert np.asarray(session.layers.image.data[0][50, 50]) == 77


def test_refused_conversion_writes_nothing(dock, giant, monkeypatch):
    answer(monkeypatch, False)
    dock.slides.file_drop.add_files([giant])
    assert not dock.session.require_project().slides
    assert not (dock.session.require_project().folder / "slides").exists()


def test_slide_whose_pixels_are_not_square_is_refused_without_an_offer(dock, slide_folder, monkeypatch, notifications):
    path = slide_folder / "oblong.tif"
    rows = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    tifffile.imwrite(path, rows, resolution=(40_000, 20_000), resolutionunit="CENTIMETER")
    offered = []
    monkeypatch.setattr(file_drop, "ask_to_convert", lambda *args: offered.append(args))
    dock.slides.file_drop.add_files([path])
    assert not offered
    assert "which are not square" in notifications[-1]
