import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps
from slide_helpers import misread_by_threads, whole

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.slides.registry import open_slide

COLOUR = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA"])
@pytest.mark.parametrize("name", ["a.bmp", "a.png", "a.jp2", "a.jpg"])
def test_flat_image_has_the_pixels_of_pillow(tmp_path, name, mode):
    if (name, mode) in {("a.jp2", "P"), ("a.jp2", "1"), ("a.jpg", "P"), ("a.jpg", "RGBA")}:
        pytest.skip("no such files are written")
    Image.fromarray(COLOUR).convert(mode).save(tmp_path / name)
    with open_slide(tmp_path / name) as slide, Image.open(tmp_path / name) as image:
        assert np.array_equal(whole(slide), np.asarray(image.convert("L" if slide.channels == 1 else "RGB")))
        assert slide.channels == (1 if mode in ("L", "1") else 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_photograph_is_turned_upright(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(COLOUR).save(tmp_path / name, exif=exif)
    with open_slide(tmp_path / name) as slide, Image.open(tmp_path / name) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
        assert slide.shape == expected.shape[:2]
        assert np.array_equal(whole(slide), expected)


def test_16_bit_grey_keeps_its_upper_8_bits(tmp_path):
    deep = COLOUR[..., 0].astype(np.uint16) * 256 + 200
    for name in ("a.png", "a.jp2"):
        Image.fromarray(deep).save(tmp_path / name)
        with open_slide(tmp_path / name) as slide:
            assert np.array_equal(whole(slide), COLOUR[..., 0])


def test_image_too_large_is_refused_unless_allowed(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    with pytest.raises(UnsupportedSlideError, match=r"a\.png.*its 40 x 60 pixels need more than 0 MiB.*convert it"):
        open_slide(tmp_path / "a.png", max_chunk_bytes=7199)
    open_slide(tmp_path / "a.png", max_chunk_bytes=7200).close()


def test_large_grey_image_opens_without_a_warning(tmp_path):
    Image.new("L", (20_000, 10_000)).save(tmp_path / "large.png")
    code = "import sys, napari_pathseg as ps; print(ps.open_slide(sys.argv[1]).shape)"
    command = [sys.executable, "-W", "always", "-c", code, tmp_path / "large.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("(10000, 20000)", "")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.jp2"])
def test_truncated_image_is_refused_by_name_wherever_it_ends(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(COLOUR).save(path)
    content = path.read_bytes()
    for share in (0.01, 0.05, 0.3, 0.7):
        path.write_bytes(content[: max(3, int(share * len(content)))])
        with pytest.raises(UnsupportedSlideError, match=name), open_slide(path) as slide:
            whole(slide)


def test_cmyk_image_is_refused_by_name(tmp_path):
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(UnsupportedSlideError, match=r"a\.jpg.*its colours are CMYK"):
        open_slide(tmp_path / "a.jpg")


def test_threads_share_one_decoding(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert not misread_by_threads(slide, [Region(0, 0, *slide.shape)], COLOUR, 4)
