import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.tissue_masks import delete_tissue, load_tissue, save_tissue, tissue_path
from napari_pathseg.samples import draw_field, write_pyramid
from napari_pathseg.samples.slides import write_flat_slide
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.slides.tissue import TissueConfig, TissueMask, find_tissue, median, otsu, tissue_of

GLASS, INK_GREEN, INK_BLUE = (244, 242, 240), (10, 140, 70), (20, 40, 190)


def on_glass(seed=0, size=600):
    """Return an image of tissue, 2/3 as long as its side, on glass, and where the tissue is."""
    image = np.full((size, size, 3), GLASS, np.uint8)
    image += np.random.default_rng(seed).integers(0, 4, image.shape).astype(np.uint8)
    third = slice(size // 6, size - size // 6)
    field = draw_field((512, 512), np.random.default_rng(seed), glass=0)[0]
    small = np.array(Image.fromarray(field).reduce(4))
    count = -(-(third.stop - third.start) // 128)
    image[third, third] = np.tile(small, (count, count, 1))[: third.stop - third.start, : third.stop - third.start]
    truth = np.zeros((size, size), bool)
    truth[third, third] = True
    return image, truth


def wrong(found, truth):
    return (found != truth).mean()


@pytest.mark.parametrize("grey", [False, True])
def test_tissue_is_separated_from_glass(grey):
    image, truth = on_glass()
    image = image.mean(axis=2).astype(np.uint8) if grey else image
    assert wrong(tissue_of(image, 100, 400), truth) < 0.01


@pytest.mark.parametrize("colour", [(255, 255, 255), GLASS, (250, 240, 225)])
def test_empty_slide_has_no_tissue(colour):
    noise = np.random.default_rng(0).integers(-2, 3, (300, 300, 3))
    image = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    assert not tissue_of(image).any()
    assert not tissue_of(image[..., 1].copy()).any()


@pytest.mark.parametrize("colour", [(240, 200, 220), (150, 90, 160), (128, 128, 128)])
def test_uniform_image_is_all_tissue(colour):
    assert tissue_of(np.full((200, 200, 3), colour, np.uint8)).all()


def test_uniform_grey_slide_is_all_tissue():
    assert tissue_of(np.full((200, 200), 120, np.uint8)).all()


def test_tiny_biopsy_on_much_glass_is_found():
    image, _ = on_glass(size=900)
    slide = np.full((2000, 2000, 3), GLASS, np.uint8)
    slide[50:80, 60:90] = image[300:330, 300:330]
    found = tissue_of(slide, 100, 400)
    assert found[52:78, 62:88].all()
    assert found.sum() < 40 * 40


def test_tinted_glass_is_glass():
    image, truth = on_glass()
    tinted = (image * np.array([1, 0.97, 0.9])).astype(np.uint8)
    assert wrong(tissue_of(tinted, 100, 400), truth) < 0.01


def test_dim_flat_glass_of_a_grey_camera_is_glass():
    image, truth = on_glass()
    assert wrong(tissue_of((image.mean(axis=2) * 0.65).astype(np.uint8), 100, 400), truth) < 0.01


def test_grey_tissue_saved_as_colour_is_found():
    image, truth = on_glass()
    grey = np.repeat(image.mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)
    assert wrong(tissue_of(grey, 100, 400), truth) < 0.01


@pytest.mark.parametrize("ink", [INK_GREEN, INK_BLUE, (20, 20, 20)])
def test_pen_mark_is_not_tissue(ink):
    image, truth = on_glass()
    soft = np.zeros(truth.shape, np.float32)
    soft[20:40, 20:500] = 1
    soft = np.asarray(Image.fromarray((soft * 255).astype(np.uint8)).reduce(2).resize((600, 600))) / 255
    image = (image + soft[..., None] * (np.array(ink) - image)).astype(np.uint8)
    assert wrong(tissue_of(image, 100, 400), truth) < 0.01


def test_green_stain_is_not_a_pen_mark():
    image, truth = on_glass()
    image[truth] = (150, 60, 90)
    image[100:300, 100:500] = (60, 150, 110)
    assert wrong(tissue_of(image, 100, 400), truth) < 0.01


@pytest.mark.parametrize("grey", [False, True])
def test_black_border_of_a_scan_is_not_tissue(grey):
    image, truth = on_glass()
    image[:, :80] = np.random.default_rng(1).integers(0, 8, (600, 80, 3))
    image[:, 80] = 120
    image = image.mean(axis=2).astype(np.uint8) if grey else image
    assert wrong(tissue_of(image, 100, 400), truth) < 0.01


def test_small_holes_are_filled_and_specks_removed():
    image, truth = on_glass()
    image[300:315, 300:315] = GLASS
    image[350:450, 350:450] = GLASS
    image[10:18, 10:18] = (150, 60, 120)
    truth[350:450, 350:450] = False
    found = tissue_of(image, specks=100, holes=400)
    assert found[300:315, 300:315].all()
    assert not found[360:440, 360:440].any()
    assert not found[:50, :50].any()


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "openslide_corpus_CMU-1-Small-Region.tiff"])
def test_tissue_of_a_real_slide_is_separated_from_glass(shared, name):
    with open_slide(shared / "data/slides_small" / name) as slide:
        tissue = find_tissue(slide)
    assert tissue.downsample == 16
    assert 0.33 < tissue.pixels.mean() < 0.42
    assert tissue.area_mm2 == pytest.approx(0.64, abs=0.05)


@pytest.mark.shared_data
def test_real_fields_of_tumour_are_nearly_all_tissue(shared):
    shares = []
    for path in sorted((shared / "data/tumour_tif_svg").glob("*.tiff")):
        with open_slide(path) as slide:
            shares.append(find_tissue(slide).pixels.mean())
    assert min(shares) > 0.85
    assert np.mean(shares) > 0.98


@pytest.mark.shared_data
def test_real_glands_are_all_tissue(shared):
    for path in sorted((shared / "data/glands_jpg_png/images").iterdir())[::4]:
        with open_slide(path) as slide:
            assert find_tissue(slide).pixels.mean() > 0.97


def paled(image, strength, *, grey=False):
    """Return an image with a stain of `strength` times its own."""
    pale = np.round(255 - strength * (255 - image.astype(float)))
    return (pale.mean(axis=2) if grey else pale).astype(np.uint8)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("strength", [1.0, 0.5, 0.35, 0.25])
def test_pale_tile_without_glass_is_all_tissue(strength, grey):
    field = draw_field((1024, 1024), np.random.default_rng(3), glass=0)[0]
    image = np.array(Image.fromarray(field).reduce(8))
    assert tissue_of(paled(image, strength, grey=grey), 100, 400).mean() > 0.95


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.35, 0.25])
def test_pale_tissue_is_separated_from_glass(strength):
    image, truth = on_glass()
    assert wrong(tissue_of(paled(image, strength), 100, 400), truth) < 0.02


@pytest.mark.parametrize("noise", [1, 3, 5])
def test_noisy_glass_is_glass(noise):
    pixels = np.array(GLASS) + np.random.default_rng(0).integers(-noise, noise + 1, (300, 300, 3))
    assert tissue_of(pixels.clip(0, 255).astype(np.uint8), 50, 50).mean() < 0.01


@pytest.mark.shared_data
@pytest.mark.parametrize("strength", [0.5, 0.35])
def test_real_tiles_of_a_pale_stain_are_nearly_all_tissue(shared, strength):
    folders = (shared / "data" / "tumour_tif_svg", "*.tiff"), (shared / "data" / "glands_jpg_png" / "images", "*.jpg")
    images = [
        np.array(Image.open(path).convert("RGB").reduce(8)) for folder, ends in folders for path in folder.glob(ends)
    ]
    assert len(images) > 40
    shares = [
        tissue_of(paled(image, strength, grey=grey), 156, 204).mean() for image in images for grey in (False, True)
    ]
    assert np.mean(shares) > 0.99
    assert min(shares) > 0.8


@pytest.mark.shared_data
def test_electron_micrographs_are_all_tissue(shared, tmp_path):
    for number, page in enumerate(tifffile.imread(shared / "data/membranes_isbi2012/train-volume.tif")[::7]):
        Image.fromarray(page).save(tmp_path / f"{number}.png")
        with open_slide(tmp_path / f"{number}.png") as slide:
            assert find_tissue(slide).pixels.all()


def test_tissue_of_a_pyramid_is_found_at_a_size_in_micrometres(tmp_path):
    write_pyramid(tmp_path / "a.tif", (3000, 4000), mpp=0.25)
    with open_slide(tmp_path / "a.tif") as slide:
        tissue = find_tissue(slide)
        coarser = find_tissue(slide, TissueConfig(mpp=16))
    assert (tissue.downsample, coarser.downsample) == (32, 46)  # no fewer than 64 pixels across
    assert 0.3 < tissue.pixels.mean() < 0.8
    assert tissue.pixels[Region(1400, 1900, 200, 200).coarser(32).slices].all()
    assert not tissue.pixels[Region(0, 0, 200, 200).coarser(32).slices].any()


def test_size_of_specks_is_in_square_micrometres(tmp_path):
    image = np.full((2048, 2048, 3), GLASS, np.uint8)
    image[400:800, 400:800] = (170, 90, 150)  # 200 um
    image[1500:1700, 1500:1700] = (170, 90, 150)  # 100 um
    write_flat_slide(tmp_path / "a.tif", image, 0.5)
    with open_slide(tmp_path / "a.tif") as slide:
        for specks_um2, count in ((1_000, 2), (20_000, 1)):
            pixels = find_tissue(slide, TissueConfig(specks_um2=specks_um2)).pixels
            assert ndimage.label(pixels)[1] == count


def test_tissue_of_a_very_small_image_is_found(tmp_path):
    Image.fromarray(np.full((5, 7, 3), (200, 90, 150), np.uint8)).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert find_tissue(slide).pixels.all()


def test_setting_outside_its_limits_is_refused():
    with pytest.raises(ConfigError, match="mpp is 0; it must lie between 1 and 64"):
        TissueConfig(mpp=0)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 255), min_size=2, max_size=200).filter(lambda values: len(set(values)) > 1))
def test_threshold_is_that_of_otsu(values):
    array = np.array(values, np.uint8)
    # Between two values every cut is as good; both must part the pixels alike.
    counts, centers = np.bincount(array, minlength=256), np.arange(256)
    ours, theirs = otsu(array), threshold_otsu(hist=(counts, centers))

    def between(cut):
        low, high = array[array <= cut], array[array > cut]
        return len(low) * len(high) * (high.mean() - low.mean()) ** 2

    assert between(ours) == pytest.approx(between(int(theirs)))


def test_tissue_mask_of_another_grid_is_refused():
    with pytest.raises(ValueError, match="needs bool of"):
        TissueMask(np.zeros((4, 4), bool), 2, (9, 9), None)


def test_area_is_unknown_without_a_pixel_size():
    assert TissueMask(np.ones((4, 4), bool), 1, (4, 4), None).area_mm2 is None


def test_tissue_is_found_once_and_saved(project):
    first = load_tissue(project, "case0")
    kept = tissue_path(project, "case0").stat().st_mtime_ns
    project.find_file(project.slide("case0")).unlink()
    again = load_tissue(Project.open(project.folder), "case0")
    assert np.array_equal(first.pixels, again.pixels)
    assert (again.downsample, again.edited) == (first.downsample, False)
    assert tissue_path(project, "case0").stat().st_mtime_ns == kept


def test_new_settings_replace_found_tissue_but_not_edited_tissue(project):
    first = load_tissue(project, "case0")
    other = load_tissue(project, "case0", TissueConfig(specks_um2=0, holes_um2=0))
    assert load_tissue(project, "case0").pixels.sum() == other.pixels.sum()
    save_tissue(project, "case0", first.edit(~first.pixels))
    kept = load_tissue(project, "case0", TissueConfig(mpp=20))
    assert kept.edited
    assert np.array_equal(kept.pixels, ~first.pixels)


def test_tissue_painted_during_a_search_is_kept(project, monkeypatch):
    slide_of = project.open_slide

    def slide_after_painting(slide_id):
        with slide_of(slide_id) as slide:
            found = find_tissue(slide)
        save_tissue(project, slide_id, found.edit(np.zeros_like(found.pixels)))
        return slide_of(slide_id)

    monkeypatch.setattr(project, "open_slide", slide_after_painting)
    assert load_tissue(project, "case0").pixels.any()
    kept = load_tissue(project, "case0")
    assert kept.edited
    assert not kept.pixels.any()


def test_tissue_can_be_found_without_saving_it(project):
    assert load_tissue(project, "case0", may_save=lambda: False).pixels.any()
    assert not tissue_path(project, "case0").exists()


@settings(max_examples=50)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=200))
def test_median_of_grey_values_is_that_of_numpy(values):
    assert median(np.array(values, np.uint8)) == np.median(values)


def test_discarded_edit_is_replaced_by_found_tissue(project):
    first = load_tissue(project, "case0")
    save_tissue(project, "case0", first.edit(~first.pixels))
    delete_tissue(project, "case0")
    assert np.array_equal(load_tissue(project, "case0").pixels, first.pixels)


def test_tissue_mask_of_another_slide_is_not_saved(project):
    other = TissueMask(np.ones((10, 10), bool), 1, (10, 10), None)
    with pytest.raises(ProjectError, match="belongs to a slide of 10 x 10 pixels; case0 has 192 x 192"):
        save_tissue(project, "case0", other)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"\x89PNG"), lambda path: _without_text(path)])
def test_damaged_tissue_mask_is_named_with_a_remedy(project, damage):
    load_tissue(project, "case0")
    damage(tissue_path(project, "case0"))
    with pytest.raises(ProjectError, match=r"case0\.png cannot be read as the tissue mask of case0 .* Delete the file"):
        load_tissue(project, "case0")


def _without_text(path):
    with Image.open(path) as image:
        image.copy().save(path)
