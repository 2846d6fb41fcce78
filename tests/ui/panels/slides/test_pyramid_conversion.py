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
    monkeypatch.setattr(file_drop, "ask_to_convert", lambda *_: yes)


def test_a_slide_in_one_giant_piece_is_added_as_a_pyramid_when_a_person_agrees(dock, giant, monkeypatch, qtbot):
    answer(monkeypatch, True)
    dock.slides.file_drop.add_files([giant])
    session = dock.session
    qtbot.waitUntil(lambda: "giant" in session.require_project().slides, timeout=60_000)
    assert (
        session.require_project()
        .find_file(session.require_project().slide("giant"))
        .is_relative_to(session.require_project().folder / "slides")
    )
    assert len(session.layers.image.data) > 3
    assert np.asarray(session.layers.image.data[0][50, 50]) == 77


def test_without_consent_nothing_is_written(dock, giant, monkeypatch):
    answer(monkeypatch, False)
    dock.slides.file_drop.add_files([giant])
    assert not dock.session.require_project().slides
    assert not (dock.session.require_project().folder / "slides").exists()
