"""One rule for channels that are red, green and blue, in every container; each channel that is not is a slide."""

import json

import numpy as np
import pytest
import tifffile
import zarr
from slide_helpers import whole

from napari_pathseg.geometry import Region
from napari_pathseg.slides.channels import Channel, ColourChannels, colour_channels
from napari_pathseg.slides.registry import count_pages, open_slide

PICTURE = np.random.default_rng(0).integers(0, 256, (96, 120, 3)).astype(np.uint8)
COLOURS = {"Red": 0xFF0000, "Green": 0x00FF00, "Blue": 0x0000FF}
RGB = [Channel(name) for name in COLOURS]
RGB_COLOURS = [Channel("", colour) for colour in COLOURS.values()]
DAPI = [Channel("DAPI", 0x0000FF), Channel("FITC", 0x00FF00), Channel("TRITC", 0xFF0000)]


def write_ome_tiff(path, planes, channels):
    """Write planes of a page each, with a level of half the size below each."""
    size = f'SizeX="{planes.shape[2]}" SizeY="{planes.shape[1]}" SizeC="{len(planes)}" SizeZ="1" SizeT="1"'
    said = ""
    for channel in channels:
        colour = "" if channel.colour is None else f' Color="{_signed(channel.colour << 8 | 255)}"'
        said += f'<Channel Name="{channel.name}"{colour} SamplesPerPixel="1"/>'
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image>'
        f'<Pixels DimensionOrder="XYCZT" Type="{planes.dtype}" {size} PhysicalSizeX="0.5">{said}<TiffData/></Pixels>'
        "</Image></OME>"
    )
    options = {"photometric": "minisblack", "tile": (32, 32), "metadata": None, "contiguous": False}
    with tifffile.TiffWriter(path) as file:
        for number, plane in enumerate(planes):
            about = {"description": xml.encode()} if number == 0 else {}
            file.write(plane, subifds=1, **options, **about)
            file.write(plane[::2, ::2], subfiletype=1, **options)


def _signed(number):
    return number - (1 << 32) if number >= 1 << 31 else number


def write_imagej(path, planes, channels):
    """Write a hyperstack with labels, or look-up tables from black to each colour."""
    metadata = {"axes": "CYX", "mode": "composite"}
    if any(channel.name for channel in channels):
        metadata["Labels"] = [channel.name for channel in channels]
    if any(channel.colour is not None for channel in channels):
        ramp = np.arange(256)
        metadata["LUTs"] = [
            np.stack([ramp * (channel.colour >> shift & 255) // 255 for shift in (16, 8, 0)]).astype(np.uint8)
            for channel in channels
        ]
    tifffile.imwrite(path, planes, imagej=True, metadata=metadata)


def write_ome_zarr(path, planes, channels):
    """Write a picture of two levels, with what `omero` says of its channels."""
    group = zarr.create_group(path, zarr_format=2)
    datasets = []
    for level in range(2):
        group.create_array(str(level), data=np.ascontiguousarray(planes[:, :: 2**level, :: 2**level]))
        scale = {"type": "scale", "scale": [1, 0.5 * 2**level, 0.5 * 2**level]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    axes = [{"name": "c"}, *({"name": axis, "unit": "micrometer"} for axis in "yx")]
    entries = [
        {"label": channel.name} | ({} if channel.colour is None else {"color": f"{channel.colour:06X}"})
        for channel in channels
    ]
    group.attrs.put({"multiscales": [{"axes": axes, "datasets": datasets}], "omero": {"channels": entries}})


WRITERS = {"a.ome.tif": write_ome_tiff, "imagej.tif": write_imagej, "a.ome.zarr": write_ome_zarr}


def planes_of(picture=PICTURE, bits=8):
    return np.ascontiguousarray(np.moveaxis(picture, -1, 0)).astype(np.uint16 if bits > 8 else np.uint8) << (bits - 8)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("channels", "bits"), [(RGB, 8), (RGB, 16), (RGB_COLOURS, 8), (RGB_COLOURS, 16), ([], 8)],
                         ids=["named", "named 16 bits", "coloured", "coloured 16 bits", "unnamed"])  # fmt: skip
def test_planes_of_red_green_and_blue_are_one_slide(tmp_path, name, channels, bits):
    WRITERS[name](tmp_path / name, planes_of(bits=bits), channels)
    assert count_pages(tmp_path / name) == 1
    with open_slide(tmp_path / name) as slide:
        assert slide.channels == 3
        assert np.array_equal(whole(slide), PICTURE)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.ome.zarr"])
def test_planes_in_colour_keep_their_pyramid_and_pixel_size(tmp_path, name):
    WRITERS[name](tmp_path / name, planes_of(), RGB)
    with open_slide(tmp_path / name) as slide:
        assert slide.mpp == 0.5
        assert [level.shape for level in slide.levels] == [(96, 120), (48, 60)]
        assert np.array_equal(slide.read_level(1, Region(3, 5, 30, 40)), PICTURE[::2, ::2][3:33, 5:45])


@pytest.mark.parametrize("name", WRITERS)
def test_planes_named_in_another_order_are_put_in_order(tmp_path, name):
    WRITERS[name](tmp_path / name, planes_of(PICTURE[..., ::-1]), RGB[::-1])
    with open_slide(tmp_path / name) as slide:
        assert np.array_equal(whole(slide), PICTURE)


@pytest.mark.parametrize("name", WRITERS)
def test_channels_of_fluorescence_are_slides_of_their_own(tmp_path, name):
    WRITERS[name](tmp_path / name, planes_of(), DAPI)
    assert count_pages(tmp_path / name) == 3


@pytest.mark.parametrize("name", WRITERS)
def test_channels_of_16_bits_of_which_nothing_is_said_are_slides_of_their_own(tmp_path, name):
    WRITERS[name](tmp_path / name, planes_of(bits=16), [])
    assert count_pages(tmp_path / name) == 3
    with open_slide(tmp_path / name, 1) as slide:
        assert np.array_equal(whole(slide), PICTURE[..., 1])


@pytest.mark.parametrize("name", WRITERS)
def test_a_fourth_channel_called_alpha_puts_the_picture_on_white(tmp_path, name):
    alpha = np.full((96, 120, 1), 255, np.uint8)
    alpha[:40] = 0
    WRITERS[name](tmp_path / name, planes_of(np.dstack([PICTURE, alpha])), [*RGB, Channel("alpha")])
    expected = PICTURE.copy()
    expected[:40] = 255
    with open_slide(tmp_path / name) as slide:
        assert np.array_equal(whole(slide), expected)


def test_a_plane_of_a_picture_in_colour_can_be_opened_alone(tmp_path):
    write_ome_tiff(tmp_path / "a.ome.tif", planes_of(), RGB)
    for page in range(3):
        with open_slide(tmp_path / "a.ome.tif", page) as slide:
            assert slide.channels == 1
            assert np.array_equal(whole(slide), PICTURE[..., page])


def test_fluorescence_in_a_zarr_of_8_bits_still_opens_without_a_page(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", planes_of(), DAPI)
    with open_slide(tmp_path / "a.zarr") as slide:
        assert np.array_equal(whole(slide), PICTURE)


@pytest.mark.parametrize("config", ["contig", "separate"])
def test_three_grey_samples_of_a_page_are_colour(tmp_path, config):
    stored = PICTURE if config == "contig" else planes_of()
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=config, tile=(32, 32))
    with open_slide(tmp_path / "a.tif") as slide:
        assert np.array_equal(whole(slide), PICTURE)


def test_a_stack_of_three_pages_stays_a_stack(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", planes_of(), photometric="minisblack")
    tifffile.imwrite(tmp_path / "z.ome.tif", planes_of(), photometric="minisblack", metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "grey.tif", planes_of(), imagej=True, metadata={"axes": "CYX", "mode": "grayscale"})
    assert [count_pages(tmp_path / name) for name in ("a.tif", "z.ome.tif", "grey.tif")] == [3, 3, 3]


@pytest.mark.parametrize("omero", [None, [], {"channels": 3}, {"channels": [None, "x", {"color": "no"}]}])
def test_strange_omero_attributes_say_nothing(tmp_path, omero):
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, planes_of(), [])
    about = json.loads((path / ".zattrs").read_text())
    (path / ".zattrs").write_text(json.dumps(about | {"omero": omero}))
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), PICTURE)


@pytest.mark.parametrize(
    ("channels", "count", "bits", "found"),
    [
        ([], 3, 8, ColourChannels(0, 1, 2)),
        ([], 4, 8, ColourChannels(0, 1, 2, 3)),
        ([], 3, 16, None),
        ([], 2, 8, None),
        ([], 5, 8, None),
        ([Channel(f"Channel:0:{n}") for n in range(3)], 3, 8, ColourChannels(0, 1, 2)),
        ([Channel("Brightfield")] * 3, 3, 8, ColourChannels(0, 1, 2)),
        ([Channel("", 0xFFFFFF)] * 3, 3, 8, ColourChannels(0, 1, 2)),
        ([Channel("", None, True)] * 3, 3, 8, None),
        (RGB_COLOURS[::-1], 3, 8, None),  # blue, green, red are the colours of DAPI, FITC and TRITC
        ([*RGB, Channel("Cy5")], 4, 8, None),
    ],
)
def test_the_rule_for_colour(channels, count, bits, found):
    assert colour_channels(channels, count, bits) == found
