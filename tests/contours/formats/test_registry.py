"""The table of contour formats, and everything that lists formats elsewhere."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_pathseg
from napari_pathseg.cli import arguments
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import (
    CONTOUR_SUFFIXES,
    FORMATS,
    AnnotationReader,
    ContourFormat,
    SlideGeometry,
    read_contours,
    write_contours,
)
from napari_pathseg.contours.formats.registry import parse_document
from napari_pathseg.errors import AnnotationError
from napari_pathseg.projects.exporting.export import EXPORT_FORMATS

PACKAGE = Path(napari_pathseg.__file__).parent
SQUARE = Contour(np.array([[1.0, 1], [1, 9], [9, 9], [9, 1]]), class_name="Tumour", color="#c80000")


@pytest.mark.parametrize("field", [field.name for field in fields(ContourFormat)])
def test_format_without_one_of_its_fields_fails_at_import(field):
    row = {other.name: getattr(FORMATS["svg"], other.name) for other in fields(ContourFormat) if other.name != field}
    with pytest.raises(TypeError, match=field):
        ContourFormat(**row)


def test_help_of_the_command_line_names_every_format():
    assert set(arguments.CONTOURS.split(", ")) == FORMATS.keys()


def test_every_format_can_be_exported():
    assert FORMATS.keys() <= set(EXPORT_FORMATS)


def test_manifest_offers_every_contour_suffix_but_json():
    contributions = PluginManifest.from_file(PACKAGE / "napari.yaml").contributions
    [reader] = contributions.readers
    assert {f"*{suffix}" for suffix in CONTOUR_SUFFIXES if suffix != ".json"} <= set(reader.filename_patterns)
    [writer] = [writer for writer in contributions.writers if writer.command.endswith("write_contours")]
    assert set(writer.filename_extensions) <= set(CONTOUR_SUFFIXES)


def test_readme_lists_every_format():
    rows = [
        line for line in (PACKAGE.parent / "README.md").read_text(encoding="utf8").splitlines() if "| yes | yes" in line
    ]
    listed = {key.strip("` ") for row in rows for key in row.split("|")[2].split(",")}
    assert FORMATS.keys() <= listed


def test_annotation_file_has_the_contours_of_its_format(tmp_path):
    path = tmp_path / "a.geojson"
    write_contours(path, [SQUARE])
    assert parse_document(path)[0] is FORMATS["geojson"]
    file = AnnotationReader().read(path, SlideGeometry("a.tif", (20, 20)))
    assert not file.has_multiple_images
    [expected] = read_contours(path)
    assert [(c.class_name, c.exterior.tolist()) for c in file.contours] == [("Tumour", expected.exterior.tolist())]


def test_annotation_file_that_changed_after_reading_is_refused(tmp_path):
    path = tmp_path / "a.svg"
    write_contours(path, [SQUARE])
    file = AnnotationReader().read(path, SlideGeometry())
    file.check_unchanged()
    write_contours(path, [SQUARE, replace(SQUARE, class_name="Stroma")])
    with pytest.raises(AnnotationError, match=r"a\.svg changed after it was read"):
        file.check_unchanged()
    path.unlink()
    with pytest.raises(AnnotationError, match=r"a\.svg changed after it was read"):
        file.check_unchanged()


def test_label_image_has_no_contours_until_its_import(tmp_path):
    path = tmp_path / "a_mask.png"
    with pytest.raises(AnnotationError, match=r"a_mask\.png could not be read"):
        AnnotationReader().read(path, SlideGeometry())
    path.write_bytes(b"pixels")
    file = AnnotationReader().read(path, SlideGeometry())
    assert file.contours is None
    file.check_unchanged()
