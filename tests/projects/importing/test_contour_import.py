"""An annotation file is read once: what was inspected and shown is what is imported."""

import json
import os

import numpy as np
import pytest

from napari_pathseg.cli import main
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import AnnotationReader, SlideGeometry, write_contours
from napari_pathseg.errors import AnnotationError
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.importing.contour_import import import_file
from napari_pathseg.projects.importing.import_preview import inspect_file
from napari_pathseg.projects.project import Project

SQUARE = np.array([[10.5, 10.5], [10.5, 60.5], [60.5, 60.5], [60.5, 10.5]])


@pytest.fixture
def file(tmp_path):
    write_contours(tmp_path / "case5.geojson", [Contour(SQUARE, class_name="Tumour")])
    return tmp_path / "case5.geojson"


def test_import_uses_the_contours_that_were_inspected(project, file, reads):
    info = inspect_file(file, project, ("case5",))
    import_file(project, "case5", info.file, complete=False)
    assert reads == ["case5.geojson"]
    assert project.counts("case5")[2].sum() == 2500


def test_command_line_reads_a_contour_file_once(project, file, reads, capsys):
    assert main(["add", str(project.folder), project.slides["case5"].path, "--contours", str(file)]) == 0
    assert reads == ["case5.geojson"]


def write_coco_of(path, slides):
    """Write a COCO file with a square on each slide."""
    square = {"segmentation": [[10, 10, 50, 10, 50, 50, 10, 50]], "category_id": 1, "iscrowd": 0}
    document = {
        "images": [{"id": n, "file_name": slide.name, "width": 192, "height": 192} for n, slide in enumerate(slides)],
        "categories": [{"id": 1, "name": "Tumour"}],
        "annotations": [square | {"id": n, "image_id": n} for n in range(len(slides))],
    }
    path.write_text(json.dumps(document))


def test_file_of_many_images_is_parsed_once_for_all_its_slides(slides, tmp_path, reads):
    write_coco_of(tmp_path / "all.json", slides)
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides, AddOptions(contours=tmp_path / "all.json"))
    assert reads == ["all.json"]
    assert [project.counts(name)[2].sum() for name in project.slides] == [1600] * len(slides)


def test_file_of_many_images_is_parsed_once_when_inspected_for_each_slide(project, slides, tmp_path, reads):
    write_coco_of(tmp_path / "all.json", slides)
    reader = AnnotationReader()
    inspected = [inspect_file(tmp_path / "all.json", project, (name,), reader) for name in project.slides]
    assert reads == ["all.json"]
    assert [(info.slides, info.contours) for info in inspected] == [((name,), 1) for name in project.slides]


def test_file_of_many_images_is_parsed_again_once_it_changed(slides, tmp_path, reads):
    path, reader, geometry = tmp_path / "all.json", AnnotationReader(), SlideGeometry(slides[0].name, (192, 192))
    write_coco_of(path, slides[:2])
    reader.read(path, geometry)
    write_coco_of(path, slides[:3])
    assert reader.read(path, geometry).has_multiple_images
    assert reads == ["all.json"] * 2


def test_file_that_changed_after_inspection_is_refused(project, file):
    info = inspect_file(file, project, ("case5",))
    before = project.counts("case5")
    write_contours(file, [Contour(SQUARE * 2, class_name="Tumour")])
    os.utime(file, ns=(1, 1))
    with pytest.raises(AnnotationError, match=r"case5\.geojson changed after it was read; nothing was imported"):
        import_file(project, "case5", info.file, complete=False)
    assert (project.counts("case5") == before).all()
    assert not project.state.imports_into("case5")
    assert not list(project.folder.glob("contours/case5*"))
