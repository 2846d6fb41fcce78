import contextlib
import errno
import os
import shutil
from functools import partial

import numpy as np
import pytest
from failing_disk import ERRORS, REAL, Disk
from mask_helpers import dab, fill, open_or_create, read_all

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, open_mask_readonly
from napari_pathseg.masks.journal import Journal, RecordKind, is_saved
from napari_pathseg.masks.provenance import count
from napari_pathseg.masks.pyramid import downsample_mode2x

SHAPE = (100, 540)  # two chunks, and one above them
WHOLE = Region(0, 0, *SHAPE)
opened = partial(open_or_create, shape=SHAPE, coarsest=300)
FIRST_ERRORS = range(3 if "FUZZ" in os.environ else 1)


# The calls of a session, which must be able to continue after any of them was refused once.
SESSION = [
    lambda mask: mask.add_stroke(dab(50, 100, 1)),
    lambda mask: mask.end_undo_group(),
    lambda mask: mask.process_pending(10),
    lambda mask: fill(mask, Region(10, 400, 60, 130), 2, Provenance.IMPORTED),
    lambda mask: mask.end_undo_group(),
    lambda mask: mask.undo(),
    lambda mask: mask.redo(),
    lambda mask: mask.add_stroke(dab(20, 495, 3)),
    lambda mask: mask.end_undo_group(),
    lambda mask: mask.flush(),
    lambda mask: mask.add_stroke(dab(30, 20, 1)),
    lambda mask: mask.end_undo_group(),
]


@pytest.fixture(scope="module")
def saved_mask(tmp_path_factory):
    """A painted and saved mask, and its pixels after each call of the session."""
    folder = tmp_path_factory.mktemp("saved_mask")
    with opened(folder / "m.zarr") as mask:
        fill(mask, Region(50, 505, 30, 30), 1, Provenance.IMPORTED)
    original = shutil.copytree(folder, tmp_path_factory.mktemp("original") / "m")
    states = []
    with opened(folder / "m.zarr") as mask:
        states.append(read_all(mask))
        for call in SESSION:
            call(mask)
            states.append(read_all(mask))
    return original, states


def check(path, allowed, steps=None):
    """Check that a mask is readable, one of the allowed states, and consistent."""
    with opened(path) as mask:
        pixels = read_all(mask)
        assert any((pixels == state).all() for state in allowed)
        assert (mask.counts == count(*pixels)).all()
        level = pixels
        for number, shape in enumerate(mask.shapes[1:], 1):
            level = downsample_mode2x(level)
            assert (mask.preview(Region(0, 0, *shape), number) == level).all()
        if steps is not None:
            undone = 0
            while not mask.undo().empty:
                undone += 1
            assert undone == steps
            assert not read_all(mask).any()
    assert not list(path.rglob("*.partial"))


def copied(path, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copytree(path, folder / path.name)
    shutil.copy(path.with_suffix(".journal"), folder)
    return folder / path.name


def run_session(path, states, check_states):
    """Run the session, repeating each refused call; return how often an error was reported."""
    reported, mask = 0, None
    for _ in range(2):
        try:
            mask = opened(path)
            break
        except ProjectError:
            reported += 1
            check_states(states[:1])
    for index, call in enumerate(SESSION):
        try:
            call(mask)
        except ProjectError:
            reported += 1
            check_states(states[index : index + 2])
            call(mask)
    try:
        mask.close()
    except ProjectError:
        reported += 1
    return reported


@pytest.mark.parametrize("first", FIRST_ERRORS)
def test_any_disk_call_may_fail_once_without_losing_an_edit(saved_mask, tmp_path, first):
    original, states = saved_mask
    refused = reported = 0
    while True:
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        path = shutil.copytree(original, tmp_path / "m") / "m.zarr"

        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, refused, ERRORS[(first + refused) % 3])

            def check_states(allowed, path=path):
                with pytest.MonkeyPatch.context() as again:
                    for name, function in REAL.items():
                        again.setattr(*name, function)
                    check(copied(path, tmp_path / "copy"), allowed)

            reported += run_session(path, states, check_states)
        check(path, states[-1:], steps=5)
        if not disk.has_refused:
            break
        refused += 1
    assert refused > 50
    assert reported > refused * 0.9


@pytest.mark.parametrize("first", FIRST_ERRORS)
def test_new_mask_is_whole_or_absent_whatever_call_fails(tmp_path, first):
    path, refused = tmp_path / "m.zarr", 0
    while True:
        shutil.rmtree(path, ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, refused, ERRORS[(first + refused) % 3])
            with contextlib.suppress(ProjectError):
                opened(path).close()
        if path.exists():
            assert open_mask_readonly(path, SHAPE).shapes == [(100, 540), (50, 270)]
        with opened(path) as mask:
            assert not read_all(mask).any()
        if not disk.has_refused:
            break
        refused += 1
    assert refused > 10


def test_half_written_record_hides_no_other(tmp_path, monkeypatch):
    path = tmp_path / "slide.journal"
    with contextlib.closing(Journal(path)) as journal:
        journal.append(RecordKind.EDIT, b"before")
        real = journal._file

        class Full:
            closed = False

            def write(self, content):
                real.write(bytes(content[: len(content) // 2]))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            def truncate(self, size):
                raise OSError(errno.EIO, os.strerror(errno.EIO))

            def fileno(self):
                return real.fileno()

        with monkeypatch.context() as broken:
            broken.setattr(journal, "_file", Full())
            with pytest.raises(ProjectError, match="No space left on device"):
                journal.append(RecordKind.EDIT, b"refused" * 20)
        after = journal.append(RecordKind.EDIT, b"after")
        assert journal.read(after) == b"after"
    with contextlib.closing(Journal(path)) as again:
        assert [again.read(record) for record in again.records()] == [b"before", b"after"]


def test_disk_with_many_errors_loses_only_what_it_refused(tmp_path):
    path, accepted = tmp_path / "m.zarr", []
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, None, errno.ENOSPC)
        mask = opened(path)
        for index in range(60):
            disk.refused = len(disk.calls) + (0 if index % 3 == 2 else 10**6)
            stroke = dab(10 + index, 10 + 9 * index, 1 + index % 3)
            with contextlib.suppress(ProjectError):
                mask.add_stroke(stroke)
                accepted.append(stroke)
            disk.refused = len(disk.calls) + index % 5
            for call in (mask.end_undo_group, lambda: mask.process_pending(10), mask.flush):
                with contextlib.suppress(ProjectError):
                    call()
    mask.abandon()
    plain = np.zeros(SHAPE, np.uint8)
    for stroke in accepted:
        flags = stroke.shape.flags(WHOLE)
        if flags is not None:
            plain[flags] = stroke.brush.label
    assert 20 < len(accepted) < 60
    with opened(path) as mask:
        assert (mask.read(WHOLE)[0] == plain).all()


def test_chunks_lost_by_the_disk_are_written_again_by_the_next_save(tmp_path, monkeypatch):
    path = tmp_path / "m.zarr"
    with opened(path) as mask:
        mask.add_stroke(dab(50, 100, 1))
        mask.end_undo_group()
        with monkeypatch.context() as patch:
            disk = Disk(patch, None, errno.EIO)
            mask.apply_pending()
            disk.refuses_fsync = True
            with pytest.raises(ProjectError, match="could not be written"):
                mask.flush()
        assert not is_saved(path.with_suffix(".journal"))
        chunk = path / "labels/0/c/0/0"
        before = chunk.stat().st_ino
        mask.flush()
        assert chunk.stat().st_ino != before
        assert is_saved(path.with_suffix(".journal"))
