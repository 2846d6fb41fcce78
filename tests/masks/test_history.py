import logging
import os
from functools import partial

import numpy as np
import pytest
from mask_helpers import dab, fill, open_or_create, read_all

from napari_pathseg.geometry import Region
from napari_pathseg.masks import history
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.masks.stroke_queue import Brush, Stroke

SHAPE = (540, 700)
WHOLE = Region(0, 0, *SHAPE)
opened = partial(open_or_create, shape=SHAPE, coarsest=256)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.zarr"


def undone_one_by_one(mask):
    """Return the mask after each undo, back to its first state."""
    states = []
    while not mask.undo().empty:
        states.append(read_all(mask))
    return states


# -- steps


def dots(mask, number):
    """Paint dots, one undo group each."""
    for index in range(number):
        row, column = divmod(index, 20)
        mask.add_stroke(
            Stroke(BrushSegment((row * 30.0, column * 30.0), (row * 30.0, column * 30.0), 6), Brush(1 + index % 3))
        )
        mask.end_undo_group()


@pytest.mark.parametrize("end", ["flush", "close", "abandon"])
def test_undo_goes_back_200_groups_after_a_save_a_restart_and_a_kill(path, end):
    mask = opened(path)
    dots(mask, 230)
    getattr(mask, end)()
    if end != "flush":
        mask = opened(path)
    drawn = read_all(mask)
    assert len(undone_one_by_one(mask)) == 230
    assert not read_all(mask).any()
    while not mask.redo().empty:
        pass
    assert (read_all(mask) == drawn).all()
    mask.close()


def test_stroke_half_painted_at_a_kill_is_one_undo_group(path):
    mask = opened(path)
    dots(mask, 1)
    across = Stroke(BrushSegment((20, 20), (520, 680), 200), Brush(2))
    mask.add_stroke(across)
    mask.end_undo_group()
    mask.process_pending(0)
    assert mask.has_pending
    mask.abandon()
    mask = opened(path)
    assert (mask.read(WHOLE)[0] == 2).sum() == across.shape.flags(WHOLE).sum()
    assert len(undone_one_by_one(mask)) == 2
    mask.close()


def test_undo_of_a_half_painted_stroke_reverts_all_of_it(path):
    with opened(path) as mask:
        mask.add_stroke(Stroke(BrushSegment((20, 20), (520, 680), 200), Brush(2)))
        mask.end_undo_group()
        mask.process_pending(0)
        assert mask.has_pending
        mask.undo()
        assert not read_all(mask).any()


def test_strokes_pending_at_a_kill_stay_separate_undo_groups(path):
    mask = opened(path)
    for row in (100, 250, 400):
        mask.add_stroke(Stroke(BrushSegment((row, 50), (row, 650), 20), Brush(1)))
        mask.end_undo_group()
    mask.abandon()
    mask = opened(path)
    assert len(undone_one_by_one(mask)) == 3
    mask.close()


def test_applied_stroke_is_not_painted_again_after_a_kill(path):
    """Paint 2 over unlabelled pixels, then erase all of 2: applied twice, the first stroke would paint again."""
    mask = opened(path)
    fill(mask, WHOLE, 2)
    mask.end_undo_group()
    mask.add_stroke(Stroke(BrushSegment((270, 350), (270, 350), 600), Brush(1, replace_only=0)))
    mask.add_stroke(Stroke(BrushSegment((270, 350), (270, 350), 600), Brush(0, replace_only=2)))
    mask.end_undo_group()
    mask.process_pending(0)
    assert mask.has_pending
    mask.abandon()
    mask = opened(path)
    assert not mask.read(WHOLE)[0].any()
    mask.close()


def test_edit_after_a_kill_is_a_new_undo_group(path):
    mask = opened(path)
    fill(mask, Region(0, 0, 10, 10), 1)
    mask.flush()
    mask.abandon()  # in mid-step
    with opened(path) as mask:
        fill(mask, Region(100, 100, 10, 10), 2)
        mask.end_undo_group()
        mask.undo()
        assert mask.counts[1, Provenance.DRAWN] == 100


def test_killed_undo_stays_undone_and_can_be_redone(path):
    mask = opened(path)
    dots(mask, 3)
    mask.undo()
    before = read_all(mask)
    mask.abandon()
    with opened(path) as mask:
        assert (read_all(mask) == before).all()
        assert not mask.redo().empty
        assert mask.redo().empty


# -- bounded by bytes


def noise(mask, number):
    """Make undo groups that hardly compress, 2 × 64 × 64 pixels each."""
    rng = np.random.default_rng(0)
    for index in range(number):
        region = Region(64 * (index % 8), 64 * (index // 8 % 10), 64, 64)
        labels = rng.integers(1, 200, (64, 64)).astype(np.uint8)
        mask.edit(region, labels, np.full((64, 64), Provenance.DRAWN, np.uint8))
        mask.end_undo_group()


def test_trim_keeps_the_newest_undo_groups_and_the_redo_stack(path, monkeypatch):
    monkeypatch.setattr(history, "HISTORY_BYTES", 200_000)
    with opened(path) as mask:
        noise(mask, 60)
        drawn = read_all(mask)
        for _ in range(5):
            mask.undo()
        now = read_all(mask)
        mask.flush()
        assert path.with_suffix(".journal").stat().st_size < 120_000
        assert (read_all(mask) == now).all()
    for _ in range(2):
        with opened(path) as mask:
            for _ in range(5):
                mask.redo()
            assert (read_all(mask) == drawn).all()
            steps = undone_one_by_one(mask)
            assert 8 < len(steps) < 40
            assert (steps[4] == now).all()
            for _ in range(len(steps) - 5):
                mask.redo()


def test_undo_group_above_the_size_limit_is_rewritten_only_once(path, monkeypatch):
    monkeypatch.setattr(history, "HISTORY_BYTES", 20_000)
    with opened(path) as mask:
        labels = np.random.default_rng(0).integers(1, 200, SHAPE).astype(np.uint8)
        mask.edit(WHOLE, labels, np.full(SHAPE, Provenance.DRAWN, np.uint8))
        journals = set()
        for label in range(200, 204):
            mask.end_undo_group()
            mask.flush()
            journals.add(path.with_suffix(".journal").stat().st_ino)
            fill(mask, Region(0, 0, 5, 5), label)
        assert len(journals) == 1
        assert len(undone_one_by_one(mask)) == 5


def test_failed_trim_leaves_the_save_and_the_history_intact(path, monkeypatch, caplog):
    monkeypatch.setattr(history, "HISTORY_BYTES", 50_000)
    with opened(path) as mask:
        noise(mask, 20)
        (path.parent / f".{path.stem}.journal.partial").mkdir()  # in the way of the new journal
        with caplog.at_level(logging.WARNING):
            mask.flush()
    assert "could not be shortened" in caplog.text
    with opened(path) as mask:
        assert len(undone_one_by_one(mask)) == 20


def test_undo_and_reopening_work_where_there_are_no_positioned_reads(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pread", raising=False)  # as on Windows
    mask = open_or_create(tmp_path / "m.zarr", (100, 540))
    mask.add_stroke(dab(50, 100, 1))
    mask.end_undo_group()
    mask.add_stroke(dab(20, 300, 2))
    mask.end_undo_group()
    assert not mask.undo().empty
    pixels = read_all(mask)
    mask.abandon()  # as a killed program
    with open_or_create(tmp_path / "m.zarr", (100, 540)) as again:
        assert (read_all(again) == pixels).all()
        assert not again.redo().empty
        assert (read_all(again)[0] == 2).any()
