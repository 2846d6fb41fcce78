"""The table of slide formats, and everything that lists formats elsewhere."""

import re
from pathlib import Path

import pytest
import yaml

import napari_pathseg
from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, stem_of
from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.registry import SLIDE_FORMATS, SLIDE_SUFFIXES, SlideFormat, open_slide
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
