from functools import partial

import numpy as np
import pytest
import zarr
from mask_helpers import open_or_create

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, open_mask_readonly, read_counts
from napari_pathseg.masks.opening import has_unapplied_edits
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.masks.stroke_queue import Brush, Stroke

SHAPE = (700, 1300)
WHOLE = Region(0, 0, *SHAPE)
opened = partial(open_or_create, shape=SHAPE)
DAB = Stroke(BrushSegment((600, 600), (600, 600), 20), Brush(2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.zarr"


def painted(path):
    """Return a mask with one stroke, saved and closed, and its number of pixels."""
    with opened(path) as mask:
        mask.add_stroke(DAB)
        mask.end_undo_group()
        return int(mask.counts[2].sum())


def test_read_only_mask_changes_no_file(path):
    painted(path)
    files = {one: one.stat().st_mtime_ns for one in path.parent.rglob("*")}
    with open_mask_readonly(path, SHAPE) as mask:
        assert mask.read(WHOLE)[0].any()
        assert not mask.writable
    assert {one: one.stat().st_mtime_ns for one in path.parent.rglob("*")} == files


def test_missing_mask_opens_read_only_as_empty(path):
    with open_mask_readonly(path, SHAPE) as mask:
        assert not mask.read(WHOLE)[0].any()
    assert not path.exists()


def test_counts_are_read_without_opening_the_mask(path):
    assert not read_counts(path).any()
    pixels = painted(path)
    assert read_counts(path)[2, Provenance.DRAWN] == pixels


def test_damaged_counts_are_counted_again(path):
    pixels = painted(path)
    zarr.open_group(path).attrs["pathseg_counts"] = {"2,x": 3}
    with opened(path) as mask:
        assert mask.counts[2, Provenance.DRAWN] == pixels
        assert mask.counts.sum() == SHAPE[0] * SHAPE[1]


@pytest.mark.parametrize("painted_before", [False, True])
def test_killed_program_leaves_unapplied_edits_until_the_mask_is_opened(path, painted_before):
    mask = opened(path)
    assert not has_unapplied_edits(path)
    mask.add_stroke(DAB)
    if painted_before:
        mask.apply_pending()
    mask.abandon()
    assert has_unapplied_edits(path)
    opened(path).abandon()
    assert not has_unapplied_edits(path)
    with open_mask_readonly(path, SHAPE) as mask:
        assert mask.counts[2].any()


def test_closed_mask_has_no_unapplied_edits_after_a_late_undo_group(path):
    with opened(path) as mask:
        mask.add_stroke(DAB)
        mask.flush()
        mask.end_undo_group()
    assert not has_unapplied_edits(path)


def test_opening_and_closing_writes_nothing(path):
    painted(path)
    size = path.with_suffix(".journal").stat().st_size
    opened(path).close()
    assert path.with_suffix(".journal").stat().st_size == size


@pytest.mark.parametrize("level", [0, 1])
def test_damaged_chunk_is_named_and_the_rest_is_readable(path, level):
    painted(path)
    chunk = next((path / "labels" / str(level) / "c").rglob("0/0" if level else "1/1"))
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with opened(path) as mask:
        box = Region(0, 0, *mask.shapes[level])
        with pytest.raises(ProjectError, match=str(chunk)):
            mask.preview(box, level)
        with pytest.raises(ProjectError, match=str(chunk)):
            mask.edit(Region(600, 600, 9, 9), np.ones((9, 9), np.uint8), np.full((9, 9), 4, np.uint8))
        assert not mask.read(Region(0, 0, 500, 500))[0].any()


def test_edit_over_a_damaged_chunk_changes_nothing(path):
    pixels = painted(path)
    chunk = path / "provenance/1/c/0/0"
    good = chunk.read_bytes()
    chunk.write_bytes(b"")
    mask = opened(path)
    with pytest.raises(ProjectError, match=str(chunk)):
        mask.edit(Region(600, 600, 9, 9), np.ones((9, 9), np.uint8), np.full((9, 9), 4, np.uint8))
    assert mask.counts[2].sum() == pixels
    mask.abandon()
    chunk.write_bytes(good)
    with opened(path) as mask:
        assert mask.counts[2].sum() == pixels


def test_strokes_over_a_damaged_chunk_survive_a_kill_until_its_repair(path):
    painted(path)
    mask = opened(path)
    mask.add_stroke(Stroke(BrushSegment((600, 600), (600, 600), 40), Brush(1)))
    mask.end_undo_group()
    mask.abandon()
    chunk = path / "labels/0/c/1/1"
    good = chunk.read_bytes()
    chunk.write_bytes(good[:-1])
    for _ in range(2):
        with pytest.raises(ProjectError, match=str(chunk)):
            opened(path)
    chunk.write_bytes(good)
    with opened(path) as mask:
        assert mask.read(Region(600, 600, 1, 1))[0] == 1
        mask.undo()
        assert mask.read(Region(600, 600, 1, 1))[0] == 2


def test_unfinished_chunks_of_a_killed_program_are_removed(path):
    painted(path)
    mask = opened(path)
    mask.add_stroke(DAB)
    mask.add_stroke(Stroke(BrushSegment((10, 10), (10, 10), 5), Brush(1)))
    mask.abandon()
    orphan = path / "labels/0/c/1/0.partial"
    orphan.write_bytes(b"half")
    opened(path).close()
    assert not list(path.rglob("*.partial"))
