from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels, Shapes
from npe2 import PluginManifest

import napari_pathseg
from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import read_contours, write_contours
from napari_pathseg.errors import AnnotationError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import open_mask
from napari_pathseg.masks.edits import paint
from napari_pathseg.ui.layers.mask_layer import MaskLayer
from napari_pathseg.ui.layers.slide_layers import layer_transform
from napari_pathseg.ui.reader import contours_layer
from napari_pathseg.ui.writer import write_mask, write_shapes

SQUARE = np.array([[10.0, 20.0], [10.0, 80.0], [70.0, 80.0], [70.0, 20.0]])
HOLE = np.array([[30.0, 40.0], [30.0, 60.0], [50.0, 60.0], [50.0, 40.0]])


def save(layer, path, write):
    data, meta, _ = layer.as_layer_data_tuple()
    assert write(str(path), data, meta) == [str(path)]


@pytest.fixture
def registered_plugin(npe2pm):
    """Register this plugin alone: a `ViewerModel` does not look for plugins, as napari's window does."""
    npe2pm.register(PluginManifest.from_file(Path(napari_pathseg.__file__).with_name("napari.yaml")))


def test_mask_is_saved_with_its_classes_and_pixel_size(tmp_path):
    labels = np.array([[0, 1], [2, 1]], np.int32)
    save(Labels(labels, **layer_transform(0.5, 2)), tmp_path / "a.tif", write_mask)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.asarray().tolist() == labels.tolist()
        assert file.pages.first.resolution[0] == pytest.approx(1e4)  # pixels of 1 µm per centimetre


@pytest.mark.usefixtures("registered_plugin")
def test_mask_of_a_project_is_saved_like_any_labels_layer(tmp_path):
    with open_mask(tmp_path / "a.zarr", (40, 30), DEFAULT_CLASSES) as mask:
        paint(mask, Region(5, 5, 10, 10), np.full((10, 10), 2, np.uint8))
        layer = MaskLayer(mask, DEFAULT_CLASSES, **layer_transform(0.25, 4))
        viewer = ViewerModel()
        viewer.add_layer(layer)
        viewer.layers.save(str(tmp_path / "a.tif"), plugin="napari-pathseg")
    saved = tifffile.imread(tmp_path / "a.tif")
    assert saved.shape == (40, 30)
    assert (saved == 2).sum() == 100


def test_values_that_are_not_classes_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match="0 to 300"):
        write_mask(str(tmp_path / "a.tif"), np.array([[0, 300]]), {"name": "nuclei"})
    assert not list(tmp_path.iterdir())


def test_stack_of_masks_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="3 dimensions"):
        write_mask(str(tmp_path / "a.tif"), np.zeros((2, 3, 3), np.uint8), {})


def test_saved_contours_are_read_back_unchanged(tmp_path):
    contours = [Contour(SQUARE, (HOLE,), "Tumour"), Contour(SQUARE + 100, (), "Necrosis")]
    write_contours(tmp_path / "a.geojson", contours)
    data, settings, _ = contours_layer(tmp_path / "a.geojson", mpp=0.5)
    save(Shapes(data, **settings), tmp_path / "b.geojson", write_shapes)
    again = read_contours(tmp_path / "b.geojson")
    assert [contour.class_name for contour in again] == ["Tumour", "Necrosis"]
    assert [[ring.tolist() for ring in contour.rings] for contour in again] == [
        [ring.tolist() for ring in contour.rings] for contour in contours
    ]


def test_ellipse_is_saved_as_its_outline(tmp_path):
    save(Shapes([SQUARE], shape_type="ellipse"), tmp_path / "a.geojson", write_shapes)
    [contour] = read_contours(tmp_path / "a.geojson")
    assert len(contour.exterior) > 20
    assert np.hypot(*(contour.exterior - [40, 50]).T) == pytest.approx(30)


def test_lines_are_refused_as_contours(tmp_path):
    layer = Shapes([SQUARE[:2]], shape_type="line", name="ruler")
    with pytest.raises(AnnotationError, match="ruler has no closed shape"):
        save(layer, tmp_path / "a.geojson", write_shapes)
