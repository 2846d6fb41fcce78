"""An annotation file is read once: what was inspected and shown is what is imported."""

import os

import numpy as np
import pytest

from napari_pathseg.cli import main
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import write_contours
from napari_pathseg.errors import AnnotationError
from napari_pathseg.projects.importing import contour_import
from napari_pathseg.projects.importing.contour_import import import_file
from napari_pathseg.projects.importing.import_preview import inspect_file

SQUARE = np.array([[10.5, 10.5], [10.5, 60.5], [60.5, 60.5], [60.5, 10.5]])


@pytest.fixture
def file(tmp_path):
    write_contours(tmp_path / "case5.geojson", [Contour(SQUARE, class_name="Tumour")])
    return tmp_path / "case5.geojson"


@pytest.fixture
def reads(monkeypatch):
    """Return the files that were read as contours, one entry for each time."""
    read, paths = contour_import.read_contours, []
    monkeypatch.setattr(
        contour_import, "read_contours", lambda path, frame: paths.append(path.name) or read(path, frame)
    )
    return paths


def test_import_uses_the_contours_that_were_inspected(project, file, reads):
    info = inspect_file(file, project, "case5")
    import_file(project, "case5", info.file, complete=False)
    assert reads == ["case5.geojson"]
    assert project.counts("case5")[2].sum() == 2500


def test_command_line_reads_a_contour_file_once(project, file, reads, capsys):
    assert main(["add", str(project.folder), project.slides["case5"].path, "--contours", str(file)]) == 0
    assert reads == ["case5.geojson"]


def test_file_that_changed_after_inspection_is_refused(project, file):
    info = inspect_file(file, project, "case5")
    before = project.counts("case5")
    write_contours(file, [Contour(SQUARE * 2, class_name="Tumour")])
    os.utime(file, ns=(1, 1))
    with pytest.raises(AnnotationError, match=r"case5\.geojson changed after it was read; nothing was imported"):
        import_file(project, "case5", info.file, complete=False)
    assert (project.counts("case5") == before).all()
    assert not project.state.imports_into("case5")
    assert not list(project.folder.glob("contours/case5*"))
