import json
import shutil

import numpy as np
import pytest
import zarr
from slide_helpers import misread_by_threads

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.slides.fingerprint import fingerprint
from napari_pathseg.slides.registry import count_pages, open_slide

IMAGE = np.random.default_rng(0).integers(0, 256, (300, 200, 3)).astype(np.uint8)


def write_zarr(path, image=IMAGE, axes="cyx", version="0.4", unit="micrometer", **options):
    """Write levels of every second pixel, the axes of `image` being y, x, c, ordered by `axes`."""
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    entries = [{"name": axis, "type": "space", "unit": unit} if axis in "zyx" else {"name": axis} for axis in axes]
    datasets = []
    for level in range(3):
        pixels = image[:: 2**level, :: 2**level]
        here = "yxc"[: pixels.ndim]
        pixels = pixels.transpose([here.index(axis) for axis in axes if axis in here])
        for place, axis in enumerate(axes):
            pixels = pixels if axis in here else np.expand_dims(pixels, place)
        chunks = tuple(min(64, size) for size in pixels.shape)
        group.create_array(str(level), data=np.ascontiguousarray(pixels), **({"chunks": chunks} | options))
        scale = [0.5 * 2**level if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    about = {"multiscales": [{"version": version, "axes": entries, "datasets": datasets}]}
    group.attrs.put(about if version == "0.4" else {"ome": about | {"version": version}})
    return path


def edit(path, change):
    """Change the multiscales of a 0.4 image."""
    about = json.loads((path / ".zattrs").read_text())
    change(about["multiscales"][0])
    (path / ".zattrs").write_text(json.dumps(about))


def refusal(path, page=None):
    with pytest.raises(UnsupportedSlideError) as caught:
        open_slide(path, page)
    assert path.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "yxc", "tczyx"])
def test_colour_is_read_from_axes_in_any_order(tmp_path, axes, version):
    with open_slide(write_zarr(tmp_path / "a.ome.zarr", axes=axes, version=version)) as slide:
        assert (slide.shape, slide.channels, slide.mpp) == ((300, 200), 3, 0.5)
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        assert np.array_equal(slide.read(Region(10, 20, 201, 99)), IMAGE[10:211, 20:119])
        assert np.array_equal(slide.read_level(2, Region(3, 4, 50, 30)), IMAGE[12:212:4, 16:136:4])


def test_shards_are_read(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", axes="yxc", version="0.5", chunks=(25, 25, 1), shards=(75, 50, 3))
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(Region(0, 0, 300, 200)), IMAGE)


@pytest.mark.parametrize(("unit", "mpp"), [("nanometer", None), ("micrometer", 0.5), (None, 0.5), ("parsec", None)])
def test_pixel_size_is_read_in_its_unit_if_plausible(tmp_path, unit, mpp):
    with open_slide(write_zarr(tmp_path / "a.zarr", unit=unit)) as slide:
        assert slide.mpp == mpp


def test_scales_of_level_and_image_multiply(tmp_path):
    path = write_zarr(tmp_path / "a.zarr")
    scale = {"type": "scale", "scale": [1, 0.5, 0.5]}
    edit(path, lambda image: image.update(coordinateTransformations=[scale]))
    with open_slide(path) as slide:
        assert slide.mpp == 0.25


def test_16_bit_grey_zarr_keeps_its_upper_8_bits(tmp_path):
    deep = IMAGE[..., 0].astype(np.uint16) * 256 + 77
    with open_slide(write_zarr(tmp_path / "a.zarr", deep, "yx")) as slide:
        assert slide.channels == 1
        assert np.array_equal(slide.read(Region(0, 0, 300, 200)), IMAGE[..., 0])


def test_each_channel_of_fluorescence_is_a_slide(tmp_path):
    deep = IMAGE.astype(np.uint16) * 256
    path = write_zarr(tmp_path / "a.zarr", deep)
    assert count_pages(path) == 3
    assert "3 channels" in refusal(path)
    assert "channels are 0 to 2" in refusal(path, 3)
    with open_slide(path, 2) as slide:
        assert np.array_equal(slide.read(Region(0, 0, 300, 200)), IMAGE[..., 2])


def test_colour_image_counts_as_one_slide(tmp_path):
    path = write_zarr(tmp_path / "a.zarr")
    assert count_pages(path) == 1
    with open_slide(path, 0) as slide:
        assert slide.channels == 3


@pytest.mark.parametrize("name", ["../outside", "/etc", "..", "link"])
def test_level_outside_the_folder_is_not_read(tmp_path, name):
    write_zarr(tmp_path / "outside")
    path = write_zarr(tmp_path / "a.zarr")
    (path / "link").symlink_to(tmp_path / "outside" / "0")
    edit(path, lambda image: image["datasets"][0].update(path=name))
    assert "outside its folder" in refusal(path)


@pytest.mark.parametrize("entry", [{"compressor": {"id": "pickle"}}, {"filters": [{"id": "pickle"}]}])
def test_codec_that_executes_code_is_refused(tmp_path, entry):
    path = write_zarr(tmp_path / "a.zarr")
    about = json.loads((path / "0" / ".zarray").read_text())
    (path / "0" / ".zarray").write_text(json.dumps(about | entry))
    assert "codec pickle cannot be read" in refusal(path)


def test_folder_that_is_not_a_slide_is_refused_by_name(tmp_path):
    (tmp_path / "plain").mkdir()
    assert "is a folder" in refusal(tmp_path / "plain")
    zarr.create_group(tmp_path / "bare.zarr", zarr_format=3)
    assert "no multiscales" in refusal(tmp_path / "bare.zarr")
    zarr.create_group(tmp_path / "plate.zarr", zarr_format=2).attrs.put({"plate": {}})
    assert "it is a plate" in refusal(tmp_path / "plate.zarr")
    volume = zarr.create_group(tmp_path / "volume.zarr", zarr_format=2)
    volume.create_array("0", shape=(9, 64, 64), chunks=(1, 64, 64), dtype="uint8")
    volume.attrs.put({"multiscales": [{"axes": ["z", "y", "x"], "datasets": [{"path": "0"}]}]})
    assert "a volume of 9 planes" in refusal(tmp_path / "volume.zarr")
    assert "samples are float32" in refusal(write_zarr(tmp_path / "f.zarr", IMAGE.astype(np.float32)))


def test_chunk_too_large_to_decode_is_refused_unless_allowed(tmp_path):
    path = tmp_path / "a.zarr"
    group = zarr.create_group(path, zarr_format=2)
    group.create_array("0", shape=(20_000, 20_000), chunks=(20_000, 20_000), dtype="uint8")
    group.attrs.put({"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]})
    assert "more than 256 MiB" in refusal(path)
    open_slide(path, max_chunk_bytes=1 << 30).close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / ".zattrs").write_text("{"),
        lambda path: (path / ".zattrs").write_text('{"multiscales": [{"axes": 5, "datasets": 7}]}'),
        lambda path: shutil.rmtree(path / "1"),
        lambda path: (path / "1" / ".zarray").write_text("[]"),
        lambda path: edit(path, lambda image: image.update(axes=["y", "x"])),
    ],
    ids=["JSON", "nonsense", "level", "array", "axes"],
)
def test_damaged_folder_is_refused_by_name(tmp_path, damage):
    path = write_zarr(tmp_path / "a.zarr")
    damage(path)
    refusal(path)


def test_error_for_a_damaged_chunk_names_the_folder(tmp_path):
    path = write_zarr(tmp_path / "a.zarr")
    (path / "0" / "0.0.0").write_bytes(b"no chunk")
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(Region(100, 100, 50, 50)), IMAGE[100:150, 100:150])
        with pytest.raises(UnsupportedSlideError, match=r"a\.zarr could not be read at level 0"):
            slide.read(Region(0, 0, 10, 10))


def test_only_series_of_a_converter_is_the_slide(tmp_path):
    outer = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    outer.attrs.put({"bioformats2raw.layout": 3})
    write_zarr(tmp_path / "a.zarr" / "0")
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.shape == (300, 200)
    write_zarr(tmp_path / "a.zarr" / "1")
    assert "several images" in refusal(tmp_path / "a.zarr")


def test_folder_fingerprint_survives_a_move_and_differs_by_image(tmp_path):
    path = write_zarr(tmp_path / "a.zarr")
    before = fingerprint(path)
    assert fingerprint(write_zarr(tmp_path / "same.zarr")) == before
    assert fingerprint(path.rename(tmp_path / "moved.zarr")) == before
    assert fingerprint(write_zarr(tmp_path / "other.zarr", 255 - IMAGE)) != before


def test_threads_read_the_same_as_one(tmp_path):
    boxes = [Region(row, column, 64, 48) for row in range(0, 230, 37) for column in range(0, 150, 29)]
    with open_slide(write_zarr(tmp_path / "a.zarr")) as slide:
        assert not misread_by_threads(slide, boxes, IMAGE)
