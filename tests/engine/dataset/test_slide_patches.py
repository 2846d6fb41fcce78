import numpy as np
import pytest
import tifffile

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project


def write_scan(folder, name, mpp):
    """Write a slide 320 um wide with a dark disk of 60 um radius, at the resolution `mpp`."""
    side = round(320 / mpp)
    rows, columns = (np.indices((side, side)) + 0.5) * mpp - 160
    disk = np.hypot(rows, columns) < 60
    pixels = np.where(disk[..., None], np.uint8(60), np.uint8(220)) * np.ones(3, np.uint8)
    path = folder / f"{name}.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", resolution=(1e4 / mpp, 1e4 / mpp), resolutionunit="CENTIMETER")
    (folder / "masks").mkdir(exist_ok=True)
    tifffile.imwrite(folder / "masks" / f"{name}.tif", np.where(disk, np.uint8(255), np.uint8(0)))
    return path


@pytest.fixture
def scans(tmp_path):
    paths = [write_scan(tmp_path, f"scan{mpp}".replace(".", "_"), mpp) for mpp in (0.25, 0.7, 1.0, 1.6)]
    project = Project.create(tmp_path / "scans.pathseg", mpp=1.0)
    records = add_slides(project, paths, AddOptions(contours=tmp_path / "masks"))
    slides = [
        SlidePatchSource(project, record, cache=cache) for record, cache in zip(records, (1, 0, 1, 0), strict=True)
    ]
    yield slides
    for slide in slides:
        slide.close()


def test_slides_of_all_scanners_have_one_scale_on_the_working_grid(scans):
    for slide in scans:
        assert slide.shape == (320, 320)
        dark = slide.pixels(Region(0, 0, 320, 320)).mean(axis=-1) < 140
        assert dark.sum() == pytest.approx(np.pi * 60**2, rel=0.03)


def test_labels_lie_on_their_pixels_on_the_working_grid(scans):
    for slide in scans:
        region = Region(90, 60, 128, 160)
        labels, corrected = slide.truth(region)
        dark = slide.pixels(region).mean(axis=-1) < 140
        assert ((labels == 2) != dark).mean() < 0.02
        assert not corrected.any()


def test_labels_are_mirrored_beyond_the_slide(scans):
    for slide in scans:
        rows, columns = slide.shape
        whole, _ = slide.truth(Region(0, 0, rows, columns))
        around, _ = slide.truth(Region(-10, -20, rows + 30, columns + 50))
        assert np.array_equal(around, np.pad(whole, ((10, 20), (20, 30)), "reflect"))


def test_box_of_the_mask_is_covered_by_its_box_of_the_working_grid(scans):
    for slide in scans:
        rows, columns = slide.record.mask_shape
        assert slide.on_working_grid(Region(0, 0, rows, columns)) == Region(0, 0, *slide.shape)
        work = slide.on_working_grid(Region(rows // 3, 0, 10, columns))
        assert work.top <= rows // 3 / slide.factor
        assert work.bottom >= (rows // 3 + 10) / slide.factor


def test_stain_norm_changes_the_pixels(project):
    record = project.slide("case0")
    plain, normal = (SlidePatchSource(project, record, stain_norm=name) for name in ("none", "reinhard"))
    region = Region(0, 0, 64, 64)
    assert not np.array_equal(plain.pixels(region), normal.pixels(region))
    plain.close()
    normal.close()
