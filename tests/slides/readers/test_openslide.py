import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from slide_helpers import misread_by_threads

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.slides.registry import open_slide

openslide = pytest.importorskip("openslide")

from napari_pathseg.slides.readers.openslide import open_with_openslide  # noqa: E402

VMS = """[Virtual Microscope Specimen]
NoLayers=1
NoJpegColumns=1
NoJpegRows=1
ImageFile=a.jpg
MapFile=map.jpg
MacroImage=map.jpg
PhysicalWidth=512000
PhysicalHeight=256000
XOffsetFromSlideCentre=1000
YOffsetFromSlideCentre=-2000
"""
SCN_IMAGE = """<image name="{name}"><pixels sizeX="{x}" sizeY="{y}">{dimensions}</pixels>
<view sizeX="{width}" sizeY="{height}" offsetX="{left}" offsetY="{top}"/><scanSettings><objectiveSettings>
<objective>{power}</objective></objectiveSettings><illuminationSettings>
<numericalAperture>0.4</numericalAperture><illuminationSource>brightfield</illuminationSource>
</illuminationSettings></scanSettings></image>"""
UM = 1000  # Leica counts in nanometres


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(noise).resize((1024, 512), Image.Resampling.BICUBIC))


@pytest.fixture
def vms(tmp_path, image):
    """A slide of Hamamatsu's older scanners: JPEGs with restart markers, and a file that names them."""
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=95, subsampling=0, restart_marker_blocks=8)
    Image.fromarray(image[::16, ::16]).save(tmp_path / "map.jpg", quality=95, subsampling=0, restart_marker_blocks=4)
    (tmp_path / "a.vms").write_text(VMS)
    return tmp_path / "a.vms"


def write_scn(path, image, corners):
    """Write a Leica slide of 0.5 um pixels: a macro image, and `image` at each (left, top) in um."""
    dimension = '<dimension sizeX="{}" sizeY="{}" r="{}" ifd="{}"/>'.format
    glass = {"width": 26_000 * UM, "height": 76_000 * UM, "left": 0, "top": 0}
    images = [SCN_IMAGE.format(name="macro", x=130, y=380, dimensions=dimension(130, 380, 0, 0), power=0.6, **glass)]
    for number, (left, top) in enumerate(corners):
        levels = dimension(1024, 512, 0, 1 + 2 * number) + dimension(256, 128, 1, 2 + 2 * number)
        place = {"width": 512 * UM, "height": 256 * UM, "left": left * UM, "top": top * UM}
        images.append(SCN_IMAGE.format(name=f"main{number}", x=1024, y=512, dimensions=levels, power=20, **place))
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection name="c" '
        f'uuid="1" sizeX="{26_000 * UM}" sizeY="{76_000 * UM}">{"".join(images)}</collection></scn>'
    )
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        options = {"photometric": "rgb", "compression": "jpeg", "tile": (128, 128), "resolutionunit": "CENTIMETER"}
        macro = np.full((380, 130, 3), 200, np.uint8)
        writer.write(macro, description=xml, resolution=(50, 50), metadata=None, **options)
        for _ in corners:
            writer.write(image, resolution=(20_000, 20_000), metadata=None, **options)
            writer.write(image[::4, ::4], resolution=(5_000, 5_000), metadata=None, **options)
    return path


def whole(slide, level=0):
    return slide.read_level(level, Region(0, 0, *slide.levels[level].shape))


def test_slide_only_openslide_reads_has_the_pixels_of_its_jpeg(vms):
    with open_slide(vms) as slide:
        assert (slide.shape, slide.channels, slide.mpp) == ((512, 1024), 3, 0.5)
        assert slide.centre_offset_um == (1, -2)
        assert len(slide.levels) == 8
        assert np.array_equal(whole(slide), np.asarray(Image.open(vms.with_name("a.jpg"))))
        box = Region(37, 210, 211, 305)
        assert np.array_equal(slide.read(box), whole(slide)[box.slices])


def test_slide_is_its_bounds_on_the_canvas_of_openslide(tmp_path, image):
    path = write_scn(tmp_path / "a.scn", image, [(5000, 9000)])
    with open_with_openslide(path) as slide, open_slide(path) as expected, openslide.OpenSlide(path) as canvas:
        assert canvas.dimensions == (52_000, 152_000)
        assert (slide.shape, slide.mpp, slide.levels) == (expected.shape, 0.5, expected.levels)
        for level in (0, 1):
            assert np.array_equal(whole(slide, level), whole(expected, level))


def test_leica_slide_shows_both_regions_in_their_places(tmp_path, image):
    path = write_scn(tmp_path / "two.scn", image, [(5000, 9000), (6000, 9400)])
    with open_slide(path) as slide:
        assert slide.shape == (512 + 800, 1024 + 2000)
        first, second = slide.read(Region(0, 0, 512, 1024)), slide.read(Region(800, 2000, 512, 1024))
        assert np.array_equal(first, second)
        assert np.abs(first.astype(int) - image).mean() < 3
        assert (slide.read(Region(0, 1100, 500, 1900)) == 255).all()
        assert np.array_equal(
            slide.read_level(1, Region(200, 500, 128, 256)), slide.read_level(1, Region(0, 0, 128, 256))
        )


def test_threads_read_the_same_as_one(vms):
    boxes = [Region(row, column, 128, 96) for row in range(0, 380, 43) for column in range(0, 920, 101)]
    with open_slide(vms) as slide:
        assert not misread_by_threads(slide, boxes, whole(slide))


def test_damaged_tile_does_not_affect_the_others(vms):
    jpeg = vms.with_name("a.jpg")
    expected = np.asarray(Image.open(jpeg))
    content = bytearray(jpeg.read_bytes())
    marker = content.rindex(b"\xff\xd5")
    content[marker + 2 : marker + 200] = b"\xff\xd8" * 99
    jpeg.write_bytes(content)
    with open_slide(vms) as slide:
        with pytest.raises(UnsupportedSlideError, match=r"a\.vms could not be read at level 0"):
            whole(slide)
        assert np.array_equal(slide.read(Region(0, 0, 100, 1024)), expected[:100])


def test_slide_with_missing_files_is_refused_by_name(vms):
    vms.with_name("a.jpg").unlink()
    with pytest.raises(UnsupportedSlideError, match=r"a\.vms could not be opened.*OpenSlide reader: .*a\.jpg"):
        open_slide(vms)


def test_stack_of_tiled_pages_is_not_a_slide(tmp_path, image):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(3):
            writer.write(image, photometric="rgb", tile=(128, 128), metadata=None)
    assert openslide.OpenSlide.detect_format(path) == "generic-tiff"
    with pytest.raises(UnsupportedSlideError, match="it has 3 pages.*leaves generic-tiff files to the TIFF reader"):
        open_slide(path)


def test_truncated_slide_is_not_opened_by_openslide(tmp_path, image):
    path = tmp_path / "cut.svs"
    options = {"description": "Aperio Image Library v1|MPP = 0.5", "metadata": None}
    tifffile.imwrite(path, image, photometric="rgb", compression="jpeg", tile=(256, 256), **options)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        last = tiff.pages.first.dataoffsets[-1]
    path.write_bytes(content[: last + 10])
    with pytest.raises(UnsupportedSlideError, match=r"cut\.svs.*TIFF reader"):
        open_slide(path)


def test_message_without_openslide_says_what_to_install(vms):
    code = (
        "import sys; sys.modules['openslide'] = None\n"
        "import napari_pathseg as ps, napari_pathseg.errors\n"
        "try: ps.open_slide(sys.argv[1])\n"
        "except ps.errors.UnsupportedSlideError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, vms], capture_output=True, text=True, check=True)
    assert "OpenSlide is not installed; install napari-pathseg[openslide]." in done.stdout


def test_openslide_is_loaded_only_when_it_is_needed(tmp_path, image):
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path)
    code = "import sys, napari_pathseg as ps; ps.open_slide(sys.argv[1]); print('openslide' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_pipe_among_the_further_files_of_a_slide_is_named_and_not_waited_for(vms):
    (vms.parent / "a.jpg").unlink()
    os.mkfifo(vms.parent / "a.jpg")
    with pytest.raises(UnsupportedSlideError, match=r"a\.jpg is a pipe or a device, not a file"):
        open_slide(vms)


def test_pipe_in_the_folder_of_an_mrxs_slide_is_named(tmp_path, image):
    Image.fromarray(image).save(tmp_path / "a.mrxs", "JPEG")
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "Slidedat.ini")
    with pytest.raises(UnsupportedSlideError, match=r"Slidedat\.ini is a pipe or a device, not a file"):
        open_slide(tmp_path / "a.mrxs")


def test_preview_of_an_mrxs_slide_whose_folder_is_missing_is_not_read_as_the_slide(tmp_path, image):
    Image.fromarray(image).save(tmp_path / "a.mrxs", "JPEG")
    with pytest.raises(UnsupportedSlideError, match="OpenSlide"):
        open_slide(tmp_path / "a.mrxs")


def test_link_that_leads_nowhere_beside_a_slide_does_not_matter(vms):
    (vms.parent / "old").symlink_to("nowhere")
    with open_slide(vms) as slide:
        assert slide.channels == 3
