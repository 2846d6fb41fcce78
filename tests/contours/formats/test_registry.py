"""The table of contour formats, and everything that lists formats elsewhere."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_pathseg
from napari_pathseg.cli import parser
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import (
    CONTOUR_SUFFIXES,
    FORMATS,
    ContourFile,
    ContourFormat,
    SlideGeometry,
    read_contours,
    write_contours,
)
from napari_pathseg.projects.exporting.export import EXPORT_FORMATS

PACKAGE = Path(napari_pathseg.__file__).parent
SQUARE = Contour(np.array([[1.0, 1], [1, 9], [9, 9], [9, 1]]), class_name="Tumour", color="#c80000")


@pytest.mark.parametrize("field", [field.name for field in fields(ContourFormat)])
def test_a_format_without_one_of_its_fields_fails_at_import(field):
    row = {other.name: getattr(FORMATS["svg"], other.name) for other in fields(ContourFormat) if other.name != field}
    with pytest.raises(TypeError, match=field):
        ContourFormat(**row)


def test_the_help_of_the_command_line_names_every_format():
    assert set(parser._CONTOURS.split(", ")) == FORMATS.keys()


def test_every_format_can_be_exported():
    assert FORMATS.keys() <= set(EXPORT_FORMATS)


def test_the_manifest_offers_every_contour_suffix_but_json():
    contributions = PluginManifest.from_file(PACKAGE / "napari.yaml").contributions
    [reader] = contributions.readers
    assert {f"*{suffix}" for suffix in CONTOUR_SUFFIXES if suffix != ".json"} <= set(reader.filename_patterns)
    [writer] = [writer for writer in contributions.writers if writer.command.endswith("write_contours")]
    assert set(writer.filename_extensions) <= set(CONTOUR_SUFFIXES)


def test_the_readme_lists_every_format():
    rows = [
        line for line in (PACKAGE.parent / "README.md").read_text(encoding="utf8").splitlines() if "| yes | yes" in line
    ]
    listed = {key.strip("` ") for row in rows for key in row.split("|")[2].split(",")}
    assert FORMATS.keys() <= listed


def test_contour_file_knows_its_format_and_contours(tmp_path):
    path = tmp_path / "a.geojson"
    write_contours(path, [SQUARE])
    file = ContourFile.parse(path)
    assert file.format is FORMATS["geojson"]
    assert not file.has_multiple_images
    [expected] = read_contours(path)
    found = file.contours(SlideGeometry("a.tif", (20, 20)))
    assert [(c.class_name, c.exterior.tolist()) for c in found] == [("Tumour", expected.exterior.tolist())]


def test_contour_file_knows_when_it_changed_after_parsing(tmp_path):
    path = tmp_path / "a.svg"
    write_contours(path, [SQUARE])
    file = ContourFile.parse(path)
    assert file.is_current()
    write_contours(path, [SQUARE, replace(SQUARE, class_name="Stroma")])
    assert not file.is_current()
    path.unlink()
    assert not file.is_current()
