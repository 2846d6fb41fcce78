"""A mask whose folder is renamed, deleted or replaced while it is open."""

import shutil
from functools import partial

import numpy as np
import pytest
from mask_helpers import dab, fill, open_or_create, read_all

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance

SHAPE = (600, 1100)
opened = partial(open_or_create, shape=SHAPE)


@pytest.fixture
def moved(tmp_path):
    """A mask with a filled box, opened in a folder that was renamed then, its pixels, and the folder's new name."""
    (tmp_path / "before").mkdir()
    with opened(tmp_path / "before" / "m.zarr") as mask:
        fill(mask, Region(0, 0, 300, 700), 2, Provenance.IMPORTED)
        pixels = read_all(mask)
    mask = opened(tmp_path / "before" / "m.zarr")
    (tmp_path / "before").rename(tmp_path / "after")
    yield mask, pixels, tmp_path / "after"
    mask.abandon()


def test_pixels_that_cannot_be_found_do_not_count_as_unlabelled(moved):
    mask, _, _ = moved
    with pytest.raises(ProjectError, match="is gone: it was moved, renamed or deleted, or its disk was removed"):
        mask.read(Region(0, 0, 10, 10))


def test_stroke_on_a_moved_mask_is_kept_and_erases_nothing(moved):
    mask, pixels, after = moved
    stroke = dab(100, 100, 1)
    mask.add_stroke(stroke)
    mask.end_undo_group()
    with pytest.raises(ProjectError, match="is gone"):
        mask.apply_pending()
    with pytest.raises(ProjectError, match="is gone"):
        mask.flush()
    mask.abandon()
    assert not (after.parent / "before").exists()
    inside = stroke.shape.flags(Region(0, 0, *SHAPE))
    with opened(after / "m.zarr") as found:
        labels = read_all(found)[0]
        assert (labels[inside] == 1).all()
        assert (labels[~inside] == pixels[0][~inside]).all()


def test_mask_that_was_deleted_is_not_made_anew_in_part(moved):
    mask, _, after = moved
    shutil.rmtree(after)
    with pytest.raises(ProjectError, match="is gone"):
        mask.edit(Region(0, 0, 4, 4), *np.ones((2, 4, 4), np.uint8))
    assert list(after.parent.iterdir()) == []


def test_edit_that_was_read_before_the_move_is_saved_nowhere_and_returns_with_the_mask(moved, tmp_path):
    _, pixels, after = moved
    mask = opened(after / "m.zarr")
    mask.read(Region(0, 0, *SHAPE))
    fill(mask, Region(0, 0, 50, 50), 1)
    after.rename(tmp_path / "again")
    with pytest.raises(ProjectError, match="is gone"):
        mask.flush()
    mask.abandon()
    assert not after.exists()
    with opened(tmp_path / "again" / "m.zarr") as found:
        assert (read_all(found)[0][:50, :50] == 1).all()
        assert (read_all(found)[0][50:] == pixels[0][50:]).all()
