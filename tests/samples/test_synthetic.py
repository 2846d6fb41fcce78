"""Synthetic slides look like real tissue, depend on the seed alone, and match the files in the repository."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from scipy import ndimage
from scipy.stats import rankdata

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.samples import draw_field, write_pyramid
from napari_pathseg.samples.fields import keep_apart
from napari_pathseg.samples.slides import draw_sample_slide, expert_outlines, svg_of

SAMPLES = Path(__file__).parents[2] / "sample_data"
WITH_TUMOUR = ["slide_01", "slide_02", "slide_04", "slide_06"]
BLOCK = 64

Features = npt.NDArray[np.float64]


def block_means(values: npt.NDArray[np.generic]) -> Features:
    """Return the means over blocks of 64 x 64 pixels, one row per block."""
    rows, columns = (n // BLOCK for n in values.shape[:2])
    cut = values[: rows * BLOCK, : columns * BLOCK].astype(np.float64)
    means = cut.reshape(rows, BLOCK, columns, BLOCK, -1).mean((1, 3))
    return np.asarray(means.reshape(rows * columns, -1))


def tissue_blocks(image: UInt8Array, classes: UInt8Array) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which blocks are tissue of one class, and which of all blocks are tumour."""
    tissue = block_means(image.min(2) < 225)[:, 0]
    tumour = block_means(classes == 2)[:, 0]
    return (tissue > 0.5) & ((tumour > 0.9) | (tumour < 0.1)), tumour > 0.5


def nuclear_size(image: UInt8Array) -> Features:
    """Return how much of the dark matter in each block survives openings of growing width."""
    dark = ndimage.gaussian_filter(255.0 - image[..., 0], 1.5)
    widths = [block_means(ndimage.grey_opening(dark, size=(s, s))) for s in (3, 9, 13, 17)]
    return np.hstack(widths)


def fitted_auc(features: Features, tumour: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve of a logistic regression on the blocks it was fitted to."""
    x = np.column_stack([(features - features.mean(0)) / features.std(0), np.ones(len(features))])
    weights = np.zeros(x.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-2 * np.eye(len(weights))
        weights += np.linalg.solve(hessian, x.T @ (tumour - p) - 1e-2 * weights)
    ranks, positives = rankdata(x @ weights), tumour.sum()
    return float((ranks[tumour].sum() - positives * (positives + 1) / 2) / (positives * (~tumour).sum()))


@pytest.fixture(scope="module")
def fields() -> list[tuple[UInt8Array, UInt8Array]]:
    return [draw_field((1024, 1024), np.random.default_rng(seed), tumour=0.4) for seed in range(5)]


def test_size_of_nuclei_separates_tumour_but_colour_does_not(
    fields: list[tuple[UInt8Array, UInt8Array]],
) -> None:
    colours, sizes, tumours = [], [], []
    for image, classes in fields:
        used, tumour = tissue_blocks(image, classes)
        colours.append(block_means(image)[used])
        sizes.append(nuclear_size(image)[used])
        tumours.append(tumour[used])
    truth = np.concatenate(tumours)
    assert fitted_auc(np.concatenate(colours), truth) <= 0.8
    assert fitted_auc(np.concatenate(sizes), truth) >= 0.85


def test_colour_does_not_separate_tumour_within_a_sample_slide() -> None:
    for name, number in (("slide_01", 1), ("slide_04", 4)):
        image = tifffile.imread(SAMPLES / f"{name}.tif")
        inside = (rasterize(read_outlines(name), image.shape[:2]) == 2).astype(np.uint8) + 1
        used, tumour = tissue_blocks(image, inside)
        assert fitted_auc(block_means(image)[used], tumour[used]) <= 0.8, number


def test_field_has_about_the_requested_share_of_tumour(
    fields: list[tuple[UInt8Array, UInt8Array]],
) -> None:
    shares = [(classes == 2).sum() / (image.min(2) < 225).sum() for image, classes in fields]
    assert 0.25 < float(np.mean(shares)) < 0.55


def test_field_without_tumour_is_all_background() -> None:
    image, classes = draw_field((200, 300), np.random.default_rng(3), tumour=0)
    assert image.shape == (200, 300, 3)
    assert (classes == 1).all()


def test_field_depends_on_the_seed_alone() -> None:
    first, again, other = (draw_field((256, 192), np.random.default_rng(s))[0] for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_kept_points_are_apart_and_no_dropped_one_would_fit() -> None:
    rng = np.random.default_rng(0)
    points, room = rng.random((400, 2)) * 100, rng.uniform(2, 5, 400)
    stay = keep_apart(points, room, rng.random(400))
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    close = (distance < room[:, None] + room) & ~np.eye(400, dtype=bool)
    assert not close[np.ix_(stay, stay)].any()
    assert close[np.ix_(~stay, stay)].any(1).all()


def read_outlines(name: str) -> list[Contour]:
    text = (SAMPLES / f"{name}.svg").read_text(encoding="utf-8")
    found = re.findall(r'<polyline points="((?:\d+,\d+ ?)+)" stroke=', text)
    lines = [np.array([[float(v) for v in pair.split(",")] for pair in line.split()]) for line in found]
    return [Contour(line[:, ::-1]) for line in lines]


def test_repository_has_six_sample_slides_four_with_outlines() -> None:
    slides = sorted(SAMPLES.glob("*.tif"))
    assert [path.stem for path in slides] == [f"slide_{number:02d}" for number in range(1, 7)]
    assert sorted(path.stem for path in SAMPLES.glob("*.svg")) == WITH_TUMOUR
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) <= 8_000_000
    for path in slides:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            assert (page.shape, page.compression.name, page.is_tiled) == ((2048, 2048, 3), "JPEG", True)
            assert page.get_resolution("MICROMETER") == pytest.approx((2.0, 2.0))


def test_sample_slide_is_what_its_seed_draws() -> None:
    image, classes = draw_sample_slide(1)
    stored = tifffile.imread(SAMPLES / "slide_01.tif")
    assert np.abs(stored.astype(float) - image).mean() < 6
    outlined, tumour = rasterize(read_outlines("slide_01"), classes.shape) == 2, classes == 2
    assert (outlined & tumour).sum() / (outlined | tumour).sum() >= 0.85
    assert (outlined & tumour).sum() / tumour.sum() >= 0.99


def test_outlines_are_closed_integer_lines_one_per_region() -> None:
    mask = np.zeros((400, 400), bool)
    mask[60:160, 60:160] = mask[250:, 280:] = True
    outlines = expert_outlines(mask, np.random.default_rng(0))
    assert len(outlines) == 2
    for outline in outlines:
        assert np.array_equal(outline[0], outline[-1])
        assert outline.min() >= 0
        assert outline.max() <= 399
    assert re.search(r'<polyline points="\d+,\d+ \d+,\d+', svg_of(outlines, mask.shape))


@pytest.fixture(scope="module", params=["subifds", "pages"])
def pyramid(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[tifffile.TiffPage]:
    path = tmp_path_factory.mktemp("pyramid") / "small.tif"
    write_pyramid(path, (2001, 3000), mpp=0.25, kind=request.param)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        first = tiff.pages.first
        pages = [first, *first.pages] if request.param == "subifds" else list(tiff.pages)
        for page in pages:
            page.loaded = page.asarray()
        return pages


def test_pyramid_halves_until_it_is_small(pyramid: list[tifffile.TiffPage]) -> None:
    assert [page.shape[:2] for page in pyramid] == [(2001, 3000), (1001, 1500), (501, 750)]
    assert all(page.is_tiled and page.tile == (512, 512) for page in pyramid)
    assert [bool(page.is_reduced) for page in pyramid] == [False, True, True]


def test_pyramid_has_its_pixel_size_at_every_level(pyramid: list[tifffile.TiffPage]) -> None:
    sizes = [1 / page.get_resolution("MICROMETER")[0] for page in pyramid]
    assert sizes == pytest.approx([0.25, 0.5, 1.0])


def test_levels_of_a_pyramid_show_the_same_tissue(pyramid: list[tifffile.TiffPage]) -> None:
    for fine, coarse in pairwise(pyramid):
        rows, columns = (n // 2 for n in fine.shape[:2])
        means = fine.loaded[: rows * 2, : columns * 2].reshape(rows, 2, columns, 2, 3).mean((1, 3))
        difference = np.abs(means - coarse.loaded[:rows, :columns])
        assert difference.mean() < 4
        assert np.abs(means - np.roll(means, 8, axis=0)).mean() > 2 * difference.mean()
