"""The table of slide formats, and everything that lists formats elsewhere."""

import re
from pathlib import Path

import pytest
import yaml

import napari_pathseg
from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, stem_of
from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.registry import SLIDE_FORMATS, SLIDE_SUFFIXES, SlideFormat, find_slides, open_slide
from napari_pathseg.storage.names import safe_name
from napari_pathseg.storage.untrusted import DecodeError, parsing

PACKAGE = Path(napari_pathseg.__file__).parent


def test_manifest_offers_every_slide_format_and_nothing_else():
    manifest = yaml.safe_load((PACKAGE / "napari.yaml").read_text(encoding="utf8"))
    patterns = [pattern for reader in manifest["contributions"]["readers"] for pattern in reader["filename_patterns"]]
    slides = {suffix for known in SLIDE_FORMATS if known.in_manifest for suffix in known.suffixes}
    contours = {suffix for suffix in CONTOUR_SUFFIXES if suffix != ".json"}  # which other programs use too
    expected = sorted(f"*{suffix}" for suffix in slides | contours | {".pathseg"})
    assert sorted(patterns) == expected, "filename_patterns of napari.yaml: suffixes of the two tables are its patterns"


def test_readme_names_every_slide_format():
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf8")
    sentence = readme.split("## What it opens")[1].split("**Contours.**")[0]
    abbreviations = {"btf": "BigTIFF", "tf8": "BigTIFF", "tif": "TIFF", "jpg": "JPEG", "jp2": "JPEG 2000"}
    abbreviations |= {"zarr": "OME-Zarr", "dcm": "DICOM"}
    suffixes = {suffix[1:] for suffix in SLIDE_SUFFIXES}
    names = {abbreviations.get(suffix, suffix.upper()) for suffix in suffixes}
    missing = {name for name in names if name not in sentence}
    assert missing == set(), "name these in the README's What it opens, or put how it names them into `abbreviations`"
    listed = set(re.findall(r"\b[A-Z]{3,6}\b", sentence)) - {"TIFF", "RGB", "OME", "DICOM", "ID"}
    unknown = listed - {suffix.upper() for suffix in suffixes}
    assert unknown == set(), "the README's What it opens names these, which no row of SLIDE_FORMATS has"


@pytest.mark.parametrize("suffix", sorted(SLIDE_SUFFIXES))
def test_every_slide_suffix_is_left_out_of_the_slides_name(suffix):
    assert stem_of(Path(f"x{suffix}")) == "x"


def test_slide_format_with_a_forgotten_field_is_an_error():
    with pytest.raises(TypeError, match="missing"):
        SlideFormat(name="new", suffixes=(".new",))


def test_mistake_of_ours_keeps_its_traceback(monkeypatch, tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 30)).save(tmp_path / "a.tif")

    def misspelt(*_):
        raise AttributeError("tilewidht")

    with open_slide(tmp_path / "a.tif") as slide:
        monkeypatch.setattr(slide, "_decode", misspelt)
        with pytest.raises(AttributeError, match="tilewidht"):
            slide.thumbnail()
    monkeypatch.setattr("napari_pathseg.slides.readers.tiff.main_series", misspelt)
    with pytest.raises(AttributeError, match="tilewidht"):
        open_slide(tmp_path / "a.tif")


def test_damaged_file_is_named_in_a_sentence(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + b"\xff" * 40)
    with pytest.raises(
        UnsupportedSlideError, match="a.tif could not be opened as a slide. TIFF reader: it has no image"
    ):
        open_slide(tmp_path / "a.tif")


def test_parsing_wraps_only_errors_of_the_named_library():
    with pytest.raises(DecodeError, match="JSONDecodeError"), parsing("json"):
        __import__("json").loads("{")
    with pytest.raises(KeyError), parsing("json"):
        raise KeyError("ours")


@pytest.mark.parametrize(
    ("name", "safe"),
    [("liver", "liver"), ("con", "con_"), ("Con.a", "Con_.a"), ("a. ", "a__"), ("a:b?", "a_b_"), ("aux1", "aux1")],
)
def test_safe_name_can_be_stored_on_every_system(name, safe):
    assert safe_name(name) == safe


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
