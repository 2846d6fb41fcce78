import pytest

from napari_pathseg.contours.formats import find_contour_file
from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.folders import find_slides, pair_folders


def test_folder_means_the_slides_in_it_without_hidden_files_and_label_images(tmp_path):
    names = ("b.TIF", "a.png", "a_mask.png", "mask_b.png", "c_mask.png", "._a.png", "a.svg", "notes.txt", "d.svs")
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "e.zarr").mkdir()
    found, masks = ([path.name for path in paths] for paths in find_slides([tmp_path]))
    assert found == ["a.png", "b.TIF", "c_mask.png", "d.svs", "e.zarr"]
    assert masks == ["a_mask.png", "mask_b.png"]
    assert find_slides([tmp_path / "a_mask.png"]) == ([tmp_path / "a_mask.png"], [])
    assert find_slides([tmp_path / name for name in ("d.svs", "b.TIF", "mask_b.png", "notes.txt")]) == (
        [tmp_path / "d.svs", tmp_path / "b.TIF", tmp_path / "notes.txt"],
        [tmp_path / "mask_b.png"],
    )


def test_label_images_of_ome_tiffs_and_of_other_spellings_are_no_slides(tmp_path):
    names = ("a.ome.tif", "a_mask.png", "mask_e\u0301.tif", "\u00e9.svs", "b.tif")
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in find_slides([tmp_path])[0]] == ["a.ome.tif", "b.tif", "\u00e9.svs"]


def test_folder_without_slides_is_refused(tmp_path):
    with pytest.raises(UnsupportedSlideError, match=r"holds no slide. Name a folder with files that end in \.bif"):
        find_slides([tmp_path])


@pytest.fixture
def apart(tmp_path):
    """A folder with nothing but folders: slides, their masks of the same names, outlines, and one that says nothing."""
    files = ("Images/a.tif", "Images/b.tif", "ground_truth/a.png", "Contours/b.svg", "stats/a.tif", ".cache/c.tif")
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_slides_and_masks_in_folders_apart_are_told_by_the_names_of_these(apart):
    assert find_slides([apart]) == (
        [apart / "Images" / "a.tif", apart / "Images" / "b.tif"],
        [apart / "ground_truth" / "a.png"],
    )
    assert find_contour_file(apart / "Images" / "a.tif", apart) == apart / "ground_truth" / "a.png"
    assert find_contour_file(apart / "Images" / "b.tif", apart) == apart / "Contours" / "b.svg"


def test_one_other_folder_beside_that_of_the_masks_is_that_of_the_slides(apart):
    (apart / "Images").rename(apart / "liver")
    assert pair_folders([apart / "liver", apart / "ground_truth"]) == ([apart / "liver"], [apart / "ground_truth"])
    with pytest.raises(UnsupportedSlideError, match="holds no slide"):  # liver or stats
        find_slides([apart])


def test_folders_beside_slides_are_not_opened(apart):
    (apart / "c.tif").touch()
    assert find_slides([apart]) == ([apart / "c.tif"], [])
    assert find_contour_file(apart / "c.tif", apart) is None
