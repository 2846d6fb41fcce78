"""Label images as OME-Zarr pyramids."""

import json

import numpy as np
import pytest
import zarr

from napari_pathseg.contours.formats.label_images.zarr_writer import write_label_zarr
from napari_pathseg.errors import ProjectError

CLASSES = [("Background", (150, 200, 150)), ("Tumour", (200, 0, 0))]


@pytest.fixture
def labels():
    return np.random.default_rng(0).integers(0, 3, (2100, 4500)).astype(np.uint8)


def test_pyramid_holds_the_labels_their_colours_and_the_pixel_size(labels, tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_label_zarr(path, labels, 0.5, CLASSES)
    group = zarr.open_group(path, mode="r")
    about = group.attrs["ome"]
    assert about["image-label"]["colors"][1] == {"label-value": 2, "rgba": [200, 0, 0, 255]}
    assert about["image-label"]["properties"][1] == {"label-value": 2, "class": "Tumour"}
    for number, dataset in enumerate(about["multiscales"][0]["datasets"]):
        step = 2**number
        assert np.array_equal(group[dataset["path"]], labels[::step, ::step])
        assert dataset["coordinateTransformations"][0]["scale"] == [0.5 * step, 0.5 * step]
    assert {axis["unit"] for axis in about["multiscales"][0]["axes"]} == {"micrometer"}


def test_own_file_is_replaced_and_another_is_not(labels, tmp_path):
    path = tmp_path / "a.ome.zarr"
    for part in (labels, labels[:100]):
        write_label_zarr(path, part, None, CLASSES)
    assert zarr.open_group(path, mode="r")["0"].shape == (100, 4500)
    content = json.loads((path / "zarr.json").read_text())
    del content["attributes"]["ome"]["image-label"]
    (path / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(ProjectError, match="exists and is no label image"):
        write_label_zarr(path, labels, None, CLASSES)
    assert zarr.open_group(path, mode="r")["0"].shape == (100, 4500)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]
