import json

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.samples import write_pyramid


def test_a_label_image_of_class_indices_per_slide(project, tmp_path):
    files = export(project, tmp_path / "out", ExportOptions(format="mask"))
    assert [path.name for path in files] == [f"case{n}.png" for n in range(5)]
    mask = np.asarray(Image.open(files[0]))
    assert mask.shape == (192, 192)
    assert (mask == 2).sum() == 6400


def test_qupath_gets_names_and_colours_and_no_background(project, tmp_path):
    (path,) = export(project, tmp_path / "out", ExportOptions(format="geojson", slides=["case0"]))
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["properties"]["classification"] == {"name": "Tumour", "color": [200, 0, 0]}
    assert feature["geometry"]["type"] == "Polygon"


def test_what_is_exported_comes_in_again_as_the_same_mask(project, slides, tmp_path):
    (path,) = export(project, tmp_path / "out", ExportOptions(format="geojson", slides=["case0"]))
    other = Project.create(tmp_path / "other.pathseg")
    add_slides(other, slides[:1], AddOptions(contours=path))
    assert (other.counts("case0") == project.counts("case0")).all()


def test_the_mask_of_a_pyramid_keeps_its_grid_and_pixel_size(tmp_path):
    write_pyramid(tmp_path / "big.tif", (3000, 2000), mpp=0.25)
    project = Project.create(tmp_path / "p.pathseg")
    (entry,) = add_slides(project, [tmp_path / "big.tif"], AddOptions(negative=True))
    project.open_mask(entry.id).close()
    (path,) = export(project, tmp_path / "out", ExportOptions(format="mask"))
    picture = Image.open(path)
    assert path.suffix == ".tif"
    assert picture.size == (500, 750)


def test_outlines_can_be_smooth(project, tmp_path):
    (path,) = export(project, tmp_path, ExportOptions(format="geojson", slides=["case0"], smooth_um=4.0))
    (feature,) = json.loads(path.read_text())["features"]
    assert len(feature["geometry"]["coordinates"][0]) > 9  # the square's corners are round


def test_the_mask_of_a_pyramid_comes_in_again(tmp_path):
    write_pyramid(tmp_path / "big.tif", (3000, 2000), mpp=0.25)
    project = Project.create(tmp_path / "p.pathseg")
    (entry,) = add_slides(project, [tmp_path / "big.tif"], AddOptions(negative=True))
    with project.write_lock(), project.open_mask(entry.id) as mask:
        paint(mask, Region(10, 20, 100, 50), np.full((100, 50), 2, np.uint8))
    for kind in ("mask", "ome-tiff"):
        (path,) = export(project, tmp_path / kind, ExportOptions(format=kind))
        other = Project.create(tmp_path / f"{kind}.pathseg")
        add_slides(other, [tmp_path / "big.tif"], AddOptions(contours=path))
        assert other.counts("big")[2].sum() == 5000


def test_what_was_imported_is_never_overwritten(project, slides):
    with pytest.raises(ProjectError, match="is what was imported into the project"):
        export(project, slides[0].parent, ExportOptions(format="svg"))


def test_an_unknown_format_is_refused_with_the_known_ones(project, tmp_path):
    with pytest.raises(ConfigError, match="format is 'gif'; it must be one of .*geojson.*, mask"):
        export(project, tmp_path, ExportOptions(format="gif"))


def test_predictions_cannot_be_exported_before_there_are_any(project, tmp_path):
    with pytest.raises(ProjectError, match=r"has no prediction to export. Predict a slide first"):
        export(project, tmp_path / "out", ExportOptions(format="mask", what="prediction"))
    assert not (tmp_path / "out").exists()


def test_a_slide_is_never_overwritten_by_its_mask(tmp_path):
    picture = tmp_path / "a.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(picture)
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, [picture], AddOptions(negative=True))
    project.open_mask("a").close()
    before = picture.read_bytes()
    with pytest.raises(ProjectError, match=r"a\.png is a slide of the project; it would be overwritten"):
        export(project, tmp_path, ExportOptions(format="mask"))
    assert picture.read_bytes() == before
