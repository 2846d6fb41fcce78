import numpy as np
import pytest
import tifffile
from PIL import Image
from slide_helpers import whole

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.registry import open_slide


@pytest.fixture
def image():
    """A smooth colour image with noise on it, of odd size."""
    rows, columns = np.mgrid[:701, :530]
    smooth = np.stack([rows / 3, columns / 3, (rows + columns) / 6], axis=-1)
    return (smooth + np.random.default_rng(0).integers(0, 20, smooth.shape)).astype(np.uint8)


@pytest.mark.parametrize(("bits", "stated", "expected"), [(16, None, 64), (16, 4095, 255), (16, 65535, 64)])
def test_16_bit_samples_keep_the_upper_8_of_their_valid_bits(tmp_path, bits, stated, expected):
    path = tmp_path / "deep.tif"
    tags = [] if stated is None else [(281, "H", 1, stated, True)]
    tifffile.imwrite(path, np.full((20, 20), 64 * 256 if stated != 4095 else 4095, np.uint16), extratags=tags)
    with open_slide(path) as slide:
        assert (slide.channels, whole(slide).max()) == (1, expected)


@pytest.mark.parametrize("options", [{"planarconfig": "separate"}, {"planarconfig": "separate", "tile": (64, 64)}])
def test_separate_colour_planes_are_joined(tmp_path, image, options):
    path = tmp_path / "planar.tif"
    tifffile.imwrite(path, np.moveaxis(image, -1, 0), photometric="rgb", compression="lzw", **options)
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), image)


def test_white_is_zero_is_inverted_and_bilevel_stretched(tmp_path, image):
    tifffile.imwrite(tmp_path / "white.tif", image[..., 0], photometric="miniswhite")
    tifffile.imwrite(tmp_path / "two.tif", image[..., 0] > 99, photometric="minisblack")
    Image.fromarray(image).quantize(64).save(tmp_path / "palette.tif")
    with open_slide(tmp_path / "white.tif") as slide:
        assert np.array_equal(whole(slide), 255 - image[..., 0])
    with open_slide(tmp_path / "two.tif") as slide:
        assert np.array_equal(whole(slide), (image[..., 0] > 99) * np.uint8(255))
    with open_slide(tmp_path / "palette.tif") as slide:
        assert np.array_equal(whole(slide), np.asarray(Image.open(slide.path).convert("RGB")))


@pytest.mark.parametrize("kind", [np.float32, np.int16, np.uint32])
def test_samples_of_unknown_range_are_refused(tmp_path, kind):
    path = tmp_path / "numbers.tif"
    tifffile.imwrite(path, np.ones((30, 30), kind))
    with pytest.raises(UnsupportedSlideError, match=r"numbers\.tif.*its samples are .* numbers of \d+ bits"):
        open_slide(path)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "lzw", "zstd"])
def test_compressed_tiles_are_those_of_tifffile(tmp_path, image, compression):
    path = tmp_path / "compressed.tif"
    tifffile.imwrite(path, image, photometric="rgb", compression=compression, tile=(256, 256))
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), tifffile.imread(path))


def test_aperio_jpeg_2000_without_colour_transform_is_colour(tmp_path, image):
    path = tmp_path / "aperio.svs"
    smooth = np.asarray(Image.fromarray(image).resize((128, 128), Image.Resampling.BOX))
    stored = np.asarray(Image.fromarray(smooth).convert("YCbCr"))
    arguments = {"level": 0, "reversible": True, "mct": False}
    tifffile.imwrite(
        path,
        stored,
        photometric="rgb",
        compression=33004,
        compressionargs=arguments,
        tile=(64, 64),
        metadata=None,
    )
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["Compression"].overwrite(33003)
    with open_slide(path) as slide:
        assert np.abs(whole(slide).astype(int) - smooth).max() <= 4
