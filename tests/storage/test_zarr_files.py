"""Zarr arrays of strangers are read as zarr reads them, and no chunk is decoded to more than its array states."""

import os

import numcodecs
import numpy as np
import pytest
import zarr
from imagecodecs.numcodecs import register_codecs
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from napari_pathseg.storage.untrusted import DecodeError, decoding
from napari_pathseg.storage.zarr_files import COMPRESSORS, CheckedStore

PIXELS = np.random.default_rng(3).integers(0, 9, (100, 70)).astype(np.uint16)
register_codecs()
PICTURES = {"imagecodecs_jpeg", "imagecodecs_jpeg2k"}  # of 8 bits, and not all of them exact
LOSSLESS = sorted(COMPRESSORS - PICTURES)


def read(path):
    return zarr.open_array(CheckedStore(path, read_only=True), mode="r")[...]


@pytest.mark.parametrize("name", LOSSLESS)
def test_array_of_zarr_2_is_read_with_every_compressor(tmp_path, name):
    array = zarr.create_array(
        tmp_path, shape=PIXELS.shape, chunks=(32, 32), dtype="uint16", zarr_format=2, filters=None,
        compressors=numcodecs.get_codec({"id": name}),
    )  # fmt: skip
    array[...] = PIXELS
    assert np.array_equal(read(tmp_path), PIXELS)


@pytest.mark.parametrize("name", ["zstd", "blosc", "lzma"])
def test_array_with_filters_is_read(tmp_path, name):
    array = zarr.create_array(
        tmp_path, shape=PIXELS.shape, chunks=(32, 32), dtype="uint16", zarr_format=2,
        filters=[numcodecs.Delta(dtype="<u2", astype="<i8"), numcodecs.Shuffle(8)],
        compressors=numcodecs.get_codec({"id": name}),
    )  # fmt: skip
    array[...] = PIXELS
    assert np.array_equal(read(tmp_path), PIXELS)


@pytest.mark.parametrize("codec", [ZstdCodec(), GzipCodec(), BloscCodec(), None], ids=["zstd", "gzip", "blosc", "none"])
@pytest.mark.parametrize("shards", [None, (64, 64)])
def test_array_of_zarr_3_is_read_with_every_compressor(tmp_path, codec, shards):
    compressors = [] if codec is None else [codec]
    array = zarr.create_array(
        tmp_path, shape=PIXELS.shape, chunks=(32, 32), shards=shards, dtype="uint16", compressors=compressors
    )
    array[...] = PIXELS
    assert np.array_equal(read(tmp_path), PIXELS)


@pytest.mark.parametrize("name", LOSSLESS)
def test_chunk_that_decodes_to_more_than_its_array_states_is_refused(tmp_path, name):
    codec = numcodecs.get_codec({"id": name})
    zarr.create_array(
        tmp_path, shape=(32, 32), chunks=(32, 32), dtype="uint8", zarr_format=2, filters=None, compressors=codec
    )
    (tmp_path / "0.0").write_bytes(codec.encode(bytes(1 << 20)))
    with pytest.raises(DecodeError), decoding():
        read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_file_that_is_a_pipe_is_refused(tmp_path):
    zarr.create_array(tmp_path, shape=(32, 32), chunks=(32, 32), dtype="uint8", zarr_format=2)
    os.mkfifo(tmp_path / "0.0")
    with pytest.raises(OSError, match="it is a pipe or a device"):
        read(tmp_path)
