import os

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_pathseg.errors import ProjectError
from napari_pathseg.masks.zarr_store import CHUNK, PARTIAL, ChunkFiles


@pytest.fixture
def chunks(tmp_path):
    (tmp_path / "0").mkdir()
    return ChunkFiles(tmp_path / "0")


def blobs(seed=0):
    pixels = np.zeros((CHUNK, CHUNK), np.uint8)
    rng = np.random.default_rng(seed)
    for top, left in rng.integers(0, 400, (30, 2)):
        pixels[top : top + 90, left : left + 60] = rng.integers(1, 5)
    return pixels


def test_chunk_round_trips(chunks):
    chunks.write((3, 12), blobs())
    assert (chunks.read((3, 12)) == blobs()).all()
    assert set(chunks.stored()) == {(3, 12)}


def test_chunk_of_zeros_has_no_file(chunks, tmp_path):
    chunks.write((0, 0), blobs())
    chunks.write((0, 0), np.zeros((CHUNK, CHUNK), np.uint8))
    chunks.write((0, 1), np.zeros((CHUNK, CHUNK), np.uint8))
    assert chunks.read((0, 0)) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_chunks_are_readable_with_zarr(tmp_path):
    array = zarr.create_array(
        tmp_path / "0", shape=(700, 1300), chunks=(CHUNK, CHUNK), dtype="uint8", compressors=[zarr.codecs.ZstdCodec()]
    )
    ChunkFiles(tmp_path / "0").write((1, 2), blobs())
    assert (np.asarray(array[512:700, 1024:1300]) == blobs()[:188, :276]).all()
    assert not np.asarray(array[:512, :1024]).any()


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_chunk_is_named_and_never_read(chunks, tmp_path, place, bits):
    chunks.write((0, 0), blobs())
    path = tmp_path / "0" / "c" / "0" / "0"
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= bits
    path.write_bytes(content)
    with pytest.raises(ProjectError, match=str(path)):
        chunks.read((0, 0))


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_chunk_is_named_and_never_empty(chunks, tmp_path, share):
    chunks.write((0, 0), blobs())
    path = tmp_path / "0" / "c" / "0" / "0"
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ProjectError, match=str(path)):
        chunks.read((0, 0))


def test_chunk_of_another_size_is_named(chunks, tmp_path):
    zarr.create_array(
        tmp_path / "0", shape=(64, 64), chunks=(64, 64), dtype="uint8", compressors=[zarr.codecs.ZstdCodec()]
    )[:] = 1
    with pytest.raises(ProjectError, match="is damaged"):
        chunks.read((0, 0))


def test_obstacle_in_place_of_a_chunk_is_never_read_as_empty(chunks, tmp_path):
    (tmp_path / "0" / "c" / "1" / "2").mkdir(parents=True)
    (tmp_path / "0" / "c" / "0").write_bytes(b"a file where a row of chunks should be")
    for key in [(1, 2), (0, 0)]:
        with pytest.raises(ProjectError, match="could not be read"):
            chunks.read(key)


def test_unfinished_chunks_are_ignored_and_removed(chunks, tmp_path):
    chunks.write((0, 0), blobs())
    orphan = tmp_path / "0" / "c" / "0" / f"1{PARTIAL}"
    orphan.write_bytes(b"half")
    assert chunks.read((0, 1)) is None
    assert list(chunks.stored()) == [(0, 0)]
    chunks.remove_temp_files()
    assert not orphan.exists()
    assert (chunks.read((0, 0)) == blobs()).all()


def test_refused_write_leaves_the_old_chunk_and_no_temp_file(chunks, tmp_path):
    chunks.write((0, 0), blobs())
    (tmp_path / "0" / "c" / "0" / "1").mkdir()  # in the way
    with pytest.raises(OSError, match="directory"):
        chunks.write((0, 1), blobs(1))
    assert (chunks.read((0, 0)) == blobs()).all()
    assert not list(tmp_path.rglob(f"*{PARTIAL}"))


def test_hard_link_to_a_chunk_keeps_its_content(chunks, tmp_path):
    chunks.write((0, 0), blobs())
    (tmp_path / "kept").mkdir()
    kept = ChunkFiles(tmp_path / "kept")
    (tmp_path / "kept" / "c" / "0").mkdir(parents=True)
    os.link(tmp_path / "0" / "c" / "0" / "0", tmp_path / "kept" / "c" / "0" / "0")
    chunks.write((0, 0), blobs(1))
    assert (kept.read((0, 0)) == blobs()).all()
