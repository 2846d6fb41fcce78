import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import pyramid as pyramids
from napari_pathseg.masks.provenance import count
from napari_pathseg.masks.pyramid import Pyramid, downsample_mode2x
from napari_pathseg.masks.zarr_store import MaskStore, create_store

SHAPE = (701, 2603)
WHOLE = Region(0, 0, *SHAPE)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.zarr"


@pytest.fixture
def pyramid(path):
    return Pyramid(create_store(path, SHAPE, DEFAULT_CLASSES))


def specks(region, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, (2, region.height, region.width)).astype(np.uint8)


def levels(pyramid):
    return [pyramid.read(Region(0, 0, *shape), level) for level, shape in enumerate(pyramid.shapes)]


boxes = st.tuples(st.integers(0, 700), st.integers(0, 2602), st.integers(1, 701), st.integers(1, 900))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(boxes, st.booleans()), min_size=1, max_size=5))
def test_every_level_equals_downsampling_the_whole(tmp_path_factory, writes):
    path = tmp_path_factory.mktemp("pyramid") / "m.zarr"
    pyramid = Pyramid(create_store(path, SHAPE, DEFAULT_CLASSES))
    whole = np.zeros((2, *SHAPE), np.uint8)
    for seed, (box, flush) in enumerate(writes):
        region = Region(*box).clip(SHAPE)
        whole[:, *region.slices] = specks(region, seed)
        pyramid.write(region, specks(region, seed))
        if flush:
            pyramid.flush()
    for level, found in enumerate(levels(pyramid)):
        whole = downsample_mode2x(whole) if level else whole
        assert (found == whole).all()


def test_written_chunks_are_in_memory_until_a_flush(pyramid, path):
    pyramid.write(WHOLE, specks(WHOLE))
    assert pyramid.has_unsaved
    pyramid.flush()
    assert not pyramid.has_unsaved
    assert all(
        (mine == again).all() for mine, again in zip(levels(pyramid), levels(Pyramid(MaskStore(path))), strict=True)
    )


def test_read_returns_a_copy(pyramid):
    before = pyramid.read(WHOLE)
    pyramid.write(WHOLE, specks(WHOLE))
    assert not before.any()


def test_pyramid_memory_is_bounded(path, monkeypatch):
    monkeypatch.setattr(pyramids, "_DIRTY", 3)
    monkeypatch.setattr(pyramids, "_CLEAN", 4)
    pyramid = Pyramid(create_store(path, SHAPE, DEFAULT_CLASSES))
    whole = specks(WHOLE)
    for left in range(0, 2603, 100):
        region = Region(0, left, 701, 100).clip(SHAPE)
        pyramid.write(region, whole[:, *region.slices])
        assert len(pyramid._dirty) <= 3
        assert len(pyramid._clean) <= 4
    assert (pyramid.read(WHOLE) == whole).all()


def test_refusing_disk_loses_nothing_and_is_reported_by_flush(path, monkeypatch):
    monkeypatch.setattr(pyramids, "_DIRTY", 1)
    pyramid = Pyramid(create_store(path, SHAPE, DEFAULT_CLASSES))
    (path / "labels/0/c").write_bytes(b"in the way")
    whole = specks(WHOLE)
    with pytest.raises(ProjectError, match="labels/0/c/0/0 could not be read"):
        pyramid.prepare(WHOLE)
    (path / "labels/0/c").unlink()
    pyramid.prepare(WHOLE)
    (path / "labels/0/c").write_bytes(b"in the way")
    pyramid.write(WHOLE, whole)
    with pytest.raises(OSError, match="directory"):
        pyramid.flush()
    assert pyramid.has_unsaved
    (path / "labels/0/c").unlink()
    pyramid.flush()
    assert (Pyramid(MaskStore(path)).read(WHOLE) == whole).all()


def test_nonempty_chunks_are_those_with_labels(pyramid):
    region = Region(520, 1030, 4, 4)
    pyramid.write(region, np.ones((2, 4, 4), np.uint8))
    assert list(pyramid.nonempty_chunks(WHOLE)) == [Region(512, 1024, 189, 512)]
    assert list(pyramid.nonempty_chunks(Region(0, 0, 100, 2603))) == []
    pyramid.flush()
    assert list(pyramid.nonempty_chunks(Region(600, 1100, 10, 10))) == [Region(600, 1100, 10, 10)]


def test_count_counts_every_pixel_once(pyramid):
    region = Region(500, 500, 100, 1000)
    pyramid.write(region, specks(region))
    assert (pyramid.count() == count(*pyramid.read(WHOLE))).all()
    assert pyramid.count().sum() == SHAPE[0] * SHAPE[1]


def test_large_box_reads_like_many_small_ones(path, monkeypatch):
    monkeypatch.setattr(pyramids, "_CLEAN", 4)
    pyramid = Pyramid(create_store(path, SHAPE, DEFAULT_CLASSES))
    pyramid.write(WHOLE, specks(WHOLE))
    pyramid.flush()
    for left in range(0, 2603, 300):
        region = Region(0, left, 701, 300).clip(SHAPE)
        assert (pyramid.read(WHOLE)[:, *region.slices] == pyramid.read(region)).all()
