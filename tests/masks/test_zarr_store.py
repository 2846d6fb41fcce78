import contextlib
import json

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import zarr_store
from napari_pathseg.masks.opening import read_counts
from napari_pathseg.masks.zarr_store import CHUNK, MaskStore, chunks_of, create_store, overlap, stored_counts

SHAPE = (700, 2600)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.zarr"


@pytest.fixture
def store(path):
    return create_store(path, SHAPE, DEFAULT_CLASSES)


def block(label=2, provenance=4):
    pixels = np.zeros((2, CHUNK, CHUNK), np.uint8)
    pixels[:, 100:200, 50:300] = np.array([label, provenance])[:, None, None]
    return pixels


def test_levels_halve_until_the_longest_side_is_small(store):
    assert store.shapes == [(700, 2600), (350, 1300), (175, 650)]


def test_chunk_round_trips_at_each_level(store):
    for level in range(3):
        store.write_chunk(level, (0, 1), block(level + 1))
        assert (store.read_chunk(level, (0, 1)) == block(level + 1)).all()
        assert store.chunks(level) == {(0, 1)}


def test_labels_without_provenance_are_readable(store):
    store.write_chunk(0, (0, 0), block(2, 0))
    assert (store.read_chunk(0, (0, 0)) == block(2, 0)).all()


def test_box_over_several_chunks_is_assembled(store):
    store.write_chunk(0, (0, 0), block(1))
    store.write_chunk(0, (0, 1), block(2))
    labels, provenance = store.read(Region(100, 200, 50, 500))
    assert (labels[:, :100] == 1).all()
    assert not labels[:, 100:362].any()
    assert (labels[:, 362:] == 2).all()
    assert ((provenance == 4) == (labels > 0)).all()


def test_empty_mask_of_a_whole_slide_is_small_on_disk(tmp_path):
    store = create_store(tmp_path / "slide.zarr", (100_000, 100_000), DEFAULT_CLASSES)
    files = [path for path in store.path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 100_000
    assert store.shapes[-1] == (782, 782)


def test_missing_mask_is_empty_and_makes_no_file(path):
    store = MaskStore.missing(path, SHAPE)
    assert store.shapes == [(700, 2600), (350, 1300), (175, 650)]
    assert not store.read(Region(0, 0, 700, 2600))[0].any()
    assert store.load_counts() is None
    assert not path.exists()


def test_counts_are_saved_beside_the_pyramids(store, path):
    store.save_counts({"2,4": 25_000, "0,0": 1})
    assert MaskStore(path).load_counts() == {"2,4": 25_000, "0,0": 1}


@pytest.mark.parametrize("counts", [{"2,x": 3}, {"999,1": 3}, {"2,9": 3}, {"2,4": "3"}, [1, 2], 7])
def test_counts_that_make_no_sense_are_ignored(store, path, counts):
    zarr.open_group(path).attrs["pathseg_counts"] = counts
    assert MaskStore(path).load_counts() is None


def test_counts_are_read_without_opening_the_mask(store, path):
    store.save_counts({"2,4": 7})
    assert stored_counts(path) == {"2,4": 7}
    assert read_counts(path)[2, 4] == 7
    assert not read_counts(path.with_name("absent.zarr")).any()


def test_remove_temp_files_removes_nothing_else(store, path):
    store.write_chunk(0, (0, 1), block())
    files = {one for one in path.rglob("*") if one.is_file()}
    orphans = [path / "labels/0/c/0/7.partial", path / "provenance/0/c/0/1.partial", path / "zarr.8c1.partial"]
    for orphan in orphans:
        orphan.write_bytes(b"half")
    store.remove_temp_files()
    assert {one for one in path.rglob("*") if one.is_file()} == files


def test_new_store_is_whole_or_absent(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ProjectError, match="could not be written"):
        create_store(tmp_path / "file" / "m.zarr", SHAPE, DEFAULT_CLASSES)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@given(st.integers(0, 10**6), st.integers(1, 255), st.sampled_from([".", "labels", "provenance", "labels/0"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_metadata_are_reported_and_never_another_mask(store, path, place, bits, which):
    described = path / which / "zarr.json"
    good = described.read_bytes()
    content = bytearray(good)
    content[place % len(content)] ^= bits
    described.write_bytes(content)
    with contextlib.suppress(ProjectError):
        found = MaskStore(path).shapes
        assert len(found) == 3  # one wrong digit of its size is found where the slide is known
    described.write_bytes(good)


@pytest.mark.parametrize("content", ["", "null", "[]", "7", "{}", '{"zarr_format": 3, "node_type": "group"}'])
def test_metadata_of_something_else_are_not_a_mask(store, path, content):
    (path / "labels" / "zarr.json").write_text(content)
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}))
    if content.startswith('{"zarr'):
        (path / "labels" / "0" / "zarr.json").unlink()
    with pytest.raises(ProjectError, match="cannot be read as a mask"):
        MaskStore(path)


@given(st.integers(0, 1200), st.integers(0, 1200), st.integers(1, 1300), st.integers(1, 1300))
def test_chunks_of_a_box_cover_it_once(top, left, height, width):
    region = Region(top, left, height, width)
    covered = np.zeros((height, width), int)
    for key in chunks_of(region):
        inside, here = overlap(key, region)
        covered[here] += 1
        assert np.ones((CHUNK, CHUNK))[inside].shape == covered[here].shape
    assert (covered == 1).all()


def test_mistake_of_ours_is_not_called_a_damaged_mask(store, path, monkeypatch):
    monkeypatch.setattr(zarr_store, "_shapes", lambda group: None + 1)
    with pytest.raises(TypeError, match="unsupported operand"):
        MaskStore(path)
