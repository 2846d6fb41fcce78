import os
import subprocess
from functools import partial

import numpy as np
import pytest
from mask_helpers import dab, open_or_create, read_all
from small_disk import small_disk as mounted

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, open_mask_readonly

SHAPE = (100, 540)
WHOLE = Region(0, 0, *SHAPE)
opened = partial(open_or_create, shape=SHAPE)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    with mounted(tmp_path / "disk", megabytes=2) as folder:
        yield folder


def test_full_disk_is_reported_and_loses_nothing_that_was_accepted(small_disk):
    path, rng, taken = small_disk / "m.zarr", np.random.default_rng(0), np.zeros(SHAPE, np.uint8)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_400_000))
    mask, messages = opened(path), []
    for index in range(40):
        region = Region(0, rng.integers(400), 100, 128)
        labels = rng.integers(1, 200, (100, 128)).astype(np.uint8)
        try:
            mask.edit(region, labels, np.full((100, 128), Provenance.DRAWN, np.uint8))
            taken[region.slices] = labels
            mask.end_undo_group()
            if index % 4 == 0:
                mask.flush()
        except ProjectError as error:
            messages.append(str(error))
    assert any("No space left on device" in message and str(small_disk) in message for message in messages)
    assert (mask.read(WHOLE)[0] == taken).all()
    mask.abandon()
    with open_mask_readonly(path, SHAPE) as saved:
        assert saved.read(WHOLE)[0].any()
    ballast.unlink()
    with opened(path) as mask:
        assert (mask.read(WHOLE)[0] == taken).all()
        while not mask.undo().empty:
            pass
        assert not read_all(mask).any()


def test_read_only_folder_opens_read_only_and_is_reported_otherwise(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    with opened(tmp_path / "m.zarr") as mask:
        mask.add_stroke(dab(40, 100, 1))
    folders = [tmp_path, *(path for path in tmp_path.rglob("*"))]
    for path in folders:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with open_mask_readonly(tmp_path / "m.zarr", SHAPE) as mask:
            assert mask.read(WHOLE)[0].any()
        with pytest.raises(ProjectError, match="cannot be written"):
            opened(tmp_path / "m.zarr")
    finally:
        for path in folders:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_read_only_disk_opens_read_only_and_is_reported_otherwise(small_disk):
    with opened(small_disk / "m.zarr") as mask:
        mask.add_stroke(dab(40, 100, 1))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with open_mask_readonly(small_disk / "m.zarr", SHAPE) as mask:
        assert mask.read(WHOLE)[0].any()
    with pytest.raises(ProjectError, match="cannot be written"):
        opened(small_disk / "m.zarr")
    with pytest.raises(ProjectError, match="could not be written"):
        opened(small_disk / "another.zarr")
