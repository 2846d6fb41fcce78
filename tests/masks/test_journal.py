import contextlib
import errno
import logging
import os
import queue
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs.zstd import Zstd

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, open_mask
from napari_pathseg.masks.journal import Journal, RecordKind, is_saved
from napari_pathseg.masks.provenance import count
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.masks.stroke_queue import Brush, Stroke

SHAPE = (100, 200)
WHOLE = Region(0, 0, *SHAPE)
SQUARES = [Region(20 * (index % 4), 20 * (index // 4), 10, 10) for index in range(8)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.journal"


def contents(path):
    """Return the payloads of the complete records."""
    with contextlib.closing(Journal(path)) as journal:
        return [journal.read(record) for record in journal.records()]


def append_all(path, payloads):
    with contextlib.closing(Journal(path)) as journal:
        return [journal.append(RecordKind.EDIT, payload) for payload in payloads]


PAYLOADS = [b"first", b"", b"third" * 50, b"PSJ2 is no record", b"last"]


def test_records_come_back_in_order(path):
    append_all(path, PAYLOADS)
    assert contents(path) == PAYLOADS


def test_journal_continues_where_it_ended(path):
    append_all(path, PAYLOADS[:2])
    append_all(path, PAYLOADS[2:])
    assert contents(path) == PAYLOADS


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_byte_costs_only_its_record(path, place, bits):
    path.unlink(missing_ok=True)
    records = append_all(path, PAYLOADS)
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place] ^= bits
    path.write_bytes(content)
    hit = next(index for index, record in enumerate(records) if place < record.end)
    left = [payload for payload in contents(path) if payload is not None]
    assert left == PAYLOADS[:hit] + PAYLOADS[hit + 1 :]


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_journal_with_an_incomplete_last_record_accepts_more(path, place):
    """After `kill -9` during a write, later records must not be read as the rest of the incomplete one."""
    path.unlink(missing_ok=True)
    records = append_all(path, PAYLOADS)
    place %= records[-1].end
    os.truncate(path, place)
    later = [b"one more", b"and another" * 30]
    append_all(path, later)
    whole = [payload for payload, record in zip(PAYLOADS, records, strict=True) if record.end <= place]
    assert [payload for payload in contents(path) if payload is not None] == whole + later


def test_damaged_record_is_logged_with_its_offset(path, caplog):
    records = append_all(path, PAYLOADS)
    content = bytearray(path.read_bytes())
    content[records[2].offset + 1] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        contents(path)
    assert str(path) in caplog.text
    assert f"damaged bytes at byte {records[2].offset}\n" in caplog.text


def test_journal_appends_nothing_if_writing_is_refused(path):
    def refuse():
        raise ProjectError("another program holds the project")

    with contextlib.closing(Journal(path, refuse)) as journal, pytest.raises(ProjectError, match="another program"):
        journal.append(RecordKind.EDIT, b"mine")
    assert path.stat().st_size == 0


def test_journal_is_saved_only_if_its_last_record_says_so(path):
    assert is_saved(path)
    with contextlib.closing(Journal(path)) as journal:
        assert is_saved(path)
        journal.append(RecordKind.EDIT, b"a stroke")
        assert not is_saved(path)
        journal.append_saved(b"{}")
        assert is_saved(path)
        journal.append(RecordKind.UNDO)
        assert not is_saved(path)


def test_record_is_synced_within_two_seconds(path, monkeypatch):
    synced, real = queue.Queue(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: synced.put((real(number), os.fstat(number).st_size)))
    with contextlib.closing(Journal(path)) as journal:
        journal.append(RecordKind.EDIT, b"a stroke")
        assert synced.get(timeout=2) == (None, journal.size)


def test_data_loss_is_reported_once_with_the_next_record(path, monkeypatch):
    def fail(number):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with contextlib.closing(Journal(path)) as journal:
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail)
            journal._sync()
        with pytest.raises(ProjectError, match=r"strokes of the last seconds may not be on disk \(Input/output"):
            journal.append(RecordKind.EDIT, b"refused")
        journal.append(RecordKind.EDIT, b"taken")
    assert contents(path) == [b"taken"]


# -- the mask of a damaged journal


def drawn(folder):
    """Draw squares, one undo group each, in a mask that is killed before it saves; return the journal's path."""
    mask = open_mask(folder / "m.zarr", SHAPE, DEFAULT_CLASSES)
    for index, box in enumerate(SQUARES):
        if index % 2:
            mask.add_stroke(Stroke(BrushSegment((box.top + 4, box.left + 4), (box.top + 5, box.left + 5), 4), Brush(1)))
        else:
            mask.edit(box, np.full((10, 10), 2, np.uint8), np.full((10, 10), Provenance.DRAWN, np.uint8))
        mask.end_undo_group()
    mask.process_pending(10)
    mask.abandon()
    return folder / "m.journal"


def squares_in(mask):
    labels, _ = mask.read(WHOLE)
    return [bool(labels[box.slices].any()) for box in SQUARES]


def look_and_undo_all(mask):
    """Return which squares are there, after checking the invariants of any damaged journal."""
    found = squares_in(mask)
    assert (mask.counts == count(*mask.read(WHOLE))).all()
    for _ in range(len(SQUARES) + 1):
        mask.undo()
        assert (mask.counts == count(*mask.read(WHOLE))).all()
    for _ in range(len(SQUARES) + 1):
        mask.redo()
    assert (mask.counts == count(*mask.read(WHOLE))).all()
    return found


@given(st.integers(0, 10**6), st.integers(1, 255), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_journal_byte_costs_a_mask_at_most_one_square(tmp_path_factory, place, bits, saved):
    folder = tmp_path_factory.mktemp("mask")
    journal = drawn(folder)
    if saved:
        open_mask(folder / "m.zarr", SHAPE, DEFAULT_CLASSES).close()
    content = bytearray(journal.read_bytes())
    content[place % len(content)] ^= bits
    journal.write_bytes(content)
    with open_mask(folder / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        assert squares_in(mask).count(False) <= (0 if saved else 1)
        look_and_undo_all(mask)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_journal_keeps_what_precedes_and_accepts_strokes(tmp_path_factory, place):
    folder = tmp_path_factory.mktemp("mask")
    journal = drawn(folder)
    place %= journal.stat().st_size
    with contextlib.closing(Journal(journal)) as whole:
        edits = sum(record.kind is RecordKind.EDIT and record.end <= place for record in whole.records())
    os.truncate(journal, place)
    for _ in range(2):
        mask = open_mask(folder / "m.zarr", SHAPE, DEFAULT_CLASSES)
        assert squares_in(mask)[:edits] == [True] * edits
        mask.edit(Region(95, 195, 5, 5), np.full((5, 5), 2, np.uint8), np.full((5, 5), Provenance.DRAWN, np.uint8))
        mask.end_undo_group()
        mask.abandon()
    with open_mask(folder / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        assert mask.read(Region(95, 195, 5, 5))[0].all()
        mask.undo()
        assert not mask.read(Region(95, 195, 5, 5))[0].any()
        look_and_undo_all(mask)


def test_damaged_stroke_is_logged_and_the_others_are_painted(tmp_path, caplog):
    mask = open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES)
    for row in (20, 50, 80):
        mask.add_stroke(Stroke(BrushSegment((row, 50), (row, 50), 4), Brush(2)))
        mask.end_undo_group()
    mask.abandon()  # before they were painted
    journal = tmp_path / "m.journal"
    with contextlib.closing(Journal(journal)) as whole:
        second = [record for record in whole.records() if record.kind is RecordKind.STROKE][1]
    content = bytearray(journal.read_bytes())
    content[second.end - 1] ^= 1
    journal.write_bytes(content)
    with open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        labels, _ = mask.read(WHOLE)
    assert [bool(labels[row, 50]) for row in (20, 50, 80)] == [True, False, True]
    assert f"skipped the damaged stroke at byte {second.offset}" in caplog.text


def edit_record(region, pixels):
    """Return the payload of an edit of a box, with these pixels."""
    return struct.pack("<IIII", *region) + Zstd().encode(pixels)


@pytest.mark.parametrize(
    ("region", "pixels"),
    [
        (Region(20, 20, 5, 8_388_613), np.ones((2, 2, 5, 5), np.uint8)),
        (Region(2**32 - 9, 0, 5, 5), np.ones((2, 2, 5, 5), np.uint8)),
        (Region(90, 0, 20, 20), np.ones((2, 2, 20, 20), np.uint8)),
        (Region(0, 0, 0, 20), np.ones(0, np.uint8)),
        (Region(0, 0, 50, 50), np.ones((2, 2, 5, 5), np.uint8)),
    ],
    ids=["too wide", "far away", "over the edge", "empty", "pixels that are missing"],
)
def test_edit_that_does_not_fit_the_mask_is_skipped_and_the_others_are_applied(tmp_path, caplog, region, pixels):
    mask = open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES)
    for row in (20, 80):
        mask.add_stroke(Stroke(BrushSegment((row, 50), (row, 50), 4), Brush(2)))
        mask.end_undo_group()
        mask.apply_pending()
        if row == 20:
            damaged = mask._require_journal().append(RecordKind.EDIT, edit_record(region, pixels))
            mask._require_journal().append(RecordKind.EDIT_END)
    before = np.stack(mask.read(WHOLE))
    mask.abandon()
    with open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        assert (np.stack(mask.read(WHOLE)) == before).all()
        assert (mask.counts == count(*before)).all()
        for _ in range(3):
            mask.undo()
        assert not np.stack(mask.read(WHOLE)).any()
    assert f"skipped the damaged record at byte {damaged.offset}" in caplog.text
