from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import accept, fill_from_model, paint, reject
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.review_progress import (
    project_progress,
    review_progress,
    slide_state,
    unreviewed_sentence,
)
from napari_pathseg.projects.tissue_masks import load_tissue

SIDE, TUMOUR = 200, 2
WHOLE = Region(0, 0, SIDE, SIDE)


@pytest.fixture
def slide(tmp_path):
    """A project with one slide without a pixel size, its upper half tissue."""
    pixels = np.full((SIDE, SIDE, 3), 245, np.uint8)
    pixels[: SIDE // 2] = np.random.default_rng(0).integers((120, 40, 120), (200, 120, 200), (SIDE // 2, SIDE, 3))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, [tmp_path / "a.png"])
    return project


def state(project):
    record, counts = project.slide("a"), project.counts("a")
    return slide_state(record, counts, project_progress(project)["a"])


def change(project, *edits):
    with project.open_mask("a") as mask:
        for edit in edits:
            edit(mask)
            mask.end_undo_group()


def predict(mask):
    fill_from_model(mask, Region(0, 0, SIDE // 2, SIDE), np.full((SIDE // 2, SIDE), TUMOUR, np.uint8))


def one_pixel(mask):
    paint(mask, Region(5, 5, 1, 1), np.full((1, 1), BACKGROUND, np.uint8))


def test_one_corrected_pixel_does_not_make_a_slide_corrected(slide):
    change(slide, predict, one_pixel)
    assert state(slide) == "predicted"
    change(slide, lambda mask: mask.run(reject(WHOLE)))
    assert state(slide) == "annotated"
    assert project_progress(slide)["a"].share < 0.001


def test_rejecting_everything_makes_a_slide_new_again(slide):
    change(slide, predict, lambda mask: mask.run(reject(WHOLE)))
    progress = project_progress(slide)["a"]
    assert (state(slide), progress.share, progress.done) == ("new", 0, False)


def test_accepting_everything_on_the_tissue_makes_a_slide_corrected(slide):
    change(slide, predict)
    assert 0 < load_tissue(slide, "a").pixels.sum() < 0.6 * SIDE**2
    change(slide, lambda mask: mask.run(accept(WHOLE)))
    progress = project_progress(slide)["a"]
    assert progress.share == pytest.approx(1, abs=0.1)
    assert (state(slide), progress.done) == ("corrected", True)


def test_share_is_of_the_whole_slide_until_the_tissue_is_known(slide):
    change(slide, predict, lambda mask: mask.run(accept(WHOLE)))
    assert project_progress(slide)["a"].share == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        (None, "new"),
        (Provenance.IMPORTED, "annotated"),
        (Provenance.DRAWN, "annotated"),
        (Provenance.MODEL, "predicted"),
        (Provenance.ACCEPTED, "corrected"),
        (Provenance.CORRECTED, "corrected"),
    ],
)
def test_state_of_a_slide_follows_its_pixels(slide, provenance, expected):
    counts = np.zeros((256, 6), int)
    if provenance is not None:
        counts[TUMOUR, provenance] = SIDE**2
    record = slide.slide("a")
    assert slide_state(record, counts, review_progress(record, counts)) == expected


def test_complete_slide_is_reviewed_as_a_whole(slide):
    record = replace(slide.slide("a"), complete=True)
    assert review_progress(record, np.zeros((256, 6), int)).share == 1


def test_sentence_adds_up_what_waits_on_all_slides(slide):
    counts = np.zeros((256, 6), int)
    counts[TUMOUR, Provenance.MODEL] = 6_200_000
    scaled = review_progress(replace(slide.slide("a"), mpp=1.0), counts)
    unscaled = review_progress(slide.slide("a"), counts)
    done = review_progress(slide.slide("a"), np.zeros((256, 6), int))
    assert unreviewed_sentence([scaled, scaled, done]) == "12.4 mm² unreviewed on 2 slides"
    assert unreviewed_sentence([scaled, unscaled]) == "12.40 Mpx unreviewed on 2 slides"
    assert unreviewed_sentence([unscaled]) == "6.20 Mpx unreviewed on 1 slide"
    assert unreviewed_sentence([done]) == "Nothing unreviewed"
